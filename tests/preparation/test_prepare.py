from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import partial
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
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


@pytest.mark.parametrize(
  ('users', 'expected'),
  [
    ([9, 8, None, -9], [9, 8, None, -9]),
    (['9', '08', None, '-9'], [2, 1, None, 0]),
    (['9', '8', None, '-9'], [9, 8, None, -9]),
    (['b', 'c', 'a', 'b'], [1, 2, 0, 1]),
  ],
)
def test_users_become_numbers(tmp_path, users, expected):
  table = {
    'visit': [*range(20)],
    'user': users * 5,
    'item': ['i'] * 20,
    'ts': [i * 10**7 for i in range(20)],
    'clicked': [1] * 20,
  }
  pq.write_table(pa.table(table), tmp_path / 'log.parquet')
  schema = raw_files.write_schema(
    tmp_path / 'schema.json',
    session='visit',
    numeric=[],
    tasks=[{'column': 'clicked'}],
  )
  raw_files.run(tmp_path, 'table', tmp_path / 'log.parquet', schema=schema)
  found = [row['user_id'] for row in raw_files.read(tmp_path)]
  assert found == expected * 5


def test_duplicates_are_dropped_and_counted(tmp_path):
  lines = raw_files.table_lines(20)
  near = lines[3].replace('i2', 'i3')
  manifest = raw_files.run_table(tmp_path, [*lines, lines[3], near])
  assert manifest.report['dropped']['exact duplicate'] == 1
  rows = raw_files.read(tmp_path)
  assert sorted(row['row_id'] for row in rows) == [*range(20), 21]


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
