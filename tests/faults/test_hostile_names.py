"""Odd paths, column names and values: prepare and predict against pyarrow.

What is stored of a row, and what a model would see of it, is what pyarrow
reads from the file that was named, whatever stands beside it.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import json
import math
import os
import pathlib
import random
import re
import tempfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import prepare
from rmtl_jax.serving import rows as rows_lib
from rmtl_jax.serving import scorer

ROWS = 15
ROLES = ('user', 'item', 'time', 'tags', 'price', 'click')
AS_OF = ('gap', 'position', 'views', 'counts', 'history')
FOLDERS = (
  *('file:', 's3:', 'http:', '~', '~root', 'a[1]', '[!a]', 'a*', 'q?', '**'),
  *('{a,b}', 'x y', "it's", '"q"', 'é', '日本', 'a\\b', '\\', '%20', '$HOME'),
  *('-dash', ';--', 'a#b', 'a\nb', 'a=b', 'b=', '=b', 'year=2024', '.hidden'),
)
NAMES = (
  *('rowid', 'ROWID', 'row_id', 'filename', 'file_row_number', 'file_index'),
  *('row_hash_of_all', 'row_hash_of_rest', 'session', 'user', 'timestamp'),
  *('position', 'scored', 'told', 'same', 'alone', 'chunk', 'log', 'split'),
  *('session_id', 'step', 'marker', 'c_rowid', 'f_item', 'x_price', 'y_click'),
  *('given_price', 'm_tags', 'select', 'order'),
  *('"', "'", '""', 'a"b', 'a.b', 'a b', ' a', '*', '?', '$1', '{0}', '%s'),
  *('bought', 'é', 'ß', '日本', '💥', 'x' * 300, 'NULL', '1', 'Mixed Case'),
)
TEXTS = (
  *('a', 'A', 'NULL', 'null', 'None', 'NaN', 'N/A', '\\N', "it's", '"', 'a,b'),
  *('é', ' x ', '0', '00', '1e5', '日本', '💥', 'a|b', 'a\nb', '*', '%', ''),
  *('x' * 2000, None),
)
NUMBERS = [0.0, -0.0, 1.5, -2.25, 1e-9, 1e12, 3.0, 0.1, float('nan'), None]
TAGS = ['', 'a', 'a|b', '|', ' a | b ', 'b||a', 'é| NULL', 'NULL', None]

CANCEL = [3.0, -0.0, -0.0, None, 0.0, -2.25, 1.5, -2.25, 1e-9, *[-0.0] * 6]
EPSILON = float(np.finfo(np.float64).eps)

MISSING = ('NULL', 'N/A', '\\N', 'None', "it's", 'a|b', '*')

FIRST_MS = 1_704_067_200_000
STEP_MS = 7_200_000


@dataclasses.dataclass(frozen=True)
class Case:
  """A raw file.

  Attributes:
    path: of the file, in its directory.
    relative: whether it is named from there.
    names: columns of ROLES, then others.
    values: per role and other column.
    missing: texts that stand for nothing.
  """

  path: str
  relative: bool
  names: list[str]
  values: list[list]
  missing: tuple[str, ...] = ()


def pools(role: str) -> list:
  return {'tags': TAGS, 'price': NUMBERS, 'click': [0, 1]}.get(role, TEXTS)


def values_of(seed: int, names: list[str]) -> list[list]:
  rng = random.Random(seed)
  roles = [*ROLES, *names[len(ROLES) :]]
  values = [rng.choices(pools(role), k=ROWS) for role in roles]
  values[ROLES.index('time')] = [FIRST_MS + STEP_MS * i for i in range(ROWS)]
  values[0] = [
    'somebody' if v in (None, '', *MISSING) else v for v in values[0]
  ]
  return values


@st.composite
def cases(draw) -> Case:
  text = st.text(
    st.characters(codec='utf-8', exclude_characters='\0\r\n\ufeff'),
    min_size=1,
    max_size=8,
  )
  name = st.sampled_from(NAMES) | text
  names = draw(
    st.lists(name, min_size=len(ROLES), max_size=9, unique_by=str.lower)
  )
  # Of one number: lists of values would take minutes to shrink.
  values = values_of(draw(st.integers(0, 2**32)), names)
  missing = tuple(draw(st.lists(st.sampled_from(MISSING), unique=True)))
  if missing:
    price = ROLES.index('price')
    values[price] = [missing[0] if v is None else str(v) for v in values[price]]
  # Names that would be columns, were folders read.
  own = [f'{n}=0' for n in names if '/' not in n and len(n) < 50]
  part = st.sampled_from([*FOLDERS, *own])
  folders = draw(st.lists(part, max_size=3))
  suffix = draw(st.sampled_from(['.csv', '.csv.gz', '.parquet']))
  path = '/'.join([*folders, draw(part) + suffix])
  return Case(path, draw(st.booleans()), names, values, missing)


def write(path: pathlib.Path, case: Case) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.parquet':
    table = dict(zip(case.names, case.values, strict=True))
    with path.open('wb') as file:
      pq.write_table(pa.table(table), file)
    return
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(path, 'wt', newline='', encoding='utf-8') as file:
    writer = csv.writer(file, lineterminator='\n', quoting=csv.QUOTE_ALL)
    writer.writerow(case.names)
    writer.writerows(zip(*case.values, strict=True))


def write_decoys(directory: pathlib.Path, case: Case) -> None:
  """Other files, with names that the case's matches as a pattern."""
  others = [
    case.path.replace('[1]', '1').replace('[!a]', 'b').replace('a*', 'ab'),
    case.path.replace('q?', 'qa').replace('**', 'c').replace('\\', ''),
    re.sub(r'[^/]+(?=\.)', 'z', case.path, count=0),
  ]
  other = dataclasses.replace(
    case, values=[['decoy'] * ROWS for _ in case.names]
  )
  for name in others:
    path = directory / name
    if not path.exists() and not any(p.is_file() for p in path.parents):
      write(path, other)


def read(path: pathlib.Path) -> pa.Table:
  """The file as pyarrow reads it, by its handle and not by its name."""
  with path.open('rb') as file:
    if path.suffix == '.parquet':
      return pq.ParquetFile(file).read()
    stream = gzip.GzipFile(fileobj=file) if path.suffix == '.gz' else file
    header = next(csv.reader([read_line(path)]))
    options = pa_csv.ConvertOptions(
      column_types=dict.fromkeys(header, pa.string()),
      null_values=[''],
      strings_can_be_null=True,
      quoted_strings_can_be_null=True,
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    return pa_csv.read_csv(stream, parse_options=parse, convert_options=options)


def read_line(path: pathlib.Path) -> str:
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(path, 'rt', encoding='utf-8', newline='') as file:
    return file.readline()


def schema_of(case: Case) -> dict:
  user, item, time, tags, price, click = case.names[: len(ROLES)]
  return {
    'user': user,
    'item': item,
    'time': {'column': time},
    'categorical': [
      {'column': user, 'name': 'user'},
      {'column': item, 'name': 'item'},
    ],
    'multi_valued': [{'column': tags, 'name': 'tags', 'separator': '|'}],
    'numeric': [{'column': price, 'name': 'price'}],
    'tasks': [{'name': 'click', 'column': click}],
    'missing': list(case.missing),
  }


class Recorder(scorer.Scorer):
  """Keeps what a model would see."""

  chunk_rows = 4
  lane_length = 8

  def __init__(self, data: pathlib.Path, manifest: manifest_lib.Manifest):
    super().__init__(data, manifest, (), False)
    self.seen = []

  def network(self, *inputs):
    raise AssertionError('`infer` needs none')

  def infer(self, inputs, starts):
    self.seen.append(inputs)
    return np.zeros((len(inputs.categorical), 1), np.float32)


def prepared_rows(
  data: pathlib.Path, manifest: manifest_lib.Manifest
) -> pa.Table:
  tables = [
    read(data / file)
    for split in manifest.splits.values()
    for file in split.files
  ]
  return pa.concat_tables(tables).sort_by('row_id')


def words_of(data: pathlib.Path, field: str) -> list:
  path = data / 'vocabulary' / f'{field}.parquet'
  return read(path)['value'].to_pylist()


def check_stored(case: Case, raw: pa.Table, data, manifest) -> None:
  """Prepared rows are what pyarrow reads of the file."""
  found = prepared_rows(data, manifest)
  user, item, time, tags, price, click = (
    [
      None if value in case.missing else value
      for value in raw.column(raw.column_names.index(name)).to_pylist()
    ]
    for name in case.names[: len(ROLES)]
  )
  assert found['row_id'].to_pylist() == list(range(ROWS))
  assert found['timestamp'].to_pylist() == list(map(int, time))
  assert found['y_click'].to_pylist() == list(map(float, click))
  train = range(manifest.splits['train'].rows)
  for name, values in (('user', user), ('item', item)):
    known = {values[row] for row in train} - {None, ''}
    words = words_of(data, name)
    stored = [words[i] for i in found[f'f_{name}'].to_pylist()]
    assert stored == [v if v in known else None for v in values]
  lists = [
    [
      tag.strip(' ')
      for tag in (value or '').split('|')
      if tag.strip(' ') not in ('', *case.missing)
    ]
    for value in tags
  ]
  known = {tag for row in train for tag in lists[row]}
  field = next(f for f in manifest.fields if f.name == 'tags')
  words = words_of(data, 'tags')
  for ids, tags_of in zip(found['m_tags'].to_pylist(), lists, strict=True):
    kept = [tag if tag in known else None for tag in tags_of[: field.width]]
    assert [words[i] for i in ids] == (kept or [None])
  numbers = np.array([np.nan if v in (None, '') else float(v) for v in price])
  details = next(f for f in manifest.fields if f.name == 'price').details
  inside = numbers[list(train)]
  inside = inside[~np.isnan(inside)]
  if len(inside):
    # Of values that cancel only their size says how far rounding may go.
    exact, size = math.fsum(inside) / len(inside), np.abs(inside).mean()
    assert abs(details['mean'] - exact) <= len(inside) * EPSILON * size
  scaled = (numbers - details['mean']) / details['deviation']
  np.testing.assert_allclose(
    found['x_price'].to_numpy(),
    np.where(np.isnan(scaled), 0, scaled).astype(np.float32),
    rtol=1e-6,
  )


def check_predicted(path: pathlib.Path, data, manifest) -> None:
  """What a model sees of the raw rows is what stands in prepared data."""
  model = Recorder(data, manifest)
  with (
    rows_lib.open_rows(str(path)) as rows,
    rows_lib.open_log(str(path)) as past,
  ):
    count = sum(len(p) for _, p in model.stream(rows, past))
  assert count == ROWS
  found = prepared_rows(data, manifest)
  categorical, multi_valued, numeric = (
    np.concatenate([inputs[kind] for inputs in model.seen]) for kind in range(3)
  )
  for i, field in enumerate(manifest.of_kind('categorical')):
    assert categorical[:, i].tolist() == found[field.column].to_pylist(), field
  for i, field in enumerate(manifest.of_kind('numeric')):
    assert numeric[:, i].tolist() == found[field.column].to_pylist()
  at = 0
  for field in manifest.of_kind('multi_valued'):
    slots = multi_valued[:, at : at + field.width].tolist()
    at += field.width
    shown = [[i for i in row if i >= 0] for row in slots]
    assert shown == found[field.column].to_pylist(), (
      shown,
      found[field.column].to_pylist(),
    )


def check(case: Case) -> None:
  with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
    directory = pathlib.Path(name)
    write(directory / case.path, case)
    write_decoys(directory, case)
    pathlib.Path('schema.json').write_text(json.dumps(schema_of(case)))
    where = pathlib.Path(case.path if case.relative else directory / case.path)
    data = where.parent / 'prepared'
    manifest = prepare.prepare(
      prepare_config.PrepareConfig(
        raw_dir=os.fspath(where),
        data_dir=os.fspath(data),
        schema='schema.json',
        min_count=1,
        as_of=AS_OF,
      )
    )
    check_stored(case, read(where), data, manifest)
    check_predicted(where, data, manifest)


def plain(path: str, relative: bool = False, **names: str) -> Case:
  columns = [names.get(role, role) for role in ROLES]
  return Case(path, relative, columns, values_of(0, columns))


def of_prices(path: str, prices: list) -> Case:
  case = plain(path)
  case.values[ROLES.index('price')] = prices
  return case


@pytest.mark.slow
@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(cases())
@hypothesis.example(plain('click=0/price=7/log.parquet'))
@hypothesis.example(plain('time=0/log.csv'))
@hypothesis.example(plain('log[1].csv'))
@hypothesis.example(plain('file:/log.parquet', relative=True))
@hypothesis.example(plain('log.csv', item='rowid', price='position'))
@hypothesis.example(
  plain('log.parquet', item='y_click', price='file_row_number')
)
@hypothesis.example(of_prices('log.parquet', CANCEL))
def test_named_file_and_columns_alone_are_read(case):
  check(case)


@pytest.mark.slow
def test_files_are_opened_in_one_place():
  readers = re.compile(
    r'\bread_(csv|parquet|\{)|\bpq\.(Parquet(File\b|D)|read_)'
  )
  package = pathlib.Path(rmtl_jax.__file__).parent
  found = {
    path.relative_to(package).as_posix()
    for path in package.rglob('*.py')
    if readers.search(path.read_text())
  }
  assert found == {'preparation/sql.py', 'data/parquet.py'}


@pytest.mark.long
@hypothesis.settings(deadline=None, max_examples=2_000)
@hypothesis.given(cases())
def test_named_file_and_columns_alone_are_read_often(case):
  check(case)
