"""Whatever a library raises: one line, exit 1 or 2, never a traceback."""

import errno

import duckdb
import jax
import pyarrow as pa
import pytest

from rmtl_jax import cli
from rmtl_jax.commands import evaluate


def _arrow():
  pa.array([b'\xff']).cast(pa.string())


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
  'Arrow reads no UTF-8': (_arrow, 2, 'Invalid UTF8'),
  'XLA has no memory': (
    lambda: _raise(
      jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
    ),
    1,
    'not enough memory: RESOURCE_EXHAUSTED',
  ),
  'full disk': (
    lambda: _raise(OSError(errno.ENOSPC, 'No space left on device', 'x')),
    1,
    'x: No space left',
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
