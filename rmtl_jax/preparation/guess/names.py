"""What names of columns say: of keys, times, labels, codes and amounts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def listed(text: str) -> frozenset[str]:
  """The words of a text."""
  return frozenset(text.split())


_SURE_ID = '(id|ids|key|hash|no|nr|uuid|guid|code|token)'
_ID = f'({_SURE_ID}|nbr|num|number|index|idx)'
_USERS = (
  'user|uid|visitor|customer|client|member|viewer|shopper|consumer'
  '|subscriber|player|listener|reader|person|profile|account|msno|device|cookie'
  '|household|panelist|respondent|subject|participant|patient|student|employee'
  '|borrower|donor|rider|driver|sender|applicant|learner|cust|guest|buyer'
  '|eater|seeker|kunde'
)
_ITEMS = (
  'item|product|sku|asin|isbn|article|video|movie|song|track|book|news|story|doc'
  '|document|post|photo|listing|goods|recipe|game|course|hotel|prop|property'
  '|restaurant|offer|coupon|note|feed|clip|episode|podcast|show|content|anime'
  '|manga|stockcode|ad|ads|aid|adgroup|advert|creative|banner|campaign'
)
# Words of many other columns too, which are items only as ids.
_ITEM_IDS = (
  'question|problem|exercise|lexeme|job|vacancy|venue|business|poi|place|vendor'
  '|merchant|receiver|recipient|template|title|room|flight|jobposting|artikel'
)
# Those that may be kinds, of which a log has few.
_KINDS = listed('campaign coupon hotel show note feed prop banner creative aid')
# Of the session by name; the last ones where no other is.
_SESSIONS = 'session|sess|visit|sid|slate'
_REQUESTS = (
  'search|srch|query|request|req|pageview|pv|impression|trace|display|auction'
)
_ORDERS = 'order|invoice|basket|receipt'
# From the surest word to the least sure one.
_KEYS = {
  'user': rf'(?:full|anonymous|anon|app|web|hashed|raw|{_USERS})?({_USERS})'
  rf'(pseudo)?({_ID}{{1,2}}|name)?|(card|cc)(num|number|nr|no|hash)',
  'item': rf'(target|candidate|click|clicked|product)?({_ITEMS}){_ID}{{0,2}}'
  rf'(clean)?|({_ITEM_IDS}){_SURE_ID}',
  'session': r'(user|web|app|ga|browser|visitor|customer|client)?'
  rf'({_SESSIONS}){_ID}{{0,2}}|({_REQUESTS}){_ID}|({_ORDERS}){_SURE_ID}',
  'domain': rf'(domain|scenario|scene|tab|market|site|surface|placement){_ID}?',
  'weight': '(instance|sample|row|example)weight',
  'split': '(split|fold|partition|subset)',
  'event': '(event|action|behaviou?r|activity|interaction)(type|name)?',
}
_TIME = listed('time timestamp ts date datetime dt at when epoch day')
_GLUED_TIME = '(event|log|visit|create|order)(date|time)$|timestamp$'
# Of the row where no other name says time.
_GLUED_DATE = '(start|begin|end|sale|issue|purchase|transaction|request)date$'
# Times of a user or of an item, not of the row.
_TIME_OF_KEY = listed(
  'since birth birthday birthdate born dob register registered registration'
  ' signup joined release released publish published expire expiry'
)
# Those, parts of times and lengths of time.
_NO_TIME = _TIME_OF_KEY | listed(
  'hour hourmin weekday dow month year minute tz zone play watch dwell stay'
  ' spent duration delay gap listen read per avg mean'
)
# Words of times that are dates or lengths, as their numbers are.
_MAY_BE_LENGTH = listed(
  'lead elapsed reaction wait waiting travel response reply delivery completion'
  ' finish passed processing load loading service cook prep preparation'
)
# Of what a user does once, as far as the rows tell.
_ONCE = listed('subscribe subscribed install installed')
# Of when somebody is asked or counted again, and what may stand before it.
_WAVES = listed('year yr wave')
_OF_WAVES = listed(
  'survey panel study interview fiscal financial academic school calendar'
  ' report reporting observation obs'
)
_LABEL = listed(
  'click clicked clk conversion convert converted conv ctcvr buy bought'
  ' purchase purchased order ordered pay paid cart addtocart like liked follow'
  ' followed share shared forward comment commented favorite favourite fav'
  ' collect collected hate dislike disliked subscribe subscribed reply install'
  ' installed download downloaded finish finished complete completed watched'
  ' viewed label target y outcome response responded churn churned attribution'
  ' attributed win won booking booked accept accepted save saved skip skipped'
  ' enter success retained engaged upvote downvote vote played listened opened'
  ' reacted redeemed cvr read chosen defaulted callback correctly'
)
# Those that are words of other columns too, and count as a whole.
_SURE_LABEL = listed('correct reordered noshow signup signedup unsubscribed')
# Names of answers that are words of many other columns too: they count as a
# whole, and where no surer name is there.
_WHOLE_LABEL = listed(
  'choice choose selected class default call called bad good badgood goodbad'
  ' fraud spam approve approved rejected survived attrition readmitted canceled'
  ' cancelled returned refunded readmission'
)
# Of steps before an answer, where one is there.
_STEP = listed('visit visited')
# Of what is still to come, at the end of a name.
_TO_COME = r'next( \d+)? (day|week|month|quarter|year|period)s?$'
_VIEWS = {'long', 'valid', 'effective', 'full', 'finish', 'complete'}
# Of what was before the row, of counts, and of who or what is shown.
_NO_LABEL = listed(
  'user item count cnt num last prev previous prior history past before ever'
  ' total avg mean rate rates ratio days ago feat random rand'
)
# Of those the words of what was before the row.
_BEFORE = listed('last prev previous prior history past before ever ago')
# Of what somebody has or is, and of what there is.
_CONDITION = listed(
  'has have had own owns with in stock open eligible available logged enabled'
  ' ok active valid online member new mobile weekend holiday promo free'
  ' treatment control group first auto organic status'
)
# What a row led to, as a number.
_OUTCOME = listed(
  'rating stars play watch watched watching dwell stay listen spent revenue gmv'
  ' sales profit'
)
# Of what is usual, not of a row.
_USUALLY = listed('daily weekly monthly yearly')
# What a row led to as a share, where other shares are of what was before.
_SHARE = listed('watchratio playratio playedratio playedratiopct')
# Of the search that rows answer, which was before them: what of the words of
# labels and outcomes may be asked for.
_REQUEST = listed('srch search query request')
_ASKED_FOR = listed('stay booking order')
_CODE = listed(
  'id ids code cat category type kind class level tab zip zipcode postal gender'
  ' sex feat feature hour hourmin weekday dow month day country region city'
  ' state brand segment group cluster bucket range channel platform os browser'
  ' device lang language status flag index key hash genre slot pos position'
  ' rank domain market store shop seller publisher advertiser campaign'
  ' occupation education url uri link ip subcategory subcat weekend holiday'
)
_AMOUNT = listed(
  'price amount cost count cnt num number qty quantity age days duration length'
  ' len size score rate ratio ctr cvr avg mean sum total min max distance time'
  ' sec seconds ms views clicks likes sales revenue balance income height width'
  ' weight bid budget discount popularity stars rating percent pct freq'
  ' frequency gap value tenure window hours minutes weeks months year years pop'
  ' population calls nights adults children kids siblings people persons rooms'
  ' bedrooms bathrooms floors visits orders purchases points pages passengers'
  ' guests employees'
)
# Of kinds that few numbers stand for, at the end of a name.
_KINDS_AT_END = listed(
  'race ethnicity ethnic marital marriage religion nationality party relation'
  ' zone precinct district continent location origin destination department'
  ' dept team industry sector profession employment discipline color colour'
  ' mode carrier vendor operator warehouse office branch source src referrer'
  ' medium network isp section format template layout theme variant arm algo'
  ' algorithm policy strategy experiment maker make model material topic tag'
  ' plan role version method currency reason machine sensor unit weather'
  ' direction season hero map opponent subject skill period exchange cate'
)
_GLUED_KIND = '(type|group|category|class|code|bannerpos)$'
# What is counted within something else, where its name is no more than that.
_COUNTED = listed('episode')
# Words that end as the names of ids do.
_NO_ID = listed(
  'android hybrid covid valid invalid solid paid unpaid prepaid grid bid'
)
_GLUED_AMOUNT = '(price|amount|cost|(?<!ac)count|(?<!cof)fee)$'
# The last words of columns that say how something was done, and what.
_HOW = listed(
  'channel type method source cat category app flow mode platform device answer'
  ' option plan country os group region language city price size promo bonus'
)
_DONE = listed(
  'signup order install sales click subscribe download correct pay payment'
)
# Answers that are given month by month, and so are features of later ones.
_PAYMENTS = listed('pay paid payment order')
# Between what is counted and of what.
_PER = listed('to per since until')
# Words that say of a column that it has two values.
_MARKS = 'is has was did bool boolean flag ind indicator bin binary yn'
# Words that say nothing of which columns belong together.
_COMMON = frozenset(
  [*_USERS.split('|'), *_ITEMS.split('|'), *_CODE, *listed(_MARKS)]
)


def words(name: str) -> list[str]:
  """Lower-case words of a name.

  >>> words('isClick_2'), words('visitorid')
  (['is', 'click', '2'], ['visitorid'])
  """
  parts = re.findall(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+', name)
  return [part.lower() for part in parts]


def without_digits(name: str) -> str:
  """The words of a name that are no numbers.

  >>> without_digits('PAY_AMT1') == without_digits('pay_amt_2')
  True
  """
  return ' '.join(word for word in words(name) if not word.isdigit())


def rank(name: str, role: str) -> int | None:
  """How well a name fits a role: 0 is best, None is not at all.

  >>> rank('user_id', 'user'), rank('user_active_degree', 'user')
  (0, None)
  >>> rank('video_id', 'item') < rank('campaign', 'item')
  True
  """
  joined = ''.join(words(name))
  found = re.fullmatch(_KEYS[role], joined)
  if not found:
    return None
  listed = {
    'user': _USERS,
    'item': f'{_ITEMS}|{_ITEM_IDS}',
    'session': f'|{_ORDERS}',
  }.get(role, '')
  places = enumerate(listed.split('|'))
  return next((i for i, w in places if w in found.groups()), 0)


def is_bare_id(name: str) -> bool:
  """Whether a name says that a column is an id, and not of what.

  >>> is_bare_id('ID'), is_bare_id('nr'), is_bare_id('shop_id')
  (True, True, False)
  """
  return ''.join(words(name)) in ('id', 'ids', 'nr', 'no', 'key', 'pid', 'uuid')


def is_sure_key(name: str, role: str) -> bool:
  """Whether a name says that a column is a key, however few values it has.

  >>> is_sure_key('subject', 'user'), is_sure_key('ad_id', 'item')
  (True, True)
  >>> is_sure_key('device', 'user'), is_sure_key('campaign', 'item')
  (False, False)
  """
  joined = ''.join(words(name))
  if role == 'user':
    return joined != 'device'
  return joined not in _KINDS


def ends_in_id(name: str) -> bool:
  """Whether a name says that a column is the id of something.

  >>> ends_in_id('user_pseudo_id'), ends_in_id('user')
  (True, False)
  """
  return words(name)[-1:] == ['id']


def is_time(name: str) -> bool:
  """Whether a name is that of the time of something.

  >>> is_time('time_ms'), is_time('eventTime'), is_time('createdate')
  (True, True, True)
  >>> is_time('play_time'), is_time('candidate')
  (False, False)
  """
  found = set(words(name))
  glued = re.search(_GLUED_TIME, ''.join(words(name)))
  return (bool(found & _TIME) or glued is not None) and not found & _NO_TIME


def may_be_date(name: str) -> bool:
  """Whether a date may be the row's, by its name, where no other's surely is.

  >>> may_be_date('startdate'), may_be_date('enddates')
  (True, False)
  """
  return re.search(_GLUED_DATE, ''.join(words(name))) is not None


def is_end(name: str) -> bool:
  """Whether a time is that of the end of something.

  >>> is_end('enddate'), is_end('contract_end_date'), is_end('trend_date')
  (True, True, False)
  """
  glued = re.search(
    '(^|contract|_)end(ed)?_?(date|time)$', '_'.join(words(name))
  )
  return glued is not None


def may_be_length(name: str) -> bool:
  """Whether a time may be a length of time, by its name.

  >>> may_be_length('response_time'), may_be_length('event_time')
  (True, False)
  """
  return bool({*words(name)} & _MAY_BE_LENGTH)


def is_once(name: str) -> bool:
  """Whether a time is that of something that a user does once.

  >>> is_once('subscribed_at'), is_once('clicked_at')
  (True, False)
  """
  return bool({*words(name)} & _ONCE)


def may_be_time(name: str) -> bool:
  """Whether a name may be that of a time: an hour may come with its date.

  >>> may_be_time('hour'), may_be_time('hour_of_day')
  (True, False)
  """
  return is_time(name) or words(name)[-1:] == ['hour']


def is_time_of_key(name: str) -> bool:
  """Whether a name is that of a time of a user or an item, such as a birthday.

  >>> is_time_of_key('birth_date'), is_time_of_key('zeitpunkt')
  (True, False)
  """
  return bool({*words(name)} & _TIME_OF_KEY)


def is_nearly_time(name: str) -> bool:
  """Whether a part of a word is that of a time.

  >>> is_nearly_time('purchasetime'), is_nearly_time('zeitpunkt')
  (True, False)
  """
  return re.search('time|date|stamp', name.lower()) is not None


def is_year(name: str) -> bool:
  """Whether a name is that of a year, of a row as of anything else.

  >>> is_year('Year'), is_year('model_year'), is_year('years')
  (True, True, False)
  """
  return words(name)[-1:] in (['year'], ['yr'])


def is_wave(name: str) -> bool:
  """Whether a name is that of the year of a row, or of a survey's wave.

  >>> is_wave('Year'), is_wave('survey_wave'), is_wave('model_year')
  (True, True, False)
  """
  *before, last = words(name) or ['']
  return last in _WAVES and {*before} <= _OF_WAVES


def parts_of_date(columns: Iterable[str]) -> list[str]:
  """The columns of year, month and day, where a log has one of each.

  >>> parts_of_date(['day_of_week', 'arrival_year', 'arrival_month', 'day'])
  ['arrival_year', 'arrival_month', 'day']
  >>> parts_of_date(['birth_year', 'month', 'day'])
  []
  """
  found: dict[str, list[str]] = {'year': [], 'month': [], 'day': []}
  for column in columns:
    parts = {*words(column)}
    named = [*({*found} & parts)]
    of_week = parts & {'week', 'days', 'months', 'years'}
    if not of_week and not parts & _TIME_OF_KEY and named:
      # The day of the month is a day.
      found['day' if 'day' in named else named[0]].append(column)
  one_each = all(len(named) == 1 for named in found.values())
  return [named[0] for named in found.values()] if one_each else []


def is_label(name: str) -> bool:
  """Whether a name is that of an answer to a row.

  >>> is_label('is_click'), is_label('long_view'), is_label('click_count')
  (True, True, False)
  >>> is_label('default payment next month')
  True
  """
  parts = words(name)
  found, joined = set(parts), ''.join(parts).removeprefix('is')
  if re.search(_TO_COME, ' '.join(parts)) and found & (_LABEL | _WHOLE_LABEL):
    return True
  is_view = 'view' in found and bool(found & _VIEWS)
  named = bool(found & _LABEL) or joined in _LABEL | _SURE_LABEL or is_view
  return named and not found & _NO_LABEL


def may_be_label(name: str) -> bool:
  """Whether a name is that of an answer, if no other column's surely is.

  >>> may_be_label('Class'), may_be_label('is_selected')
  (True, True)
  >>> may_be_label('cabin_class')
  False
  """
  joined = ''.join(words(name))
  return bool({joined, joined.removeprefix('is')} & _WHOLE_LABEL)


def may_be_step(name: str) -> bool:
  """Whether a name may be that of a step before an answer.

  >>> may_be_step('visit'), may_be_step('first_visit')
  (True, False)
  """
  return ''.join(words(name)) in _STEP


def is_condition(name: str) -> bool:
  """Whether a name is of what somebody has or is, or of what there is.

  >>> is_condition('has_app'), is_condition('in_stock'), is_condition('reached')
  (True, True, False)
  """
  return bool({*words(name)} & _CONDITION)


def tells_how(name: str) -> bool:
  """Whether a name says how something was done, not whether.

  >>> tells_how('signup_method'), tells_how('signup')
  (True, False)
  """
  parts = words(name)
  return bool({*parts[-1:]} & _HOW and {*parts[:-1]} & _DONE)


def may_be_state(name: str) -> bool:
  """Whether a name is of what became of something, as `Loan_Status`.

  >>> may_be_state('Loan_Status'), may_be_state('status_code')
  (True, False)
  """
  return words(name)[-1:] in (['status'], ['class'], ['flag'])


def is_known_before(name: str) -> bool:
  """Whether a name is of what was before a row.

  >>> is_known_before('prior_visit'), is_known_before('user_clicked')
  (True, False)
  """
  return bool({*words(name)} & _BEFORE)


def shared_end(name: str, label: str) -> str:
  """The first or the last word, if a column shares it with a label; else ''.

  Words of who or what is shown, and of what was before, tell nothing.

  >>> shared_end('good_math', 'good_read'), shared_end('ad_new', 'ad_click')
  ('good', '')
  >>> shared_end('last_click', 'is_click')
  ''
  """
  ours, theirs = words(name), words(label)
  if not ours or not theirs or {*ours} & (_NO_LABEL | _USUALLY):
    return ''
  return next(
    (
      ours[end]
      for end in (0, -1)
      if ours[end] == theirs[end]
      and not ours[end].isdigit()
      and len(ours[end]) > 1
      and ours[end] not in _COMMON
    ),
    '',
  )


def is_outcome(name: str) -> bool:
  """Whether a name is that of a number that the row led to.

  >>> is_outcome('play_time_ms'), is_outcome('duration_ms')
  (True, False)
  >>> is_outcome('watch_ratio'), is_outcome('user_watch_ratio')
  (True, False)
  """
  parts = words(name)
  found = set(parts)
  named = bool(found & _OUTCOME) and not found & _NO_LABEL
  return named or ''.join(parts) in _SHARE


def is_usual(name: str) -> bool:
  """Whether a number is what is usual, or of a day, not of a row.

  >>> is_usual('daily_time_spent'), is_usual('time_spent')
  (True, False)
  """
  return bool({*words(name)} & _USUALLY)


def is_payment(name: str) -> bool:
  """Whether a name is of what somebody pays or orders again and again.

  >>> is_payment('PAY_AMT1'), is_payment('target_1')
  (True, False)
  """
  return bool({*words(name)} & _PAYMENTS)


def is_of_request(name: str) -> bool:
  """Whether a name is that of something that was searched for.

  >>> is_of_request('srch_length_of_stay'), is_of_request('length_of_stay')
  (True, False)
  >>> is_of_request('search_dwell')
  False
  """
  first, *rest = words(name) or ['']
  return first in _REQUEST and {*rest} & (_LABEL | _OUTCOME) <= _ASKED_FOR


def measure(name: str) -> str:
  """`code` or `amount` if a name says that its numbers are; else ''.

  >>> measure('cat1'), measure('price'), measure('price_range'), measure('x')
  ('code', 'amount', 'code', '')
  >>> measure('shopid'), measure('payprice'), measure('days_to_holiday')
  ('code', 'amount', 'amount')
  """
  parts = words(name)
  ends = (i for i, word in enumerate(parts) if word in _PER and i)
  for word in reversed(parts[: next(ends, len(parts))]):
    if word in _CODE:
      return 'code'
    if word in _AMOUNT:
      return 'amount'
  joined = ''.join(words(name))
  if re.search(_GLUED_AMOUNT, joined):
    return 'amount'
  is_id = joined.endswith('id') and not {*parts} & _NO_ID
  return 'code' if is_id else ''


def is_kind(name: str) -> bool:
  """Whether few numbers of this name stand for kinds, persons or things.

  >>> is_kind('race_4'), is_kind('devicetype'), is_kind('banner'), is_kind('x')
  (True, True, True, False)
  """
  last = without_digits(name).split()[-1:]
  if {*last} & _KINDS_AT_END or re.search(_GLUED_KIND, ''.join(last)):
    return True
  roles = () if is_counted(name) else ('user', 'item', 'domain')
  return any(rank(name, role) is not None for role in roles)


def is_counted(name: str) -> bool:
  """Whether numbers of this name count on within something else.

  >>> is_counted('episode'), is_counted('episode_id')
  (True, False)
  """
  return bool({*words(name)[-1:]} & _COUNTED)


def unique(columns: Iterable[str]) -> dict[str, str]:
  """Names that a schema takes for columns, different whatever their case.

  >>> unique(['price', 'Price (EUR)', 'price?'])
  {'price': 'price', 'Price (EUR)': 'Price_EUR', 'price?': 'price_2'}
  """
  found: dict[str, str] = {}
  for column in columns:
    name = re.sub('[^A-Za-z0-9_.-]+', '_', column).strip('_.-')[:80] or 'field'
    if re.fullmatch('[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}', column):
      name = column
    taken = {other.lower() for other in found.values()}
    number = 2
    base = name
    while name.lower() in taken:
      name, number = f'{base}_{number}', number + 1
    found[column] = name
  return found


def of_tasks(columns: Sequence[str]) -> dict[str, str]:
  """Names of tasks: the columns' without a leading `is_`.

  >>> of_tasks(['is_click', 'long_view'])
  {'is_click': 'click', 'long_view': 'long_view'}
  """
  short = {column.removeprefix('is_') or column: column for column in columns}
  if len(short) < len(columns):
    return unique(columns)
  return {short[name]: given for name, given in unique(short).items()}
