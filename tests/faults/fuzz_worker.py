"""Runs commands on mutants: `python -m tests.faults.fuzz_worker SCRATCH N`.

Prints a line of JSON before and after each of N mutants, so that whoever
started the process knows which one it died of. Equal numbers give equal
mutants.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pathlib
import resource
import shutil
import sys
import traceback
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import cli
from tests.faults import sound

Rng = np.random.Generator
# Address space: a request for absurd memory fails, and nobody else suffers.
_LIMIT = 12 * 2**30
_HUGE = 10**6
# What stands where a value should, as text.
_VALUES = (
  *('', ' ', '-1', '1e400', 'nan', '-Infinity', 'null', '1.5', '0x10'),
  *('9223372036854775808', '1' * 400, '"', 'a,b', 'a\0b', '\x1b[31mred'),
  *("'; DROP TABLE raw_0; --", '../../etc/passwd', '\ufeff', 'Zoë ☃ 雪'),
  *('%s%n{}', '2024-13-45 25:61:00', '9' * _HUGE),
)


def main(scratch: pathlib.Path, count: int) -> None:
  """Tries so many mutants, the targets in turn."""
  resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)  # what the program prints is no answer
  names = list(sound.TARGETS)
  for number in range(count):
    name = names[number % len(names)]
    record = {'target': name, 'number': number}
    answers.write(json.dumps(record) + '\n')
    try:
      verdict = attempt(name, scratch, number)
    except BaseException:
      verdict = traceback.format_exc()
    answers.write(json.dumps(record | {'verdict': verdict}) + '\n')


def attempt(name: str, scratch: pathlib.Path, number: int | None) -> str:
  """A mutant of one of a target's files, or none: `handled` or `refused`.

  Raises:
    AssertionError: neither, or something was left behind.
  """
  target = sound.TARGETS[name]
  shutil.rmtree(scratch, ignore_errors=True)
  shutil.copytree(sound.shared() / target.base, scratch)
  named = [str(scratch), 'as_of: ']
  if number is not None:
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    found = {p for g in target.patterns for p in scratch.glob(g)}
    path = _pick(rng, sorted(found))
    path.write_bytes(mutate(rng, path.name, path.read_bytes()))
    named.append(path.name)
  before = _tree(scratch)
  with sound.said() as (_, err):
    code = cli.main(['rmtl', *target.command(scratch)])
  left = sorted(_tree(scratch) - before)
  assert not any('partial' in one or 'spill' in one for one in left), left
  if code == 0:
    target.check(scratch)
    return 'handled'
  line = sound.one_line(code, err.getvalue())
  for one in left:
    assert one.split('/')[0] == target.created, (line, left)
    assert not one.endswith(('metrics.json', 'test.json')), (line, left)
  assert any(one in line for one in named), line
  return 'refused'


def _tree(directory: pathlib.Path) -> set[str]:
  return {str(p.relative_to(directory)) for p in directory.rglob('*')}


def mutate(rng: Rng, name: str, data: bytes) -> bytes:
  """A mutant of a file; the ending of its name tells its kind."""
  if name.endswith('.gz') and rng.random() < 0.75:
    inner = mutate(rng, name.removesuffix('.gz'), gzip.decompress(data))
    return gzip.compress(inner, 1, mtime=0)
  kind = pathlib.PurePath(name).suffix
  by_kind = {'.csv': _cell, '.json': _json, '.parquet': _parquet}
  if kind in by_kind and rng.random() < 0.8:
    return by_kind[kind](rng, data)
  return _bytes(rng, data)


def _pick(rng: Rng, values: Any) -> Any:
  return values[int(rng.integers(len(values)))]


def _bytes(rng: Rng, data: bytes) -> bytes:
  """Bits flipped, bytes added, removed or of another encoding."""
  at, size = int(rng.integers(len(data) + 1)), int(rng.integers(1, 64))
  flipped = bytearray(data)
  for place in rng.integers(max(len(data), 1), size=size if data else 0):
    flipped[place] ^= 1 << int(rng.integers(8))
  return _pick(
    rng,
    (
      bytes(flipped),
      data[:at],
      b'',
      data[:at] + rng.bytes(size) + data[at:],
      data[:at] + data[at + size :],
      data[: at + size] + data[at:],
      rng.bytes(size),
      data.decode('utf-8', 'replace').encode('utf-16'),
      data[:at] + _pick(rng, (b'\xff', b'\xc3', b'\0', b'\n')) + data[at:],
    ),
  )


def _cell(rng: Rng, data: bytes) -> bytes:
  """Another value in a cell, quoted or not."""
  cells = [line.split(',') for line in data.decode().split('\n')]
  line = _pick(rng, cells)
  value = _pick(rng, _VALUES)
  quoted = '"' + value.replace('"', '""') + '"'
  line[int(rng.integers(len(line)))] = _pick(rng, (value, quoted))
  return '\n'.join(map(','.join, cells)).encode()


def _json(rng: Rng, data: bytes) -> bytes:
  """A value replaced, renamed, not there or none that JSON has."""
  record = json.loads(data)
  parent, key = _pick(rng, list(_places(record)))
  kind = _pick(rng, ('replace', 'replace', 'drop', 'rename', 'raw'))
  if kind == 'drop':
    del parent[key]
  elif kind == 'rename' and isinstance(parent, dict):
    parent[_pick(rng, _VALUES)] = parent.pop(key)
  elif kind == 'raw':
    parent[key] = '@@'
    new = ('[' * 100_000, '{"a":' * 50_000, '1' * 10_000, '1e999999', '1 //')
    return json.dumps(record).replace('"@@"', _pick(rng, new)).encode()
  else:
    old = parent[key]
    new = (
      *(None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, float('nan'), ''),
      *(_pick(rng, _VALUES), [], [old], [old, old], {}, {'name': old}),
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
  new = (None, 0, -1, 2**31, 2**63 - 1, 0.5, float('nan'), '', [], [0] * 999)
  values[int(rng.integers(rows))] = _pick(rng, new)
  arrays = (
    *(pa.nulls(rows), pa.array(['x'] * rows), pa.array([b'\xff\x00'] * rows)),
    *(pa.array(np.full(rows, np.nan)), pa.array([{'a': 1}] * rows)),
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
    ),
  )
  sink = io.BytesIO()
  pq.write_table(changed, sink)
  return sink.getvalue()


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
