"""Files made bad at random: bytes, lines, cells, JSON, Parquet, Arrow.

Every function takes a numpy generator and a file's contents, and returns what
it did, in words, and the new contents. Equal seeds give equal mutants.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.serving import forged

Rng = np.random.Generator

HUGE = 10**6
# What stands where a value should: text, as CSV and flags have it.
VALUES = (
  '',
  ' ',
  '0',
  '-1',
  '1e400',
  '-1e308',
  'nan',
  'NaN',
  'inf',
  '-Infinity',
  'null',
  'true',
  '1.5',
  '0x10',
  '1_000',
  '+5',
  '٣',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775809',
  '1' * 400,
  '"',
  '""',
  '"a,b"',
  'a,b',
  'a\tb',
  "'",
  '; DROP TABLE raw_0; --',
  '../../etc/passwd',
  '/etc/passwd',
  'a\0b',
  '\x1b[31mred',
  '\ufeff',
  '\u202eright to left',
  'Zoë ☃ 雪',
  '{"a": [1, {"b": null}]}',
  '[]',
  '%s%n{}',
  '=1+1',
  '2024-13-45 25:61:00',
  '0001-01-01 00:00:00',
  'infinity',
  'epoch',
  '<script>alert(1)</script>',
)
# Endings of files of lines and cells: tables, and the public benchmarks' own.
_TABLES = ('.csv', '.tsv', '.data', '.test', '.dat', '.item', '.user')


class Mutant(NamedTuple):
  """A bad file.

  Attributes:
    what: what was done to it.
    data: its contents.
  """

  what: str
  data: bytes


def mutate(rng: Rng, name: str, data: bytes) -> Mutant:
  """One mutant of a file, or at times a mutant of a mutant.

  Args:
    rng: of everything.
    name: the file's, whose ending tells its kind.
    data: its contents.
  """
  done = []
  for _ in range(1 + int(rng.random() < 0.2)):
    what, data = _one(rng, name, data)
    done.append(what)
  return Mutant(', then '.join(done), data)


def _one(rng: Rng, name: str, data: bytes) -> Mutant:
  if name.endswith('.gz') and rng.random() < 0.75:
    try:
      inner = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
      return of_bytes(rng, data)
    what, inner = _one(rng, name.removesuffix('.gz'), inner)
    return Mutant(f'in gzip: {what}', gzip.compress(inner, 1, mtime=0))
  if name.endswith('.zst') and rng.random() < 0.75:
    try:
      inner = pa.input_stream(io.BytesIO(data), compression='zstd').read()
    except OSError:
      return of_bytes(rng, data)
    what, inner = _one(rng, name.removesuffix('.zst'), inner)
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, 'zstd') as file:
      file.write(inner)
    return Mutant(f'in zstd: {what}', packed.getvalue().to_pybytes())
  kinds: list[Callable[[Rng, bytes], Mutant]] = [of_bytes]
  if name.endswith(_TABLES):
    kinds += [of_lines] * 3 + [of_cells] * 5
  elif name.endswith('.json'):
    kinds += [of_json] * 6
  elif name.endswith('.py'):
    kinds += [of_lines] * 3
  elif name.endswith('.parquet'):
    kinds += [of_parquet] * 5
  elif name.endswith('.bin'):
    kinds += [of_program] * 8
  elif name.endswith('.npy'):
    kinds += [of_header] * 3
  elif name.endswith('.arrow'):
    kinds += [of_arrow] * 5 + [of_buffers] * 10
  return _pick(rng, kinds)(rng, data)


def _pick(rng: Rng, values: Any) -> Any:
  return values[int(rng.integers(len(values)))]


# Bytes.


def of_bytes(rng: Rng, data: bytes) -> Mutant:
  """Flipped, cut, doubled, filled or foreign bytes."""
  kind = _pick(
    rng,
    (
      'flipped bits',
      'flipped bits',
      'truncated',
      'emptied',
      'bytes inserted',
      'bytes deleted',
      'block doubled',
      'zeros',
      'all random',
      'byte-order mark',
      'UTF-16',
      'invalid UTF-8',
      'NUL',
      'gzip bytes',
    ),
  )
  at = int(rng.integers(len(data) + 1))
  size = int(rng.integers(1, 64))
  noise = rng.bytes(size)
  if kind == 'flipped bits':
    return Mutant(kind, _flipped(rng, data))
  if kind == 'invalid UTF-8':
    bad = _pick(rng, (b'\xff', b'\xc3', b'\xed\xa0\x80', b'\xf8\x88\x80'))
    return Mutant(kind, data[:at] + bad + data[at:])
  made = {
    'truncated': lambda: data[:at],
    'emptied': lambda: b'',
    'bytes inserted': lambda: data[:at] + noise + data[at:],
    'bytes deleted': lambda: data[:at] + data[at + size :],
    'block doubled': lambda: data[: at + size] + data[at:],
    'zeros': lambda: data[:at] + bytes(size) + data[at + size :],
    'all random': lambda: noise,
    'byte-order mark': lambda: b'\xef\xbb\xbf' + data,
    'UTF-16': lambda: data.decode('utf-8', 'replace').encode('utf-16'),
    'NUL': lambda: data[:at] + b'\0' + data[at:],
    'gzip bytes': lambda: gzip.compress(data, 1, mtime=0),
  }
  return Mutant(kind, made[kind]())


def _flipped(rng: Rng, data: bytes) -> bytes:
  if not data:
    return data
  flipped = bytearray(data)
  for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
    flipped[at] ^= 1 << int(rng.integers(8))
  return bytes(flipped)


# Lines and cells of text.


def of_lines(rng: Rng, data: bytes) -> Mutant:
  """Lines that are lacking, doubled, in another order or ended otherwise."""
  lines = data.splitlines(keepends=True)
  kind = _pick(
    rng,
    (
      'line deleted',
      'line doubled',
      'header doubled',
      'lines reordered',
      'lines reversed',
      'header deleted',
      'header alone',
      'CR LF',
      'CR',
      'mixed line ends',
      'empty lines',
      'no final line end',
      'line cut',
      'line joined',
      'a huge line',
    ),
  )
  at = int(rng.integers(max(len(lines), 1)))
  if not lines:
    return Mutant('nothing to do', data)
  header, rest = lines[:1], lines[1:]
  order = rng.permutation(len(rest))
  line = lines[at]
  cut = line[: int(rng.integers(len(line)))] + b'\n'
  made = {
    'line deleted': lambda: lines[:at] + lines[at + 1 :],
    'line doubled': lambda: lines[: at + 1] + lines[at:],
    'header doubled': lambda: lines[: at + 1] + header + lines[at + 1 :],
    'lines reordered': lambda: header + [rest[i] for i in order],
    'lines reversed': lambda: header + rest[::-1],
    'header deleted': lambda: rest,
    'header alone': lambda: header,
    'CR LF': lambda: [x.rstrip(b'\r\n') + b'\r\n' for x in lines],
    'CR': lambda: [x.rstrip(b'\r\n') + b'\r' for x in lines],
    'mixed line ends': lambda: [
      x.rstrip(b'\r\n') + _pick(rng, (b'\n', b'\r\n', b'\r')) for x in lines
    ],
    'empty lines': lambda: [*lines[:at], b'\n', b'  \n', *lines[at:]],
    'no final line end': lambda: [*lines[:-1], lines[-1].rstrip(b'\r\n')],
    'line cut': lambda: [*lines[:at], cut, *lines[at + 1 :]],
    'line joined': lambda: [*lines[:at], line.rstrip(), *lines[at + 1 :]],
    'a huge line': lambda: [*lines[:at], b'x' * HUGE + b'\n', *lines[at:]],
  }
  return Mutant(kind, b''.join(made[kind]()))


def of_cells(rng: Rng, data: bytes) -> Mutant:
  """A cell of a CSV file with another value, or columns changed."""
  lines = data.decode('utf-8', 'surrogateescape').split('\n')
  delimiter = max((',', '\t', '|', '::'), key=lines[0].count)
  cells = [line.split(delimiter) for line in lines]
  row = int(rng.integers(len(cells)))
  column = int(rng.integers(len(cells[row])))
  kind = _pick(rng, ('cell', 'cell', 'cell', 'huge', 'column', 'time'))
  if kind == 'cell':
    value = _pick(rng, VALUES)
    quoted = rng.random() < 0.3
    shown = '"' + value.replace('"', '""') + '"' if quoted else value
    cells[row][column] = shown
    what = f'row {row + 1} value {column + 1} is {shown[:40]!r}'
  elif kind == 'huge':
    cells[row][column] = _pick(rng, ('x', '9', '"a,"')) * HUGE
    what = f'row {row + 1} value {column + 1} is huge'
  elif kind == 'time':
    what = f'numbers of column {column + 1} go backwards'
    for one, other in zip(cells[1:], cells[:0:-1], strict=True):
      if column < min(len(one), len(other)) and one is not other:
        one[column] = other[column]
  else:
    what = _change_column(rng, cells, column)
  text = '\n'.join(delimiter.join(line) for line in cells)
  return Mutant(what, text.encode('utf-8', 'surrogateescape'))


def _change_column(rng: Rng, cells: list[list[str]], column: int) -> str:
  """Changes a column in place; says how."""
  kind = _pick(rng, ('deleted', 'doubled', 'emptied', 'moved', 'constant'))
  for i, line in enumerate(cells):
    if column >= len(line) or line == ['']:
      continue
    if kind == 'deleted':
      del line[column]
    elif kind == 'doubled':
      line.insert(column, line[column])
    elif kind == 'moved':
      line.append(line.pop(column))
    elif i:
      line[column] = '' if kind == 'emptied' else cells[1][column]
  return f'column {column + 1} {kind}'


# JSON.


def of_json(rng: Rng, data: bytes) -> Mutant:
  """A value of a JSON document replaced, dropped, doubled or renamed."""
  try:
    record = json.loads(data)
  except (ValueError, RecursionError):
    return of_bytes(rng, data)
  places = list(_places(record))
  if not places:
    return of_bytes(rng, data)
  parent, key = _pick(rng, places)
  kind = _pick(rng, ('replace', 'replace', 'replace', 'drop', 'rename', 'raw'))
  what = f'{kind} {key!r:.60}'
  if kind == 'raw':
    return _raw_json(rng, record, parent, key)
  if kind == 'drop':
    del parent[key]
  elif kind == 'rename' and isinstance(parent, dict):
    parent[_pick(rng, VALUES)] = parent.pop(key)
  elif kind == 'rename':
    parent.insert(key, parent[key])
  else:
    parent[key] = _json_value(rng, parent[key])
    what += f' by {parent[key]!r:.60}'
  return Mutant(what, json.dumps(record).encode())


def _places(value: Any) -> Any:
  """(container, key) of every value in a document."""
  pairs = (
    value.items()
    if isinstance(value, dict)
    else enumerate(value)
    if isinstance(value, list)
    else ()
  )
  for key, child in list(pairs):
    yield value, key
    yield from _places(child)


def _json_value(rng: Rng, old: Any) -> Any:
  """Another value, at times one that is close to the old one."""
  if type(old) in (int, float) and rng.random() < 0.4:
    return _pick(
      rng, (old + 1, -old, old * 1000, float(old), str(old), old / 2, bool(old))
    )
  return _pick(
    rng,
    (
      None,
      True,
      False,
      0,
      -1,
      1,
      2**31,
      2**63,
      10**400,
      1.5,
      1e300,
      float('nan'),
      float('inf'),
      '',
      _pick(rng, VALUES),
      'x' * HUGE,
      [],
      [old],
      [old, old],
      {},
      {'name': old},
      [[[[old]]]],
    ),
  )


def _raw_json(rng: Rng, record: Any, parent: Any, key: Any) -> Mutant:
  """What json.dumps would not write."""
  parent[key] = '@@'
  text = json.dumps(record)
  what, new = _pick(
    rng,
    (
      ('deep nesting', '[' * 100_000 + ']' * 100_000),
      ('deep objects', '{"a":' * 50_000 + '1' + '}' * 50_000),
      ('a huge number', '1' * 10_000),
      ('a huge exponent', '1e999999'),
      ('a lone surrogate', '"\\ud800"'),
      ('a NUL', '"a\\u0000b"'),
      ('a comment', '1 // one'),
      ('a trailing comma', '1,'),
      ('single quotes', "'a'"),
      ('a double key', '1, "name": 2, "name": 3'),
    ),
  )
  return Mutant(f'{what} at {key!r:.60}', text.replace('"@@"', new, 1).encode())


# Exported models.


def of_header(rng: Rng, data: bytes) -> Mutant:
  """The first bytes made bad, which say what follows."""
  what, head = of_bytes(rng, data[:128])
  return Mutant(f'in the header: {what}', head + data[128:])


def of_program(rng: Rng, data: bytes) -> Mutant:
  """Another number, operation or call in a program that is still one."""
  for _ in range(20):
    what, change = _pick(rng, (_other_number, _other_operation, _other_call))(
      rng
    )
    try:
      return Mutant(what, forged.with_text(data, change))
    except Exception:  # most changes make no program
      continue
  return of_bytes(rng, data)


def _other_number(rng: Rng) -> tuple[str, Callable[[str], str]]:
  new = _pick(rng, ('0', '1', '-1', '7', '65536', '2147483647'))
  return f'a number is {new}', lambda text: _replaced(
    rng, r'(?<![\w%#.@"])\d+(?![\w."])', new, text
  )


def _other_operation(rng: Rng) -> tuple[str, Callable[[str], str]]:
  names = _pick(
    rng,
    (
      ('add', 'subtract', 'multiply', 'divide', 'power', 'remainder', 'atan2'),
      ('exponential', 'log', 'negate', 'rsqrt', 'tan', 'cbrt', 'sine'),
    ),
  )
  new = f'stablehlo.{_pick(rng, names)}'
  old = '|'.join(names)
  return f'an operation is {new}', lambda text: _replaced(
    rng, rf'stablehlo\.({old})\b', new, text
  )


def _other_call(rng: Rng) -> tuple[str, Callable[[str], str]]:
  target = _pick(
    rng, ('lapack_sgetrf_ffi', 'xla_python_cpu_callback', 'Sharding', 'x', '')
  )

  def change(text: str) -> str:
    found = list(
      re.finditer(r'stablehlo\.(?:negate|exponential) (\S+) : (\S+)', text)
    )
    if not found:
      raise ValueError('nothing to call with')
    one = found[int(rng.integers(len(found)))]
    call = (
      f'stablehlo.custom_call @"{target}"({one[1]}) : ({one[2]}) -> {one[2]}'
    )
    return text[: one.start()] + call + text[one.end() :]

  return f'a custom call of {target!r}', change


def _replaced(rng: Rng, pattern: str, new: str, text: str) -> str:
  """The text with one match of a pattern replaced."""
  found = list(re.finditer(pattern, text))
  if not found:
    raise ValueError('nothing to replace')
  one = found[int(rng.integers(len(found)))]
  return text[: one.start()] + new + text[one.end() :]


# Parquet and Arrow.


def of_parquet(rng: Rng, data: bytes) -> Mutant:
  """A column of another type, with other values, or not there."""
  try:
    table = pq.read_table(io.BytesIO(data))
  except (OSError, pa.ArrowException, ValueError):
    return of_bytes(rng, data)
  return _of_table(rng, table, parquet_bytes) or of_bytes(rng, data)


def of_arrow(rng: Rng, data: bytes) -> Mutant:
  """As `of_parquet`, of an Arrow IPC stream."""
  try:
    table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
  except (OSError, pa.ArrowException, ValueError):
    return of_bytes(rng, data)
  return _of_table(rng, table, arrow_bytes) or of_bytes(rng, data)


def of_buffers(rng: Rng, data: bytes) -> Mutant:
  """An Arrow IPC stream with other numbers in a buffer of a column.

  Offsets that point out of their buffers are among them.
  """
  source = pa.py_buffer(data)
  try:
    batches = list(pa.ipc.open_stream(source))
  except (OSError, pa.ArrowException, ValueError):
    return of_bytes(rng, data)
  places = [
    (name, buffer.address - source.address, buffer.size)
    for batch in batches
    for name, column in zip(batch.schema.names, batch.columns, strict=True)
    for buffer in column.buffers()
    if buffer is not None
    and buffer.size >= 4
    # Of what was compressed or moved nothing is known.
    and 0 <= buffer.address - source.address < source.size
  ]
  if not places:
    return of_bytes(rng, data)
  name, begin, size = _pick(rng, places)
  numbers = np.frombuffer(data, np.int32, size // 4, begin).copy()
  at = int(rng.integers(len(numbers)))
  new = _pick(rng, (-1, 1, 2**20, 2**30, 2**31 - 1, -(2**31), numbers[at] + 9))
  numbers[at] = np.int64(new).astype(np.int32)
  changed = data[:begin] + numbers.tobytes() + data[begin + numbers.nbytes :]
  return Mutant(f'a number of {name!r} is {new}', changed)


def _of_table(
  rng: Rng, table: pa.Table, write: Callable[[pa.Table], bytes]
) -> Mutant | None:
  """A changed table as bytes; None where it can't be or has no columns."""
  if not table.num_columns:
    return None
  column = int(rng.integers(table.num_columns))
  name = table.column_names[column]
  kind = _pick(rng, ('type', 'type', 'value', 'value', 'columns', 'rows'))
  if kind == 'type':
    what, table = _other_type(rng, table, column)
  elif kind == 'value':
    what, table = _other_value(rng, table, column)
  elif kind == 'columns':
    what = _pick(rng, ('dropped', 'doubled', 'renamed', 'moved'))
    table = {
      'dropped': lambda: table.remove_column(column),
      'doubled': lambda: table.append_column(name, table[column]),
      'renamed': lambda: table.rename_columns(
        [_pick(rng, VALUES) if c == name else c for c in table.column_names]
      ),
      'moved': lambda: table.select(
        [*(c for c in table.column_names if c != name), name]
      ),
    }[what]()
  else:
    what = _pick(rng, ('no rows', 'rows reversed', 'rows doubled', 'rows cut'))
    order = {
      'no rows': np.zeros(0, np.int64),
      'rows reversed': np.arange(table.num_rows)[::-1],
      'rows doubled': np.tile(np.arange(table.num_rows), 2),
      'rows cut': np.arange(table.num_rows // 2),
    }[what]
    table = table.take(pa.array(order))
  try:
    return Mutant(f'column {name!r}: {what}', write(table))
  except (pa.ArrowException, ValueError):  # a type that Parquet has not
    return None


def parquet_bytes(table: pa.Table) -> bytes:
  """The table as a Parquet file."""
  sink = io.BytesIO()
  pq.write_table(table, sink)
  return sink.getvalue()


def arrow_bytes(table: pa.Table) -> bytes:
  """The table as an Arrow IPC stream of some batches."""
  sink = io.BytesIO()
  with pa.ipc.new_stream(sink, table.schema) as stream:
    stream.write_table(table, max_chunksize=max(1, table.num_rows // 3))
  return sink.getvalue()


def _other_type(rng: Rng, table: pa.Table, column: int) -> tuple[str, pa.Table]:
  rows = table.num_rows
  arrays = {
    'nulls': pa.nulls(rows),
    'text': pa.array(['x'] * rows),
    'numbers as text': pa.array([str(i) for i in range(rows)]),
    'bytes': pa.array([b'\xff\x00'] * rows),
    'booleans': pa.array([True] * rows),
    'doubles': pa.array(np.linspace(-1, 1, rows)),
    'NaN': pa.array(np.full(rows, np.nan)),
    'half': pa.array(np.zeros(rows, np.float16)),
    'unsigned': pa.array(np.full(rows, 2**64 - 1, np.uint64)),
    'times': pa.array(np.arange(rows), pa.timestamp('ns')),
    'dates': pa.array(np.arange(rows, dtype=np.int32), pa.date32()),
    'time of day': pa.array(np.arange(rows, dtype=np.int32), pa.time32('s')),
    'decimals': pa.array([None] * rows, pa.decimal128(38, 10)),
    'lists': pa.array([[1, None]] * rows),
    'lists of lists': pa.array([[[1]]] * rows),
    'lists of text': pa.array([['a', '']] * rows),
    'structs': pa.array([{'a': 1}] * rows),
    'maps': pa.array([[('a', 1)]] * rows, pa.map_(pa.string(), pa.int64())),
    'a dictionary': pa.array(['a'] * rows).dictionary_encode(),
    'large text': pa.array(['a'] * rows, pa.large_string()),
  }
  what = _pick(rng, list(arrays))
  name = table.column_names[column]
  return f'{what} in its place', table.set_column(column, name, arrays[what])


def _other_value(
  rng: Rng, table: pa.Table, column: int
) -> tuple[str, pa.Table]:
  """One row's value, within the column's type where that can be."""
  values = table[column].to_pylist()
  if not values:
    return 'no value to change', table
  row, kind = int(rng.integers(len(values))), table[column].type
  new = _pick(
    rng,
    (
      None,
      0,
      -1,
      2**31,
      2**63 - 1,
      -(2**63),
      0.5,
      1e300,
      float('nan'),
      float('inf'),
      '',
      'x' * HUGE,
      'a\x00b',
      [],
      [0] * 1000,
      [None],
      [2**31],
    ),
  )
  values[row] = new
  try:
    array = pa.array(values, kind)
  except (pa.ArrowException, TypeError, ValueError, OverflowError):
    values[row] = None
    array = pa.array(values, kind)
  name = table.column_names[column]
  return f'row {row + 1} is {values[row]!r:.40}', table.set_column(
    column, name, array
  )
