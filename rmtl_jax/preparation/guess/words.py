"""Names of columns: their words, and the words that name a role."""

from __future__ import annotations

import re
from collections.abc import Collection

from rmtl_jax.preparation.schema import part

_ID = {
  *('id', 'ids', 'uuid', 'guid', 'key', 'hash', 'no', 'nr', 'idx', 'index'),
  *('number', 'pk', 'unique', 'code', 'anonymous', 'anon', 'hashed', 'sk'),
}
_KEYS = {
  'user': (
    'user uid customer visitor person member client viewer reader buyer'
    ' shopper player subscriber learner student guest account cookie profile'
    ' consumer cust usr browser device household fullvisitor'
  ),
  'item': (
    'item product article video movie film song track sku content post news'
    ' story listing hotel prop property job game app course recipe book isbn'
    ' asin restaurant poi venue photo image pin tweet show episode podcast'
    ' banner creative ad advert advertisement document doc offer coupon deal'
    ' good goods prod stock music artist url page place business'
  ),
  'session': (
    'session sess visit search srch query request impression basket order'
    ' invoice display slate trip transaction'
  ),
}
# Taken for the item only where no better name is there.
_COARSE = 'brand seller merchant store shop campaign destination channel topic'
KEYS = {role: words.split() for role, words in _KEYS.items()}
COARSE_ITEMS = _COARSE.split()
# Of a row's time, best first.
_TIMES = (
  {'timestamp', 'ts', 'datetime', 'time', 'eventtime'},
  {'date', 'day', 'dt', 'at'},
)
_ROW_EVENTS = {
  *('event', 'shown', 'served', 'impression', 'view', 'viewed', 'request'),
  *('log', 'logged', 'created', 'visit', 'session', 'show', 'start'),
}
# Times of something that is not the row.
_OTHER_TIMES = {
  *('birth', 'born', 'signup', 'register', 'registered', 'registration'),
  *('release', 'released', 'publish', 'published', 'expiry', 'expire', 'end'),
  *('last', 'first', 'joined', 'join', 'update', 'updated', 'due', 'delivery'),
  *('since', 'until', 'next', 'prev', 'previous', 'upload', 'launch'),
}
# Verbs of users' actions: beginnings of all tenses, and words.
_STEMS = (
  *('click', 'cart', 'addtocart', 'buy', 'bought', 'purchas', 'convers'),
  *('convert', 'follow', 'install', 'download', 'subscrib', 'comment'),
  *('forward', 'favo', 'wishlist', 'attribut', 'transact', 'checkout'),
  *('respon', 'upvot', 'dislik', 'complet', 'retweet', 'engag', 'reserv'),
  *('watch', 'listen', 'bookmark', 'enrol', 'impuls'),
)
_FORMS = {
  *('like', 'liked', 'likes', 'share', 'shared', 'shares', 'save', 'saved'),
  *('view', 'viewed', 'views', 'order', 'ordered', 'orders', 'ordering'),
  *('book', 'booked', 'booking', 'read', 'play', 'played', 'open', 'opened'),
  *('reply', 'replied', 'apply', 'applied', 'sale', 'sold', 'pay', 'paid'),
  *('label', 'target', 'return', 'returned', 'hate', 'hated', 'skip'),
  *('skipped', 'contact', 'contacted', 'chosen', 'choice', 'selected'),
  *('bounced', 'conv', 'success', 'outcome'),
}
# With one of these a name is of the past, of an amount or of a property.
_NO_OUTCOME = {
  *('num', 'n', 'count', 'cnt', 'rate', 'avg', 'mean', 'sum', 'total', 'hist'),
  *('history', 'past', 'prev', 'previous', 'prior', 'last', 'ago', 'before'),
  *('price', 'position', 'rank', 'type', 'category', 'id', 'name', 'method'),
  *('source', 'page', 'hour', 'day', 'age', 'level', 'score', 'per', 'prob'),
}
# Labels that are numbers.
_AMOUNT_WORDS = {'dwell', 'playtime', 'watchtime', 'watched', 'stay', 'seconds'}
_AMOUNTS = (
  *(('play', 'time'), ('watch', 'time'), ('dwell', 'time')),
  *(('watch', 'ratio'), ('view', 'time'), ('reading', 'time')),
  *(('play', 'duration'), ('watch', 'duration'), ('revenue',), ('spend',)),
)
EVENTS = {'event', 'action', 'behavior', 'behaviour', 'activity', 'interaction'}
SPLITS = {'split', 'fold', 'subset', 'partition', 'set'}
FEW_NUMBERS = {
  *('num', 'count', 'cnt', 'n', 'qty', 'quantity', 'amount', 'age', 'price'),
  *('number', 'total', 'sum', 'length', 'len', 'size', 'year', 'years'),
  *('days', 'rank', 'position', 'nights', 'adults', 'children', 'rooms'),
}
_CATEGORY_WORDS = {
  *('id', 'ids', 'code', 'type', 'category', 'cat', 'class', 'group', 'brand'),
  *('segment', 'cluster', 'zip', 'region', 'country', 'city', 'gender'),
}
PARTS_OF_TIME = {
  *('hour', 'hours', 'hourmin', 'daypart', 'day', 'dayofweek', 'dow'),
  *('weekday', 'month'),
}


def words(name: str) -> list[str]:
  """The lower-case words of a name.

  >>> words('personId'), words('add_to_cart'), words('userid')
  (['person', 'id'], ['add', 'to', 'cart'], ['userid'])
  """
  parted = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', name)
  parted = re.sub(r'(?<=[A-Z])(?=[A-Z][a-z])', ' ', parted)
  return re.findall(r'[^\W_]+', parted.lower())


def key_rank(name: str, role: str) -> int | None:
  """How well a name names a user, an item or a session; 0 is best.

  >>> key_rank('visitorid', 'user'), key_rank('user_age', 'user')
  (3, None)
  """
  found = words(name)
  bare = [word for word in found if word not in _ID]
  if not bare:
    return None
  known = KEYS[role] + (COARSE_ITEMS if role == 'item' else [])
  last = bare[-1]
  if last not in known:
    last = re.sub(r'(_?ids?|key|uuid|code|hash)$', '', last)
  if last not in known or len(bare) > 2:
    return None
  # 'search_user_id' is a user's, 'user_segment' was refused above.
  return known.index(last) + (100 if len(bare) == 2 else 0)


def time_rank(name: str) -> int | None:
  """How well a name names the time of a row; 0 is best."""
  found = words(name)
  if {*found} & _OTHER_TIMES:
    return None
  for rank, known in enumerate(_TIMES):
    if {*found} & known or any(w.endswith(('time', 'stamp')) for w in found):
      others = [w for w in found if w not in known and w not in _ROW_EVENTS]
      return 2 * rank + bool(others)
  return None


def is_outcome(name: str) -> bool:
  """Whether a name is a user's action, in any tense.

  >>> [is_outcome(n) for n in ('carted', 'is_click', 'num_clicks', 'price')]
  [True, True, False, False]
  """
  found = words(name)
  if {*found} & _NO_OUTCOME or found[:1] in (['has'], ['user'], ['item']):
    return False
  parts = [word.removeprefix('is') for word in (*found, ''.join(found))]
  return any(
    word in _FORMS or (word.startswith(_STEMS) and word not in KEYS['user'])
    for word in parts
  )


def is_amount_label(name: str) -> bool:
  """Whether a number of this name is an outcome, as a watch time."""
  found = words(name)
  if {*found} & (_NO_OUTCOME - {'rate', 'score'}):
    return False
  pairs = any(all(w in found for w in one) for one in _AMOUNTS)
  return bool(pairs or {*found} & _AMOUNT_WORDS)


def has(name: str, known: Collection[str]) -> bool:
  """Whether a name has one of the words, such as EVENTS."""
  return not {*words(name)}.isdisjoint(known)


def is_category(name: str) -> bool:
  """Whether whole numbers of this name are categories, not amounts."""
  found = words(name)
  return bool(
    {*found} & (_CATEGORY_WORDS | PARTS_OF_TIME)
    or re.search(r'([a-z]id|(cat|feat|feature|field|col|c)\d+)$', name.lower())
  )


def of_task(column: str, columns: Collection[str]) -> str:
  """The name of a task: its column's without a leading `is_`.

  >>> of_task('is_click', ['is_click']), of_task('is_a', ['a', 'is_a'])
  ('click', 'is_a')
  """
  short = part.plain(column.removeprefix('is_'))
  return part.plain(column) if short in columns else short
