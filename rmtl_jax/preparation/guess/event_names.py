"""What names of events say: what happened."""

from __future__ import annotations

from rmtl_jax.preparation.guess import words

_IMPRESSIONS = words.listed(
  'view pv pageview impression show exposure display detail detailview viewitem'
  ' itemview viewproduct productview seen shown'
)
_CARTS = words.listed('cart addtocart addcart basket addtobasket productadded')
_PURCHASES = words.listed(
  'buy purchase transaction order pay checkout ordercompleted placeorder bought'
  ' paid'
)
_OTHER_EVENTS = words.listed(
  'click removefromcart fav favorite like dislike share follow install search'
  ' play listen wish wishlist rate'
)


def event(value: str) -> str:
  """What happened: `impression`, `cart`, `purchase`, `other`; '' if unknown.

  >>> event('view'), event('add_to_cart'), event('transactions'), event('add')
  ('impression', 'cart', 'purchase', 'cart')
  >>> event('remove_from_cart'), event('blue'), event('Cart Viewed')
  ('other', '', '')
  >>> event('Video Viewed'), event('Added to Cart'), event('Song Liked')
  ('impression', 'cart', 'other')
  """
  parts = words.of(value)
  word = 'addtocart' if parts == ['add'] else ''.join(parts)
  # What was done: `viewed` of `view`, `liked` of `like`.
  done = [part for part in parts if part.endswith('ed')]
  verbs = {part[:-end] for part in done for end in (1, 2)}
  now = ''.join(part.removesuffix('ed') for part in parts)
  forms = {word, word.removesuffix('s'), now}
  # Who views a cart or an order is shown no item.
  if not {*parts} & (_CARTS | _PURCHASES):
    forms |= verbs
  groups = {
    'impression': _IMPRESSIONS,
    'cart': _CARTS,
    'purchase': _PURCHASES,
    'other': _OTHER_EVENTS,
  }
  return next((name for name, known in groups.items() if forms & known), '')


def takes_back(value: str) -> bool:
  """Whether an event undoes another one.

  >>> takes_back('remove_from_cart'), takes_back('unlike'), takes_back('cart')
  (True, True, False)
  """
  word = ''.join(words.of(value))
  return word.startswith(('remove', 'un', 'delete', 'cancel', 'return'))
