from __future__ import annotations

import pathlib

import duckdb
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.preparation import encode, writer


def prepared(path: pathlib.Path) -> pathlib.Path:
  path.mkdir(parents=True)
  (path / 'manifest.json').write_text('{}')
  (path / 'old').write_text('old')
  return path


def fill(target, overwrite=False):
  with writer.new_directory(target, overwrite) as directory:
    (directory / 'new').write_text('new')


def test_failure_keeps_what_was_there(tmp_path):
  target = prepared(tmp_path / 'out')
  with (
    pytest.raises(ValueError),
    writer.new_directory(target, overwrite=True),
  ):
    raise ValueError
  assert sorted(p.name for p in target.iterdir()) == ['manifest.json', 'old']
  assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize('overwrite', [False, True])
def test_other_contents_are_never_replaced(tmp_path, overwrite):
  target = tmp_path / 'out'
  target.mkdir()
  (target / 'thesis.tex').write_text('')
  with pytest.raises(types.InputError, match='not prepared data'):
    fill(target, overwrite)
  assert (target / 'thesis.tex').exists()


def test_parts_end_with_a_session(tmp_path):
  with duckdb.connect() as connection:
    # Sessions of 3 rows: 4 in train, 1 in each of the others.
    connection.execute(
      'CREATE TABLE log AS SELECT range // 3 AS session_id, range % 3 AS step,'
      ' greatest(range // 3 - 3, 0) AS split, range AS row_id FROM range(18)'
    )
    rows = encode.Encoded('log', ('step', 'session_id', 'row_id'), (), {}, {})
    done = []
    files = writer.write_parts(connection, rows, tmp_path, 4, done.append)
  assert files == {
    'train': tuple(f'train/part-0000{i}.parquet' for i in range(3)),
    'validation': ('validation/part-00000.parquet',),
    'test': ('test/part-00000.parquet',),
  }
  found = [
    pq.read_table(tmp_path / file)['row_id'].to_pylist()
    for names in files.values()
    for file in names
  ]
  # A file's first session is the first that starts in its four rows.
  assert found == [
    [0, 1, 2, 3, 4, 5],
    [6, 7, 8],
    [9, 10, 11],
    [12, 13, 14],
    [15, 16, 17],
  ]
  assert done == pytest.approx([6 / 18, 9 / 18, 12 / 18, 15 / 18, 1])
