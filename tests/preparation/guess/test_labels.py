"""Labels, funnels and leaks, on rows that are counted by hand."""

import pytest

from rmtl_jax.preparation.guess import guess, leaks
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import labels as labels_lib
from tests.preparation.guess import logs

N = 600


def _every(step, offset=0):
  return [int(i % step == offset) for i in range(N)]


def _labels(tmp_path, columns, keys=None):
  _, facts = logs.sample_of(tmp_path, columns)
  found, others = labels_lib.find(facts, keys or {}, ())
  return {label.column: label for label in found}, others


def test_a_funnel_of_three_steps_in_any_order(tmp_path):
  columns = {'pay': _every(12), 'cart': _every(6), 'click': _every(3)}
  found, _ = _labels(tmp_path, columns)
  assert [*found] == ['click', 'cart', 'pay']
  assert [label.after for label in found.values()] == ['', 'click', 'cart']
  assert found['pay'].rate == pytest.approx(1 / 12)


def test_one_row_outside_breaks_the_funnel(tmp_path):
  columns = {'click': _every(2), 'buy': _every(4)}
  columns['buy'][1] = 1
  found, _ = _labels(tmp_path, columns)
  assert found['buy'].after == ''
  # 150 of 151 buys have a click.
  assert '99.3% of its 1s have a 1 in click' in found['buy'].why


def test_few_rows_in_a_frequent_label_are_no_funnel(tmp_path):
  # Three likes, all clicked: chance, as 99 % are.
  click = [int(i % 100 != 1) for i in range(N)]
  like = [int(i in (2, 200, 400)) for i in range(N)]
  found, _ = _labels(tmp_path, {'click': click, 'like': like})
  assert found['like'].after == ''


def test_a_further_column_that_implies_a_label_is_one(tmp_path):
  columns = {'click': _every(3), 'deep': _every(9), 'odd': _every(2)}
  found, _ = _labels(tmp_path, columns)
  assert [*found] == ['click', 'deep']
  assert found['deep'].after == 'click'


def test_what_was_searched_for_is_no_answer(tmp_path):
  window = [i % 40 for i in range(N)]
  columns = {
    'srch_booking_window': window,
    'booking_window': window,
    'booking_deal': window,
    'search_length_of_stay': [1 + i % 9 for i in range(N)],
    'search_dwell': window,
    'click': _every(3),
  }
  found, others = _labels(tmp_path, columns)
  assert [*found] == ['click']
  assert [*others] == ['booking_deal', 'search_dwell']


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('next_day_delivery', _every(3)),
    ('has_app', [int(i % 4 < 2) for i in range(N)]),
    ('exposed', _every(7)),
    ('signup_method', [('basic', 'phone')[i % 2] for i in range(N)]),
    ('signup_source', [i % 7 for i in range(N)]),
    ('correct_answer', [('A', 'B')[i % 2] for i in range(N)]),
    ('sales_channel', [i % 9 for i in range(N)]),
    ('prior_purchase', _every(3)),
    ('ships_next_day', _every(3)),
    ('signup_country', [('de', 'at')[i % 2] for i in range(N)]),
    ('correct_price', _every(3)),
    ('f_click_os', [('a', 'b')[i % 2] for i in range(N)]),
    ('coupon_applied', _every(3)),
    ('Number of Sales Activities', [i * 7 % 90 for i in range(N)]),
  ],
)
def test_features_that_sound_like_answers(tmp_path, name, values):
  columns = {name: values, 'click': _every(4)}
  found, others = _labels(tmp_path, columns)
  assert [*found] == ['click'] and not others


@pytest.mark.parametrize(
  'name',
  [
    'user_clicked',
    'item_sold',
    'bought_weekly_box',
    'customer_churn_monthly',
    'reached_user_goal',
  ],
)
def test_answers_whose_names_have_words_of_features(tmp_path, name):
  columns = {'x': [i % 7 for i in range(N)], name: _every(4)}
  assert [*_labels(tmp_path, columns)[0]] == [name]


@pytest.mark.parametrize('name', ['in_stock', 'is_logged_in', 'eligible'])
def test_what_was_there_before_a_label_is_a_feature(tmp_path, name):
  columns = {name: [int(i % 3 < 2) for i in range(N)], 'bought': _every(6)}
  found, others = _labels(tmp_path, columns)
  assert [*found] == ['bought'] and not others


def test_what_is_usual_is_an_answer_only_where_no_other_is(tmp_path):
  sales = [round(i * 7 % 90 + 0.5, 1) for i in range(N)]
  columns = {'daily_sales': sales, 'click': _every(4)}
  assert not _labels(tmp_path, columns)[1]
  others = {'x': [i % 7 for i in range(N)], 'daily_sales': sales}
  found, _ = _labels(tmp_path, others)
  assert [*found] == ['daily_sales']


@pytest.mark.parametrize('name', ['outcome_type', 'response_category'])
def test_answers_in_two_words(tmp_path, name):
  values = [('kept', 'moved')[i % 3 == 0] for i in range(N)]
  found, _ = _labels(tmp_path, {'x': [i % 7 for i in range(N)], name: values})
  assert [*found] == [name]


def test_numbered_answers_are_no_features(tmp_path):
  columns = {f'target_{i}': [(k // i) % 5 for k in range(N)] for i in (1, 2, 3)}
  found, others = _labels(tmp_path, {**columns, 'click': _every(4)})
  assert [*found] == ['click'] and [*others] == [*columns]


def test_outcomes_in_buckets_are_left_out(tmp_path):
  buckets = [i // 5 % 4 for i in range(N)]
  columns = {'watch_time_bucket': buckets, 'click': _every(4)}
  assert [*_labels(tmp_path, columns)[1]] == ['watch_time_bucket']


def test_what_is_to_come_is_an_answer(tmp_path):
  for name in ('default payment next month', 'churn_next_30_days'):
    columns = {'x': _every(2), name: _every(5), 'x2': _every(3)}
    assert [*_labels(tmp_path, columns)[0]] == [name]


def test_numbered_columns_are_of_the_past_unless_they_are_outcomes(tmp_path):
  pays = {f'PAY_{i}': [(k // i) % 8 for k in range(N)] for i in (1, 2, 3)}
  found, others = _labels(tmp_path, {**pays, 'click': _every(4)})
  assert [*found] == ['click'] and not others
  ratings = {f'rating_{i}': [(k // i) % 5 for k in range(N)] for i in (1, 2, 3)}
  found, others = _labels(tmp_path, ratings)
  assert [*found] == ['rating_1'] and [*others] == ['rating_2', 'rating_3']


def test_without_names_the_last_columns_count(tmp_path):
  users = [i // 4 for i in range(N)]
  columns = {
    'user': users,
    'a': _every(2),
    'b': [i % 7 for i in range(N)],
    'fixed': [int(user % 3 == 0) for user in users],
    'c': _every(5, 1),
    'd': _every(3, 1),
  }
  keys = {'user': keys_lib.Key('user', '')}
  found, _ = _labels(tmp_path, columns, keys)
  assert {*found} == {'c', 'd'}


@pytest.mark.parametrize(
  ('c', 'd', 'expected'),
  [
    (['no', 'yes'], [0, 1], {'d'}),
    ([0, 1], ['No', 'Yes'], {'d'}),
    (['n', 'y'], ['no', 'yes'], {'c', 'd'}),
    # Numbers with a fraction for what is missing.
    ([0.0, 1.0], [0, 1], {'c', 'd'}),
  ],
)
def test_the_last_columns_are_written_as_the_last_one_is(
  tmp_path, c, d, expected
):
  columns = {
    'b': [i % 7 for i in range(N)],
    'c': [c[value] for value in _every(5, 1)],
    'd': [d[value] for value in _every(3, 1)],
  }
  assert {*_labels(tmp_path, columns)[0]} == expected


def test_without_names_the_first_column_counts_next(tmp_path):
  columns = {'t': _every(2), 'b': [i % 7 for i in range(N)]}
  found, _ = _labels(tmp_path, columns)
  assert [*found] == ['t']


def test_the_number_of_a_row_is_no_first_column(tmp_path):
  columns = {'Unnamed: 0': range(N), 'late': _every(3), 'x': range(N)}
  found, _ = _labels(tmp_path, columns)
  assert [*found] == ['late']


def test_a_condition_before_the_last_column_is_a_feature(tmp_path):
  columns = {'x': range(N), 'is_mobile': _every(2), 'left': _every(3)}
  found, _ = _labels(tmp_path, columns)
  assert [*found] == ['left']
  # In the last column it is the only thing that may be told.
  columns = {'x': range(N), 'loan_status': _every(2, 1)}
  assert [*_labels(tmp_path, columns)[0]] == ['loan_status']


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    # A number of its own in each row, and amounts of two values.
    ('Order #', [1000 + i for i in range(N)]),
    ('amount_paid', [99, 149] * (N // 2)),
    ('click_amount', [99, 149] * (N // 2)),
  ],
)
def test_ids_and_amounts_are_not_said_to_be_answers(tmp_path, name, values):
  _, others = _labels(tmp_path, {name: values, 'click': _every(3)})
  assert others == {}


@pytest.mark.parametrize(
  'name', ['ms_played', 'activeTime', 'Time on page', 'Relevance']
)
def test_how_long_somebody_stayed_is_what_a_row_led_to(tmp_path, name):
  columns = {name: [i * 37 % 211 for i in range(N)], 'skipped': _every(3)}
  _, others = _labels(tmp_path, columns)
  assert 'what a row led to' in others[name]


def test_numbers_that_prepare_refuses_are_no_answer(tmp_path):
  values = [i * 37 % 211 + 0.5 for i in range(N)]
  columns = {'watch_time': values, 'x': range(N)}
  assert [*_labels(tmp_path, columns)[0]] == ['watch_time']
  found = _labels(tmp_path, columns | {'watch_time': [*values[1:], 'inf']})
  assert found == ({}, {})


def test_why_somebody_left_is_no_answer(tmp_path):
  columns = {'churn_reason': ['price', 'moved', ''] * 200, 'churn': _every(3)}
  assert [*_labels(tmp_path, columns)[0]] == ['churn']


@pytest.mark.parametrize('name', ['winner', 'admitted'])
def test_words_of_what_became_of_a_row(tmp_path, name):
  columns = {'x': range(N), name: ['lost', 'won', 'lost'] * 200}
  assert [*_labels(tmp_path, columns)[0]] == [name]


def test_missing_labels_are_not_observed(tmp_path):
  buy = [int(i % 4 == 0) if i % 2 == 0 else '' for i in range(N)]
  found, _ = _labels(tmp_path, {'click': _every(3), 'buy': buy})
  entry = found['buy'].entry({'click': 'click', 'buy': 'buy'})
  assert entry == {'name': 'buy', 'column': 'buy', 'null': 'not_observed'}


@pytest.mark.parametrize(
  ('name', 'values', 'said'),
  [
    ('like', [0] * N, 'always 0'),
    ('buy', [2 + i % 2 for i in range(N)], 'none of them 0'),
    ('rating', [i % 5 for i in range(N)], 'kind ordinal'),
    ('play_time', [i % 50 for i in range(N)], 'kind regression'),
    ('share', [i % 4 for i in range(N)], '4 values'),
    ('order', [i / 4 for i in range(N)], 'kind regression'),
  ],
)
def test_what_might_be_a_label_is_said(tmp_path, name, values, said):
  found, others = _labels(tmp_path, {'click': _every(3), name: values})
  assert [*found] == ['click']
  assert said in others[name]


def test_a_code_or_an_amount_is_no_label(tmp_path):
  columns = {'click': _every(3), 'order_id': [i % 9 for i in range(N)]}
  _, others = _labels(tmp_path, columns)
  assert not others


def test_a_rating_is_the_label_where_there_is_no_other(tmp_path):
  columns = {'user': [i // 9 for i in range(N)], 'rating': [1, 3, 5] * 200}
  found, others = _labels(tmp_path, columns)
  assert (found['rating'].kind, found['rating'].rate) == ('ordinal', 3)
  assert not others
  # The anime that somebody watched, and did not rate.
  columns['rating'] = [-1, 3, 6] * 200
  label = _labels(tmp_path, columns)[0]['rating']
  assert label.rate == 4.5
  assert label.why.endswith('(3 to 6, mean 4.5; -1: not observed)')
  assert label.entry({'rating': 'rating'})['null'] == ['-1']


def test_a_label_that_is_named_may_hold_infinities(tmp_path):
  columns = {'profit': ['-inf', 0.5, 2] * 200, 'user': range(N)}
  _, facts = logs.sample_of(tmp_path, columns)
  ((label,), _) = labels_lib.find(facts, {}, (), ('profit',))
  assert label.why == 'in --label (-inf to 2, mean -inf)'


@pytest.mark.parametrize('name', ['rating', 'review_score'])
def test_a_rating_comes_before_what_was_so(tmp_path, name):
  columns = {name: [1, 3, 5] * 200, 'verified_purchase': _every(7)}
  assert [*_labels(tmp_path, columns)[0]] == [name]


@pytest.mark.parametrize(
  ('values', 'more'),
  [
    (['no', 'no', 'yes'], {'positive': ['yes'], 'negative': ['no']}),
    (['', '', '1'], {'positive': ['1'], 'negative': ['']}),
    (['', '', 'yes'], {'positive': ['yes'], 'negative': ['']}),
    (['', '', 'true'], {'positive': ['true'], 'negative': ['']}),
    (['-1', '-1', '1'], {'positive': ['1'], 'negative': ['-1']}),
    (['False', 'False', 'True'], {}),
    # Of two other texts the rarer one is the positive.
    (
      ['50000-', '50000-', '50000+'],
      {'positive': ['50000+'], 'negative': ['50000-']},
    ),
  ],
)
def test_words_of_a_label_are_declared(tmp_path, values, more):
  columns = {'click': _every(3, 2), 'bought': values * (N // 3)}
  columns['bought'][2] = values[0]
  found, _ = _labels(tmp_path, columns)
  label = found['bought']
  assert label.rate == pytest.approx((N / 3 - 1) / N)
  assert label.entry({'click': 'click', 'bought': 'buy'}) == {
    'name': 'buy',
    'column': 'bought',
    'after': 'click',
    **more,
  }


def test_spellings_of_a_label_are_declared(tmp_path):
  found, _ = _labels(
    tmp_path, {'bought': ['Yes', 'yes', 'No', 'NA'] * (N // 4)}
  )
  label = found['bought']
  assert label.rate == pytest.approx(2 / 3)
  assert label.entry({'bought': 'buy'}) == {
    'name': 'buy',
    'column': 'bought',
    'positive': ['Yes', 'yes'],
    'negative': ['No'],
    'null': ['NA'],
  }
  assert '(NA: not observed)' in label.why


def test_a_label_that_stands_twice_is_one_task(tmp_path):
  click = _every(3)
  columns = {'click': click, 'clicked': ['Yes' if c else 'No' for c in click]}
  found, others = _labels(tmp_path, columns)
  assert {*found} == {'click'}
  assert others['clicked'] == 'the same as click in every row'
  columns['clicked'][0] = 'No'
  assert {*_labels(tmp_path, columns)[0]} == {'click', 'clicked'}
  # As Spotify's `skip_3` beside `not_skipped`.
  columns = {'click': click, 'not_clicked': [1 - c for c in click]}
  found, others = _labels(tmp_path, columns)
  assert {*found} == {'click'}
  assert others['not_clicked'] == 'the contrary of click in every row'


@pytest.mark.parametrize(
  'name',
  ['voted_up', 'Attrition_Flag', 'Recommended IND', 'applied', 'is_match'],
)
def test_further_names_of_labels(tmp_path, name):
  found, _ = _labels(tmp_path, {name: _every(3), 'x': range(N)})
  assert {*found} == {name}


def test_flags_give_way_to_the_last_column(tmp_path):
  columns = {'fraud_flag': _every(3), 'has_voted': _every(4)}
  columns |= {'recommended': _every(5), 'x': range(N), 'renewed': _every(7)}
  assert {*_labels(tmp_path, columns)[0]} == {'renewed'}


def _leaks(tmp_path, **columns):
  _, facts = logs.sample_of(tmp_path, columns)
  found, _ = labels_lib.find(facts, {}, ())
  names = {label.column for label in found}
  return leaks.find([f for f in facts if f.name not in names], found)


def test_leaks(tmp_path):
  click = _every(5)
  found = _leaks(
    tmp_path,
    click=click,
    filled=['x' if c else '' for c in click],
    above=[i % 7 + 1 if c else 0 for i, c in enumerate(click)],
    # 1 of 480 negatives is above the positives: AUC 1 - 1 / 480.
    score=[0 if i == 1 else -i if c else i for i, c in enumerate(click)],
    coded=[i % 3 + 3 * c for i, c in enumerate(click)],
    fine=[i % 11 for i in range(N)],
    text=[f't{i % 4}' for i in range(N)],
  )
  assert {*found} == {'filled', 'above', 'score', 'coded'}
  assert found['filled'] == 'filled only where click is 1'
  assert found['above'] == 'other than 0 only where click is 1'
  assert 'nearly alone' in found['score']


def test_what_is_filled_only_of_negatives_is_a_leak(tmp_path):
  won = _every(3)
  reason = ['' if w else f'r{i % 4}' for i, w in enumerate(won)]
  days = ['' if w or i % 2 else i % 90 for i, w in enumerate(won)]
  found = _leaks(tmp_path, won=won, lost_reason=reason, idle_days=days)
  assert {*found} == {'lost_reason', 'idle_days'}
  assert found['lost_reason'] == 'filled only where won is 0'
  # Without a positive by chance, or of a number that is 0 otherwise.
  clicked = _every(60)
  some = [f's{i % 3}' if i % 20 == 1 else '' for i in range(N)]
  zero = [0 if c else i % 2 for i, c in enumerate(clicked)]
  assert not _leaks(tmp_path, clicked=clicked, some=some, zero=zero)


def test_codes_of_few_rows_are_no_leak(tmp_path):
  voucher = [f'v{i}' if i % 20 == 0 else '' for i in range(N)]
  assert not _leaks(tmp_path, click=_every(3), voucher=voucher)
  # Each of a few codes implies one outcome.
  code = [f'c{i % 2}' if i % 15 < 2 else '' for i in range(N)]
  label = [i % 2 if i % 15 < 2 else int(i % 7 < 3) for i in range(N)]
  assert {*_leaks(tmp_path, click=label, code=code)} == {'code'}


def test_few_positives_are_no_evidence_of_a_leak(tmp_path):
  click = [int(i < 9) for i in range(N)]
  assert not _leaks(tmp_path, click=click, copy=click)


def test_labels_of_the_first_column_are_named_in_the_table(tmp_path):
  columns = {'label': _every(2), 'x': [i % 7 for i in range(N)]}
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.columns[0].why == 'named like a label, 50.0% are 1'


def test_dummies_of_a_column_are_no_answers(tmp_path):
  kinds = [i % 3 for i in range(N)]
  ports = {f'port_{k}': [int(v == k) for v in kinds] for k in range(3)}
  assert not _labels(tmp_path, {'age': range(N), **ports})[0]
  # Both at once, or none of both by chance alone.
  votes = {'vote_a': _every(2), 'vote_b': _every(3)}
  assert {*_labels(tmp_path, {'age': range(N), **votes})[0]} == {*votes}
  rare = {'pain_a': _every(100), 'pain_b': _every(100, 1)}
  assert {*_labels(tmp_path, {'age': range(N), **rare})[0]} == {*rare}


@pytest.mark.parametrize('name', ['black', 'is_female'])
def test_what_somebody_is_stands_for_no_answer(tmp_path, name):
  assert not _labels(tmp_path, {name: _every(3), 'age': range(N)})[0]
  columns = {'age': range(N), name: _every(3), 'deny': _every(4)}
  assert [*_labels(tmp_path, columns)[0]] == ['deny']
  # Where nothing stands behind it, it may be one.
  last = {'age': range(N), name: _every(3)}
  assert [*_labels(tmp_path, last)[0]] == [name]


def test_a_flag_of_today_is_no_answer(tmp_path):
  columns = {
    'x': range(N),
    'rain_today': _every(3),
    'rain_tomorrow': _every(2),
  }
  assert [*_labels(tmp_path, columns)[0]] == ['rain_tomorrow']


@pytest.mark.parametrize('name', ['WeekofPurchase', 'Ease of booking'])
def test_what_is_told_of_an_answer_is_a_feature(tmp_path, name):
  columns = {name: [i % 40 for i in range(N)], 'churn': _every(5)}
  assert not _labels(tmp_path, columns)[1]


def test_of_a_frequent_label_rows_without_the_other_are_no_leak(tmp_path):
  """99.2 % of all are 1, and 99.6 % of those with a count."""
  rows = range(4000)
  passed = [int(i % 125 != 0) for i in rows]
  some = [i % 2 and (i % 125 != 0 or i < 1700) for i in rows]
  count = [i % 5 + 1 if one else 0 for i, one in enumerate(some)]
  _, facts = logs.sample_of(tmp_path, {'count': count, 'passed': passed})
  labels, _ = labels_lib.find(facts, {}, ())
  assert [label.column for label in labels] == ['passed']
  assert not leaks.find(facts[:1], labels)
