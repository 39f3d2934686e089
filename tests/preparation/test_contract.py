from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import cli, types
from rmtl_jax.preparation import contract
from tests.preparation import raw_files

SCHEMA = {
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price', {'column': 'age', 'transform': 'bins', 'bins': 4}],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}


@pytest.fixture(scope='module')
def good(tmp_path_factory):
  """Prepared data: 30 sessions of three rows, train in two files."""
  path = tmp_path_factory.mktemp('good')
  lines = ['session,user,item,tags,price,age,ts,clicked,bought']
  for i in range(90):
    session, step = divmod(i, 3)
    click, buy = int(i % 2 == 0), int(i % 4 == 0)
    lines.append(
      f's{session},u{session % 5},i{i % 7},a|b{i % 3},{i / 2},{i % 11},'
      f'{session * 10**7 + step},{click},{buy}'
    )
  raw_files.run_table(
    path,
    lines,
    schema=raw_files.write_schema(path / 'schema.json', SCHEMA),
    rows_per_file=40,
  )
  return path / 'out'


@pytest.fixture
def data(good, tmp_path):
  """A copy of it, to be damaged."""
  return shutil.copytree(good, tmp_path / 'data')


FIRST, SECOND = 'train/part-00000.parquet', 'train/part-00001.parquet'
VALIDATION = 'validation/part-00000.parquet'
TEST = 'test/part-00000.parquet'


def change(path, column, row, value):
  """Writes another value into one row, counted from 0."""
  table = pq.read_table(path, partitioning=None)
  at = table.schema.get_field_index(column)
  values = table[column].to_pylist()
  values[row] = value
  kind = table.schema.field(at).type
  pq.write_table(table.set_column(at, column, pa.array(values, kind)), path)


def rewrite(path, make):
  pq.write_table(make(pq.read_table(path, partitioning=None)), path)


def edit(data, *keys, value):
  """Sets an entry of the manifest."""
  record = json.loads((data / 'manifest.json').read_text())
  part = record
  for key in keys[:-1]:
    part = part[key]
  part[keys[-1]] = value
  (data / 'manifest.json').write_text(json.dumps(record))


def fails(data, *words):
  with pytest.raises(types.InputError) as caught:
    contract.check(data)
  line = str(caught.value)
  assert '\n' not in line
  for word in words:
    assert word in line, line


def test_what_prepare_writes_is_right(good):
  assert len(contract.check(good).splits['train'].files) == 2


@pytest.mark.parametrize(
  ('file', 'column', 'row', 'value', 'words'),
  [
    (FIRST, 'session_id', 4, 0, ['row 5', 'less than in the row before']),
    (FIRST, 'step', 4, 0, ['row 5', 'is 0, expected 0, 1, 2']),
    (SECOND, 'timestamp', 11, 10**12, ['row 12', 'expected less than']),
    (VALIDATION, 'timestamp', 0, 5, ['row 1', 'where the split before']),
    (FIRST, 'f_item', 7, 99, ['row 8', 'is 99', 'vocabulary, 0 to 7']),
    (
      FIRST,
      'y_conversion',
      1,
      1.0,
      ['row 2', 'is 1.0, expected 0 where y_click is 0'],
    ),
  ],
)
def test_a_value_that_breaks_a_rule(data, file, column, row, value, words):
  change(data / file, column, row, value)
  fails(data, str(data / file), repr(column), *words)


def test_a_session_in_two_files(data):
  one, two = (
    pq.read_table(data / f, partitioning=None) for f in (FIRST, SECOND)
  )
  pq.write_table(one.slice(0, len(one) - 1), data / FIRST)
  pq.write_table(
    pa.concat_tables([one.slice(len(one) - 1), two]), data / SECOND
  )
  fails(data, SECOND, 'row 1', 'all rows of a session in one file')


def renumber(path, number):
  """Gives sessions other ids: a function of the ones that they have."""

  def make(table):
    ids = pa.array(number(table['session_id'].to_numpy()))
    return table.set_column(0, 'session_id', ids)

  rewrite(path, make)


def test_a_session_in_two_splits(data):
  # Ids of validation lie between those of train, in other rooms, then in one.
  for file in (FIRST, SECOND, TEST):
    renumber(data / file, lambda ids: 2 * ids)
  renumber(data / VALIDATION, lambda ids: 2 * ids - 35)
  contract.check(data)
  renumber(data / VALIDATION, lambda ids: ids + 1)
  fails(data, "'session_id'", 'session 2 is in train and in validation')


@pytest.mark.parametrize(
  ('keys', 'value', 'words'),
  [
    (['rows'], 55, ['has 54 rows', 'has 55']),
    (['positives', 'click'], 1, ["positives: 'click' is 1", '27']),
    (['files'], [FIRST], [SECOND, 'is not listed']),
    (
      ['files'],
      [FIRST, VALIDATION],
      ["'validation/", 'expected one in train/'],
    ),
    (['files'], [FIRST, 'train/gone.parquet'], ['gone.parquet', 'is missing']),
  ],
)
def test_a_manifest_that_says_something_else(data, keys, value, words):
  edit(data, 'splits', 'train', *keys, value=value)
  fails(data, *words)


def words(data, field, make):
  rewrite(data / 'vocabulary' / f'{field}.parquet', make)


def replaced(column, row, value):
  def make(table):
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    kind = table.schema.field(at).type
    return table.set_column(at, column, pa.array(values, kind))

  return make


@pytest.mark.parametrize(
  ('make', 'expected'),
  [
    (lambda t: t.slice(0, 3), ['has 3 rows, manifest.json has 8']),
    (replaced('value', 0, 'i'), ['row 1', "'i' expected null"]),
    (replaced('value', 3, 'i0'), ["'i0' occurs twice"]),
    (replaced('count', 2, -5), ['row 3', "'count': -5"]),
    (
      lambda t: t.set_column(0, 'value', pa.array(range(len(t)))),
      ["'value': is int64, expected text"],
    ),
  ],
)
def test_a_vocabulary_that_is_wrong(data, make, expected):
  words(data, 'item', make)
  fails(data, 'vocabulary/item.parquet', *expected)


def test_command(good, data, capsys):
  assert cli.main(['rmtl', 'prepare', '--check', f'--data_dir={good}']) == 0
  out = capsys.readouterr().out
  assert 'satisfies the contract of prepared data' in out
  change(data / FIRST, 'f_item', 7, 99)
  assert cli.main(['rmtl', 'prepare', '--check', f'--data_dir={data}']) == 2
  assert "row 8, column 'f_item'" in capsys.readouterr().err
  assert cli.main(['rmtl', 'prepare', '--check']) == 2
  assert '--data_dir: is needed' in capsys.readouterr().err
