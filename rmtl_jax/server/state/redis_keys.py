"""Names and texts of what Redis keeps; see redis_scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rmtl_jax.server.state import counters, records

# Blocks of all levels stand in one order: numbers of blocks are smaller than
# half of this (counters.FIRST), and all of it is smaller than the 2**53 that
# scores can tell.
_LEVEL = 1 << 50


def dumps(value: Any) -> str:
  """Compact JSON; scripts rely on its form."""
  return json.dumps(value, separators=(',', ':'))


def event(found: list[Any]) -> records.Event:
  """An event from its JSON."""
  return records.Event(*found)


def visit(found: list[Any]) -> records.Visit:
  """A visit from its JSON."""
  return records.Visit(*found[:-1], open=bool(found[-1]))


def blocks(time: int) -> Iterator[int]:
  """Scores of the blocks that a time lies in."""
  for level, block in counters.blocks(time):
    yield level * _LEVEL + block


def before(time: int) -> list[tuple[str, str]]:
  """Ranges of scores that hold all earlier times, each once."""
  return [
    (str(level * _LEVEL + first), f'({level * _LEVEL + end}')
    for level, first, end in counters.before(time)
  ]
