"""Models that take the past: predictions against those of evaluation."""

from __future__ import annotations

import dataclasses
import io
import sys
import types as types_lib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.preparation import source
from rmtl_jax.preparation.as_of import tastes
from rmtl_jax.serving import past, predict
from rmtl_jax.serving import rows as rows_lib
from tests import tiers
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


@pytest.mark.parametrize(
  ('lack', 'other'),
  tiers.some([('user', 'item'), ('item', 'user')], [('user', 'item')]),
)
def test_a_log_without_users_or_items(tmp_path, lack, other):
  """What it has is counted and rated all the same, and what it lacks is not."""
  raw, schema = past_run.log_without(lack)
  scorer = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=raw, schema=schema),
    **{'network.session_encoder': 'none'},
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


def test_a_log_whose_users_were_drawn(tmp_path):
  """It has its users' rates and not the items'."""
  raw = past_run.log(900)
  # Every session is of one user.
  raw = raw.filter(pc.is_valid(raw['who']))
  scorer = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=raw, as_of=('auto',), split_by='user'),
    **{'network.session_encoder': 'none'},
  )
  rates = [c for c in scorer.needs.columns if c.endswith('click_rate')]
  assert rates == ['asof_user_click_rate', 'asof_session_click_rate']
  row_id, expected = past_run.evaluated(scorer)
  rows, earlier = parts(raw, row_id)
  close(stacked(scorer.score(rows, earlier).probabilities), expected)


def test_a_log_with_an_item_that_is_no_field(tmp_path):
  schema = past_run.SCHEMA | {'categorical': ['who']}
  scorer = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=past_run.log(700), schema=schema),
    **{'network.session_encoder': 'none'},
  )
  assert {'asof_views', 'asof_item_click_rate'} <= {*scorer.needs.columns}
  row_id, expected = past_run.evaluated(scorer)
  rows, earlier = parts(past_run.log(700), row_id)
  close(stacked(scorer.predict(rows, earlier)), expected)


def test_tastes_by_a_field_that_the_model_ignores(past_dir):
  scorer = past_run.untrained(
    past_dir,
    **{'network.session_encoder': 'none', 'network.ignore': 'brand'},
  )
  row_id, expected = past_run.evaluated(scorer)
  rows, earlier = parts(past_run.log(), row_id)
  close(stacked(scorer.predict(rows, earlier)), expected)
  with pytest.raises(types.InputError, match="no column 'brand'"):
    scorer.predict(rows.drop_columns(['brand']), earlier)


def test_tastes_by_no_field_of_the_log(past_dir):
  manifest = past_run.untrained(past_dir).manifest
  for by in ('item2', 'price', 'asof_gap', 'asof_history', 7, ['tags'], None):
    fields = [
      dataclasses.replace(f, details=f.details | {'by': by})
      if 'by' in f.details
      else f
      for f in manifest.fields
    ]
    with pytest.raises(types.InputError, match='no such as-of feature'):
      tastes.recorded(fields)


def test_a_log_where_parts_of_groups_were_left_out(tmp_path):
  """Every row is a user of its own and a session: only items come back."""
  raw = past_run.log().slice(0, 700)
  names = pa.array([f'u{i}' for i in range(len(raw))])
  for column in ('visit', 'who'):
    at = raw.schema.get_field_index(column)
    raw = raw.set_column(at, column, names)
  scorer = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=raw, as_of=('auto',)),
    **{'network.session_encoder': 'none'},
  )
  assert scorer.needs.columns == (
    'asof_item_rows',
    'asof_item_click_rate',
    'asof_item_conversion_rate',
  )
  row_id, expected = past_run.evaluated(scorer)
  rows, earlier = parts(raw, row_id)
  close(stacked(scorer.predict(rows, earlier)), expected)
  alone = stacked(scorer.predict(rows, earlier.slice(0, 0)))
  assert np.abs(alone - expected).max() > 1e-3


@pytest.mark.parametrize(
  ('name', 'group', 'key', 'users'),
  [
    ('item_rows', 'counts', '', False),
    ('item_click_rate', 'rates', 'item', False),
    ('user_click_rate', 'rates', 'user', True),
    ('views', 'views', '', True),
    ('user_gap', 'recency', '', True),
    ('user_click_gap', 'recency', 'user', True),
    ('history', 'history', '', True),
    ('gap', 'gap', '', False),
  ],
)
def test_features_of_items_alone_need_no_users(name, group, key, users):
  column = past.asof_groups.PREFIX + name
  details = {'as_of': group, **({'key': key} if key else {})}
  field = source.SourceField(column, 'numeric', column, details=details)
  needs = past.Needs((field,), sessions=False)
  assert needs.users == users
  assert needs.items == name.startswith('item_')
  assert needs.user_history == (group != 'gap')


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
  monkeypatch.setattr(loaded, 'chunk_rows', 96)
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
  count = predict.predict(
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
      predict.predict(
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
  'no user': ({}, {'who': None}, 1, ('history:', "no column 'who'")),
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


def numbered(raw, kind, key_kind):
  """The log with whole numbers as items, brands, users and in lists."""
  for name, to in (('item', kind), ('brand', kind), ('who', key_kind)):
    texts = raw[name].to_pylist()
    numbers = pa.array([int(t[1:]) if t else None for t in texts], pa.int64())
    at = raw.schema.get_field_index(name)
    if to == pa.string():
      # As pandas writes a column of floats to CSV.
      numbers = numbers.cast(pa.float64())
      texts = [None if n is None else str(n) for n in numbers.to_pylist()]
      numbers = pa.array(texts)
    raw = raw.set_column(at, name, numbers.cast(to))
  lists = [t and t.split('|') for t in raw['tags'].to_pylist()]
  if kind == pa.string():
    tags = pa.array([t and '|'.join(f'{v}.0' for v in t) for t in lists])
  else:
    tags = pa.array(lists).cast(pa.list_(kind))
  return raw.set_column(raw.schema.get_field_index('tags'), 'tags', tags)


WHOLE, FLOAT, TEXT = pa.int64(), pa.float64(), pa.string()


@pytest.mark.parametrize('prepared', tiers.some((WHOLE, FLOAT), (FLOAT,)))
def test_the_past_of_whole_numbers_that_are_floats(tmp_path, prepared):
  raw = past_run.log(400)
  run_dir = past_run.prepare_run(
    tmp_path, raw=numbered(raw, prepared, prepared), schema=past_run.BRANDS
  )
  scorer = past_run.untrained(run_dir)
  made = []
  for earlier, later in (
    ((WHOLE, WHOLE), (WHOLE, WHOLE)),
    ((WHOLE, WHOLE), (FLOAT, FLOAT)),
    ((FLOAT, FLOAT), (WHOLE, WHOLE)),
    ((TEXT, FLOAT), (TEXT, WHOLE)),
    ((TEXT, WHOLE), (WHOLE, WHOLE)),
    ((WHOLE, TEXT), (WHOLE, WHOLE)),
    ((FLOAT, WHOLE), (FLOAT, TEXT)),
  ):
    with past.scratch_database() as (connection, _):
      found = past.Past(connection, scorer.manifest, scorer.needs)
      for rows, kinds, scored in (
        (raw.slice(0, 300), earlier, False),
        (raw.slice(300), later, True),
      ):
        table = rows_lib.rows_of_table(numbered(rows, *kinds))
        found.add(table, scored, 100)
      items = scorer.encoder.vocabulary('item')
      found.compute(items, scorer.encoder.tastes)
      columns = found.columns().take(len(raw) - 300)
      connection.execute('CREATE TABLE none (row_id BIGINT, c INTEGER[])')
      rows = pa.concat_tables(found.sessions('none'))
      made.append((columns, rows.select(['row_id', 'item'])))
  (columns, rows), *others = made
  for name in ('brand', 'tags'):
    assert len(columns[f'asof_user_click_rate_by_{name}'].unique()) > 3
  assert columns.num_columns > 5 and rows['item'].to_numpy().all()
  for other_columns, other_rows in others:
    assert other_columns.equals(columns)
    assert other_rows.equals(rows)


def test_no_rows_and_an_empty_history(loaded):
  raw = past_run.log()
  found = loaded.predict(raw.slice(0, 0), raw.slice(0, 50))
  assert found['click'].shape == (0,)
  assert len(loaded.predict(raw.slice(0, 3), raw.slice(0, 0))['click']) == 3


def test_features_of_the_session_need_no_history(past_dir):
  scorer = past_run.untrained(
    past_dir,
    **{
      'network.session_encoder': 'none',
      'network.ignore': 'views+counts+rates+recency+tastes+history',
    },
  )
  assert set(scorer.needs.groups) == {'gap', 'position', 'feedback'}
  row_id, expected = past_run.evaluated(scorer)
  rows = past_run.log().take(pa.array(row_id))
  close(stacked(scorer.predict(rows)), expected)
  with pytest.raises(types.InputError, match='all as-of features or none'):
    scorer.predict(rows.append_column('asof_gap', pa.nulls(len(rows))))


def test_a_memory_limit_that_is_none(loaded):
  raw = past_run.log(8)
  with pytest.raises(types.InputError, match="'much' is not a size"):
    list(
      loaded.stream(
        rows_lib.rows_of_table(raw), [rows_lib.rows_of_table(raw)], 'much'
      )
    )
