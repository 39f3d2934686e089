import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.server import bodies


def stream(table, compression=None, options=None):
  sink = pa.BufferOutputStream()
  options = options or pa.ipc.IpcWriteOptions(compression=compression)
  with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
    writer.write_table(table)
  return sink.getvalue().to_pybytes()


def table(**columns):
  return pa.table({'price': pa.array([1.5, 2.5]), **columns})


def read(given, most=2):
  return bodies.read(stream(given), bodies.ARROW, most)


def test_arrow_streams_are_read_as_they_are():
  given = table(
    brand=pa.array(['a', None]),
    tags=pa.array([['a'], []], pa.large_list(pa.string())),
    none=pa.nulls(2),
    cost=pa.array([decimal.Decimal('1.5'), None]),
    day=pa.array([datetime.date(2020, 1, 1), None]),
    at=pa.array([1, 2], pa.timestamp('ns')),
    raw=pa.array([b'a', None]),
  )
  assert read(given).equals(given)


def test_damaged_streams_are_read_or_refused():
  """Whatever becomes of them, by an error that is expected."""
  given = table(
    name=pa.array(['a', None]),
    brand=pa.array(['a', 'b']),
    tags=pa.array([['a'], []]),
  )
  old = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
  whole = [stream(given), stream(given, options=old)]
  rng = np.random.default_rng(0)
  refused = 0
  for n in range(400):
    body = bytearray(whole[n % 2])
    for place in rng.integers(0, len(body), rng.choice([1, 2, 4])):
      body[place] = rng.choice([0, 1, 4, 128, 255])
    try:
      bodies.read(bytes(body), bodies.ARROW, 2)
    except types.InputError:
      refused += 1
  assert 200 < refused < 400


@pytest.mark.parametrize(
  'given',
  [
    pa.array([{'a': 1}, None]),
    pa.array(['a', None]).dictionary_encode(),
    pa.array(['a', None], pa.string_view()),
    pa.array([['a'], None], pa.large_list(pa.string_view())),
    pa.array([[None], None]),
    pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
    pa.array([[[1]], None]),
    pa.ListViewArray.from_arrays([0, 0], [1, 1], pa.array([1])),
    pa.RunEndEncodedArray.from_arrays([2], ['a']),
    pa.DictionaryArray.from_arrays([0, 0], pa.array([['a']])),
    pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
  ],
)
def test_other_types_are_refused(given):
  with pytest.raises(types.InputError, match="column 'x' is of type"):
    read(table(x=given))


def test_columns_of_arrow_streams_are_limited():
  wide = pa.table({f'c{n}': pa.nulls(512) for n in range(4_000)})
  with pytest.raises(bodies.Refused, match='too many columns') as caught:
    read(wide, 512)
  assert caught.value.status == 413
  assert read(wide.slice(0, 1), 512).num_rows == 1


def test_tables_of_other_columns_are_never_read_together():
  one = pa.table({'a': [1], 'b': [2]})
  # As text the schemas are equal.
  other = pa.table({'a: int64\nb': [3]})
  assert bodies.alike([one, other, one.slice(0)]) == [[0, 2], [1]]


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_compressed_streams_are_refused(compression):
  # 10 MB of text in a few KB.
  body = stream(table(text=pa.array(['x' * 5_000_000, 'y'])), compression)
  assert len(body) < 1_000_000
  with pytest.raises(bodies.Refused, match='is compressed') as caught:
    bodies.read(body, bodies.ARROW, 2)
  assert caught.value.status == 415


def test_streams_that_end_early_are_refused():
  body = stream(table())
  for size in (0, 3, len(body) // 2):
    with pytest.raises(bodies.Refused) as caught:
      bodies.read(body[:size], bodies.ARROW, 2)
    assert caught.value.status == 400


def test_whole_numbers_of_json_are_of_64_bits():
  ends = [2**64 - 1, 0]
  body = json.dumps([{'a': end, 'b': -(2**63)} for end in ends]).encode()
  found = bodies.read(body, bodies.JSON, 2)
  assert found['a'].to_pylist() == ends
  assert found['b'].to_pylist() == [-(2**63)] * 2


def test_a_column_that_a_row_has_twice_is_named():
  body = b'{"rows": [{"price": 1.5, "brand": "a"}, {"price": 1, "price": 2}]}'
  with pytest.raises(bodies.Refused, match=r"'price' occurs twice") as caught:
    bodies.read(body, bodies.JSON, 2)
  assert caught.value.status == 400


def test_columns_that_one_row_names_for_all_are_limited():
  wide = {f'c{i}': 1 for i in range(5_000)}
  assert bodies.read(json.dumps([wide]).encode(), bodies.JSON, 512).num_rows
  rows = [*[{}] * 500, wide]
  with pytest.raises(bodies.Refused, match='row 501: too many') as caught:
    bodies.read(json.dumps(rows).encode(), bodies.JSON, 512)
  assert caught.value.status == 413
  # Each costs time of its own.
  wide = {f'c{i}': 1 for i in range(10_001)}
  with pytest.raises(bodies.Refused, match='row 1: too many columns'):
    bodies.read(json.dumps([wide]).encode(), bodies.JSON, 512)
