"""Raw rows to predict for, and histories, in every form of file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.serving import raw_rows
from tests.preparation import raw_files

LINES = ['a;b', '1;x', '2;y']


def read(log):
  return [row for chunk in log.chunks(10) for row in chunk.table.to_pylist()]


@pytest.mark.parametrize('name', ['log.csv.zst', 'log.csv.gz', 'log.tsv'])
def test_packed_text(tmp_path, name):
  path, sign = tmp_path / name, '\t' if '.tsv' in name else ';'
  text = [line.replace(';', sign) for line in LINES]
  if path.suffix == '.zst':
    with pa.CompressedOutputStream(str(path), 'zstd') as file:
      file.write('\n'.join(text).encode())
  else:
    raw_files.write(path, text)
  # The name of a .tsv tells its delimiter.
  with raw_rows.open_rows(str(path), '' if sign == '\t' else ';') as found:
    assert read(found) == [{'a': '1', 'b': 'x'}, {'a': '2', 'b': 'y'}]


def test_a_history_in_folders(tmp_path):
  for day in ('2024-05-01', '2024-05-02', '__HIVE_DEFAULT_PARTITION__'):
    folder = tmp_path / 'log' / f'day={day}' / 'B=3'
    folder.mkdir(parents=True)
    pq.write_table(pa.table({'a': [1], 'b': [2]}), folder / 'part.parquet')
  with raw_rows.open_log(str(tmp_path / 'log')) as parts:
    assert [part.schema.names for part in parts] == [['a', 'b', 'day']] * 3
    found = [row for part in parts for row in read(part)]
  # A file's own column wins, whatever its case.
  assert found == [
    {'a': 1, 'b': 2, 'day': '2024-05-01'},
    {'a': 1, 'b': 2, 'day': '2024-05-02'},
    {'a': 1, 'b': 2, 'day': None},
  ]
