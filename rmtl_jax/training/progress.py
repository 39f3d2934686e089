"""One live line per stage: rows per second, time left, validation AUC."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
  """A live line on a terminal; elsewhere, one line per epoch and no more."""

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
      brief: no line that stays for a pass that ends, for jobs of many runs.
    """
    self._brief = brief
    self._stream = stream or sys.stderr
    self._live = self._stream.isatty() and not quiet
    self._quiet = quiet
    self._label, self._note = '', ''
    self._start, self._seconds = 0.0, 0.0
    self._done, self._total = 0, 0
    self._width = 0

  def start(self, label: str, total: int) -> None:
    """Begins a pass over `total` rows; 0 where that is not known."""
    self._label, self._total, self._done = label, total, 0
    self._start = time.perf_counter()

  def advance(self, rows: int) -> None:
    """Counts rows that are done."""
    self._done += rows
    self._seconds = time.perf_counter() - self._start
    if self._live:
      rate = self._done / max(self._seconds, 1e-9)
      if not self._total:
        self._draw(f'{self._label}  {self._done:,} rows  {rate:,.0f} rows/s')
        return
      left = max(self._total - self._done, 0) / max(rate, 1e-9)
      share = 100 * self._done // max(self._total, 1)
      self._draw(
        f'{self._label}  {share:3d} %  {rate:,.0f} rows/s'
        f'  {clock(left)} left in this pass{self._note}'
      )

  def step(self, label: str, fraction: float) -> None:
    """A step of a job that counts no rows."""
    if self._live:
      self._draw(f'{label}  {100 * fraction:3.0f} %')

  def clear(self) -> None:
    """Wipes the live line."""
    self._draw('')

  def finish(self, summary: str, label: str = '') -> None:
    """Ends the pass with a line that stays; it may have its own label."""
    rate = self._done / max(self._seconds, 1e-9)
    self._note = f'  ({summary})'
    if self._brief:
      return
    self.say(f'{label or self._label}  {summary}  {rate:,.0f} rows/s')

  def say(self, text: str) -> None:
    """A line that stays."""
    if self._quiet:
      return
    self._draw('')
    print(text, file=self._stream, flush=True)

  def _draw(self, text: str) -> None:
    if self._live:
      self._stream.write('\r' + text.ljust(self._width) + '\r')
      self._stream.flush()
      self._width = len(text)


def clock(seconds: float) -> str:
  """Minutes and seconds, as 12:30."""
  minutes, rest = divmod(int(seconds + 0.5), 60)
  return f'{minutes}:{rest:02d}'
