"""Wall seconds of a run by what it does."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterator

_seconds: dict[str, float] = collections.defaultdict(float)
_names: list[str] = []
_since = 0.0
_WHOLE = ('paper_model',)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
  """Counts the seconds of its block, without those of parts within it.

  Those within the paper's model count as its. For one thread of a process.
  """
  if _names and _names[-1] in _WHOLE:
    yield
    return
  _count()
  _names.append(name)
  try:
    yield
  finally:
    _count()
    _names.pop()


def add(name: str, seconds: float) -> None:
  """Counts seconds that other parts contain."""
  _seconds[name] += seconds


def take() -> dict[str, float]:
  """The seconds of every part since they were last taken."""
  if _names and _names[-1] in _WHOLE:
    return {}
  _count()
  found = dict(_seconds)
  _seconds.clear()
  return found


def _count() -> None:
  global _since
  now = time.perf_counter()
  if _names:
    _seconds[_names[-1]] += now - _since
  _since = now
