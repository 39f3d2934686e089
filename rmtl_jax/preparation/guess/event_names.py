"""What names of events say: what happened."""

from __future__ import annotations

from rmtl_jax.preparation.guess import words

_IMPRESSIONS = words.listed(
  'view pv pageview impression show exposure display detail detailview viewitem'
  ' itemview viewproduct productview productviewed'
)
_CARTS = words.listed('cart addtocart addcart basket addtobasket productadded')
_PURCHASES = words.listed(
  'buy purchase transaction order pay checkout ordercompleted purchased'
)
_OTHER_EVENTS = words.listed(
  'click removefromcart fav favorite like dislike share follow install search'
  ' play listen wish wishlist rate'
)


def event(value: str) -> str:
  """What happened: `impression`, `cart`, `purchase`, `other`; '' if unknown.

  >>> event('view'), event('add_to_cart'), event('transactions')
  ('impression', 'cart', 'purchase')
  >>> event('remove_from_cart'), event('blue')
  ('other', '')
  """
  word = ''.join(words.of(value))
  one = word.removesuffix('s')
  groups = {
    'impression': _IMPRESSIONS,
    'cart': _CARTS,
    'purchase': _PURCHASES,
    'other': _OTHER_EVENTS,
  }
  return next(
    (name for name, known in groups.items() if {word, one} & known), ''
  )


def takes_back(value: str) -> bool:
  """Whether an event undoes another one.

  >>> takes_back('remove_from_cart'), takes_back('unlike'), takes_back('cart')
  (True, True, False)
  """
  word = ''.join(words.of(value))
  return word.startswith(('remove', 'un', 'delete', 'cancel', 'return'))
