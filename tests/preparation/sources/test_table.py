from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.preparation import raw_files

ROWS = 20


def columns(**changes):
  """Columns of a Parquet table: one session a row, an hour apart."""
  base = {
    'visit': [f'v{i:02d}' for i in range(ROWS)],
    'ts': [i * 3_600_000 for i in range(ROWS)],
    'item': [i % 4 for i in range(ROWS)],
    'tags': [[str(t) for t in range(i % 3)] for i in range(ROWS)],
    'y': [i % 2 for i in range(ROWS)],
  }
  return base | changes


def schema(tmp_path, **changes):
  record = {
    'session': 'visit',
    'time': {'column': 'ts'},
    'categorical': ['item'],
    'tasks': ['y'],
  }
  return raw_files.write_schema(tmp_path / 'schema.json', record | changes)


def run(tmp_path, data, path=None, **options):
  changes = options.pop('changes', {})
  path = path or tmp_path / 'log.parquet'
  path.parent.mkdir(parents=True, exist_ok=True)
  pq.write_table(pa.table(data), path)
  raw_dir = options.pop('raw_dir', path)
  return raw_files.run(
    tmp_path, 'table', raw_dir, schema=schema(tmp_path, **changes), **options
  )


def run_csv(tmp_path, lines, name='log.csv', **changes):
  raw_files.write(tmp_path / name, lines)
  return raw_files.run(
    tmp_path, 'table', tmp_path / name, schema=schema(tmp_path, **changes)
  )


@pytest.mark.parametrize('form', ['lists', 'numbers', 'text', 'csv'])
def test_multi_valued(tmp_path, form):
  field = {'column': 'tags', 'separator': '|'}
  if form == 'csv':
    lines = ['visit,ts,item,tags,y']
    lines += [
      f'v{i:02d},{i * 3_600_000},1,{"|".join(map(str, range(i % 3)))},1'
      for i in range(ROWS)
    ]
    manifest = run_csv(tmp_path, lines, multi_valued=[field])
  else:
    data = columns()
    if form == 'text':
      data['tags'] = [' | '.join(tags) for tags in data['tags']]
    if form == 'numbers':
      data['tags'] = [[int(tag) for tag in tags] for tags in data['tags']]
    manifest = run(tmp_path, data, changes={'multi_valued': [field]})
  words = raw_files.vocabulary(tmp_path, 'tags')
  assert words == [None, '0', '1']
  found = [row['m_tags'] for row in raw_files.read(tmp_path)]
  assert found[:3] == [[0], [1], [1, 2]]
  assert manifest.fields[-1].width == 2


@pytest.mark.parametrize(
  ('other', 'expected'),
  [('', ['2', '3', '1', None, '1', '2']), ('x', ['2', '3', '1', 'x', '1.0'])],
)
@pytest.mark.parametrize('zeros', ['0', '00'])
def test_ids_of_which_one_file_has_floats(tmp_path, other, expected, zeros):
  """As pandas writes them where one is missing."""
  if other:
    expected = [*expected[:-1], f'1.{zeros}']
  floats = [f'{n}.{zeros}' for n in (1, 2, 3)]
  for name, ids in (('1', [*'123']), ('2', [other, *floats])):
    ids = (ids * ROWS)[: ROWS // 2]
    first = int(name) * ROWS
    lines = [f'v{i + first},{i + first},{n},0' for i, n in enumerate(ids)]
    path = tmp_path / 'raw' / f'{name}.csv'
    raw_files.write(path, ['visit,ts,item,y', *lines])
  raw_files.run(
    tmp_path,
    'table',
    tmp_path / 'raw',
    schema=schema(tmp_path),
    split=(18, 1, 1),
    min_count=1,
  )
  found = raw_files.decoded(tmp_path, 'item')[7:]
  # Of other text nobody says that it is a number.
  assert found[: len(expected)] == expected


def nothing(**changes):
  """Columns in which NULL and N/A stand for nothing."""
  return columns(
    item=['NULL' if i % 5 == 0 else f'i{i % 2}' for i in range(ROWS)],
    shop=['N/A'] * ROWS,
    price=['N/A' if i % 7 == 0 else str(i) for i in range(ROWS)],
    tags=['NULL' if i % 2 else 'a|NULL|b' for i in range(ROWS)],
    **changes,
  )


NOTHING = {
  'categorical': ['item', 'shop'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price'],
}


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_texts_that_stand_for_nothing(tmp_path, form):
  data, changes = nothing(), NOTHING | {'missing': ['NULL', 'N/A']}
  if form == 'csv':
    path = tmp_path / 'log.csv'
    pa_csv.write_csv(pa.table(data), path)
    manifest = raw_files.run(
      tmp_path, 'table', path, schema=schema(tmp_path, **changes)
    )
  else:
    manifest = run(tmp_path, data, changes=changes)
  assert manifest.options['schema']['missing'] == ['NULL', 'N/A']
  known = [None if i % 5 == 0 else f'i{i % 2}' for i in range(ROWS)]
  assert raw_files.decoded(tmp_path, 'item') == known
  words = raw_files.vocabulary(tmp_path, 'tags')
  tags = [[words[i] for i in row['m_tags']] for row in raw_files.read(tmp_path)]
  assert tags == [['a', 'b'] if i % 2 == 0 else [None] for i in range(ROWS)]
  prices = [row['x_price'] for row in raw_files.read(tmp_path)]
  assert [i for i, x in enumerate(prices) if x != x] == [0, 7, 14]
  assert manifest.report['warnings'] == [
    "field 'shop': one value over all train rows, so it is useless"
  ]
