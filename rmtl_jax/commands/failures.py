"""Turns the exception of a command into one line and an exit code.

No other module handles the exceptions of the libraries. Readers name
bad input themselves, as `types.InputError`; other exceptions get one line here.
`RMTL_DEBUG=1` also prints the traceback.
"""

from __future__ import annotations

import errno
import json
import os
import pathlib
import sys
import traceback
from typing import NamedTuple

from absl import flags

from rmtl_jax import durable, extras, partial, types

DEBUG = 'RMTL_DEBUG'
_FAILED, _BAD = 1, 2
# Errors of a path that a flag names: bad usage, not a failure.
_BAD_PLACES = (
  errno.EACCES,
  errno.EISDIR,
  errno.ELOOP,
  errno.ENAMETOOLONG,
  errno.ENOENT,
  errno.ENOTDIR,
  errno.EPERM,
  errno.EROFS,
)
# XLA's messages; its exceptions have no error number.
_EXHAUSTED = 'RESOURCE_EXHAUSTED'
_PACKAGE = pathlib.Path(__file__).parents[1]


class Failure(NamedTuple):
  """The end of a command that failed.

  Attributes:
    line: the message.
    code: exit code: 1 failed, 2 bad usage or bad input.
    expected: False for a bug, or input that no check foresaw.
  """

  line: str
  code: int
  expected: bool = True


def of(error: Exception, command: str) -> Failure:
  """Describes an exception, by the paths that were asked for."""
  failure = _of(error, command)
  return failure._replace(line=partial.with_targets(failure.line))


def _of(error: Exception, command: str) -> Failure:
  if isinstance(error, types.InputError | flags.Error):
    return Failure(str(error), _BAD)
  if isinstance(error, ModuleNotFoundError):
    needed = extras.missing(error.name or '')
    if needed is not None:
      return Failure(f'rmtl {command} needs {needed}', _BAD)
  if isinstance(error, FloatingPointError):
    return Failure(f'stopped: {error}; the last checkpoint is intact', _FAILED)
  if isinstance(error, RecursionError):
    return Failure('the input is nested too deeply', _BAD)
  if _is_memory(error):
    return Failure(f'not enough memory: {types.first_line(error)}', _FAILED)
  if isinstance(error, OSError):
    reason = str(error.strerror or types.first_line(error))
    place = error.filename
    if place is None and error.errno == errno.EPIPE:
      place = 'standard output'  # all other broken pipes have a name
    line = f'{place}: {reason}' if place else reason
    return Failure(line, _BAD if error.errno in _BAD_PLACES else _FAILED)
  if isinstance(error, UnicodeError) or _is_of(error, 'duckdb', 'pyarrow'):
    line = _without_json(types.first_line(error))
    return Failure(line, _FAILED if durable.tells_of_disk(error) else _BAD)
  where = _where(error)
  return Failure(
    f'unexpected {type(error).__name__}: {types.first_line(error)}{where};'
    f' {DEBUG}=1 shows more',
    _FAILED,
    expected=False,
  )


def show(error: Exception) -> None:
  """Prints the traceback if `RMTL_DEBUG` is set."""
  if os.environ.get(DEBUG, '0') not in ('', '0'):
    traceback.print_exception(error, file=sys.stderr)


def _is_memory(error: Exception) -> bool:
  return (
    isinstance(error, MemoryError)
    or type(error).__name__ == 'OutOfMemoryException'
    or (_is_of(error, 'jax', 'jaxlib') and _EXHAUSTED in str(error))
  )


def _without_json(line: str) -> str:
  """The message within that of DuckDB's threads, which is JSON."""
  text, found, within = line.partition(': {"exception_type"')
  if not found:
    return line
  try:
    return str(json.loads('{"exception_type"' + within)['exception_message'])
  except (ValueError, KeyError):
    return text


def _is_of(error: Exception, *packages: str) -> bool:
  """Whether a package defines the exception's class; imports nothing."""
  modules = {kind.__module__.split('.')[0] for kind in type(error).__mro__}
  # DuckDB's binary module has another name than the package.
  return bool({m.lstrip('_') for m in modules} & {*packages})


def _where(error: Exception) -> str:
  """The innermost frame in this package, ` (preparation/encode.py:12)`."""
  for frame in reversed(traceback.extract_tb(error.__traceback__)):
    path = pathlib.Path(frame.filename)
    if path.is_relative_to(_PACKAGE):
      return f' ({path.relative_to(_PACKAGE)}:{frame.lineno})'
  return ''
