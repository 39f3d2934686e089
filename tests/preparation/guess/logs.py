"""A small raw log whose guess tests know by hand."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

ROWS = 400


def write(
  path: pathlib.Path,
  columns: Mapping[str, Sequence[Any]],
  delimiter: str = ',',
) -> pathlib.Path:
  """Writes columns as CSV; returns the path."""
  rows = [columns, *zip(*columns.values(), strict=True)]
  lines = [delimiter.join(map(str, row)) for row in rows]
  path.write_text('\n'.join(lines) + '\n')
  return path


def shop() -> dict[str, list[Any]]:
  """A log with a column of nearly every kind.

  User i // 8 is shown eight items within a day; every third row is a click,
  every sixth a buy.
  """
  rows = range(ROWS)
  click = [int(i % 3 == 0) for i in rows]
  buy = [int(i % 6 == 0) for i in rows]
  return {
    'visit_id': [f'v{i // 4}' for i in rows],
    'customer': [1000 + i // 8 for i in rows],
    'product_id': [i * 7 % 50 for i in rows],
    'shown_at': [1_700_000_000 + 600 * i for i in rows],
    'shop': ['north', 'south', 'NULL', 'west'] * (ROWS // 4),
    'tags': [f'a{i % 5}|b{i % 4}' for i in rows],
    'price': [round(1.5 * (i % 40) + 0.25, 2) for i in rows],
    'stock_count': [10 ** (i % 5) for i in rows],
    'title': [f'A very long name of the thing {i * 31}' for i in rows],
    'country': ['de'] * ROWS,
    'paid_amount': [9.5 if b else '' for b in buy],
    'watch_seconds': [30 + i % 9 if c else i % 9 for i, c in enumerate(click)],
    'is_click': click,
    'bought': buy,
  }
