"""Standard streams that are closed, broken, full or of another encoding."""

from __future__ import annotations

import contextlib
import io
import os
import sys

OUTPUT = 'standard output'


def prepare() -> None:
  """Makes the standard streams safe to print to, before anything is opened.

  A stream that is closed would give its number to the next file that is
  opened, into which libraries would then print: the null device takes its
  place. Python prints nothing to a standard output that was closed, which is
  what whoever closed it wants. Characters that the encoding of a stream lacks
  are printed as escapes.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      # The lowest number that is free, so this one.
      os.open(os.devnull, os.O_RDWR)
  if sys.stderr is None:
    sys.stderr = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='backslashreplace')


def finish(code: int) -> int:
  """Flushes the streams; the interpreter's own flush could only exit 120.

  Args:
    code: the command's exit code.

  Returns:
    The process's exit code: 1 where the command did what it should, but what
    it printed is lost.
  """
  lost = _flush(sys.stdout)
  if lost and code == 0:
    code = 1
    say(f'{OUTPUT}: {lost}')
  _flush(sys.stderr)
  return code


def say(line: str, stream=None) -> None:
  """Prints `rmtl: LINE` on standard error, if anybody listens there."""
  with contextlib.suppress(OSError, ValueError):
    print(f'rmtl: {line}', file=stream or sys.stderr, flush=True)


def _flush(stream) -> str:
  """Why a stream can't be written, or ''; what it holds is dropped then."""
  if stream is None:
    return ''
  try:
    stream.flush()
  except (OSError, ValueError) as error:
    with contextlib.suppress(OSError, ValueError):
      null = os.open(os.devnull, os.O_WRONLY)
      os.dup2(null, stream.fileno())
      os.close(null)
    return str(getattr(error, 'strerror', None) or error)
  return ''
