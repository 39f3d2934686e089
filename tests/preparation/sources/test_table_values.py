"""Values, files and folders of a user's own table, as they come."""

from __future__ import annotations

import decimal
import math
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.preparation import raw_files

ROWS = 20
HOUR = 3_600_000
LABELS = [i % 2 for i in range(ROWS)]


def columns(**changes):
  base = {
    'user': [f'u{i % 3}' for i in range(ROWS)],
    'item': [f'i{i % 4}' for i in range(ROWS)],
    'ts': [i * HOUR for i in range(ROWS)],
    'price': [i / 2 for i in range(ROWS)],
    'clicked': LABELS,
  }
  return base | changes


def schema(tmp_path, **changes):
  record = {'numeric': ['price'], 'tasks': ['clicked'], **changes}
  return raw_files.write_schema(tmp_path / 'schema.json', **record)


def lines(table, delimiter=','):
  rows = zip(*table.values(), strict=True)
  return [
    delimiter.join(table),
    *(delimiter.join('' if v is None else str(v) for v in r) for r in rows),
  ]


def write(path, table, delimiter=','):
  """Writes a table as the name says."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.parquet':
    pq.write_table(pa.table(table), path)
  elif path.suffix == '.zst':
    with pa.CompressedOutputStream(str(path), 'zstd') as file:
      file.write('\n'.join(lines(table, delimiter)).encode())
  else:
    raw_files.write(path, lines(table, delimiter))
  return path


def run(tmp_path, raw_dir, **changes):
  return raw_files.run(
    tmp_path, 'table', raw_dir, schema=schema(tmp_path, **changes)
  )


def labels(tmp_path, task='clicked'):
  rows = sorted(raw_files.read(tmp_path), key=lambda row: row['row_id'])
  return [row[f'y_{task}'] for row in rows]


@pytest.mark.parametrize('form', ['csv', 'parquet'])
@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ((False, True), {}),
    (('false', 'TRUE'), {}),
    (('no', 'yes'), {'positive': ['yes'], 'negative': ['no']}),
    (('n', 'y'), {'positive': ['y', 'Y']}),
    (('view', 'buy'), {'negative': ['view', 'cart']}),
    ((None, 'x'), {'positive': ['x'], 'negative': ['']}),
    ((1.0, 2.0), {'positive': ['2'], 'negative': ['1']}),
    (('1.0', '2.0'), {'positive': ['2'], 'negative': ['1']}),
    ((0, 1), {}),
    ((3, 4), {'at_least': 4.0}),
    (('3.9', '4e0'), {'at_least': 4.0}),
    ((-2.5, math.inf), {'at_least': -2.25}),
    ((0.1, 0.5), {'at_least': 0.5}),
  ],
)
def test_labels(tmp_path, form, values, words):
  table = columns(clicked=[values[n] for n in LABELS])
  path = write(tmp_path / f'log.{form}', table)
  manifest = run(tmp_path, path, tasks=[{'column': 'clicked', **words}])
  assert labels(tmp_path) == LABELS
  stored = manifest.options['schema']['tasks'][0]
  assert {k: stored[k] for k in words} == words


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_a_label_that_is_no_declared_word(tmp_path, form):
  values = ['yes', 'no', None, 'maybe'] * 5
  path = write(tmp_path / f'log.{form}', columns(clicked=values))
  task = {'column': 'clicked', 'positive': ['yes'], 'negative': ['no']}
  row = 4 + (form == 'csv')
  schema(tmp_path, tasks=[task])
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, path, tasks=[task]),
    f"row {row}, column 'clicked': 'maybe', expected one of 'yes', 'no'",
  )
  path = write(tmp_path / f'log.{form}', columns(clicked=['yes', None] * 10))
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, path, tasks=[task]),
    f"row {row - 2}, column 'clicked': nothing, expected one of 'yes'",
  )


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_a_label_from_a_number_on_is_no_text(tmp_path, form):
  values = [
    None if i == 9 else '5' if n else 'two' for i, n in enumerate(LABELS)
  ]
  path = write(tmp_path / f'log.{form}', columns(clicked=values))
  tasks = [{'column': 'clicked', 'at_least': 4}]
  schema(tmp_path, tasks=tasks)
  row = 1 + LABELS.index(0) + (form == 'csv')
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, path, tasks=tasks),
    f"row {row}, column 'clicked': 'two', expected a number",
  )


@pytest.mark.parametrize(
  'words', [{}, {'positive': ['1']}, {'negative': ['0']}, {'at_least': 1}]
)
@pytest.mark.parametrize('nothing', [None, math.nan, -math.nan])
def test_nan_is_a_missing_label(tmp_path, words, nothing):
  """Parquet's statistics, which leave NaN out, are no reason to overlook it."""
  values = [nothing if i % 5 == 4 else float(n) for i, n in enumerate(LABELS)]
  path = write(tmp_path / 'log.parquet', columns(clicked=values))
  task = {'column': 'clicked', **words}
  schema(tmp_path, tasks=[task])
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, path, tasks=[task]),
    "row 5, column 'clicked': n",
    '"null": "not_observed" in its task takes missing labels',
  )
  run(tmp_path, path, tasks=[task | {'null': 'not_observed'}])
  rows = sorted(raw_files.read(tmp_path), key=lambda row: row['row_id'])
  observed = [float(i % 5 != 4) for i in range(ROWS)]
  assert [row['w_clicked'] for row in rows] == observed
  assert labels(tmp_path) == [
    n * w for n, w in zip(LABELS, observed, strict=True)
  ]


def test_nan_is_no_category_and_no_time_of_a_label(tmp_path):
  """Of either sign: 0.0 / 0.0 is a NaN with one on most machines."""
  nothing = [math.nan, -math.nan, None]
  table = columns(
    item=[nothing[i % 3] if i % 2 else float(i % 4) for i in range(ROWS)],
    tags=[[nothing[i % 3], 7.0, 2.5] for i in range(ROWS)],
    clicked=[nothing[i % 3] if i % 2 else i * 3600.0 for i in range(ROWS)],
  )
  time = {'column': 'clicked', 'unit': 's'}
  run(
    tmp_path,
    write(tmp_path / 'log.parquet', table),
    categorical=['item'],
    multi_valued=['tags'],
    tasks=[{'name': 'clicked', 'time_column': time}],
  )
  assert raw_files.vocabulary(tmp_path, 'item') == [None, '0', '2']
  assert raw_files.vocabulary(tmp_path, 'tags') == [None, '2.5', '7']
  assert labels(tmp_path) == [1 - n for n in LABELS]


def test_a_label_may_be_a_weight_too(tmp_path):
  table = columns(seconds=[i + 1 for i in range(ROWS)])
  path = write(tmp_path / 'log.csv', table)
  task = {'column': 'seconds', 'kind': 'regression', 'weight': 'seconds'}
  run(tmp_path, path, tasks=[task])
  assert labels(tmp_path, 'seconds') == [i + 1.0 for i in range(ROWS)]
  rows = raw_files.read(tmp_path)
  assert all(row['w_seconds'] == row['y_seconds'] for row in rows)


@pytest.mark.parametrize(
  'kind',
  [
    *(pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64()),
    *(pa.float32(), pa.decimal128(9, 2), pa.decimal256(40, 1)),
  ],
)
def test_numbers_of_any_type_are_one_id(tmp_path, kind):
  values = [decimal.Decimal(i % 4) for i in range(ROWS)]
  if not pa.types.is_decimal(kind):
    values = [int(value) for value in values]
  table = columns(
    item=pa.array(values, kind), price=pa.array(values, kind), user=values
  )
  run(tmp_path, write(tmp_path / 'log.parquet', table))
  assert {*raw_files.vocabulary(tmp_path, 'item')} == {None, *'0123'}
  found = [round(row['x_price'], 4) for row in raw_files.read(tmp_path)]
  assert found[:8] == found[4:12] and len({*found}) == 4


def test_dictionaries_and_booleans_are_categories(tmp_path):
  table = columns(
    item=pa.array(columns()['item']).dictionary_encode(),
    user=[i % 3 == 0 for i in range(ROWS)],
    clicked=pa.array([str(n) for n in LABELS]).dictionary_encode(),
  )
  run(tmp_path, write(tmp_path / 'log.parquet', table))
  assert {*raw_files.decoded(tmp_path, 'item')} == {'i0', 'i1', 'i2', 'i3'}
  assert {*raw_files.decoded(tmp_path, 'user')} == {'false', 'true'}
  assert labels(tmp_path) == LABELS


@pytest.mark.parametrize(
  ('name', 'delimiter', 'changes'),
  [
    ('log.csv', ';', {'delimiter': ';'}),
    ('log.csv', '|', {'delimiter': '|'}),
    ('log.csv', '\t', {'delimiter': '\t'}),
    ('log.tsv', '\t', {}),
    ('log.tsv.gz', '\t', {}),
    ('LOG.TSV', '\t', {}),
    ('log.tsv.csv', ',', {}),
    ('log.csv.zst', ',', {}),
    ('log.tsv.zst', '|', {'delimiter': '|'}),
  ],
)
def test_forms_of_text(tmp_path, name, delimiter, changes):
  path = write(tmp_path / name, columns(), delimiter)
  run(tmp_path, path, **changes)
  assert labels(tmp_path) == LABELS
  table = columns(clicked=[0, 'often'] * 10)
  write(path, table, delimiter)
  (tmp_path / 'out').rename(tmp_path / 'before')
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, path, **changes),
    f"{name}: row 3, column 'clicked': 'often', expected a number; if it is a"
    ' word, list the words that mean 1 in the schema\'s task, as in "positive":'
    ' ["yes"]',
  )


def test_damaged_zstd_is_told(tmp_path):
  path = write(tmp_path / 'log.csv.zst', columns())
  path.write_bytes(path.read_bytes()[:-9])
  schema(tmp_path)
  line = raw_files.fails(tmp_path, lambda: run(tmp_path, path))
  assert 'log.csv.zst' in line


@pytest.mark.parametrize('form', ['csv', 'parquet', 'csv.gz'])
def test_folders_give_the_columns_that_files_lack(tmp_path, form):
  table = pa.table(columns())
  for day, part, first, count in (
    *(('a b', 0, 0, 4), ('a b', 1, 4, 4)),
    ('c', 0, 8, 12),
  ):
    name = day.replace(' ', '%20')
    write(
      tmp_path / 'raw' / f'day={name}' / 'rank=3' / f'part-{part}.{form}',
      table.slice(first, count).to_pydict(),
    )
  hidden = tmp_path / 'raw' / '_temporary' / f'part-0.{form}'
  write(hidden, {'nothing': [1]})
  (tmp_path / 'raw' / '_SUCCESS').write_text('')
  manifest = run(
    tmp_path,
    tmp_path / 'raw',
    categorical=['user', 'item', 'day'],
    numeric=['price', 'rank'],
  )
  assert labels(tmp_path) == LABELS
  assert raw_files.decoded(tmp_path, 'day') == ['a b'] * 8 + ['c'] * 12
  assert [file['name'] for file in manifest.source_files] == [
    f'day=a%20b/rank=3/part-0.{form}',
    f'day=a%20b/rank=3/part-1.{form}',
    f'day=c/rank=3/part-0.{form}',
  ]
  assert (
    next(f for f in manifest.fields if f.name == 'rank').details['mean'] == 3
  )


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_folders_that_name_no_number(tmp_path, form):
  path = write(tmp_path / 'raw' / 'rank=high' / f'log.{form}', columns())
  changes = {'numeric': ['price', 'rank']}
  schema(tmp_path, **changes)
  line = raw_files.fails(
    tmp_path, lambda: run(tmp_path, path, **changes), 'expected a number'
  )
  assert 'rank' in line and 'high' in line


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_a_files_own_column_wins(tmp_path, form):
  table = columns()
  write(tmp_path / 'raw' / 'item=5' / f'log.{form}', table)
  run(tmp_path, tmp_path / 'raw')
  assert {*raw_files.decoded(tmp_path, 'item')} == {'i0', 'i1', 'i2', 'i3'}


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_a_folder_may_stand_for_nothing(tmp_path, form):
  names = ['A', 'NULL', '__HIVE_DEFAULT_PARTITION__']
  table = pa.table(columns())
  for i, name in enumerate(names):
    part = table.slice(7 * i, 7).to_pydict()
    write(tmp_path / 'raw' / f'page={name}' / f'log.{form}', part)
  run(
    tmp_path,
    tmp_path / 'raw',
    categorical=['user', 'item', 'page'],
    missing=['NULL'],
  )
  assert raw_files.decoded(tmp_path, 'page') == ['A'] * 7 + [None] * 13


TIMED = {
  'tasks': [
    'clicked',
    {
      'name': 'bought',
      'after': 'clicked',
      'time_column': {'column': 'bought_at', 'unit': 's', 'null': ['0']},
    },
  ]
}


def timed(**changes):
  """Every fourth row was bought, half an hour after it was shown."""
  at = [
    i * 3600 + 1800 if i % 4 == 1 else (None, 0)[i % 2] for i in range(ROWS)
  ]
  return columns(bought_at=at, **changes)


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_labels_that_are_times(tmp_path, form):
  manifest = run(tmp_path, write(tmp_path / f'log.{form}', timed()), **TIMED)
  assert labels(tmp_path, 'bought') == [int(i % 4 == 1) for i in range(ROWS)]
  stored = manifest.options['schema']['tasks'][1]
  assert stored == TIMED['tasks'][1]
  # When they become known is exact, so the features of feedback are made.
  (tmp_path / 'out').rename(tmp_path / 'before')
  manifest = raw_files.run(
    tmp_path,
    'table',
    tmp_path / f'log.{form}',
    schema=schema(tmp_path, **TIMED),
    as_of=('feedback',),
  )
  names = {field.name for field in manifest.fields}
  assert {'asof_session_boughts', 'asof_since_bought'} <= names


def test_labels_that_come_after_their_split(tmp_path):
  """Row 11 is train's last: it was bought a day later, which is too late."""
  table = timed(clicked=[1] * ROWS)
  table['bought_at'][11] = 10**6
  run(tmp_path, write(tmp_path / 'log.parquet', table), **TIMED)
  assert labels(tmp_path, 'bought')[11] == 0.0
  assert labels(tmp_path, 'bought')[9] == 1.0


@pytest.mark.parametrize(
  ('values', 'tasks', 'message'),
  [
    (
      {'bought_at': ['soon'] * ROWS},
      TIMED['tasks'],
      "row 1, column 'bought_at': 'soon', expected a number",
    ),
    (
      {'bought_at': [None] * 5 + [10**12] * 15},
      TIMED['tasks'],
      "row 6, column 'bought_at': 1000000000000, expected a time between",
    ),
    (
      {'bought_at': [7200] * ROWS},
      TIMED['tasks'],
      "row 1, column 'bought_at': 7200, expected nothing where 'clicked' is 0",
    ),
  ],
)
def test_times_of_labels_at_fault(tmp_path, values, tasks, message):
  path = write(tmp_path / 'log.parquet', columns(**values))
  schema(tmp_path, tasks=tasks)
  raw_files.fails(tmp_path, lambda: run(tmp_path, path, tasks=tasks), message)


def test_other_files_in_a_folder_are_left_alone(tmp_path):
  """Prepared data beside the log are no part of it, nor hidden folders."""
  raw = tmp_path / 'raw'
  write(raw / 'a' / 'log.parquet', columns())
  for folder in ('.trash', '_old'):
    write(raw / folder / 'log.parquet', {'nothing': [1]})
  write(raw / 'data' / 'train' / 'part.parquet', {'nothing': [1]})
  (raw / 'data' / 'manifest.json').write_text('{}')
  run(tmp_path, raw)
  assert labels(tmp_path) == LABELS


def test_folders_that_are_no_text(tmp_path):
  folder = tmp_path / 'raw' / os.fsdecode(b'day=\xff')
  write(folder / 'log.csv', columns())
  changes = {'categorical': ['user', 'item', 'day']}
  schema(tmp_path, **changes)
  raw_files.fails(
    tmp_path,
    lambda: run(tmp_path, tmp_path / 'raw', **changes),
    'which is not valid UTF-8',
  )
