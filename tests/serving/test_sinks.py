"""Columns that an output can't hold: told by name, and nothing is left."""

import io
import sys

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.serving import raw_rows, sinks

_DAY = pa.MonthDayNano([1, 2, 3])
# Types: which outputs can't hold them.
ODD = {
  'interval': (pa.array([_DAY]), ('.parquet', '.csv')),
  'run-end encoded': (
    pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), ['a']),
    ('.parquet', '.csv'),
  ),
  'list': (pa.array([[1]]), ('.csv',)),
  'bytes': (pa.array([b'\xff']), ('.csv',)),
  'float16': (pa.array([1.5], pa.float16()), ()),
  'null': (pa.nulls(1), ()),
}


@pytest.mark.parametrize('kind', ['.parquet', '.csv'])
@pytest.mark.parametrize('name', ODD)
def test_odd_types_are_written_or_named(tmp_path, name, kind):
  values, refused = ODD[name]
  table = pa.table({'fine': [1], 'odd one': values})
  path = tmp_path / f'out{kind}'
  if kind in refused:
    line = rf'out\{kind}: column \'odd one\' is of type .* cannot be written: '
    with pytest.raises(types.InputError, match=line) as error:
      _write(path, table)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.iterdir())
  else:
    _write(path, table)
    assert path.stat().st_size > 0


def _write(path, table):
  with sinks.open_sink(str(path), table.schema) as write:
    write(table)


class _Slow(io.RawIOBase):
  """Takes seven bytes at a time, as a pipe may."""

  def __init__(self):
    self.taken = b''

  def writable(self):
    return True

  def write(self, data):
    part = bytes(data[:7])
    self.taken += part
    return len(part)


def test_a_standard_output_that_takes_parts_gets_all(monkeypatch):
  slow, table = _Slow(), pa.table({'x': range(100)})
  monkeypatch.setattr(sys, 'stdout', type('Stream', (), {'buffer': slow}))
  _write('-', table)
  assert pa.ipc.open_stream(slow.taken).read_all().equals(table)


def test_numbers_and_nothing_in_csv(tmp_path):
  table = pa.table(
    {'x': pa.array([0.5, 1e-7], pa.float32()), 'y': ['a.b', None]}
  )
  path = tmp_path / 'out.csv'
  with sinks.open_sink(str(path), table.schema, ';') as write:
    write(table)
  assert path.read_text() == 'x;y\n0.5;a.b\n1e-7;\n'


def test_text_of_csv_comes_back(tmp_path):
  values = ['a\rb', 'a\nb', 'a\r\nb', 'a,b', '"a"', ' a ', 'ends\r\n', 'a']
  path = tmp_path / 'out.csv'
  _write(path, pa.table({'text': values, 'more': values[::-1]}))
  assert path.read_bytes().endswith(b'a,"a\rb"\n')
  with raw_rows.open_rows(str(path)) as found:
    (chunk,) = found.chunks(10)
  assert chunk.table['text'].to_pylist() == values
  assert chunk.table['more'].to_pylist() == values[::-1]
