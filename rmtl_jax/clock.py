"""Wall seconds of a run by activity."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterator

_seconds: dict[str, float] = collections.defaultdict(float)
_names: list[str] = []
_since = 0.0
_scopes = 0


@contextlib.contextmanager
def measured() -> Iterator[None]:
  """Begins to count from nothing; within another such block it does nothing.

  So the seconds of a run lack those of other work in its process.
  """
  global _scopes
  if not _scopes:
    _count()
    _seconds.clear()
  _scopes += 1
  try:
    yield
  finally:
    _scopes -= 1


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
  """Counts the seconds of its block, without those of parts within it.

  For one thread of a process.
  """
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
