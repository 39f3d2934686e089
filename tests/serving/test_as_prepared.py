"""Raw values in every form: what predict sees is what prepare has stored."""

from __future__ import annotations

import datetime
import functools

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.serving import encoder, log_columns, past_log, raw_rows
from tests import tiers
from tests.preparation import raw_files

ROWS = 60
START = datetime.datetime(2024, 5, 1, 21, 30)
TIMES = [START + datetime.timedelta(hours=i) for i in range(ROWS)]
BERLIN = {'column': 'ts', 'unit': 'iso', 'zone': 'Europe/Berlin'}


def utc(time):
  return time.replace(tzinfo=datetime.UTC)


def table(**changes):
  cycle = lambda *values: [values[i % len(values)] for i in range(ROWS)]
  columns = {
    'user': cycle('u0', 'u1', 'u2'),
    'item': cycle('a', 'b', 'NULL', '-1', 'c', None, ''),
    'ts': [round(utc(t).timestamp() * 1000) for t in TIMES],
    'tags': cycle('x|y', 'y|none|-1', '', '-1', 'z'),
    'price': cycle('0', '1.5', '-1', '', 'NULL', '-1.0', '7'),
    'age': cycle('30', '?', '41', '52', None),
    'clicked': cycle('yes', 'no', 'no'),
  }
  return columns | changes


SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'from_time': ['hour', 'weekday'],
  'categorical': ['user', {'column': 'item', 'null': ['NULL', '-1', '']}],
  'multi_valued': [{'column': 'tags', 'separator': '|', 'null': ['-1']}],
  'numeric': [
    {'column': 'price', 'null': ['-1']},
    {'column': 'age', 'null': ['?'], 'transform': 'bins', 'bins': 3},
  ],
  'missing': ['NULL', 'none'],
  'tasks': [{'column': 'clicked', 'positive': ['yes'], 'negative': ['no']}],
}
NUMBERS = {
  'item': [[1, 2, -1, 3, None][i % 5] for i in range(ROWS)],
  'price': [[0.0, 1.5, -1.0, None, 7.0][i % 5] for i in range(ROWS)],
  'age': pa.array([[3, 4, -9, 5, 6][i % 5] for i in range(ROWS)], pa.int8()),
  'clicked': [i % 3 == 0 for i in range(ROWS)],
  'tags': [[['x', '-1'], ['y'], [], None][i % 4] for i in range(ROWS)],
}
OF_NUMBERS = {
  'categorical': ['user', {'column': 'item', 'null': ['-1']}],
  'numeric': [
    {'column': 'price', 'null': ['-1']},
    {'column': 'age', 'null': ['-9']},
  ],
  'tasks': ['clicked'],
}
ISO = [f'{t:%Y-%m-%d %H:%M}' for t in TIMES]
FORMS = {
  'text': ({}, {}),
  'a sequence of text': (
    {'tags': [['a b zz', '', 'c a b c', ' a'][i % 4] for i in range(ROWS)]},
    {
      'multi_valued': [
        {'column': 'tags', 'separator': ' ', 'shares': 'item', 'max_values': 2}
      ]
    },
  ),
  'numbers': (NUMBERS, OF_NUMBERS),
  'local time': ({'ts': ISO}, {'time': BERLIN}),
  'some zones': (
    {'ts': [f'{t}Z' if i % 2 else t for i, t in enumerate(ISO)]},
    {'time': BERLIN},
  ),
  'pattern': (
    {'ts': [f'{t:%d.%m.%y %H}' for t in TIMES]},
    {'time': {'column': 'ts', 'format': '%d.%m.%y %H'}},
  ),
}


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Prepares a table of a form, once; its path and manifest."""
  return functools.cache(
    lambda form, kind: prepare(
      tmp_path_factory.mktemp('log'), FORMS[form], kind
    )
  )


# Text, numbers, values of several fields, and times.
QUICK = (
  *('text', 'numbers', 'local time'),
  *('some zones', 'pattern'),
)


def prepare(tmp_path, form, kind, **options):
  changes, schema = form
  path = tmp_path / f'log.{kind}'
  raw = pa.table(table(**changes))
  if kind == 'csv':
    pa_csv.write_csv(raw, path)
  else:
    pq.write_table(raw, path)
  record = SCHEMA | schema
  manifest = raw_files.run(
    tmp_path,
    'table',
    path,
    schema=raw_files.write_schema(tmp_path / 'schema.json', record),
    as_of=('none',),
    **options,
  )
  return path, manifest


@pytest.mark.parametrize('few', [True, False])
@pytest.mark.parametrize(
  ('form', 'kind'),
  tiers.some(
    [
      *((form, 'parquet') for form in FORMS),
      *((form, 'csv') for form in QUICK if 'numbers' not in form),
    ],
    [*((form, 'parquet') for form in QUICK), ('text', 'csv')],
  ),
)
def test_encoded_as_prepared(prepared, monkeypatch, form, kind, few):
  path, manifest = prepared(form, kind)
  if not few:
    monkeypatch.setattr(encoder, '_FEW_ROWS', 0)
  data = path.parent / 'out'
  encode = encoder.Encoder(data, manifest)
  with raw_rows.open_rows(str(path)) as found:
    encode.check(found.schema, found.path)
    chunk = next(found.chunks(ROWS))
  inputs = encode.encode(chunk)
  for split in manifest_lib.SPLITS:
    expected = columns_lib.read_split(data, manifest, split)
    for name in ('categorical', 'multi_valued', 'numeric'):
      np.testing.assert_array_equal(
        getattr(inputs, name)[expected.row_id], getattr(expected, name), name
      )


@pytest.mark.parametrize('form', tiers.some(FORMS, QUICK))
def test_logged_as_prepared(prepared, form):
  path, manifest = prepared(form, 'parquet')
  log_schema = log_columns.make_log_schema(manifest)
  with sql.connect() as connection, raw_rows.open_rows(str(path)) as found:
    past_log.check(log_schema, found.schema, found.path, needs_labels=True)
    past_log.create_table(connection, log_schema)
    for chunk in found.chunks(ROWS):
      past_log.append_rows(connection, log_schema, chunk, 0, scored=False)
    logged = connection.execute(
      'SELECT timestamp, y_clicked FROM log ORDER BY row_id'
    ).fetchall()
  stored = sorted(raw_files.read(path.parent), key=lambda row: row['row_id'])
  assert logged == [(r['timestamp'], r['y_clicked']) for r in stored]


def test_a_time_that_is_none(tmp_path):
  path, manifest = prepare(tmp_path, FORMS['some zones'], 'csv')
  lines = path.read_text().splitlines()
  lines[2] = lines[2].replace(ISO[1], 'at night')
  raw_files.write(path, lines)
  encode = encoder.Encoder(tmp_path / 'out', manifest)
  with raw_rows.open_rows(str(path)) as found:
    chunk = next(found.chunks(ROWS))
  with pytest.raises(Exception, match="row 3, column 'ts': 'at nightZ'"):
    encode.encode(chunk)
