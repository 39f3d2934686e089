from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import source
from rmtl_jax.preparation.as_of import feedback as asof_feedback
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from tests import tiers
from tests.preparation.as_of import reference as asof_reference
from tests.preparation.as_of.reference import Row

MINUTE = 60_000


def only(found, *names):
  return [tuple(row[name] for name in names) for row in found]


def near(found, expected):
  if found is None or expected is None:
    return found is expected
  return math.isclose(found, expected, rel_tol=1e-12)


def test_rates_by_hand():
  rows = [
    Row(1, 'u', 'a', 0, 1),
    Row(1, 'u', 'b', 1000, 0),
    Row(2, 'v', 'a', MINUTE + 1000, 1),  # a minute after 1000: not yet over
    Row(3, 'v', 'a', MINUTE + 1001, 0),  # but now
    Row(4, 'u', 'c', MINUTE + 1001, 0),
    Row(5, 'w', 'a', 9 * MINUTE, 1),
    Row(1, 'u', 'a', 9 * MINUTE, 1),  # session 1 goes on: not its own labels
  ]
  found = asof_reference.features(rows)
  prior = 4 / 7
  rate = lambda positives, n: (positives + 10 * prior) / (n + 10)
  expected = [
    (None, None),
    (None, None),
    (None, None),
    (None, rate(1, 1)),
    (rate(1, 2), None),
    (None, rate(2, 3)),
    (rate(0, 1), rate(1, 2)),
  ]
  for one, (user, item) in zip(found, expected, strict=True):
    assert near(one['user_like_rate'], user)
    assert near(one['item_like_rate'], item)


def test_feedback_counts_labels_from_when_they_are_known_by_hand():
  rows = [
    Row(1, 'u', 'a', 1000, 1, click=5000),
    Row(1, 'u', 'b', 2000, 1, click=500),  # before its row: known with it
    Row(1, 'u', 'c', 3000, 0, click=4000),
    Row(1, 'u', 'd', 4000, 0),
    Row(1, 'u', 'e', 4001, 1, click=4001),
    Row(1, 'u', 'f', 6000, 0),
  ]
  found = asof_reference.features(rows, known_after=2000)
  # A like at 1000 is known at 3000, and so seen from 3001 on.
  assert only(found, 'session_likes', 'since_like') == [
    (None, None),
    (0, None),
    (0, None),
    (1, 3),
    (2, 3),
    (2, 4),
  ]
  # The click at 5000 is the first row's: the last row with one is the fifth.
  assert only(found, 'session_clicks', 'since_click') == [
    (None, None),
    (0, None),
    (1, 1),
    (1, 2),
    (2, 2),
    (4, 1),
  ]


TIMES = st.builds(
  lambda n, late: n * MINUTE // 2 + late, st.integers(0, 8), st.integers(0, 1)
)
ROWS = st.builds(
  Row,
  session=st.sampled_from([None, 1, 2, 3]),
  user=st.sampled_from(['u', 'v']),
  item=st.sampled_from(['a', 'b', '', None]),
  time=TIMES,
  label=st.integers(0, 1),
  click=st.none() | TIMES,
  brand=st.sampled_from(['x', 'y', 'z', '', None]),
  tags=st.sampled_from([None, (), 'x', 'y', 'xy', 'yxz', 'zzy', 'abcdefghijk']),
)
FIRST = Row(9, 'first', 'first', 0)  # so that train has a row
BOUNDARIES = st.sampled_from(
  [(None, None), (2 * MINUTE, None), (MINUTE, 3 * MINUTE)]
)
KNOWN_AFTER = st.sampled_from([None, 0, 1, MINUTE // 2, 3 * MINUTE])


@pytest.mark.parametrize('examples', tiers.examples(12, 40))
@pytest.mark.parametrize('keys', [asof_reference.KEYS, ('user',), ('item',)])
def test_as_plain_loops_have_it(keys, examples):
  tiers.check(
    as_plain_loops_have_it,
    examples,
    st.lists(ROWS, min_size=1, max_size=12),
    BOUNDARIES,
    KNOWN_AFTER,
    keys=keys,
  )


def as_plain_loops_have_it(keys, rows, boundaries, known_after):
  rows = [FIRST, *rows]
  plain = [
    row._replace(item=row.item or None, brand=row.brand or None) for row in rows
  ]
  expected = asof_reference.reference(plain, boundaries, known_after, keys)
  found = asof_reference.features(
    rows, boundaries, known_after=known_after, keys=keys
  )
  assert set(expected[0]) == set(found[0])
  for one, other in zip(found, expected, strict=True):
    for name, value in one.items():
      assert near(value, other.get(name)), name


@pytest.mark.parametrize('examples', tiers.examples(12, 40))
def test_the_future_changes_nothing(examples):
  tiers.check(
    the_future_changes_nothing,
    examples,
    st.lists(ROWS, min_size=1, max_size=8),
    st.lists(ROWS, max_size=6),
    ROWS,
    BOUNDARIES,
    st.booleans(),
    KNOWN_AFTER,
  )


def the_future_changes_nothing(
  rows, others, me, boundaries, liked, known_after
):
  """Rows and events at or after a row's time may be anything."""
  past = [FIRST, *(row for row in rows if row.time < me.time)]
  future = [row for row in rows if row.time >= me.time]
  late = math.inf if known_after is None else me.time - known_after
  changed = [
    row._replace(
      click=None if row.click and row.click >= me.time else row.click,
      label=int(liked) if row.time >= late else row.label,
    )
    for row in past
  ]
  others = [row for row in others if row.time >= me.time]
  with pytest.MonkeyPatch.context() as patch:
    # Train's rate, one number for all rows, is the only thing they share.
    patch.setattr(asof_rates, 'WEIGHT', 0)
    patch.setattr(asof_feedback, 'WEIGHT', 0)
    # And which fields rates are by.
    patch.setattr(asof_tastes, 'find', lambda *args: ('brand', 'tags'))
    one = asof_reference.features(
      [*past, me, *future], boundaries, known_after=known_after
    )
    other = asof_reference.features(
      [*changed, me._replace(label=int(liked), click=None), *others],
      boundaries,
      known_after=known_after,
    )
  assert one[len(past)] == other[len(past)]


def spent(known_after_ms=None):
  return source.SourceTask(
    'spent',
    kind='regression',
    loss='squared',
    nullable=True,
    known_after_ms=known_after_ms,
  )


def row_of(session, user, item, time, spent):
  return Row(session, user, item, time, spent=spent)


def test_mean_ranks_by_hand():
  # Of 1, 3, 3 and 9, in parts of 16: 2, 8, 8 and 14.
  rows = [
    row_of(1, 'u', 'a', 0, 9.0),
    row_of(1, 'u', 'b', 1000, None),  # no row of its task
    row_of(2, 'v', 'a', MINUTE + 1001, 3.0),
    row_of(3, 'v', 'a', 9 * MINUTE, 1.0),
    row_of(1, 'u', 'a', 20 * MINUTE, 3.0),  # not its own session's
  ]
  found = asof_reference.features(rows, more=(spent(),))
  mean = lambda *parts: (sum(parts) / 16 + 2 * 0.5) / (len(parts) + 2)
  expected = [
    (None, None),
    (None, None),
    (None, mean(14)),
    (mean(8), mean(14, 8)),
    (None, mean(8, 2)),
  ]
  for one, (user, item) in zip(found, expected, strict=True):
    assert near(one['user_spent_rank'], user)
    assert near(one['item_spent_rank'], item)
  assert 'session_spent_rank' not in found[0]  # when it is known is not told
