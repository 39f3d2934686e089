"""Sizes that requests are padded to, so that few programs are compiled."""

from __future__ import annotations

# Rows of the smallest call, and of the largest that is padded: above, a loop
# over batches, which computes whole ones, takes less time.
LEAST_ROWS, MOST_ROWS = 8, 1024
# Steps of four while padding costs less than a program; then powers of two.
_COARSE = 64


def padded(count: int, least: int = 1) -> int:
  """The smallest size of at least `count`.

  Sizes are 1, 4, 16, 64, then powers of two, all of them times `least`.

  Examples:
    >>> [padded(count) for count in (0, 1, 2, 5, 17, 65, 129)]
    [1, 1, 4, 16, 64, 128, 256]
    >>> padded(9, least=8)
    32
  """
  size = least
  while size < count:
    size *= 4 if size < _COARSE * least else 2
  return size


def lanes_of(rows: int) -> list[int]:
  """How many lanes calls of up to so many rows have, smallest first."""
  return up_to(-(-rows // LEAST_ROWS))


def up_to(count: int, least: int = 1) -> list[int]:
  """The sizes of all requests of up to `count`, smallest first.

  Examples:
    >>> up_to(20), up_to(0), up_to(20, least=8)
    ([1, 4, 16, 64], [], [8, 32])
  """
  sizes: list[int] = []
  while count > (sizes[-1] if sizes else 0):
    sizes.append(padded(sizes[-1] + 1 if sizes else 1, least))
  return sizes
