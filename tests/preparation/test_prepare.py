from __future__ import annotations

import dataclasses
import hashlib

import pyarrow.parquet as pq
import pytest

from rmtl_jax import partial
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import source, sources, sql
from rmtl_jax.preparation.sources import table as table_source
from tests import registries
from tests.preparation import raw_files


def test_contract(tmp_path):
  manifest = raw_files.run_table(tmp_path, raw_files.table_lines(20))
  assert manifest == manifest_file.read(tmp_path / 'out')
  file = tmp_path / 'out' / manifest.splits['train'].files[0]
  schema = pq.read_schema(file)
  assert {name: str(schema.field(name).type) for name in schema.names} == {
    'session_id': 'int64',
    'user_id': 'int64',
    'row_id': 'int64',
    'step': 'int32',
    'timestamp': 'int64',
    'f_user': 'int32',
    'f_item': 'int32',
    'x_price': 'float',
    'y_click': 'float',
    'y_conversion': 'float',
  }
  assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == (
    'SNAPPY'
  )
  splits = manifest.splits
  assert [splits[s].rows for s in manifest_lib.SPLITS] == [12, 4, 4]
  assert [splits[s].sessions for s in manifest_lib.SPLITS] == [12, 4, 4]
  assert splits['train'].positives == {'click': 6, 'conversion': 3}
  assert (splits['train'].start_ms, splits['train'].end_ms) == (0, 12 * 10**7)
  assert splits['test'].start_ms == 16 * 10**7
  assert splits['test'].end_ms is None
  assert (manifest.user_field, manifest.item_field) == ('user', 'item')
  assert [f.size for f in manifest.fields] == [4, 5, 0]
  assert manifest.options['min_count'] == 1
  assert manifest.options['split'] == [6, 2, 2]
  assert manifest.options['schema']['item'] == 'item'
  assert manifest.report['raw_rows'] == 20
  assert manifest.report['session_rows'] == {
    **dict.fromkeys(('p0', 'p25', 'p50', 'p75', 'p90', 'p99', 'p100'), 1),
    'mean': 1.0,
  }
  data = (tmp_path / 'raw' / 'log.csv').read_bytes()
  assert manifest.source_files == (
    {
      'name': 'log.csv',
      'bytes': len(data),
      'sha256': hashlib.sha256(data).hexdigest(),
    },
  )


def test_rows_by_hand(tmp_path):
  raw_files.run_table(tmp_path, raw_files.table_lines(20))
  rows = raw_files.read(tmp_path)
  assert [row['session_id'] for row in rows] == list(range(20))
  assert [row['row_id'] for row in rows] == list(range(20))
  assert [row['timestamp'] for row in rows] == [i * 10**7 for i in range(20)]
  assert raw_files.decoded(tmp_path, 'item') == [f'i{i % 4}' for i in range(20)]
  # Train's prices are 0, 0.5, … 5.5: mean 2.75, variance (144 - 1) / 12 / 4.
  expected = [(i / 2 - 2.75) / (143 / 48) ** 0.5 for i in range(20)]
  assert [row['x_price'] for row in rows] == pytest.approx(expected, rel=1e-6)
  # Text users are numbered in order.
  assert [row['user_id'] for row in rows] == [i % 3 for i in range(20)]


def test_order_of_raw_rows_does_not_matter(tmp_path):
  lines = raw_files.table_lines(20)
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
  raw_files.run_table(tmp_path / 'a', lines)
  raw_files.run_table(tmp_path / 'b', [lines[0], *reversed(lines[1:])])
  one, other = (raw_files.read(tmp_path / name) for name in ('a', 'b'))
  assert [row.pop('row_id') for row in other] == list(reversed(range(20)))
  for row in one:
    del row['row_id']
  assert one == other


def test_threads_change_nothing(tmp_path):
  lines = raw_files.table_lines(400)
  found = []
  for name, threads in (('a', 1), ('b', 2)):
    (tmp_path / name).mkdir()
    manifest = raw_files.run_table(
      tmp_path / name, lines, threads=threads, rows_per_file=50
    )
    out = tmp_path / name / 'out'
    files = sorted(path.relative_to(out) for path in out.rglob('*.parquet'))
    # Contents, not bytes: where row groups end depends on the threads.
    tables = [pq.read_table(out / file, partitioning=None) for file in files]
    found.append((manifest, files, tables))
  assert found[0] == found[1]
  # Parts of the splits, vocabularies, the past.
  assert len(found[0][1]) == 5 + 2 + 2 + 2 + 2


@pytest.fixture
def register():
  """Registers a reader for one test."""
  kept = registries.Registries()
  yield sources.register_source
  kept.undo()


def timed(clicks, conversions):
  """A reader whose table has labels as times: None or ms per row."""

  def read(connection, raw_dir, options):
    table = table_source.read(connection, raw_dir, options)
    times = sql.unique_name('times')
    connection.execute(
      f'CREATE TABLE {times} (row_id BIGINT, t_click BIGINT,'
      ' t_conversion BIGINT)'
    )
    connection.executemany(
      f'INSERT INTO {times} VALUES (?, ?, ?)',
      [
        (i, *pair)
        for i, pair in enumerate(zip(clicks, conversions, strict=True))
      ],
    )
    view = sql.unique_name('timed')
    connection.execute(
      f'CREATE VIEW {view} AS SELECT r.* EXCLUDE (y_click, y_conversion),'
      f' t.t_click, t.t_conversion FROM {table.view} r JOIN {times} t'
      ' USING (row_id)'
    )
    return dataclasses.replace(
      table,
      view=view,
      tasks=(
        source.SourceTask('click', timed=True),
        source.SourceTask('conversion', 'click', timed=True),
      ),
    )

  return read


def run_timed(tmp_path, register, clicks, conversions):
  raw_files.write(tmp_path / 'log.csv', raw_files.table_lines(20))
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  register('timed', timed(clicks, conversions))
  raw_files.run(tmp_path, 'timed', tmp_path / 'log.csv', schema=schema)
  rows = raw_files.read(tmp_path)
  return [(row['y_click'], row['y_conversion']) for row in rows]


def test_labels_given_as_times_are_cut_at_the_boundary(tmp_path, register):
  # Rows at 0, 1e7, …; train ends at 12e7, validation at 16e7.
  clicks, conversions = [None] * 20, [None] * 20
  clicks[3], conversions[3] = 12 * 10**7 - 1, 12 * 10**7
  clicks[4] = 12 * 10**7
  clicks[12], conversions[12] = 13 * 10**7, 16 * 10**7 - 1
  clicks[19], conversions[19] = 10**12, 10**12
  labels = run_timed(tmp_path, register, clicks, conversions)
  assert labels[3] == (1, 0)
  assert labels[4] == (0, 0)
  assert labels[12] == (1, 1)
  assert labels[19] == (1, 1)  # nothing ends the test split
  assert sum(map(sum, labels)) == 5


def test_duplicates_are_dropped_and_counted(tmp_path):
  lines = raw_files.table_lines(20)
  near = lines[3].replace('i2', 'i3')
  manifest = raw_files.run_table(tmp_path, [*lines, lines[3], near])
  assert manifest.report['dropped']['exact duplicate'] == 1
  rows = raw_files.read(tmp_path)
  assert sorted(row['row_id'] for row in rows) == [*range(20), 21]


def test_several_files_hold_whole_sessions(tmp_path):
  lines = [raw_files.HEADER]
  for i in range(90):
    lines.append(f'u{i // 3},i{i % 4},{(i // 3) * 10**7 + i % 3},1,0,0')
  manifest = raw_files.run_table(tmp_path, lines, rows_per_file=10)
  files = manifest.splits['train'].files
  assert len(files) == 6
  seen = []
  for file in files:
    table = pq.read_table(tmp_path / 'out' / file, partitioning=None)
    ids = table['session_id'].to_pylist()
    assert ids == sorted(ids)
    assert not set(ids) & set(seen)
    seen += ids
  assert seen == [i // 3 for i in range(54)]


def test_spilling_to_disk_changes_nothing_and_leaves_nothing(tmp_path):
  lines = raw_files.table_lines(60_000)
  found = []
  for name, limit in (('a', ''), ('b', '40MB')):
    (tmp_path / name).mkdir()
    raw_files.run_table(tmp_path / name, lines, memory_limit=limit, threads=1)
    found.append(raw_files.read(tmp_path / name, 'test'))
  assert found[0] == found[1]
  assert sorted(p.name for p in (tmp_path / 'b' / 'out').iterdir()) == [
    'manifest.json',
    'past',
    'test',
    'train',
    'validation',
    'vocabulary',
  ]


def row(at, **changes):
  """The lines of a good table, one row of it changed."""
  lines = raw_files.table_lines(20)
  names = raw_files.HEADER.split(',')
  values = dict(zip(names, lines[at].split(','), strict=True))
  lines[at] = ','.join((values | changes).values())
  return lines


@pytest.mark.parametrize(
  ('lines', 'words'),
  [
    (row(7, ts='noon'), ("row 8, column 'ts': 'noon', expected a whole",)),
    (
      row(7, price='cheap'),
      ("row 8, column 'price': 'cheap', expected a num",),
    ),
    (row(7, clicked='2'), ("row 8, column 'clicked': '2', expected 0 or 1",)),
    (
      row(7, clicked='0', bought='1'),
      ("row 8, column 'bought': '1', expected 0 where", 'clicked'),
    ),
    (row(7, user=''), ("row 8, column 'user': nothing, expected a session",)),
    ([], ('is empty',)),
    (
      raw_files.table_lines(1),
      (
        '1 row in 1 session cannot be split 6:2:2',
        'would be empty; --split_by=random draws sessions, --split_column',
      ),
    ),
    ([raw_files.HEADER, 'u,i,0'], ('row 2: 3 values, expected 6',)),
  ],
)
def test_bad_tables(tmp_path, lines, words):
  raw_files.write(tmp_path / 'raw' / 'log.csv', lines)
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  call = lambda: raw_files.run(
    tmp_path, 'table', tmp_path / 'raw' / 'log.csv', schema=schema
  )
  raw_files.fails(tmp_path, call, 'log.csv: ', *words)


def test_killed_run_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
  class Killed(BaseException):
    pass

  def killed(*args, **kwargs):
    raise Killed

  # As if the power went: nothing of ours runs any more.
  monkeypatch.setattr(manifest_file, 'write', killed)
  monkeypatch.setattr(partial.shutil, 'rmtree', lambda *a, **k: None)
  with pytest.raises(Killed):
    raw_files.run_table(tmp_path, raw_files.table_lines(20))
  assert not (tmp_path / 'out').exists()
  assert not list(tmp_path.rglob('manifest.json'))
