"""What names of columns say of labels and of what rows led to."""

from __future__ import annotations

import re

from rmtl_jax.preparation.guess import key_names, number_names, words

_LABEL = words.listed(
  'click clicked clk conversion convert converted conv ctcvr buy bought'
  ' purchase purchased order ordered pay paid cart addtocart like liked follow'
  ' followed share shared forward comment commented favorite favourite fav'
  ' collect collected hate dislike disliked subscribe subscribed reply install'
  ' installed download downloaded finish finished complete completed watched'
  ' viewed label target y outcome response responded churn churned attribution'
  ' attributed win won booking booked accept accepted save saved skip skipped'
  ' enter success retained engaged upvote downvote vote played listened opened'
  ' reacted redeemed cvr read chosen defaulted callback correctly contacted'
  ' retweet retweeted'
)
# Those that are words of other columns too, and count as a whole.
_SURE_LABEL = words.listed(
  'correct reordered noshow signup signedup unsubscribed votedup resolved'
  ' applied hired match matched'
)
# Names of answers that are words of many other columns too: they count as a
# whole, and where no surer name is there.
_WHOLE_LABEL = words.listed(
  'choice choose selected class default call called bad good badgood goodbad'
  ' fraud spam approve approved rejected survived attrition readmitted canceled'
  ' cancelled returned refunded readmission winner admitted'
)
# Those of features where there is any other answer.
_LAST_LABEL = words.listed('recommended voted')
# What may be a step before an answer, where one is there: no `first_visit`.
may_be_step = words.is_one_of('visit visited')
# Of what is still to come, at the end of a name.
_TO_COME = r'next( \d+)? (day|week|month|quarter|year|period)s?$'
# Between what is told and of what, also as the end of a word.
_OF = '(day|week|month|year|date|time|type|number)?of'
_VIEWS = {'long', 'valid', 'effective', 'full', 'finish', 'complete'}
# What was before a row, as `prior_visit`.
_BEFORE = (
  'last prev previous prior history past before ever ago today yesterday'
  ' verified'
)
is_known_before = words.any_of(_BEFORE)
# With these of counts, and of who or what is shown.
_NO_LABEL = words.listed(
  f'{_BEFORE} user item count cnt num number total avg mean rate rates ratio'
  ' days feat random rand changes'
)
# What somebody has or is, and what there is: `has_app`, `in_stock`.
is_condition = words.any_of(
  'has have had own owns with in stock open eligible available logged enabled'
  ' ok active valid online member new mobile weekend holiday promo free'
  ' treatment control group first auto organic status'
)
# What a row led to, as a number.
_OUTCOME = words.listed(
  'rating stars play watch watched watching dwell stay listen spent revenue gmv'
  ' sales profit'
)
# What somebody says of an item. The row is that they said it.
is_rating = words.any_of('rating stars')
# What somebody answered as the row says. The next row can know of it.
is_answer = words.any_of('correct correctly')
# What is usual, or of a day, not of a row: `daily_time_spent`.
is_usual = words.any_of('daily weekly monthly yearly')
# What a row led to, as names that count as a whole: their parts may be of what
# was before.
_WHOLE_OUTCOME = words.listed(
  'cpo watchratio playratio playedratio playedratiopct msplayed secondsplayed'
  ' activetime timeonpage engagementtimemsec relevance reviewscore'
)
# How long something became, of which rows are parts.
is_session_length = words.is_one_of(
  'sessionlength sessionsize sessionduration sessiondurationsec'
  ' sessiondurationseconds sessiondurationms sessionpages sessionpageviews'
  ' sessionclicks sessionevents visitlength visitduration'
)
# Of the search that rows answer, which was before them: what of the words of
# labels and outcomes may be asked for.
_REQUEST = words.listed('srch search query request')
_ASKED_FOR = words.listed('stay booking order')
# The last words of columns that say how or why something was done, and what.
_HOW = words.listed(
  'channel type method source cat category app flow mode platform device answer'
  ' option plan country os group region language city price size promo bonus'
  ' reason'
)
_DONE = words.listed(
  'signup order install sales click subscribe download correct pay payment'
  ' churn'
)
# What somebody pays or orders again and again, and so a feature of later
# answers: `PAY_AMT1`.
is_payment = words.any_of('pay paid payment order')
# What became of something: `Loan_Status`, but no `status_code`.
may_be_state = words.ends_in('status class flag')
# Words that say of a column that it has two values.
_MARKS = words.listed(
  'is has was did bool boolean flag ind indicator bin binary yn'
)
# What somebody is.
_TRAITS = words.listed(
  'male female black white asian hispanic hispan hisp afam married'
)
# Words that say nothing of which columns belong together.
_COMMON = frozenset(
  [
    *key_names.USERS.split('|'),
    *key_names.ITEMS.split('|'),
    *number_names.CODES,
    *_MARKS,
  ]
)


def is_label(name: str) -> bool:
  """Whether a name is that of an answer to a row.

  >>> is_label('is_click'), is_label('long_view'), is_label('click_count')
  (True, True, False)
  >>> is_label('default payment next month'), is_label('day_of_purchase')
  (True, False)
  """
  parts = _before_of(words.of(name))
  found, joined = set(parts), ''.join(parts).removeprefix('is')
  if re.search(_TO_COME, ' '.join(parts)) and found & (_LABEL | _WHOLE_LABEL):
    return True
  is_view = 'view' in found and bool(found & _VIEWS)
  named = bool(found & _LABEL) or joined in _LABEL | _SURE_LABEL or is_view
  return named and not found & _NO_LABEL


def _before_of(parts: list[str]) -> list[str]:
  """The words before `of`, which say what is told of the words behind it."""
  ends = (i + 1 for i, word in enumerate(parts) if re.fullmatch(_OF, word))
  return parts[: next(ends, len(parts))]


def may_be_label(name: str) -> bool:
  """Whether a name is that of an answer, if no other column's surely is.

  >>> may_be_label('Class'), may_be_label('is_selected')
  (True, True)
  >>> may_be_label('cabin_class')
  False
  """
  joined = ''.join(words.of(name))
  return bool({joined, joined.removeprefix('is')} & _WHOLE_LABEL)


def may_be_last(name: str) -> bool:
  """Whether a name is that of an answer, if no name or place tells another.

  >>> may_be_last('Attrition_Flag'), may_be_last('Recommended IND')
  (True, True)
  """
  unmarked = ''.join(word for word in words.of(name) if word not in _MARKS)
  return unmarked in _WHOLE_LABEL | _LAST_LABEL


def is_trait(name: str) -> bool:
  """Whether a name is of what somebody is, and no more than that.

  >>> is_trait('is_female'), is_trait('black'), is_trait('black_list')
  (True, True, False)
  """
  unmarked = (word for word in words.of(name) if word not in _MARKS)
  return ''.join(unmarked) in _TRAITS


def stem(name: str) -> str:
  """The words before the last one, if they say more than that there are two.

  >>> stem('city_rome'), stem('edlevel3'), stem('is_click'), stem('churn')
  ('city', 'edlevel', '', '')
  """
  return ' '.join(word for word in words.of(name)[:-1] if word not in _MARKS)


def tells_how(name: str) -> bool:
  """Whether a name says how something was done, not whether.

  >>> tells_how('signup_method'), tells_how('signup')
  (True, False)
  """
  parts = words.of(name)
  return bool({*parts[-1:]} & _HOW and {*parts[:-1]} & _DONE)


def may_be_answer(name: str) -> bool:
  """Whether one of a column's values may be an answer, by its name.

  >>> may_be_answer('readmitted'), may_be_answer('loan_status')
  (True, True)
  >>> may_be_answer('signup_method')
  False
  """
  named = is_label(name) or may_be_label(name) or may_be_state(name)
  return named and not tells_how(name)


def shared_end(name: str, label: str) -> str:
  """The first or the last word, if a column shares it with a label; else ''.

  Words of who or what is shown, and of what was before, tell nothing.

  >>> shared_end('good_math', 'good_read'), shared_end('ad_new', 'ad_click')
  ('good', '')
  >>> shared_end('last_click', 'is_click')
  ''
  """
  ours, theirs = words.of(name), words.of(label)
  if not ours or not theirs or {*ours} & _NO_LABEL or is_usual(name):
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
  parts = words.of(name)
  found = set(parts)
  named = bool(found & _OUTCOME) and not found & _NO_LABEL
  return named or ''.join(parts) in _WHOLE_OUTCOME


def is_of_request(name: str) -> bool:
  """Whether a name is that of something that was searched for.

  >>> is_of_request('srch_length_of_stay'), is_of_request('length_of_stay')
  (True, False)
  >>> is_of_request('search_dwell')
  False
  """
  first, *rest = words.of(name) or ['']
  return first in _REQUEST and {*rest} & (_LABEL | _OUTCOME) <= _ASKED_FOR
