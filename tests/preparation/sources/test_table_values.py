"""Values, files and folders of a user's own table, as they come."""

from __future__ import annotations

import math

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
    (('false', 'TRUE'), {}),
    (('no', 'yes'), {'positive': ['yes'], 'negative': ['no']}),
    (('view', 'buy'), {'negative': ['view', 'cart']}),
    ((None, 'x'), {'positive': ['x'], 'negative': ['']}),
    (('1.0', '2.0'), {'positive': ['2'], 'negative': ['1']}),
    (('3.9', '4e0'), {'at_least': 4.0}),
  ],
)
def test_labels(tmp_path, form, values, words):
  table = columns(clicked=[values[n] for n in LABELS])
  path = write(tmp_path / f'log.{form}', table)
  manifest = run(tmp_path, path, tasks=[{'column': 'clicked', **words}])
  assert labels(tmp_path) == LABELS
  stored = manifest.options['schema']['tasks'][0]
  assert {k: stored[k] for k in words} == words


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
