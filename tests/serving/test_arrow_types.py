"""Every Arrow type in every column: read, or refused in one line."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.server.state import row_reader
from rmtl_jax.serving import encoder, notes, raw_rows, row_past
from tests import tiers
from tests.serving import past_run

DAY = datetime.datetime(2020, 1, 1)
UNITS = ('s', 'ms', 'us', 'ns')
INTEGERS = [
  f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)
]
SINGLE = [
  (pa.null(), None),
  (pa.bool_(), True),
  *((getattr(pa, name)(), 1) for name in INTEGERS),
  *((kind, 1.0) for kind in (pa.float16(), pa.float32(), pa.float64())),
  *(
    (kind, decimal.Decimal(10 ** max(-kind.scale, 0)))
    for kind in (
      pa.decimal32(5, 2),
      pa.decimal32(5, -2),
      pa.decimal64(12, 2),
      pa.decimal128(20, 3),
      pa.decimal128(6, -2),
      pa.decimal128(38, -2),
      pa.decimal256(40, 2),
      pa.decimal256(20, -2),
    )
  ),
  *((k, '1') for k in (pa.string(), pa.large_string(), pa.string_view())),
  *(
    (kind, b'1')
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1))
  ),
  (pa.date32(), DAY.date()),
  (pa.date64(), DAY.date()),
  *((pa.time32(unit), DAY.time()) for unit in UNITS[:2]),
  *((pa.time64(unit), DAY.time()) for unit in UNITS[2:]),
  *((pa.timestamp(u, zone), DAY) for u in UNITS for zone in (None, 'UTC')),
  *((pa.duration(unit), datetime.timedelta(1)) for unit in UNITS),
  (pa.month_day_nano_interval(), pa.MonthDayNano([1, 2, 3])),
]


def forms(kind, value):
  """Arrays of one value, single and at some depth."""
  single = pa.array([value], kind)
  yield single
  yield pa.DictionaryArray.from_arrays(pa.array([0]), single)
  ends = pa.array([1], pa.int32())
  yield pa.RunEndEncodedArray.from_arrays(ends, single)
  for many in (
    pa.list_(kind),
    pa.large_list(kind),
    pa.list_(kind, 1),
    pa.list_view(kind),
    pa.large_list_view(kind),
  ):
    yield pa.array([[value]], many)
  yield pa.array([[[value]]], pa.list_(pa.list_(kind)))
  yield pa.array([{'x': value}], pa.struct([('x', kind)]))
  yield pa.array([[('x', value)]], pa.map_(pa.string(), kind))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  run = past_run.prepare_run(
    tmp_path_factory.mktemp('types'),
    raw=past_run.log(300),
    schema=past_run.BRANDS,
    as_of=('none',),
  )
  return run


@pytest.mark.parametrize(
  'column', tiers.some(past_run.log(20).column_names, ('price',))
)
def test_every_type_is_read_or_refused(run, column):
  row = past_run.log(20).slice(3, 1)
  at = row.schema.get_field_index(column)
  manifest = manifest_file.read_copy(run)
  encode = encoder.Encoder(run, manifest)
  reader = row_reader.Reader(manifest)
  needs = row_past.Needs(())
  read = 0
  for kind, value in SINGLE:
    for array in forms(kind, value):
      table = row.set_column(at, column, array)
      try:
        list(reader.read(raw_rows.rows_of_table(table, 'log'), needs, False))
        encode.check(table.schema, 'log')
        encode.encode(raw_rows.Chunk(table, 'log', range(1, 2)), notes.Notes())
        read += 1
      except types.InputError as error:
        assert str(error).startswith('log: ') and 'column' in str(error)
  assert read > 20
