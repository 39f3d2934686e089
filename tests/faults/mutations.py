"""Files and flags made bad at random.

Equal seeds give equal mutants.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import flags

from rmtl_jax import cli
from rmtl_jax.config import flags as config_flags
from tests.serving import forged

Rng = np.random.Generator
HUGE = 10**6
# Endings of files of lines and cells.
TABLES = ('.csv', '.tsv', '.data', '.test', '.dat')
# What stands where a value should: text, as CSV and flags have it.
VALUES = (
  *('', ' ', '0', '-1', '1e400', 'nan', '-Infinity', 'null', 'true', '1.5'),
  *('0x10', '1_000', '9223372036854775808', '1' * 400, '"', 'a,b', 'a\tb'),
  *("'", '; DROP TABLE raw_0; --', '../../etc/passwd', 'a\0b', '\x1b[31mred'),
  *('\ufeff', '\u202eright to left', 'Zoë ☃ 雪', '[]', '%s%n{}'),
  *('2024-13-45 25:61:00', '<script>alert(1)</script>'),
)


def mutate(rng: Rng, name: str, data: bytes) -> bytes:
  """A mutant of a file; the ending of its name tells its kind."""
  if name.endswith('.gz') and rng.random() < 0.75:
    inner = mutate(rng, name.removesuffix('.gz'), gzip.decompress(data))
    return gzip.compress(inner, 1, mtime=0)
  kinds = [_bytes]
  if name.endswith(TABLES):
    kinds += [_lines] * 3 + [_cell] * 5
  elif name.endswith('.bin'):
    kinds += [_program] * 8
  elif name.endswith('.json'):
    kinds += [_json] * 6
  elif name.endswith('.parquet'):
    kinds += [_parquet] * 5
  elif name.endswith('.arrow'):
    kinds += [_buffer] * 10
  return _pick(rng, kinds)(rng, data)


def _pick(rng: Rng, values: Any) -> Any:
  return values[int(rng.integers(len(values)))]


def _bytes(rng: Rng, data: bytes) -> bytes:
  at, size = int(rng.integers(len(data) + 1)), int(rng.integers(1, 64))
  noise = rng.bytes(size)
  flipped = bytearray(data)
  for place in rng.integers(max(len(data), 1), size=size if data else 0):
    flipped[place] ^= 1 << int(rng.integers(8))
  return _pick(
    rng,
    (
      bytes(flipped),
      data[:at],
      b'',
      data[:at] + noise + data[at:],
      data[:at] + data[at + size :],
      data[: at + size] + data[at:],
      data[:at] + bytes(size) + data[at + size :],
      noise,
      b'\xef\xbb\xbf' + data,
      data.decode('utf-8', 'replace').encode('utf-16'),
      data[:at] + _pick(rng, (b'\xff', b'\xc3', b'\0')) + data[at:],
      gzip.compress(data, 1, mtime=0),
    ),
  )


def _lines(rng: Rng, data: bytes) -> bytes:
  lines = data.splitlines(keepends=True)
  at = int(rng.integers(len(lines)))
  header, rest = lines[:1], lines[1:]
  cut = lines[at][: int(rng.integers(len(lines[at])))] + b'\n'
  return b''.join(
    _pick(
      rng,
      (
        lines[:at] + lines[at + 1 :],
        lines[: at + 1] + lines[at:],
        lines[: at + 1] + header + lines[at + 1 :],
        header + [rest[i] for i in rng.permutation(len(rest))],
        rest,
        header,
        [x.rstrip() + _pick(rng, (b'\n', b'\r\n', b'\r')) for x in lines],
        [*lines[:at], b'\n', b'  \n', *lines[at:]],
        [*lines[:at], cut, *lines[at + 1 :]],
        [*lines[:at], lines[at].rstrip(), *lines[at + 1 :]],
        [*lines[:at], b'x' * HUGE + b'\n', *lines[at:]],
      ),
    )
  )


def _cell(rng: Rng, data: bytes) -> bytes:
  text = data.decode('utf-8', 'surrogateescape')
  delimiter = max((',', '\t', '::'), key=text.count)
  cells = [line.split(delimiter) for line in text.split('\n')]
  line = _pick(rng, cells)
  column = int(rng.integers(len(line)))
  value = _pick(rng, (*VALUES, 'x' * HUGE, '9' * HUGE))
  quoted = '"' + value.replace('"', '""') + '"'
  line[column] = _pick(rng, (value, quoted))
  text = '\n'.join(map(delimiter.join, cells))
  return text.encode('utf-8', 'surrogateescape')


def _json(rng: Rng, data: bytes) -> bytes:
  record = json.loads(data)
  places = list(_places(record))
  if not places:
    return _bytes(rng, data)
  parent, key = _pick(rng, places)
  kind = _pick(rng, ('replace', 'replace', 'drop', 'rename', 'raw'))
  if kind == 'drop':
    del parent[key]
  elif kind == 'rename' and isinstance(parent, dict):
    parent[_pick(rng, VALUES)] = parent.pop(key)
  elif kind == 'raw':
    parent[key] = '@@'
    new = ('[' * 100_000, '{"a":' * 50_000, '1' * 10_000, '1e999999', '1 //')
    return json.dumps(record).replace('"@@"', _pick(rng, new)).encode()
  else:
    old = parent[key]
    new = (
      *(None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, 1e300),
      *(float('nan'), float('inf'), '', _pick(rng, VALUES), 'x' * HUGE),
      *([], [old], [old, old], {}, {'name': old}, [[[[old]]]]),
    )
    parent[key] = _pick(rng, new)
  return json.dumps(record).encode()


def _places(value: Any) -> Any:
  """(container, key) of every value in a document."""
  pairs: Any = ()
  if isinstance(value, dict):
    pairs = value.items()
  elif isinstance(value, list):
    pairs = enumerate(value)
  for key, child in list(pairs):
    yield value, key
    yield from _places(child)


def _parquet(rng: Rng, data: bytes) -> bytes:
  """A column of another type, with another value, or not there."""
  table = pq.read_table(io.BytesIO(data))
  rows, column = table.num_rows, int(rng.integers(table.num_columns))
  name = table.column_names[column]
  values = table[column].to_pylist()
  if values:
    new = (None, 0, -1, 2**31, 2**63 - 1, 0.5, float('nan'), '', [], [0] * 999)
    values[int(rng.integers(rows))] = _pick(rng, new)
  arrays = (
    *(pa.nulls(rows), pa.array(['x'] * rows), pa.array([b'\xff\x00'] * rows)),
    *(pa.array([True] * rows), pa.array(np.full(rows, np.nan))),
    *(pa.array(np.zeros(rows, np.float16)), pa.array([{'a': 1}] * rows)),
    *(pa.array(np.full(rows, 2**64 - 1, np.uint64)), pa.array([[1]] * rows)),
    pa.array(np.arange(rows), pa.timestamp('ns')),
    pa.array(['a'] * rows).dictionary_encode(),
  )
  with contextlib.suppress(
    pa.ArrowException, TypeError, ValueError, OverflowError
  ):
    arrays += (pa.array(values, table[column].type),) * 8
  changed = _pick(
    rng,
    (
      *(table.set_column(column, name, array) for array in arrays),
      table.remove_column(column),
      table.append_column(name, table[column]),
      table.slice(0, 0),
      table.slice(rows // 2),
    ),
  )
  sink = io.BytesIO()
  pq.write_table(changed, sink)
  return sink.getvalue()


def _program(rng: Rng, data: bytes) -> bytes:
  """Another number or operation in a StableHLO program."""
  other = {'add': 'divide', 'multiply': 'power', 'exponential': 'log'}

  def change(text: str) -> str:
    pattern = rf'(?<=stablehlo\.)({"|".join(other)})\b|(?<=[ x(<\[])\d+\b'
    place = _pick(rng, list(re.finditer(pattern, text)))
    number = _pick(rng, ('0', '1', '-1', '7', '65536', '2147483647'))
    new = other.get(place[0], number)
    return text[: place.start()] + new + text[place.end() :]

  for _ in range(20):
    with contextlib.suppress(Exception):  # most changes make no program
      return forged.with_text(data, change)
  return _bytes(rng, data)


def flag(rng: Rng, command: str) -> str:
  """A flag of a command with an odd value."""
  values = flags.FlagValues()
  cli.COMMANDS[command].define(values, [command])
  names = [name for name in values if not name.startswith('config')]
  if 'config' in values:
    names += [f'config.{name}' for name, *_ in config_flags.describe()]
  return f'--{_pick(rng, names)}={_pick(rng, (*VALUES, "x" * HUGE))}'


def _buffer(rng: Rng, data: bytes) -> bytes:
  """Another number in a column's buffer: offsets may point out of it."""
  source = pa.py_buffer(data)
  places = [
    (buffer.address - source.address, buffer.size)
    for batch in pa.ipc.open_stream(source)
    for column in batch.columns
    for buffer in column.buffers()
    if buffer is not None and buffer.size >= 4
  ]
  begin, size = _pick(rng, places)
  numbers = np.frombuffer(data, np.int32, size // 4, begin).copy()
  numbers[int(rng.integers(len(numbers)))] = _pick(
    rng, (-1, 1, 2**20, 2**30, 2**31 - 1, -(2**31))
  )
  return data[:begin] + numbers.tobytes() + data[begin + numbers.nbytes :]
