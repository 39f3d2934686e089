"""Logs of events are replayed: the state's rows are those that SQL gathers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups, history, rates
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import past_log, raw_rows, row_past
from tests.preparation import raw_files
from tests.server.state import test_replay
from tests.serving import past_run
from tests.serving import test_events as of_events

pytestmark = pytest.mark.slow

# Monday 2015-06-01, 00:00 UTC.
START = 1_433_116_800_000

OWN_LABEL = of_events.SCHEMA | {
  'categorical': ['who', 'item', 'brand'],
  'events': {
    'column': 'what',
    'impressions': ['view', 'peek'],
    'labels': {'click': ['cart'], 'conversion': ['buy']},
  },
  'tasks': [
    {'name': 'click', 'within_seconds': 600},
    {'name': 'conversion', 'after': 'click', 'only_after': True},
    {'name': 'liked', 'column': 'liked', 'null': 'not_observed'},
  ],
}


def in_order(table, count):
  rows = sorted(table.to_pylist(), key=lambda row: row['time'])
  return pa.Table.from_pylist(rows[:count], table.schema)


def without_sessions(table):
  """Events of users alone, as a shop's; some of them fill others' rests."""
  rng = np.random.default_rng(2)
  rows = [row for row in table.to_pylist() if row['who'] is not None]
  for row in list(rows):
    if row['what'] == 'view' and rng.random() < 0.5:
      # The same item again and again: no row, but no rest either.
      for later in (20, 40, 55):
        rows.append(row | {'time': row['time'] + later * of_events.MINUTE})
  # Rows that lie more than a rest apart, in one session: the first counts for
  # others before the second has rested.
  times = sorted(row['time'] for row in rows)
  for n in range(8):
    start = times[100 + 40 * n]
    for who, item, minute in (
      (900 + n, n, 0),
      (900 + n, n, 25),
      (900 + n, n + 8, 50),
      (950 + n, n, 60),
    ):
      row = {'who': f'u{who}', 'item': f'i{item}', 'what': 'view'}
      rows.append(row | {'time': start + minute * of_events.MINUTE})
  names = ('who', 'item', 'time', 'what')
  return pa.Table.from_pylist([{n: row[n] for n in names} for row in rows])


def with_own_label(table):
  rng = np.random.default_rng(4)
  likes = rng.choice([0, 1, None], len(table), p=[0.5, 0.2, 0.3])
  kinds = [
    'peek' if kind == 'view' and rng.random() < 0.3 else kind
    for kind in table['what'].to_pylist()
  ]
  at = table.schema.get_field_index('what')
  table = table.set_column(at, 'what', pa.array(kinds))
  # Of every event its own; the first impression's counts.
  brands = rng.choice(['a', 'b', 'c', None], len(table)).tolist()
  table = table.append_column('brand', pa.array(brands))
  return table.append_column('liked', pa.array(list(likes), pa.int64()))


def of_all_rows(scorer, raw):
  """Features of the rows that events make, by the number of their event."""
  with row_past.scratch_database() as (connection, _):
    past = row_past.Past(connection, scorer.manifest, scorer.needs)
    past.add(raw_rows.rows_of_table(raw), scored=False, size=4096)
    schema, idle = past._log_schema, row_past.idle_ms(scorer.manifest)
    past_log.gather_events(connection, schema, idle)
    places = past._place()
    made, _ = asof.compute_features(
      connection,
      past_log.source_table(schema),
      places,
      groups.Plan(
        tuple(g for g in scorer.needs.groups if g != history.GROUP),
        idle,
        tastes=tuple(schema.tastes),
        train=rates.recorded(scorer.manifest, schema.tasks),
      ),
      labelled='r.labelled',
    )
    found = connection.sql(
      f'SELECT p.row_id, a.* EXCLUDE (row_id) FROM {places.table} p'
      f' JOIN {made} a USING (row_id)'
    ).to_arrow_table()
  return {row['row_id']: row for row in found.to_pylist()}


def check(replay, found, wanted):
  found.pop('history', None)
  assert found == {name: wanted[name] for name in found}, wanted


def retailrocket(directory, table):
  """A model of RetailRocket's own files, and the events as they are posted."""
  names = {'view': 'view', 'cart': 'addtocart', 'buy': 'transaction'}
  posted = [
    {
      'timestamp': START + 1000 * row['time'],
      'visitorid': int(row['who'][1:]),
      'event': names[row['what']],
      'itemid': int(row['item'][1:]),
    }
    for row in table.to_pylist()
    if row['what'] in names
  ]
  raw_files.write(
    directory / 'raw' / 'events.csv',
    [
      'timestamp,visitorid,event,itemid,transactionid',
      *(','.join([*map(str, row.values()), '']) for row in posted),
    ],
  )
  run = past_run.prepare_run(
    directory, source='retailrocket', raw_dir=str(directory / 'raw')
  )
  return past_run.untrained(run), pa.Table.from_pylist(posted)


SHOPS = {
  'sessions': (of_events.SCHEMA, lambda table: table),
  'users': (
    {k: v for k, v in of_events.SCHEMA.items() if k != 'session'},
    without_sessions,
  ),
  'own label': (OWN_LABEL, with_own_label),
  'retailrocket': (None, without_sessions),
}


@pytest.fixture(scope='module', params=SHOPS)
def shop(request, tmp_path_factory):
  """A model, raw events in the order of time, and what SQL makes of them."""
  schema, change = SHOPS[request.param]
  raw = in_order(change(of_events.raw_events()), 500)
  place = tmp_path_factory.mktemp('shop')
  if schema is None:
    scorer, raw = retailrocket(place, raw)
  else:
    scorer = test_replay.scorer_of(place / 'run', raw, schema)
  return scorer, raw, of_all_rows(scorer, raw)


def test_features_are_those_of_training(place, shop):
  scorer, raw, expected = shop
  replay = test_replay.Replay(scorer, place)
  compared = 0
  for number, row in enumerate(replay.rows(raw)):
    wanted = expected.get(number)
    if wanted is not None:
      check(replay, replay.features(row), wanted)
      compared += 1
    (found,) = replay.post(row)
    assert (found == 'added') == (wanted is not None), row
  assert compared > 150


def test_events_in_any_order(place, shop):
  """The state is the same in the end, whatever the order of what came."""
  scorer, raw, expected = shop
  replay = test_replay.Replay(scorer, place)
  rows = replay.rows(raw)
  order = np.random.default_rng(0).permutation(len(rows))
  for start in range(0, len(order), 40):
    some = [rows[at] for at in order[start : start + 40]]
    replay.post(*some)
    assert not {'added', 'changed'} & {*replay.post(*some)}
  for number, wanted in expected.items():
    if number % 3 == 0:
      check(replay, replay.features(rows[number]), wanted)


def test_predictions_are_those_of_evaluation(place, shop):
  """With all that came before in the state, or in a history."""
  scorer, raw, _ = shop
  keeper = keeper_lib.Keeper(scorer, place)
  from rmtl_jax.server import scoring

  begin = 0
  rows = sorted(zip(*past_run.evaluated(scorer), strict=True))
  for number, wanted in rows[:: len(rows) // 6]:
    counts = keeper.append(raw.slice(begin, number - begin))
    assert sum(counts.values()) == number - begin
    begin = number
    kind = keeper._shape.events.column
    row = raw.slice(number, 1).drop_columns([kind])
    found = scoring.score(scorer, keeper, row, notes_lib.Notes())
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-6)
    other = scorer.predict_proba(row, raw.slice(0, number))
    np.testing.assert_array_equal(found, other)
  keeper.close()
