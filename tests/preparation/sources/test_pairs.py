from __future__ import annotations

import duckdb
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import sessionize
from rmtl_jax.preparation.sources import pairs
from tests import tiers

VIEW, CART, PURCHASE = 0, 1, 2
SHOP = pairs.EventKinds(
  (VIEW,), {'click': (CART, PURCHASE), 'conversion': (PURCHASE,)}
)
EVENTS = st.lists(
  st.tuples(
    st.integers(0, 2),  # user
    st.integers(0, 40),  # time
    st.integers(0, 2),  # item
    st.sampled_from([VIEW, VIEW, CART, PURCHASE]),
  ),
  min_size=1,
  max_size=30,
)
IDLE = 5


def reference(events):
  """Rows by a plain loop: (row, session's first, item, time, click, buy)."""
  order = sorted(range(len(events)), key=lambda i: (*events[i][:2], i))
  found, session, last = {}, None, None
  for i in order:
    user, time, item, event = events[i]
    if last is None or last[0] != user or time - last[1] > IDLE:
      session = i
    last = events[i]
    pair = found.setdefault((session, item), {'view': None})
    if event == VIEW:
      if pair['view'] is None:
        pair['view'] = i
    else:
      pair.setdefault('click', time)
    if event == PURCHASE:
      pair.setdefault('buy', time)
  rows = []
  for (_, item), pair in found.items():
    at = pair['view']
    if at is not None:
      user, time, *_ = events[at]
      rows.append((at, user, item, time, pair.get('click'), pair.get('buy')))
  return sorted(rows), sum(pair['view'] is None for pair in found.values())


@pytest.mark.parametrize('examples', tiers.examples(20, 60))
def test_pairs_are_those_of_a_plain_loop(examples):
  tiers.check(pairs_are_those_of_a_plain_loop, examples, EVENTS)


def pairs_are_those_of_a_plain_loop(events):
  with duckdb.connect() as connection:
    connection.execute(
      'CREATE TABLE log (row_id BIGINT, session BIGINT, "user" BIGINT,'
      ' visitor BIGINT, timestamp BIGINT, item BIGINT, event TINYINT)'
    )
    for i, (user, time, item, event) in enumerate(events):
      connection.execute(
        'INSERT INTO log VALUES (?, NULL, ?, ?, ?, ?, ?)',
        [i, user, user, time, item, event],
      )
    found = pairs.make_pairs(
      connection,
      'log',
      SHOP,
      IDLE,
      sessionize.Keys(),
      (),
    )
    rows = connection.execute(
      'SELECT row_id, "user", item, timestamp, t_click, t_conversion'
      f' FROM {found.table} ORDER BY row_id'
    ).fetchall()
  expected, unviewed = reference(events)
  assert rows == expected
  assert found.unviewed == unviewed
