"""One live line per stage: rows per second, time left, validation AUC."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

# Where a terminal does not tell its width.
_COLUMNS = 80


class Progress:
  """A live line on a terminal; elsewhere, one line per epoch and no more.

  On a terminal a stage has one line, which every pass updates, and leaves one
  line per model when it ends.
  """

  def __init__(
    self,
    stream: TextIO | None = None,
    quiet: bool = False,
    brief: bool = False,
  ):
    """Writes to `stream`, standard error by default.

    Args:
      stream: where to.
      quiet: nothing at all.
      brief: no line that stays for a pass or a stage that ends, for jobs of
        many runs.
    """
    self._brief = brief
    self._stream = stream or sys.stderr
    self._live = self._stream.isatty() and not quiet
    self._quiet = quiet
    self._label, self._note = '', ''
    self._start, self._seconds = 0.0, 0.0
    self._done, self._total = 0, 0
    self._stage_start, self._stage_done, self._stage_total = 0.0, 0, 0
    self._width = 0

  @contextlib.contextmanager
  def stage(
    self, rows: int, ends: Callable[[], Iterable[str]] = tuple
  ) -> Iterator[None]:
    """While it lasts, passes are parts of one stage.

    Args:
      rows: of all its passes, at most: early stopping may end it sooner.
      ends: gives the lines that stay when it has ended on a terminal.
    """
    self._note = ''
    self._stage_start = time.perf_counter()
    self._stage_done, self._stage_total = 0, rows
    try:
      yield
    except BaseException:
      self.clear()
      raise
    finally:
      self._stage_total = 0
    if self._live and not self._brief:
      for line in ends():
        self.say(line)

  def start(self, label: str, total: int) -> None:
    """Begins a pass over `total` rows; 0 where that is not known."""
    self._label, self._total, self._done = label, total, 0
    self._start = time.perf_counter()

  def advance(self, rows: int) -> None:
    """Counts rows that are done."""
    self._done += rows
    self._stage_done += rows
    self._seconds = time.perf_counter() - self._start
    if self._live:
      rate = self._done / max(self._seconds, 1e-9)
      if not self._total:
        self._draw(f'{self._label}  {self._done:,} rows  {rate:,.0f} rows/s')
        return
      share = 100 * self._done // max(self._total, 1)
      told = (
        (self._left(rate), self._note)
        if not self._stage_total
        else (self._note, self._left(rate))
      )
      parts = (f'{self._label}  {share:3d} %', f'{rate:,.0f} rows/s', *told)
      self._draw('  '.join(part for part in parts if part))

  def _left(self, rate: float) -> str:
    """Of the pass; and of the stage, by its own pace, validation included."""
    left = max(self._total - self._done, 0) / max(rate, 1e-9)
    if not self._stage_total:
      return f'{clock(left)} left in this pass'
    spent = time.perf_counter() - self._stage_start
    rows = max(self._stage_total - self._stage_done, 0)
    most = rows * spent / max(self._stage_done, 1)
    return f'{clock(left)} left, stage < {clock(most)}'

  def step(self, label: str, fraction: float) -> None:
    """A step of a job that counts no rows."""
    if self._live:
      self._draw(f'{label}  {100 * fraction:3.0f} %')

  def clear(self) -> None:
    """Wipes the live line."""
    self._draw('')

  def finish(self, summary: str, label: str = '', note: str = '') -> None:
    """Ends the pass with a line that stays, but for a stage on a terminal.

    Args:
      summary: what came out.
      label: of this line, if not the pass's.
      note: what the live line says of it from now on; `summary` in brackets
        if not given.
    """
    rate = self._done / max(self._seconds, 1e-9)
    self._note = note or f'({summary})'
    if self._brief or (self._live and self._stage_total):
      return
    self.say(f'{label or self._label}  {summary}  {rate:,.0f} rows/s')

  def say(self, text: str) -> None:
    """A line that stays."""
    if self._quiet:
      return
    self._draw('')
    self._write(text + '\n')

  def _draw(self, text: str) -> None:
    """The live line, cut where it would wrap: no return leads back from there.

    Blanks over what was longer before.
    """
    if self._live:
      text = text[: self._columns() - 1]
      self._write('\r' + text.ljust(self._width) + '\r')
      self._width = len(text)

  def _write(self, text: str) -> None:
    # Work goes on if its output has lost its reader.
    with contextlib.suppress(OSError):
      self._stream.write(text)
      self._stream.flush()

  def _columns(self) -> int:
    try:
      return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):  # no terminal, or no file at all
      return _COLUMNS


def clock(seconds: float) -> str:
  """Minutes and seconds, as 12:30."""
  minutes, rest = divmod(int(seconds + 0.5), 60)
  return f'{minutes}:{rest:02d}'
