"""What an extension refuses, and what it leaves as it was."""

from __future__ import annotations

import dataclasses
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file
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
  'categorical': ['user', 'item', 'color'],
  'numeric': ['price'],
  'tasks': [{'name': 'click', 'column': 'clicked', 'known_after_seconds': 60}],
}


def lines(first, last, item='i', color='red', price=1.0):
  """A row an hour, of two users."""
  header = 'user,item,color,price,ts,clicked'
  return [header] + [
    f'{h % 2},{item}{h % 3},{color},{price * (h % 7)},{START + h * HOUR},'
    f'{h % 2}'
    for h in range(first, last)
  ]


@pytest.fixture
def data(tmp_path):
  """Prepared data of 20 hours, with an end."""
  raw_files.write(tmp_path / 'old.csv', lines(0, 20))
  raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)
  config = prepare_settings.PrepareConfig(
    raw_dir=str(tmp_path / 'old.csv'),
    data_dir=str(tmp_path / 'old'),
    schema=str(tmp_path / 'schema.json'),
    until='2023-11-15T18:00',
    as_of=('none',),
  )
  assert START + 20 * HOUR == 1_700_071_200_000  # 18:00
  prepare_log.prepare(config)
  return tmp_path


def extend(tmp_path, rows, **options):
  raw_files.write(tmp_path / 'new.csv', rows)
  return prepare_log.prepare(
    prepare_settings.PrepareConfig(
      raw_dir=str(tmp_path / 'new.csv'),
      **{
        'data_dir': str(tmp_path / 'new'),
        'extend': str(tmp_path / 'old'),
        **options,
      },
    )
  )


def vocabulary(place, field):
  return pq.read_table(place / 'vocabulary' / f'{field}.parquet').to_pydict()


def test_old_files_are_linked_and_old_data_stay(data):
  before = {p: p.read_bytes() for p in (data / 'old').rglob('*') if p.is_file()}
  manifest = extend(data, lines(20, 30))
  assert before == {
    p: p.read_bytes() for p in (data / 'old').rglob('*') if p.is_file()
  }
  contract.check(data / 'new')
  old = manifest_file.read(data / 'old')
  pairs = zip(
    manifest.splits['train'].files,
    (*old.splits['train'].files, *old.splits['validation'].files),
    strict=True,
  )
  for new_name, old_name in pairs:
    assert os.path.samefile(data / 'new' / new_name, data / 'old' / old_name)
  assert manifest.splits['validation'].end_ms == START + 20 * HOUR
  # The test split goes on to the log's end, which nobody said.
  assert manifest.splits['test'].end_ms is None
  assert manifest.splits['test'].rows == 10
  assert manifest.options['extended'] == [
    {
      'data': str(data / 'old'),
      'since': '2023-11-15T18:00:00+00:00',
      'until': None,
      'rows': 10,
      'first_row_id': 20,
    }
  ]


def test_vocabularies_grow_at_their_end(data):
  rows = (
    lines(20, 23, item='n', color='blue') + lines(23, 24, color='green')[1:]
  )
  manifest = extend(data, rows)
  old, new = (vocabulary(data / n, 'color') for n in ('old', 'new'))
  # Green is in one new row, and min_count is 2. None is a train row yet.
  assert new['value'] == [*old['value'], 'blue']
  assert new['count'][-1] == 0
  sizes = {f.name: f.size for f in manifest.fields}
  assert sizes['color'] == 3 and manifest.report['new_values']['color'] == 1
  found = pq.read_table(data / 'new' / manifest.splits['test'].files[0])
  assert found['f_color'].to_pylist() == [2, 2, 2, 0]


def test_a_row_before_the_seam_is_named(data):
  raw_files.write(data / 'new.csv', [])
  raw_files.fails(
    data,
    lambda: extend(data, [*lines(20, 23), lines(19, 20)[1]]),
    f"new.csv: row 5, column 'ts': '{START + 19 * HOUR}'",
    'expected a time from 2023-11-15T18:00:00+00:00 on',
  )
  manifest = extend(data, lines(10, 23), since='2023-11-15T18:00')
  assert manifest.splits['test'].rows == 3
  assert manifest.report['dropped']['outside of since and until'] == 10


def test_data_that_can_not_be_extended(data):
  raw_files.write(data / 'new.csv', [])
  config = prepare_settings.PrepareConfig(
    raw_dir=str(data / 'old.csv'),
    data_dir=str(data / 'old'),
    schema=str(data / 'schema.json'),
    overwrite=True,
    as_of=('none',),
  )
  for changes, words in (
    ({'split_by': 'random'}, 'its splits do not follow each other in time'),
    ({}, 'has rows or labels up to 2023-11-15T17:01:00'),
  ):
    prepare_log.prepare(dataclasses.replace(config, **changes))
    rows = lines(19, 23)
    if not changes:
      # Seconds after the last row, its label was not known.
      rows = [rows[0], *(r.replace('00000,', '00001,') for r in rows[1:])]
    raw_files.fails(data, lambda rows=rows: extend(data, rows), words)
  # With no end, the new rows' first time is one where all labels are known.
  manifest = extend(data, lines(20, 23))
  assert manifest.splits['validation'].end_ms == START + 20 * HOUR
  contract.check(data / 'new')
  raw_files.fails(
    data,
    lambda: extend(data, lines(20, 23), data_dir=str(data / 'old')),
    'which is extended; name another directory',
  )


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
    ('past/rows-00000.parquet', 'y_click', 4, 1),
  ],
)
def test_a_value_that_changed_is_found(data, name, column, row, value):
  """Any of these would pass for what prepare wrote."""
  extend(data, lines(20, 30))

  def add():
    options = {'data_dir': str(data / 'more'), 'extend': str(data / 'new')}
    extend(data, lines(30, 40), **options)

  _change(data / 'new' / name, column, row, value)
  fault = f'{data}/new/{name}: damaged, or changed since'
  raw_files.fails(data, add, fault)
  raw_files.fails(data, lambda: contract.check(data / 'new'), fault)
  if name.startswith('vocabulary'):  # which a run copies
    raw_files.fails(
      data,
      lambda: workdir.create(data / 'run', paper.config(), data / 'new'),
      fault,
    )
