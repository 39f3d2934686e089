"""Models that take the past: predictions against those of evaluation."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax import cli, prepare_config, types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import prepare
from rmtl_jax.data.sources import simulated
from rmtl_jax.serving import predictor
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import run as run_lib
from rmtl_jax.training import trainer, workdir
from tests.serving import table_run

MINUTE = 60
SCHEMA = {
  'session': 'visit',
  'user': 'who',
  'item': 'item',
  'time': {'column': 'time', 'unit': 's'},
  'categorical': ['who', 'item'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'clicked', 'known_after_seconds': 20},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}
CONFIG = dataclasses.replace(
  table_run.CONFIG,
  network=dataclasses.replace(
    table_run.CONFIG.network,
    session_encoder='target_attention',
    history_encoder='target_attention',
  ),
  # Some sessions are longer than a lane.
  batch=dataclasses.replace(table_run.CONFIG.batch, lane_length=5),
)


def log(rows=1500, seed=0):
  """Raw rows: some sessions and users unknown, ties, repeats, long rests."""
  rng = np.random.default_rng(seed)
  count = rows // 4
  visit = np.sort(rng.integers(0, count, rows))
  start = np.sort(rng.integers(0, 40 * MINUTE * count, count))
  step = rng.choice([0, 10, 30, 45 * MINUTE], rows, p=[0.1, 0.4, 0.45, 0.05])
  within = np.zeros(rows, np.int64)
  for i in range(1, rows):
    if visit[i] == visit[i - 1]:
      within[i] = within[i - 1] + step[i]
  who = rng.integers(0, 25, count)[visit]
  item = rng.integers(0, 30, rows)
  click = (rng.random(rows) < 0.1 + 0.02 * item).astype(int)
  users = [f'u{n}' for n in who]
  for i in np.flatnonzero(who == 3):
    users[i] = None
  visits = [f'v{n}' if n % 7 else None for n in visit]
  for i, name in enumerate(users):
    visits[i] = visits[i] if name else f'v{visit[i]}'
  table = pa.table(
    {
      'visit': visits,
      'time': start[visit] + within,
      'who': users,
      'item': [f'i{n}' for n in item],
      'tags': ['|'.join(map(str, range(n))) or None for n in item % 3],
      'price': rng.exponential(size=rows).round(3),
      'clicked': click,
      'bought': click * rng.integers(0, 2, rows),
    }
  )
  # Exact duplicates, which prepared data leaves out.
  return pa.concat_tables([table.slice(0, 700), table.slice(690)])


def evaluated(run_dir, data_dir, split='test'):
  """(rows of the raw log, f32[R, K]) as `evaluate` has them."""
  run = workdir.read(run_dir)
  models = models_lib.Models(run.manifest.feature_spec())
  store = run.checkpoint('pretrain')
  params = store.restore(lambda record: models.forms(run.config)[0]).arrays
  store.close()
  host = columns_lib.read_split(data_dir, run.manifest, split)
  found = models.predict(
    run.config, params, trainer.place(host, run.config.batch)
  )
  return host.row_id, found


def train(directory, config=CONFIG, raw=None, schema=None, **options):
  """Prepares the log with all as-of features, trains; RUN, DATA."""
  data = directory / 'data'
  if raw is not None:
    pq.write_table(raw, directory / 'log.parquet')
    (directory / 'schema.json').write_text(json.dumps(schema))
    options |= {
      'source': 'table',
      'raw_dir': str(directory / 'log.parquet'),
      'schema': str(directory / 'schema.json'),
    }
  prepare.prepare(
    prepare_config.PrepareConfig(
      data_dir=str(data), as_of=('all',), history_items=4, **options
    )
  )
  run_lib.train(
    config,
    directory / 'run',
    data,
    stages=('pretrain',),
    live=table_run.QUIET,
  )
  return directory / 'run', data


@pytest.fixture(scope='module')
def of_table(tmp_path_factory):
  return train(tmp_path_factory.mktemp('past'), raw=log(), schema=SCHEMA)


def parts(raw, row_id):
  """(the rows that were evaluated, all others)."""
  own = np.zeros(len(raw), bool)
  own[row_id] = True
  return raw.take(pa.array(row_id)), raw.filter(pa.array(~own))


def stacked(found):
  return np.stack(list(found.values()), axis=1)


def close(found, expected):
  np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-6)


def test_a_table_with_all_of_the_past(of_table):
  run_dir, data = of_table
  groups = manifest_lib.read(data).as_of_groups()
  assert all(groups.values()), groups
  row_id, expected = evaluated(run_dir, data)
  rows, earlier = parts(log(), row_id)
  loaded = rmtl_jax.load(run_dir)
  close(stacked(loaded.predict(rows, earlier)), expected)
  assert loaded.warnings == []
  assert np.ptp(expected[:, 0]) > 0.05
  # In any order, and without the past it is another prediction.
  order = np.random.default_rng(0).permutation(len(rows))
  other = loaded.predict(rows.take(pa.array(order)), earlier)
  # Ties of time within a session keep the order of rows.
  assert (np.abs(stacked(other) - expected[order]) < 1e-6).mean() > 0.8
  alone = stacked(loaded.predict(rows, earlier.slice(0, 0)))
  assert np.abs(alone - expected).max() > 1e-3


def test_the_simulated_source(tmp_path):
  config = dataclasses.replace(
    CONFIG, network=dataclasses.replace(CONFIG.network, session_encoder='none')
  )
  run_dir, data = train(
    tmp_path, config, source='simulated', simulated_rows=1200, simulated_seed=3
  )
  raw = simulated.simulate(1200, 3).drop_columns(['p_click', 'p_conversion'])
  row_id, expected = evaluated(run_dir, data)
  rows, earlier = parts(raw, row_id)
  loaded = rmtl_jax.load(run_dir)
  close(stacked(loaded.predict(rows, earlier)), expected)
  # The answers of the session so far are known before its next row.
  at = rows.schema.get_field_index('click')
  other = rows.set_column(at, 'click', pa.array([0] * len(rows), pa.int8()))
  changed = stacked(loaded.predict(other, earlier)) - expected
  assert 0 < (np.abs(changed) > 1e-5).any(axis=1).mean() < 1


def by_row(row_id, values):
  return dict(zip(row_id.tolist(), values, strict=True))


@pytest.mark.parametrize('encoded', [True, False])
def test_sessions_that_began_in_the_history_go_on(
  of_table, monkeypatch, encoded
):
  """Cut the test rows by time: what comes later has the same predictions."""
  run_dir, data = of_table
  monkeypatch.setattr(predictor, '_CHUNK_ROWS', 64)
  loaded = rmtl_jax.load(run_dir)
  if not encoded:
    loaded.needs = dataclasses.replace(loaded.needs, sessions=False)
  row_id, expected = evaluated(run_dir, data)
  raw = log()
  time = raw['time'].to_numpy()[row_id]
  cut = np.sort(time)[len(time) // 2]
  late = time >= cut
  visits = raw['visit'].to_numpy()[row_id]
  assert set(visits[late]) & set(visits[~late]) - {None}
  rows, earlier = parts(raw, row_id[late])
  found = stacked(loaded.predict(rows, earlier))
  if encoded:
    close(found, expected[late])
  else:  # what the network alone lacks is the session
    assert (np.abs(found - expected[late]) > 1e-6).mean() > 0.3


def test_the_history_may_hold_the_rows(of_table):
  run_dir, data = of_table
  row_id, expected = evaluated(run_dir, data)
  raw = log()
  loaded = rmtl_jax.load(run_dir)
  found = stacked(loaded.predict(raw.take(pa.array(row_id)), raw))
  close(found, expected)
  (warning,) = loaded.warnings
  assert 'rows of the history are rows to predict for' in warning


def test_labels_of_the_rows_themselves_count_where_they_are_told(of_table):
  run_dir, data = of_table
  row_id, _ = evaluated(run_dir, data)
  rows, earlier = parts(log(), row_id)
  loaded = rmtl_jax.load(run_dir)
  told = stacked(loaded.predict(rows, earlier))
  untold = stacked(
    loaded.predict(rows.drop_columns(['clicked', 'bought']), earlier)
  )
  # The first rows in time know of no answer among themselves.
  first = np.argmin(rows['time'].to_numpy())
  close(untold[first], told[first])
  assert np.abs(told - untold).max() > 1e-5
  empty = rows.set_column(
    rows.schema.get_field_index('bought'), 'bought', pa.nulls(len(rows))
  ).set_column(
    rows.schema.get_field_index('clicked'), 'clicked', pa.nulls(len(rows))
  )
  close(stacked(loaded.predict(empty, earlier)), untold)


def command(run_dir, *more):
  return cli.main(
    ['rmtl', 'predict', f'--workdir={run_dir}', '--nocompilation_cache', *more]
  )


def test_files_and_a_directory_of_the_history(of_table, tmp_path, monkeypatch):
  run_dir, data = of_table
  monkeypatch.setattr(predictor, '_CHUNK_ROWS', 96)
  row_id, expected = evaluated(run_dir, data)
  rows, earlier = parts(log(), row_id)
  (tmp_path / 'past').mkdir()
  pq.write_table(earlier.slice(0, 500), tmp_path / 'past' / 'a.parquet')
  pq.write_table(earlier.slice(500), tmp_path / 'past' / 'b.parquet')
  pq.write_table(rows, tmp_path / 'in.parquet')
  assert (
    command(
      run_dir,
      f'--input={tmp_path / "in.parquet"}',
      f'--output={tmp_path / "out.parquet"}',
      f'--history={tmp_path / "past"}',
      '--memory_limit=200MB',
    )
    == 0
  )
  found = pq.read_table(tmp_path / 'out.parquet')
  assert found.select(rows.column_names).equals(rows)
  close(found['p_click'].to_numpy(), expected[:, 0])
  close(found['p_conversion'].to_numpy(), expected[:, 1])


BAD = {
  'no history': ({}, {}, None, ('give a history',)),
  'no time': ({'time': None}, {}, 1, ('table:', "no column 'time'")),
  'no user': ({}, {'who': None}, 1, ('history:', "no column 'who'")),
  'no labels': ({}, {'bought': None}, 1, ('history:', "no column 'bought'")),
  'no such time': (
    {'time': [0.0, float('nan')]},
    {},
    1,
    ("table: row 2, column 'time': nan, expected a time",),
  ),
  'nobody': (
    {},
    {'who': ['', 'u1'], 'visit': [None, 'v']},
    1,
    ("history: row 1, column 'visit'", 'expected a session id or a user'),
  ),
  'no label': (
    {},
    {'clicked': [1, 2]},
    1,
    ("history: row 2, column 'clicked': 2, expected 0, 1 or nothing",),
  ),
  'given twice': (
    {'asof_gap': [1.0, 2.0]},
    {},
    1,
    ("column 'asof_gap' is there already",),
  ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_input_gets_one_line(of_table, name):
  changes, before, history, messages = BAD[name]
  rows = []
  for change in (changes, before):
    table = log().slice(0, 2).to_pydict() | change
    rows.append({k: v for k, v in table.items() if v is not None})
  loaded = rmtl_jax.load(of_table[0])
  with pytest.raises(types.InputError, match=r'^[^\n]*\Z') as error:
    loaded.predict(rows[0], rows[1] if history else None)
  for message in messages:
    assert message in str(error.value)


def test_no_rows_and_an_empty_history(of_table):
  loaded = rmtl_jax.load(of_table[0])
  raw = log()
  found = loaded.predict(raw.slice(0, 0), raw.slice(0, 50))
  assert found['click'].shape == (0,)
  assert len(loaded.predict(raw.slice(0, 3), raw.slice(0, 0))['click']) == 3


def test_a_model_that_takes_nothing_says_so(run_dir):
  loaded = rmtl_jax.load(run_dir)
  raw = table_run.table()
  found = loaded.predict(raw.slice(0, 5), raw)
  np.testing.assert_array_equal(
    found['click'], loaded.predict(raw.slice(0, 5))['click']
  )
  assert loaded.warnings == []


def test_features_of_the_session_need_no_history(tmp_path):
  config = dataclasses.replace(
    CONFIG,
    network=dataclasses.replace(
      CONFIG.network, session_encoder='none', ignore='views+counts+rates+history'
    ),
  )
  run_dir, data = train(tmp_path, config, raw=log(), schema=SCHEMA)
  row_id, expected = evaluated(run_dir, data)
  rows = log().take(pa.array(row_id))
  loaded = rmtl_jax.load(run_dir)
  assert loaded.needs.groups == ('gap', 'position', 'feedback')
  close(stacked(loaded.predict(rows)), expected)
  with pytest.raises(types.InputError, match='all as-of features or none'):
    loaded.predict(rows.append_column('asof_gap', pa.nulls(len(rows))))
  assert pc.sum(rows['clicked']).as_py() > 0
