"""A small table, and settings under which it trains in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

SETTINGS = {
  'ensemble': 1,
  'variants': '',
  'network.embedding_dim': 4,
  'network.bottom_units': (8,),
  'network.tower_units': (6,),
  'batch.lanes': 1,
  'batch.lane_length': 8,
  'pretrain.max_epochs': 4,
  'pretrain.learning_rate': 0.05,
  'evaluation.bootstrap': 0,
}


def table(rows: int = 400) -> dict[str, list[Any]]:
  """Columns whose meaning their names and types tell; item says a lot."""
  rng = np.random.default_rng(0)
  item = rng.integers(0, 12, rows)
  click = (rng.random(rows) < 0.1 + 0.06 * item).astype(int)
  return {
    'session_id': (np.arange(rows) // 4).tolist(),
    'user_id': [f'u{n}' for n in rng.integers(0, 9, rows)],
    'item_id': item.tolist(),
    'timestamp': (1_700_000_000 + np.arange(rows)).tolist(),
    'price': rng.exponential(size=rows).round(3).tolist(),
    'tags': [[f't{n % 3}', f't{n % 4}'] for n in item.tolist()],
    'click': click.tolist(),
    'buy': (click * rng.integers(0, 2, rows)).tolist(),
  }


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
  """The same table as a list of dicts."""
  return [
    dict(zip(columns, row, strict=True))
    for row in zip(*columns.values(), strict=True)
  ]
