"""Counts of a key by time, which any moment can be asked for.

A count stands at its time and in blocks of time of growing length that it lies
in. So what came before a moment is the sum of a few blocks and of the times in
the last, shortest one, however much there was; and it adds up in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

# No block of any length has a lower number.
FIRST = -(2**49)
# Lengths of the blocks, as powers of two of ms: single times, 17 minutes, 19
# hours, 50 days.
SHIFTS = (0, 20, 26, 32)


def blocks(time: int) -> Iterator[tuple[int, int]]:
  """The blocks that a time lies in: (level, number).

  Args:
    time: ms.
  """
  for level, shift in enumerate(SHIFTS):
    yield level, time >> shift


def before(time: int) -> Iterator[tuple[int, int, int]]:
  """Blocks that hold all earlier times, each once.

  Args:
    time: ms.

  Yields:
    (level, first number, number after the last).

  Examples:
    >>> list(before(3))
    [(0, 0, 3), (1, 0, 0), (2, 0, 0), (3, -562949953421312, 0)]
  """
  for level, shift in enumerate(SHIFTS):
    first = FIRST
    if level + 1 < len(SHIFTS):
      longer = SHIFTS[level + 1]
      first = time >> longer << longer - shift
    yield level, first, time >> shift
