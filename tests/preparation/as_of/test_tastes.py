"""Rates of a user's rows with the row's value of a field."""

from __future__ import annotations

import pytest

from tests.preparation.as_of import reference as asof_reference
from tests.preparation.as_of.reference import Row

MINUTE = 60_000


def test_tastes_by_hand():
  late = 5 * MINUTE
  rows = [
    Row(1, 'u', 'a', 0, 1, brand='x'),
    Row(1, 'u', 'b', 0, 0, brand='y'),  # a tie: neither sees the other
    Row(1, 'u', 'c', 1000, 0, late, brand='x'),
    Row(2, 'v', 'a', 9000, 1, brand='x'),  # another user's
    Row(2, 'v', 'a', 9000, 0, brand='z'),
    Row(3, 'u', 'a', MINUTE + 1000, 1, brand='x'),  # session 1 is not yet over
    Row(4, 'u', 'a', MINUTE + 1001, 0, brand='x'),  # but now
    Row(4, 'u', 'a', MINUTE + 1001, 0, brand=''),
    Row(5, None, 'a', late, 0, brand='x'),
    Row(5, 'u', 'a', late, 0, brand='z'),
    Row(1, 'u', 'a', late + 1, 0, brand='x'),  # goes on: not its own labels
    Row(6, 'u', 'a', late + 1, 0, brand='x'),
  ]
  found = asof_reference.features(rows)
  prior, late_prior = 3 / 12, 1 / 12
  rate = lambda positives, n: pytest.approx((positives + 10 * prior) / (n + 10))
  clicks = lambda n_1, n: pytest.approx((n_1 + 10 * late_prior) / (n + 10))
  nothing = None, None
  expected = [
    *[nothing] * 6,
    (rate(1, 2), clicks(0, 2)),
    *[nothing] * 3,
    (rate(1, 2), clicks(0, 2)),  # rows 5 and 6
    (rate(2, 4), clicks(1, 4)),
  ]
  for one, (like, click) in zip(found, expected, strict=True):
    assert one['user_like_rate_by_brand'] == like
    assert one['user_click_rate_by_brand'] == click


def values(name, *users):
  """A log's rows of users that have these values of a field."""
  return [
    Row(9 * i + j, f'u{i}', 'a', 1000 * j)._replace(**{name: value})
    for i, given in enumerate(users)
    for j, value in enumerate(given)
  ]


@pytest.mark.parametrize(
  ('users', 'made'),
  [
    (('xyz', 'zz', 'zz', 'x', 'y'), True),  # one row of a user tells nothing
    (('xy', 'z'), False),
    (('xy', 'zz'), True),  # a mean of 1.5
    (('xy', 'zz', 'xx'), False),
    (('xy', 'xy'), False),  # two values
    (('xyz', ['', None]), True),  # missing ones are none
    (('xy', ['z', None], 'yy'), False),
  ],
)
@pytest.mark.parametrize('name', ['brand', 'tags'])
def test_fields_that_differ_within_users(name, users, made):
  """A list counts as one value, in any order, of two others here."""
  if name == 'tags':
    users = [
      [(v, 'o', *'pq', v)[:: (-1) ** i] if v else () for i, v in enumerate(of)]
      for of in users
    ]
  (found, *_) = asof_reference.features(values(name, *users))
  assert (f'user_like_rate_by_{name}' in found) == made
