"""Handles standard streams that are closed, broken or full."""

from __future__ import annotations

import contextlib
import io
import os
import sys

OUTPUT = 'standard output'


def prepare() -> None:
  """Makes the standard streams safe to print to, before anything is opened.

  The next file that is opened would get the number of a closed stream, and
  libraries would print into it, so the null device takes its place. Python
  prints nothing to a closed standard output, as whoever closed it wants.
  Characters outside of a stream's encoding are printed as escapes.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      # The system assigns the lowest free number, which is this one.
      os.open(os.devnull, os.O_RDWR)
  if sys.stderr is None:
    sys.stderr = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # else a caller replaced it
      stream.reconfigure(errors='backslashreplace')


def finish(code: int) -> int:
  """Flushes the streams; the interpreter's own flush could only exit 120.

  Returns:
    The process's exit code: 1 if the command succeeded but its output is lost.
  """
  lost = _flush(sys.stdout)
  if lost and code == 0:
    code = 1
    say(f'{OUTPUT}: {lost}')
  _flush(sys.stderr)
  return code


def say(line: str, stream=None) -> None:
  """Prints `rmtl: LINE` on standard error, if that is open."""
  note(f'rmtl: {line}', stream)


def note(line: str, stream=None) -> None:
  """Prints a line of progress on standard error, if that is open."""
  with contextlib.suppress(OSError, ValueError):
    print(line, file=stream or sys.stderr, flush=True)


def _flush(stream) -> str:
  """Flushes; returns why that failed, or ''. Lost output is dropped.

  Else the interpreter would flush it again at exit and change the exit code.
  """
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
