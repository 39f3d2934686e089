import datetime
import decimal
import json
import struct

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
    pair=pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
  )
  assert read(given).equals(given)


@pytest.mark.parametrize(
  'given',
  [
    pa.array(['a', None]).dictionary_encode(),
    pa.array([1, None]).dictionary_encode(),
    pa.array([datetime.date(2020, 1, 1), None]).dictionary_encode(),
    pa.array([b'a', None]).dictionary_encode(),
    pa.array(['a', None], pa.string_view()),
    pa.array([['a'], None], pa.large_list(pa.string_view())),
  ],
)
def test_shared_values_are_written_out(given):
  found = read(table(x=given))['x']
  assert found.to_pylist() == given.to_pylist()
  assert not any(word in str(found.type) for word in ('dictionary', 'view'))


def views(text, rows):
  """A piece of text of which every row has a view."""
  view = struct.pack('<i4sii', len(text), text[:4].encode(), 0, 0)
  buffers = [None, pa.py_buffer(view * rows), pa.py_buffer(text.encode())]
  return pa.Array.from_buffers(pa.string_view(), rows, buffers)


@pytest.mark.parametrize(
  'given',
  [
    pa.DictionaryArray.from_arrays(
      np.zeros(512, np.int8), pa.array(['x' * 200_000])
    ),
    views('x' * 200_000, 512),
    pa.ListArray.from_arrays(
      pa.array([*[0] * 512, 2**31 - 1], pa.int32()), pa.nulls(2**31 - 1)
    ),
    pa.FixedSizeListArray.from_arrays(pa.nulls(2**30), 2**29),
  ],
)
def test_small_bodies_of_much_are_refused(given):
  body = stream(pa.table({'x': given}))
  assert len(body) < 300_000
  with pytest.raises(bodies.Refused, match='written out') as caught:
    bodies.read(body, bodies.ARROW, 512)
  assert caught.value.status == 413


def test_views_of_missing_values_may_lead_anywhere():
  text = b'x' * 20
  good = struct.pack('<i4sii', len(text), text[:4], 0, 0)
  stray = struct.pack('<i4sii', -(2**31), text[:4], 9, -5)
  buffers = [pa.py_buffer(b'\x01'), pa.py_buffer(good + stray)]
  column = pa.Array.from_buffers(
    pa.string_view(), 2, [*buffers, pa.py_buffer(text)]
  )
  assert read(table(x=column))['x'].to_pylist() == [text.decode(), None]
  much = views('x' * 200_000, 511)
  buffers = much.buffers()
  buffers[:2] = [
    pa.py_buffer(b'\xff' * 63 + b'\x7f'),
    pa.py_buffer(buffers[1].to_pybytes() + stray),
  ]
  much = pa.Array.from_buffers(pa.string_view(), 512, buffers)
  with pytest.raises(bodies.Refused, match='written out'):
    read(pa.table({'x': much}), 512)


def test_damaged_streams_are_read_or_refused():
  """Whatever becomes of them, by an error that is expected."""
  given = table(
    name=pa.array(['a', None]),
    brand=pa.array(['a', 'b']).dictionary_encode(),
    tags=pa.array([['a'], []]),
    view=pa.array(['a' * 20, None], pa.string_view()),
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


@pytest.mark.parametrize(
  ('compression', 'encode'), [('zstd', False), ('lz4', True)]
)
def test_compressed_streams_are_refused(compression, encode):
  # 10 MB of text in a few KB.
  text = pa.array(['x' * 5_000_000, 'y'])
  given = table(text=text.dictionary_encode() if encode else text)
  body = stream(given, compression)
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
