"""Logs are replayed: the state's features are those of the SQL, to the bit."""

from __future__ import annotations

import contextlib
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups, history, rates
from rmtl_jax.server.state import changes
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.server.state import look as look_lib
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import past_log, raw_rows, row_past
from tests import tiers
from tests.serving import past_run

LABELS = ['clicked', 'bought']
# Labels of every kind: late ones, missing ones, ones that need a parent's, and
# times, some of them later than the rest that ends a session.
KINDS_OF_LABELS = past_run.BRANDS | {
  'tasks': [
    {
      'name': 'click',
      'column': 'clicked',
      'known_after_seconds': 50 * past_run.MINUTE,
    },
    {
      'name': 'conversion',
      'column': 'bought',
      'after': 'click',
      'only_after': True,
      'known_after_seconds': 20,
    },
    {'name': 'liked', 'column': 'liked', 'null': 'not_observed'},
    {'name': 'shared', 'time_column': 'shared_at'},
    {
      'name': 'stay',
      'column': 'stay',
      'kind': 'regression',
      'after': 'click',
      'only_after': True,
      'null': 'not_observed',
      'known_after_seconds': 30,
    },
    {'name': 'stars', 'column': 'stars', 'kind': 'ordinal'},
  ],
}


def in_order(table):
  """Without exact repeats, by time."""
  names = table.column_names
  unique = table.group_by(names, use_threads=False).aggregate([])
  return unique.select(names).sort_by('time')


def with_likes(table):
  rng = np.random.default_rng(9)
  values = rng.choice([0, 1, None], len(table), p=[0.5, 0.2, 0.3])
  later = rng.choice([5, 300 * past_run.MINUTE], len(table))
  shared = pa.array(
    table['time'].to_numpy() + later, mask=rng.random(len(table)) < 0.6
  )
  clicked = table['clicked'].to_numpy()
  stay = pa.array(clicked * rng.exponential(9, len(table)).round(1))
  stay = pc.if_else(pa.array(rng.random(len(table)) < 0.1), None, stay)
  columns = {
    'liked': pa.array(list(values), pa.int64()),
    'shared_at': shared,
    'stay': stay,
    'stars': pa.array(rng.integers(1, 6, len(table))),
  }
  for name, column in columns.items():
    table = table.append_column(name, column)
  return table


def scorer_of(directory, raw, schema=past_run.BRANDS, **settings):
  directory.mkdir()
  run = past_run.prepare_run(directory, raw=raw, schema=schema)
  return past_run.untrained(run, **settings)


def of_all_rows(scorer, raw):
  """Features of all rows at once, as training has them; None where left out."""
  table = raw_rows.rows_of_table(raw)
  with row_past.scratch_database() as (connection, _):
    past = row_past.Past(connection, scorer.manifest, scorer.needs)
    past.add(table, scored=False, size=4096)
    schema = past._log_schema
    places = past._place()
    made, _ = asof.compute_features(
      connection,
      past_log.source_table(schema),
      places,
      groups.Plan(
        tuple(g for g in scorer.needs.groups if g != history.GROUP),
        row_past.idle_ms(scorer.manifest),
        tastes=tuple(schema.tastes),
        train=rates.recorded(scorer.manifest, schema.tasks),
      ),
      labelled='r.labelled',
    )
    found = connection.sql(
      f'SELECT l.row_id, a.* EXCLUDE (row_id), p.row_id IS NOT NULL AS kept'
      f' FROM log l LEFT JOIN {made} a USING (row_id)'
      f' LEFT JOIN {places.table} p ON l.row_id = p.row_id ORDER BY l.row_id'
    ).to_arrow_table()
  return found.to_pylist()


class Replay:
  """A state to which rows come one by one."""

  def __init__(self, scorer, place, days=7.0):
    self.days = days
    self.keeper = keeper_lib.Keeper(scorer, place)
    self.store, self.shape = self.keeper._writes, self.keeper._shape

  def rows(self, raw):
    table = raw_rows.rows_of_table(raw)
    return list(self.keeper.shown(table))

  def features(self, row):
    with self.store.reading() as reads:
      look = look_lib.Look(reads, self.shape, [row])
      return {
        name.removeprefix(groups.PREFIX): make(look)[0].as_py()
        for name, make in self.keeper._columns
      }

  def post(self, *rows):
    with self.store.writing() as change:
      return changes.append(change, self.shape, rows, self.days)


def check(replay, raw, expected, every=1):
  """Every row, before its event is posted."""
  compared = 0
  for at, (row, wanted) in enumerate(
    zip(replay.rows(raw), expected, strict=True)
  ):
    if wanted['kept'] and at % every == 0:
      found = replay.features(row)
      found.pop('history', None)
      assert found == {name: wanted[name] for name in found}, row
      compared += 1
    counts = replay.post(row)
    assert counts == ({'added': 1} if wanted['kept'] else {'late': 1})
  return compared


@pytest.mark.parametrize('seed', tiers.some((3, 4), (3,)))
def test_features_are_those_of_training(place, tmp_path, seed):
  raw = in_order(past_run.log(400, seed=seed))
  scorer = scorer_of(tmp_path / 'run', raw)
  expected = of_all_rows(scorer, raw)
  assert check(Replay(scorer, place), raw, expected) > 300
  # Each says something of some rows.
  for name in scorer.needs.columns:
    if name != 'asof_history':
      column = [row[name.removeprefix(groups.PREFIX)] for row in expected]
      assert len({*column}) > 2, name


@pytest.mark.slow
def test_features_are_those_of_training_where_rows_settle(place, tmp_path):
  """Only sums are left of most rows, and no feature differs."""
  raw = with_likes(in_order(past_run.log(600, seed=7)))
  scorer = scorer_of(tmp_path / 'run', raw, KINDS_OF_LABELS)
  replay = Replay(scorer, place, days=0.3)
  assert check(replay, raw, of_all_rows(scorer, raw), every=2) > 150
  for at in (0, 100):  # too old to be told from others, or to be labelled
    assert replay.post(replay.rows(raw.slice(at, 1))[0]) == {'late': 1}
  with contextlib.closing(sqlite3.connect(f'{place}/state.sqlite')) as kept:
    (rows,) = kept.execute('SELECT count(*) FROM events').fetchone()
    single = 'SELECT count(*) FROM counts WHERE level = 0'
    (times,) = kept.execute(single).fetchone()
  assert rows < 250
  assert times < 8 * rows


@pytest.mark.slow
def test_labels_of_every_kind(place, tmp_path):
  raw = with_likes(in_order(past_run.log(400, seed=6)))
  scorer = scorer_of(tmp_path / 'run', raw, KINDS_OF_LABELS)
  check(Replay(scorer, place), raw, of_all_rows(scorer, raw), every=2)


@pytest.mark.slow
@pytest.mark.parametrize('key', ('user', 'item'))
def test_logs_without_a_key(place, tmp_path, key):
  raw, schema = past_run.log_without(key)
  raw = in_order(raw.slice(0, 300))
  scorer = scorer_of(tmp_path / 'run', raw, schema)
  check(Replay(scorer, place), raw, of_all_rows(scorer, raw), every=2)


@pytest.mark.slow
def test_logs_of_numbers_alone(place, tmp_path):
  raw = in_order(past_run.log(300, seed=5)).drop_columns(LABELS)
  dwell = np.random.default_rng(0).exponential(size=len(raw)).round(2)
  raw = raw.append_column('dwell', pa.array(dwell))
  task = {'name': 'dwell', 'column': 'dwell', 'kind': 'regression'}
  schema = past_run.SCHEMA | {'tasks': [task]}
  scorer = scorer_of(tmp_path / 'run', raw, schema)
  replay = Replay(scorer, place)
  assert check(replay, raw, of_all_rows(scorer, raw), every=2) > 100
  row = raw.slice(200, 1).drop_columns(['dwell'])
  assert scorer.predict_proba(row, raw.slice(0, 200)).shape == (1, 1)


@pytest.mark.slow
def test_rows_in_any_order_and_labels_that_come_later(place, tmp_path):
  """The state is the same in the end, whatever the order of what came."""
  raw = in_order(past_run.log(400, seed=5))
  scorer = scorer_of(tmp_path / 'run', raw)
  replay = Replay(scorer, place)
  rows = replay.rows(raw)
  rng = np.random.default_rng(0)
  # By 40 at a time, so that visits go into the counters and come out again.
  order = rng.permutation(len(rows))
  for start in range(0, len(order), 40):
    some = [rows[at] for at in order[start : start + 40]]
    # Of every second row other labels than the last ones, of others none yet.
    replay.post(
      *(
        row._replace(
          labels=tuple(
            (None if at % 2 else 1 - (label or 0), time)
            for label, time in row.labels
          )
        )
        for at, row in enumerate(some)
      )
    )
    changed = replay.post(*some)
    assert set(changed) <= {'changed', 'repeated', 'late'}
  expected = of_all_rows(scorer, raw)
  for row, wanted in list(zip(rows, expected, strict=True))[::3]:
    if wanted['kept']:
      found = replay.features(row)
      found.pop('history')
      assert found == {name: wanted[name] for name in found}, row


@pytest.mark.slow
def test_predictions_equal_those_with_a_history(place, tmp_path):
  """Histories, and candidates of one time together."""
  raw = in_order(past_run.log(500, seed=8))
  scorer = scorer_of(tmp_path / 'run', raw)
  keeper = keeper_lib.Keeper(scorer, place)
  from rmtl_jax.server import scoring

  def score(table):
    return scoring.score(scorer, keeper, table, notes_lib.Notes())

  keeper.append(raw.slice(0, 440))
  for at in range(440, 446):
    row = raw.slice(at, 1).drop_columns(LABELS)
    expected = scorer.predict_proba(row, raw.slice(0, at))
    np.testing.assert_array_equal(score(row), expected)
    other = pa.concat_tables([row, raw.slice(2, 2).drop_columns(LABELS)])
    # Larger batches are summed in another order.
    np.testing.assert_allclose(score(other)[:1], expected, rtol=1e-6)
    assert keeper.append(raw.slice(at, 1)) == {'added': 1}
  keeper.close()
