"""A small table, and settings under which it trains in seconds."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas

import rmtl_jax

TASKS = ('click', 'buy')
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


def quietly(work: Callable[..., Any], *args: Any) -> Any:
  """work(*args) without warnings."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    return work(*args)


def fit_recommended(path: pathlib.Path) -> None:
  """Fits the recommended members, in small, in PATH/run."""
  chosen = ('ensemble', 'variants')
  config = {k: v for k, v in SETTINGS.items() if k not in chosen}
  one = rmtl_jax.Ranker(
    tasks=TASKS, config=config, fine_tune=False, workdir=path / 'run'
  )
  quietly(one.fit, pandas.DataFrame(table()))


def new_rows(count: int = 6) -> dict[str, list[Any]]:
  """Rows of a session after the table, without labels."""
  rows = {k: v[:count] for k, v in table().items() if k not in TASKS}
  rows['session_id'] = [1000] * count
  rows['timestamp'] = [1_700_000_500 + n for n in range(count)]
  return rows


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
  """The same table as a list of dicts."""
  return [
    dict(zip(columns, row, strict=True))
    for row in zip(*columns.values(), strict=True)
  ]
