"""What names of columns say of numbers: codes or amounts."""

from __future__ import annotations

import re

from rmtl_jax.preparation.guess import key_names, words

CODES = words.listed(
  'id ids code cat category categorical type kind class level tab zip zipcode'
  ' postal gender'
  ' sex feat feature hour hourmin weekday dow month day country region city'
  ' state brand segment group cluster bucket range channel platform os browser'
  ' device lang language status flag index key hash genre slot pos position'
  ' rank domain market store shop seller publisher advertiser campaign'
  ' occupation education url uri link ip subcategory subcat weekend holiday'
)
_AMOUNT = words.listed(
  'price amount cost count cnt num number numerical numeric qty quantity age'
  ' days duration length'
  ' len size score rate ratio ctr cvr avg mean sum total min max distance time'
  ' sec seconds ms views clicks likes sales revenue balance income height width'
  ' weight bid budget discount popularity stars rating percent pct freq'
  ' frequency gap value tenure window hours minutes weeks months year years pop'
  ' population calls nights adults children kids siblings people persons rooms'
  ' bedrooms bathrooms floors visits orders purchases points pages passengers'
  ' guests employees spend hrs mins secs wks episodes seasons chapters seats'
  ' reviews ratings votes comments followers friends stores trips recency amt'
  ' amnt salary wage fare tip tips profit mileage km kg usd eur gbp'
  # Age, number and price in other languages.
  ' alter edad idade eta leeftijd anciennete menge anzahl antal aantal preis'
  ' prix precio prezzo prijs pris'
)
# Of kinds that few numbers stand for, at the end of a name.
_KINDS_AT_END = words.listed(
  'race ethnicity ethnic marital marriage religion nationality party relation'
  ' zone precinct district continent location origin destination department'
  ' dept team industry sector profession employment discipline color colour'
  ' mode carrier vendor operator warehouse office branch source src referrer'
  ' medium network isp section format template layout theme variant arm algo'
  ' algorithm policy strategy experiment maker make model material topic tag'
  ' plan role version method currency reason machine sensor unit weather'
  ' direction season hero map opponent subject skill period exchange cate'
  ' nation housing shipping vehicle insurer supplier cuisine ward teacher'
  ' doctor job breed species'
)
# Of numbers that tell which or in which place, at the end of a name.
_NUMBERED = words.listed('no nr nbr nummer')
_GLUED_KIND = '(type|group|category|class|code|bannerpos)$'
# Numbers that count on within something else: `episode`, but no `episode_id`.
is_counted = words.ends_in('episode')
# Numbers of mails that somebody got, beside those of calls: no codes of users.
is_number_of_mails = words.is_one_of('email')
# Words that end as the names of ids do.
_NO_ID = words.listed(
  'android hybrid covid valid invalid solid paid unpaid prepaid grid bid'
)
_GLUED_AMOUNT = '(price|amount|cost|(?<!ac)count|(?<!cof)fee)$'
# Between what is counted and of what.
_PER = words.listed('to per since until')
# The same, but before a month alone: `Anrufe_pro_Monat`, `iphone_pro`.
_PER_MONTH = words.listed('pro por в')
# In which of several parts of the time, if a number follows: `spend_month_3`.
_PARTS_OF_TIME = words.listed('hour day month')


def measure(name: str) -> str:
  """`code` or `amount` if a name says that its numbers are; else ''.

  >>> measure('cat1'), measure('price'), measure('price_range'), measure('x')
  ('code', 'amount', 'code', '')
  >>> measure('shopid'), measure('payprice'), measure('txn_amt')
  ('code', 'amount', 'amount')
  >>> measure('price_at_visit'), measure('hrs_at_work')
  ('amount', 'amount')
  >>> measure('categorical_3'), measure('numerical_3')
  ('code', 'amount')
  >>> measure('spend_month_3'), measure('logins_day0'), measure('month_3')
  ('amount', '', 'code')
  >>> measure('policy_no'), measure('items_in_order'), measure('client number')
  ('code', '', 'code')
  >>> measure('Monat'), measure('Anrufe pro Monat')
  ('code', '')
  """
  counted = _counted_words(name)
  if key_names.is_numbered(name):
    return 'code'
  for word in reversed(counted):
    if word in CODES:
      return 'code'
    if word in _AMOUNT:
      return 'amount'
  joined = ''.join(words.of(name))
  if re.search(_GLUED_AMOUNT, joined):
    return 'amount'
  is_id = joined.endswith('id') and not {*words.of(name)} & _NO_ID
  return 'code' if is_id or {*counted[1:][-1:]} & _NUMBERED else ''


def may_be_number_of(name: str) -> bool:
  """Whether a number that is no other row's may be that of a thing.

  >>> may_be_number_of('Lead Number'), may_be_number_of('balance_number')
  (True, False)
  """
  *of, last = words.of(name) or ['']
  return last == 'number' and measure(' '.join(of)) != 'amount'


def _counted_words(name: str) -> list[str]:
  """The words of what is counted, without those of what it is counted in."""
  parts = words.of(name)
  numbered = {i - 1 for i, word in enumerate(parts) if word.isdigit()}
  ends = (
    i
    for i, word in enumerate(parts)
    if i
    and (
      word in _PER
      or (word in _PER_MONTH and parts[i + 1 : i + 2] == ['month'])
      or (word in _PARTS_OF_TIME and i in numbered)
    )
  )
  return parts[: next(ends, len(parts))]


def is_kind(name: str) -> bool:
  """Whether few numbers of this name stand for kinds, persons or things.

  >>> is_kind('race_4'), is_kind('devicetype'), is_kind('banner'), is_kind('x')
  (True, True, True, False)
  >>> is_kind('nights_per_plan')
  False
  """
  last = [word for word in _counted_words(name) if not word.isdigit()][-1:]
  if {*last} & _KINDS_AT_END or re.search(_GLUED_KIND, ''.join(last)):
    return True
  is_count = is_counted(name) or is_number_of_mails(name)
  roles = () if is_count else ('user', 'item')
  return any(key_names.rank(name, role) is not None for role in roles)
