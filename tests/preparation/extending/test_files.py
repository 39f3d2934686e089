"""Files that are linked or copied, and what is said of those that are gone."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import contract, prepare_log
from rmtl_jax.runtime import workdir
from tests import paper
from tests.preparation import raw_files

HOUR = 3_600_000
START = 1_700_000_000_000 // HOUR * HOUR
SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'numeric': ['price'],
  'tasks': [{'name': 'click', 'column': 'clicked', 'known_after_seconds': 60}],
}


def write(path, first, last):
  """A row an hour, of two users with names."""
  rows = [
    f'u{h % 2},i{h % 3},{h % 7},{START + h * HOUR},{h % 2}'
    for h in range(first, last)
  ]
  raw_files.write(path, ['user,item,price,ts,clicked', *rows])
  return str(path)


def add(tmp_path, old, new, first, last):
  return prepare_log.prepare(
    prepare_settings.PrepareConfig(
      raw_dir=write(tmp_path / f'{new}.csv', first, last),
      data_dir=str(tmp_path / new),
      extend=str(tmp_path / old),
    )
  )


@pytest.fixture
def data(tmp_path):
  """Prepared data that were extended once."""
  config = prepare_settings.PrepareConfig(
    raw_dir=write(tmp_path / 'old.csv', 0, 20),
    data_dir=str(tmp_path / 'old'),
    as_of=('none',),
  )
  prepare_log.prepare(config, schema=SCHEMA)
  add(tmp_path, 'old', 'new', 20, 30)
  write(tmp_path / 'more.csv', 30, 40)
  return tmp_path


def _change(path, column, row, value):
  """Writes a file with another value: the old one may have other names."""
  table = pq.read_table(path)
  values = table[column].to_pylist()
  assert values[row] != value
  values[row] = value
  place, kind = table.column_names.index(column), table[column].type
  path.unlink()
  pq.write_table(table.set_column(place, column, pa.array(values, kind)), path)


@pytest.mark.parametrize(
  ('name', *('column', 'row', 'value')),
  [
    ('vocabulary/item.parquet', 'value', 1, 'i7'),
    ('past/rows-00000.parquet', 'y_0', 4, 1),
  ],
)
def test_a_value_that_changed_is_found(data, name, column, row, value):
  """Any of these would pass for what prepare wrote."""
  _change(data / 'new' / name, column, row, value)
  fault = f'{data}/new/{name}: damaged, or changed since'
  raw_files.fails(data, lambda: add(data, 'new', 'more', 30, 40), fault)
  raw_files.fails(data, lambda: contract.check(data / 'new'), fault)
  if name.startswith('vocabulary'):  # which a run copies
    raw_files.fails(
      data,
      lambda: workdir.create(data / 'run', paper.config(), data / 'new'),
      fault,
    )
  # Data that were prepared before there were digests.
  path = data / 'new' / 'manifest.json'
  record = json.loads(path.read_text())
  assert len(record.pop('digests')) == 5
  path.write_text(json.dumps(record))
  contract.check(data / 'new')
  add(data, 'new', 'more', 30, 40)
