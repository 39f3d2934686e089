"""What names of columns say of keys: users, items, sessions."""

from __future__ import annotations

import re

from rmtl_jax.preparation.guess import words

_SURE_ID = '(id|ids|key|hash|no|nr|uuid|guid|code|token)'
_ID = f'({_SURE_ID}|nbr|num|number|nummer|index|idx)'
USERS = (
  'user|uid|visitor|customer|client|member|viewer|shopper|consumer'
  '|subscriber|player|listener|reader|person|profile|account|msno|device|cookie'
  '|household|panelist|respondent|subject|participant|patient|student|employee'
  '|borrower|donor|rider|driver|sender|applicant|learner|cust|guest|buyer'
  '|eater|seeker|bettor|pupil|mrn|kunde|nutzer|benutzer|cliente|usuario'
  '|utilisateur|klant|gebruiker|utente|paciente|paziente'
)
ITEMS = (
  'item|product|sku|asin|isbn|article|video|movie|song|track|book|news|story|doc'
  '|document|post|photo|listing|goods|recipe|game|course|hotel|prop|property'
  '|restaurant|offer|coupon|note|feed|clip|episode|podcast|show|content|anime'
  '|manga|stockcode|tweet|artikel|produkt|produit|producto|prodotto|produto|ad|ads|aid|adgroup'
  '|advert|creative|banner|campaign'
)
# Ids of something, and ids of which a name does not say of what: `ID`, `nr`.
ends_in_id = words.ends_in('id')
_ID_NUMBERS = 'idno idnr idnum idnumber'
_is_id_number = words.is_one_of(_ID_NUMBERS)
is_bare_id = words.is_one_of(f'{_ID_NUMBERS} id ids nr no key pid uuid')
# Words of many other columns too, which are items only as ids.
_ITEM_IDS = (
  'question|problem|exercise|lexeme|job|vacancy|venue|business|poi|place|vendor'
  '|merchant|receiver|recipient|template|title|room|flight|jobposting'
)
# Those that may be kinds, of which a log has few.
_KINDS = words.listed(
  'campaign coupon hotel show note feed prop banner creative aid'
)
# Of the session by name; the last ones where no other is.
_SESSIONS = 'session|sess|visit|sid|slate'
_REQUESTS = (
  'search|srch|query|request|req|pageview|pv|impression|trace|display|auction'
)
_ORDERS = 'order|invoice|basket|receipt'
# From the surest word to the least sure one.
_KEYS = {
  'user': r'(?:id)?'
  rf'(?:full|anonymous|anon|app|web|hashed|raw|{USERS})?({USERS})'
  rf'(pseudo|unique)?({_ID}{{1,2}}|name|email)?|(card|cc)(num|number|nr|no|hash)'
  rf'|(?:author)?(?:steam|kunden){_ID}'
  rf'|(?:candidate|passenger){_SURE_ID}|(anonymous|distinct){_SURE_ID}'
  r'|email(?:address|hash)?',
  'item': r'(?:id)?(target|candidate|parent|click|clicked|view|viewed|product)?'
  rf'({ITEMS})(?:{_ID}{{0,2}}(clean)?|name|title|uri|url)'
  rf'|({_ITEM_IDS}){_SURE_ID}|id({_ITEM_IDS})',
  'session': r'(?:id)?(user|web|app|ga|browser|visitor|customer|client)?'
  rf'({_SESSIONS}){_ID}{{0,2}}|({_REQUESTS}){_ID}|({_ORDERS}){_SURE_ID}'
  rf'|id({_ORDERS})',
  'weight': '(instance|sample|row|example)weight',
  'split': '(split|fold|partition|subset)',
  'event': '(product|user)?(event|action|behaviou?r|activity|interaction)'
  '(type|name)?',
}


def rank(name: str, role: str) -> int | None:
  """How well a name fits a role: 0 is best, None is not at all.

  What somebody or something is called comes after its id.

  >>> rank('session_id', 'session'), rank('user_active_degree', 'user')
  (0, None)
  >>> rank('id_item', 'item'), rank('idea', 'item')
  (0, None)
  >>> rank('video_id', 'item') < rank('campaign', 'item')
  True
  >>> rank('player_id', 'user') < rank('user_name', 'user')
  True
  """
  joined = ''.join(words.of(name))
  found = re.fullmatch(_KEYS[role], joined)
  if not found:
    return None
  named = {
    'user': f'unique|{USERS}|anonymous|distinct',
    'item': f'{ITEMS}|{_ITEM_IDS}',
    'session': f'|{_ORDERS}',
  }.get(role, '')
  places = named.split('|')
  place = next((i for i, w in enumerate(places) if w in found.groups()), 0)
  return place + len(places) * _is_called(joined)


def _is_called(joined: str) -> bool:
  return re.search('(name|title|ur[il]|email(address)?)$', joined) is not None


def is_numbered(name: str) -> bool:
  """Whether a name is that of the number which somebody or something has.

  >>> is_numbered('Customer Number'), is_numbered('id_no'), is_numbered('NO')
  (True, True, False)
  """
  parts = words.of(name)
  is_key = any(rank(name, role) is not None for role in ('user', 'item'))
  return (is_key and parts[-1] == 'number') or _is_id_number(name)


def is_sure_key(name: str, role: str) -> bool:
  """Whether a name says that a column is a key, however few values it has.

  >>> is_sure_key('subject', 'user'), is_sure_key('ad_id', 'item')
  (True, True)
  >>> is_sure_key('device', 'user'), is_sure_key('campaign', 'item')
  (False, False)
  >>> is_sure_key('product_name', 'item')
  False
  """
  joined = ''.join(words.of(name))
  if role == 'user':
    return joined != 'device'
  return joined not in _KINDS and not _is_called(joined)
