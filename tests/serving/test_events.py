"""Models of events: their past from raw events is what prepare made of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax.preparation import sql
from rmtl_jax.serving import log_columns, past_log, raw_rows
from tests.serving import past_run

SCHEMA = {
  'session': 'visit',
  'user': 'who',
  'item': 'item',
  'time': {'column': 'time', 'unit': 's'},
  'categorical': ['who', 'item'],
  'events': {
    'column': 'what',
    'impressions': ['view'],
    'labels': {'click': ['cart', 'buy'], 'conversion': ['buy']},
  },
  'tasks': [{'name': 'click'}, {'name': 'conversion', 'after': 'click'}],
}
MINUTE = 60


def raw_events():
  """Events of the log of `past_run`: carts and purchases after the views."""
  found = past_run.log(rows=700).to_pylist()
  rng = np.random.default_rng(0)
  events = []
  for row in found:
    kinds = ['view'] + ['cart'] * row['clicked'] + ['buy'] * row['bought']
    if rng.random() < 0.05:
      kinds += ['wish']
    for kind in kinds:
      late = int(rng.choice([0, 5, 40, 50 * MINUTE])) if kind != 'view' else 0
      row = row | {'time': row['time'] + late, 'what': kind}
      events.append(
        {k: row[k] for k in ('visit', 'time', 'who', 'item', 'what')}
      )
  return pa.Table.from_pylist(events)


def columns_of(table, log_schema, scored=None):
  """Gathers a history of events and rows to predict for, in order."""
  with sql.connect() as connection:
    past_log.create_table(connection, log_schema)
    first = 0
    for part, is_scored in ((table, False), (scored, True)):
      if part is None:
        continue
      found = raw_rows.rows_of_table(part, 'log.csv')
      past_log.check(log_schema, found.schema, found.path)
      for chunk in found.chunks(1000):
        past_log.append_rows(connection, log_schema, chunk, first, is_scored)
        first += chunk.table.num_rows
    past_log.gather_events(connection, log_schema, 30 * MINUTE * 1000)
    query = (
      'SELECT row_id, session, timestamp // 1000 AS time, t_click,'
      f' t_conversion, scored, labelled FROM {past_log.TABLE} ORDER BY row_id'
    )
    return connection.sql(query).to_arrow_table().to_pylist()


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
  return past_run.prepare_run(
    tmp_path_factory.mktemp('events'), raw=raw_events(), schema=SCHEMA
  )


@pytest.fixture(scope='module')
def scorer(run_dir):
  return past_run.untrained(run_dir)


def parts(row_id):
  """(the impressions that were evaluated, all other events)."""
  table = raw_events()
  own = np.zeros(len(table), bool)
  own[row_id] = True
  shown = table.take(pa.array(row_id)).drop_columns(['what'])
  return shown, table.filter(pa.array(~own))


def test_a_history_of_events_is_that_of_evaluation(scorer):
  assert any('session_click' in name for name in scorer.needs.columns)
  row_id, expected = past_run.evaluated(scorer)
  shown, events = parts(row_id)
  found = np.stack(list(scorer.predict(shown, events).values()), axis=1)
  np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-6)
  alone = np.stack(
    list(scorer.predict(shown, events.slice(0, 0)).values()), axis=1
  )
  assert np.abs(alone - expected).max() > 1e-3


@pytest.fixture
def log_schema(scorer):
  return log_columns.make_log_schema(scorer.manifest)


def events(*found):
  names = ('time', 'who', 'item', 'what')
  columns = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
  return columns | {'visit': [None] * len(found)}


HISTORY = events(
  (0, 'a', 'x', 'view'),
  (60, 'a', 'x', 'cart'),
  (70, 'a', 'y', 'cart'),
  (80, 'a', 'x', 'wish'),
  (90, 'a', 'x', 'view'),
  (5000, 'a', 'x', 'buy'),
)


def test_events_are_joined_by_hand(log_schema):
  shown = {
    'time': [95, 96],
    'who': ['a', 'a'],
    'item': ['y', 'z'],
    'visit': [''] * 2,
  }
  found = columns_of(HISTORY, log_schema, shown)
  assert [
    (r['row_id'], r['time'], r['t_click'], r['scored']) for r in found
  ] == [
    (0, 0, 60_000.0, False),
    # Put in the cart before it was shown.
    (6, 95, 70_000.0, True),
    (7, 96, None, True),
  ]
  assert len({row['session'] for row in found}) == 1
  assert all(row['labelled'] for row in found)
