"""Numbers that networks can make of binned fields.

A binned field is a category like any other, so nothing is left of its order,
which a network can't learn from few rows. Its ids are bins in order, so the
numbers need no further column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import types

# Quantiles of a number that is a sum over fields: the edges of equal bins.
_QUANTILES = 32
# Rates are clipped to this distance from 0 and 1 before their log-odds.
_LEAST = 1e-4


def numbers(fields: Sequence[Any]) -> tuple[types.Derived, ...]:
  """Each field's rank, and of each task the users' and items' rates together.

  Args:
    fields: the categorical fields of a manifest, in order. Those without
      `edges` among their details make no number.

  Returns:
    Ranks, of mean 0 and deviation 1 over equally full bins, and the sum of the
    log-odds of user's and item's rate over those of train's rate: what the
    table of rates predicts.
  """
  places = {f.name: i for i, f in enumerate(fields) if _bins(f) > 1}
  ranks = [_rank(fields[i], i) for i in places.values()]
  return (*ranks, *_rates([(i, fields[i]) for i in places.values()]))


def _bins(field: Any) -> int:
  """How many bins a field has; 0 of other fields."""
  return len(field.details['edges']) + 1 if 'edges' in field.details else 0


def _rank(field: Any, place: int) -> types.Derived:
  bins = np.arange(_bins(field))
  ranks = (bins - bins.mean()) / bins.std()
  return _derived(f'{field.name}_rank', [(place, field, ranks)], ranks)


def _rates(fields: Sequence[tuple[int, Any]]) -> list[types.Derived]:
  by_task: dict[str, list[tuple[int, Any, np.ndarray]]] = {}
  for place, field in fields:
    rate, task = field.details.get('train_rate', 0.0), field.details.get('task')
    if field.details.get('as_of') == 'rates' and 0.0 < rate < 1.0:
      edges = np.asarray(field.details['edges'], np.float64)
      centres = np.concatenate(
        [edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]]
      )
      odds = _log_odds(centres) - _log_odds(np.array(rate))
      by_task.setdefault(str(task), []).append((place, field, odds))
  return [
    _derived(
      f'{task}_rates', parts, np.add.outer(parts[0][2], parts[1][2]).ravel()
    )
    for task, parts in by_task.items()
    if len(parts) == 2
  ]


def _log_odds(rate: np.ndarray) -> np.ndarray:
  rate = np.clip(rate, _LEAST, 1 - _LEAST)
  return np.log(rate) - np.log1p(-rate)


def _derived(
  name: str,
  parts: Sequence[tuple[int, Any, np.ndarray]],
  values: np.ndarray,
) -> types.Derived:
  """A number of fields; parts: place, field and values of its bins."""
  quantiles = np.quantile(
    values, np.linspace(0, 1, _QUANTILES + 1), method='nearest'
  )
  return types.Derived(
    name,
    tuple(place for place, _, _ in parts),
    tuple(tuple(map(float, by_bin)) for _, _, by_bin in parts),
    tuple(float(q) for q in np.unique(quantiles.astype(np.float32))),
  )
