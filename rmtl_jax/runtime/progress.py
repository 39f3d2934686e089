"""The live line of a stage: rows per second, time left, monitored value."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from rmtl_jax import terminal


class Progress:
  """A live line on a terminal; elsewhere one line per epoch.

  On a terminal every pass of a stage updates the same line, and one line per
  model remains when the stage ends.
  """

  def __init__(
    self,
    stream: TextIO | None = None,
    quiet: bool = False,
    brief: bool = False,
  ):
    """Writes to `stream`, standard error by default.

    Args:
      stream: an open text stream.
      quiet: writes nothing.
      brief: writes no permanent line at the end of passes and stages, for jobs
        of many runs.
    """
    self._brief = brief
    self._stream = stream or sys.stderr
    self._live = self._stream.isatty() and not quiet
    self._quiet = quiet
    self._label, self._note = '', ''
    self._start, self._seconds = 0.0, 0.0
    self._done, self._total = 0, 0
    self._compiles = False
    self._stage_start, self._stage_done, self._stage_total = 0.0, 0, 0
    self._width = 0

  @contextlib.contextmanager
  def stage(
    self, rows: int, ends: Callable[[], Iterable[str]] = tuple
  ) -> Iterator[None]:
    """Makes the passes within its block parts of one stage.

    Args:
      rows: most rows of all passes; early stopping may end the stage sooner.
      ends: returns the permanent lines of the finished stage on a terminal.
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

  def start(self, label: str, total: int, compiles: bool = False) -> None:
    """Begins a pass.

    Args:
      label: of the pass.
      total: its rows; 0 if unknown.
      compiles: whether its program is compiled first, so that its rows per
        second print nothing.
    """
    self._label, self._total, self._done = label, total, 0
    self._compiles = compiles
    self._start = time.perf_counter()
    if compiles and self._live:
      self._draw(f'{label}  compiling')

  def advance(self, rows: int) -> None:
    """Counts finished rows."""
    self._done += rows
    self._stage_done += rows
    self._seconds = time.perf_counter() - self._start
    if self._live:
      rate = self._done / max(self._seconds, 1e-9)
      if not self._total:
        self._draw(f'{self._label}  {self._done:,} rows  {rate:,.0f} rows/s')
        return
      share = 100 * self._done // max(self._total, 1)
      if self._compiles:  # its pace predicts nothing
        self._draw(f'{self._label}  {share:3d} %')
        return
      rest = (
        (self._left(rate), self._note)
        if not self._stage_total
        else (self._note, self._left(rate))
      )
      parts = (f'{self._label}  {share:3d} %', f'{rate:,.0f} rows/s', *rest)
      self._draw('  '.join(part for part in parts if part))

  def _left(self, rate: float) -> str:
    """Time left of the pass, and of the stage by its pace so far."""
    left = max(self._total - self._done, 0) / max(rate, 1e-9)
    if not self._stage_total:
      return f'{clock(left)} left in this pass'
    # The stage's pace includes validation, which the pass's rate does not.
    spent = time.perf_counter() - self._stage_start
    rows = max(self._stage_total - self._stage_done, 0)
    most = rows * spent / max(self._stage_done, 1)
    return f'{clock(left)} left, stage < {clock(most)}'

  def step(self, label: str, fraction: float) -> None:
    """Shows the progress of a job that counts no rows."""
    if self._live:
      self._draw(f'{label}  {100 * fraction:3.0f} %')

  def clear(self) -> None:
    """Erases the live line."""
    self._draw('')

  def finish(self, summary: str, label: str = '', note: str = '') -> None:
    """Ends the pass with a permanent line, except in a stage on a terminal.

    Args:
      summary: the result of the pass.
      label: of this line; the pass's by default.
      note: shown in the live line from now on; by default `summary` in
        brackets.
    """
    self._note = note or f'({summary})'
    if self._brief or (self._live and self._stage_total):
      return
    line = f'{label or self._label}  {summary}'
    rate = f'{self._done / max(self._seconds, 1e-9):,.0f}'
    ends = (f'  {rate} rows/s', f'  {rate}/s', '')
    if self._compiles:
      ends = ('  (compiled)', '')
    # If the line is full, the speed is dropped first.
    room = terminal.COLUMNS - len(terminal.in_cells(line))
    self.say(line + next((end for end in ends if len(end) <= room), ''))

  def say(self, text: str) -> None:
    """Writes a permanent line, filled; several lines as they are."""
    if self._quiet:
      return
    self._draw('')
    self._write((text if '\n' in text else terminal.filled(text)) + '\n')

  def _draw(self, text: str) -> None:
    """Redraws the live line.

    It is cut at the terminal's width, because a carriage return does not lead
    back from a wrapped line, and padded over a longer text before.
    """
    if self._live:
      cells = terminal.in_cells(text)[: self._columns() - 1]
      padded = terminal.of_cells(cells.ljust(self._width))
      self._write(f'\r{padded}\r')
      self._width = len(cells)

  def _write(self, text: str) -> None:
    # Training continues if the reader of its output has gone.
    with contextlib.suppress(OSError):
      self._stream.write(text)
      self._stream.flush()

  def _columns(self) -> int:
    try:
      columns = os.get_terminal_size(self._stream.fileno()).columns
    except (OSError, ValueError):  # no terminal, or no file at all
      columns = 0
    return columns or terminal.COLUMNS


def clock(seconds: float) -> str:
  """Minutes and seconds, as 12:30."""
  minutes, rest = divmod(int(seconds + 0.5), 60)
  return f'{minutes}:{rest:02d}'
