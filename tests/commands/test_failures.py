"""Whatever a library raises: one line, exit 1 or 2, never a traceback."""

import errno
import json

import duckdb
import jax
import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import cli
from rmtl_jax.commands import evaluate


def _deep():
  return json.loads('[' * 100_000)


def _arrow():
  pa.array([b'\xff']).cast(pa.string())


def _too_large():
  return np.zeros(2**58)


def _raise(error):
  raise error


# What happens in the command: exit code, what the line says.
HAPPENS = {
  'DuckDB reads no such column': (
    lambda: duckdb.connect().execute('SELECT x'),
    2,
    'Binder Error',
  ),
  'DuckDB finds a full disk': (
    lambda: _raise(
      duckdb.IOException('IO Error: /data/x: No space left on device\nmore')
    ),
    1,
    '/data/x: No space left',
  ),
  'a thread of DuckDB finds a full disk': (
    lambda: _raise(
      duckdb.IOException(
        'IO Error: Async write failed for range [offset=3, size=2]:'
        ' {"exception_type":"IO","exception_message":"Could not write file'
        ' \\"/data/x\\": No space left on device","errno":"28"}'
      )
    ),
    1,
    'rmtl: Could not write file "/data/x": No space left on device\n',
  ),
  'a disk is broken under DuckDB': (
    lambda: _raise(
      duckdb.IOException(
        'IO Error: Could not write file "/data/.x.partial-0a1b2c3d/test":'
        ' Input/output error'
      )
    ),
    1,
    '"/data/x/test": Input/output error',
  ),
  'DuckDB may write no more': (
    lambda: _raise(duckdb.IOException('IO Error: /data/x: File too large')),
    1,
    '/data/x: File too large',
  ),
  'DuckDB has no memory': (
    lambda: _raise(duckdb.OutOfMemoryException('Out of Memory Error: 1 GB')),
    1,
    'not enough memory: Out of Memory Error',
  ),
  'Arrow reads no UTF-8': (_arrow, 2, 'Invalid UTF8'),
  'Arrow has no such thing': (
    lambda: _raise(pa.ArrowNotImplementedError('Unhandled type')),
    2,
    'Unhandled type',
  ),
  'Arrow has no memory': (
    lambda: _raise(pa.ArrowMemoryError('malloc of size 9 failed')),
    1,
    'not enough memory: malloc',
  ),
  'nested JSON': (_deep, 2, 'nested too deeply'),
  'numpy has no memory': (_too_large, 1, 'not enough memory'),
  'Python has no memory': (lambda: _raise(MemoryError()), 1, 'MemoryError'),
  'XLA has no memory': (
    lambda: _raise(
      jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
    ),
    1,
    'not enough memory: RESOURCE_EXHAUSTED',
  ),
  'no UTF-8': (lambda: b'\xff'.decode(), 2, "can't decode byte 0xff"),
  'surrogates': (lambda: 'a\udcff'.encode(), 2, 'surrogates not allowed'),
  'full disk': (
    lambda: _raise(OSError(errno.ENOSPC, 'No space left on device', 'x')),
    1,
    'x: No space left',
  ),
  'no such place': (
    lambda: _raise(FileNotFoundError(errno.ENOENT, 'No such file', 'x')),
    2,
    'x: No such file',
  ),
  'reader left': (
    lambda: _raise(BrokenPipeError(errno.EPIPE, 'Broken pipe')),
    1,
    'standard output: Broken pipe',
  ),
  'fault of ours': (
    lambda: {}['x'],
    1,
    "unexpected KeyError: 'x'",
  ),
}


def _main(monkeypatch, action):
  """The exit code of a command that does nothing else."""
  monkeypatch.setattr(evaluate, 'execute', lambda values: action())
  return cli.main(['rmtl', 'evaluate'])


@pytest.mark.parametrize('name', HAPPENS)
def test_one_line_and_an_exit_code(monkeypatch, capsys, name):
  action, code, part = HAPPENS[name]
  assert _main(monkeypatch, action) == code
  out, error = capsys.readouterr()
  assert error.startswith('rmtl: ') and error.count('\n') == 1, error
  assert part in error and not out
