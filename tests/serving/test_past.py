"""Models that take the past: predictions against those of evaluation."""

from __future__ import annotations

import io
import sys
import types as types_lib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.serving import predict_file
from rmtl_jax.serving import scorer as scorer_lib
from tests.serving import past_run, table_run


@pytest.fixture(scope='module')
def loaded(past_dir):
  return past_run.untrained(past_dir)


@pytest.fixture(scope='module')
def expected(loaded):
  return past_run.evaluated(loaded)


def parts(raw, row_id):
  """(the rows that were evaluated, all others)."""
  own = np.zeros(len(raw), bool)
  own[row_id] = True
  return raw.take(pa.array(row_id)), raw.filter(pa.array(~own))


def stacked(found):
  return np.stack(list(found.values()), axis=1)


def close(found, expected):
  np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-6)


def test_a_table_with_all_of_the_past(loaded, expected):
  groups = loaded.manifest.as_of_groups()
  assert all(groups.values()), groups
  row_id, expected = expected
  rows, earlier = parts(past_run.log(), row_id)
  scored = loaded.score(rows, earlier)
  close(stacked(scored.probabilities), expected)
  assert scored.warnings == []
  assert np.ptp(expected[:, 0]) > 0.05
  # In any order, and without the past it is another prediction.
  order = np.random.default_rng(0).permutation(len(rows))
  other = loaded.predict(rows.take(pa.array(order)), earlier)
  close(stacked(other), expected[order])
  alone = stacked(loaded.predict(rows, earlier.slice(0, 0)))
  assert np.abs(alone - expected).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
  ('lack', 'other'),
  [('user', 'item'), ('item', 'user')],
)
def test_a_log_without_users_or_items(tmp_path, lack, other):
  """What it has is counted and rated all the same, and what it lacks is not."""
  raw, schema = past_run.log_without(lack)
  scorer = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=raw, schema=schema)
  )
  keyed = [c for c in scorer.needs.columns if lack in c or other in c]
  made = ['rows', 'click_rate', 'conversion_rate']
  if other == 'user':
    made += ['gap', 'click_gap']
    made += ['click_rate_by_tags', 'conversion_rate_by_tags']
  assert keyed == [f'asof_{other}_{what}' for what in made]
  row_id, expected = past_run.evaluated(scorer)
  rows, earlier = parts(raw, row_id)
  scored = scorer.score(rows, earlier)
  close(stacked(scored.probabilities), expected)
  alone = stacked(scorer.predict(rows, earlier.slice(0, 0)))
  assert np.abs(alone - expected).max() > 1e-3


def test_sessions_that_began_in_the_history_go_on(loaded, expected):
  """Cut the test rows by time: what comes later has the same predictions."""
  row_id, expected = expected
  raw = past_run.log()
  time = raw['time'].to_numpy()[row_id]
  late = time >= np.sort(time)[len(time) // 2]
  visits = np.array(raw['visit'].to_pylist(), object)[row_id]
  assert (set(visits[late]) & set(visits[~late])) - {None}
  rows, earlier = parts(raw, row_id[late])
  close(stacked(loaded.predict(rows, earlier)), expected[late])


def test_the_history_may_hold_the_rows(loaded, expected):
  row_id, expected = expected
  raw = past_run.log()
  scored = loaded.score(raw.take(pa.array(row_id)), raw)
  close(stacked(scored.probabilities), expected)
  (warning,) = scored.warnings
  assert 'rows of the history are rows to predict for' in warning


def test_labels_of_the_rows_themselves_count_where_they_are_told(
  loaded, expected
):
  row_id, _ = expected
  rows, earlier = parts(past_run.log(), row_id)
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


@pytest.mark.parametrize('source', ['file', 'stream'])
def test_files_streams_and_a_directory_of_the_history(
  loaded, expected, tmp_path, monkeypatch, source
):
  monkeypatch.setattr(scorer_lib, 'CHUNK_ROWS', 96)
  row_id, expected = expected
  rows, earlier = parts(past_run.log(), row_id)
  (tmp_path / 'past').mkdir()
  pq.write_table(earlier.slice(0, 500), tmp_path / 'past' / 'a.parquet')
  pq.write_table(earlier.slice(500), tmp_path / 'past' / 'b.parquet')
  given = str(tmp_path / 'in.parquet')
  if source == 'file':
    pq.write_table(rows, given)
  else:
    given, stream = '-', io.BytesIO()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
      writer.write_table(rows, max_chunksize=70)
    stream.seek(0)
    stdin = types_lib.SimpleNamespace(buffer=stream, isatty=lambda: False)
    monkeypatch.setattr(sys, 'stdin', stdin)
  target = str(tmp_path / 'out.parquet')
  count = predict_file.predict(
    loaded, given, target, str(tmp_path / 'past'), '200MB', table_run.QUIET
  )
  found = pq.read_table(target)
  assert count == len(rows)
  assert found.select(rows.column_names).equals(rows)
  close(found['p_click'].to_numpy(), expected[:, 0])
  close(found['p_conversion'].to_numpy(), expected[:, 1])


def test_a_history_that_is_none(loaded, tmp_path):
  pq.write_table(past_run.log(8), tmp_path / 'in.parquet')
  (tmp_path / 'empty').mkdir()
  for history, part in (
    ('-', 'not -'),
    ('empty', 'no CSV or Parquet files'),
    ('x', 'not found'),
    ('x.txt', 'expect'),
  ):
    name = history if history == '-' else str(tmp_path / history)
    with pytest.raises(types.InputError, match=part):
      predict_file.predict(
        loaded,
        str(tmp_path / 'in.parquet'),
        str(tmp_path / 'out.parquet'),
        name,
        live=table_run.QUIET,
      )
  assert not (tmp_path / 'out.parquet').exists()


BAD = {
  'no history': ({}, {}, None, ('give a history',)),
  'no time': ({'time': None}, {}, 1, ('table:', "no column 'time'")),
  'no user': ({}, {'who': None}, 1, ('history:', "'who'")),
  'no labels': ({}, {'bought': None}, 1, ('history:', "no column 'bought'")),
  'no brand': ({}, {'brand': None}, 1, ('history:', "no column 'brand'")),
  'no such time': (
    {'time': [0.0, float('nan')]},
    {},
    1,
    ("table: row 2, column 'time': nothing, expected a time",),
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
def test_bad_input_gets_one_line(loaded, name):
  changes, before, history, messages = BAD[name]
  rows = []
  for change in (changes, before):
    table = past_run.log().slice(0, 2).to_pydict() | change
    rows.append({k: v for k, v in table.items() if v is not None})
  with pytest.raises(types.InputError, match=r'^[^\n]*\Z') as error:
    loaded.predict(rows[0], rows[1] if history else None)
  for message in messages:
    assert message in str(error.value)


def test_features_of_the_session_need_no_history(past_dir):
  scorer = past_run.untrained(
    past_dir,
    **{'network.ignore': 'views+counts+rates+recency+tastes+history'},
  )
  assert set(scorer.needs.groups) == {'gap', 'position', 'feedback'}
  row_id, expected = past_run.evaluated(scorer)
  rows = past_run.log().take(pa.array(row_id))
  close(stacked(scorer.predict(rows)), expected)
  with pytest.raises(types.InputError, match="no columns 'asof_position'"):
    scorer.predict(rows.append_column('asof_gap', pa.nulls(len(rows))))
