import json

import pyarrow as pa
import pytest

from rmtl_jax.server import bodies


def stream(table, compression=None):
  sink = pa.BufferOutputStream()
  options = pa.ipc.IpcWriteOptions(compression=compression)
  with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
    writer.write_table(table)
  return sink.getvalue().to_pybytes()


def table(**columns):
  return pa.table({'price': pa.array([1.5, 2.5]), **columns})


def test_arrow_streams_are_read_as_they_are():
  given = table(brand=pa.array(['a', 'b']).dictionary_encode())
  assert bodies.read(stream(given), bodies.ARROW, 2).equals(given)


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
@pytest.mark.parametrize('encode', [False, True])
def test_compressed_streams_are_refused(compression, encode):
  # 100 MB of text in a few KB.
  text = pa.array(['x' * 50_000_000, 'y'])
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


def test_columns_that_one_row_names_for_all_are_limited():
  wide = {f'c{i}': 1 for i in range(5_000)}
  assert bodies.read(json.dumps([wide]).encode(), bodies.JSON, 512).num_rows
  rows = [*[{}] * 500, wide]
  with pytest.raises(bodies.Refused, match='row 501: too many') as caught:
    bodies.read(json.dumps(rows).encode(), bodies.JSON, 512)
  assert caught.value.status == 413
