"""How much the shown item adds to a prediction of the session's rest.

A critic's weight orders the items of one state differently only as far as the
item, and not the state alone, predicts what the session still brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

Array = np.ndarray

# Rows that are read of a split, and values of a field that is no id.
_MOST_ROWS, _LARGEST = 100_000, 1_000
# Cuts between groups of a number, rows at the mean in each group, penalties.
_CUTS, _PRIOR, _RIDGES = np.arange(1, 20) / 20, 20.0, 10.0 ** np.arange(-2, 3)


def explained(
  connection: sql.Connection,
  rows: Mapping[str, str],
  manifest: manifest_lib.Manifest,
) -> list[dict[str, Any]]:
  """R² on validation rows of the positives in later rows of the session.

  By ridge regression on train rows, from the mean of the later positives by
  value of a field or by quantile group of a number; ids are left out.

  Args:
    rows: SQL of the rows of every split.

  Returns:
    `task`, `state` (R² of the fields that are known before an item is shown)
    and `row` (of all fields), of binary tasks with later positives.
  """
  fields = [f for f in manifest.fields if not f.width and f.size <= _LARGEST]
  tasks = [task.name for task in manifest.tasks if task.is_binary]
  kinds = ['DOUBLE' if f.kind == 'numeric' else 'BIGINT' for f in fields]
  columns = [
    f'CAST({sql.quote(field.column)} AS {kind}) AS {sql.quote(field.column)}'
    for field, kind in zip(fields, kinds, strict=True)
  ]
  columns += [
    f'coalesce(sum(CAST({sql.quote(f"y_{task}")} AS DOUBLE)) OVER ('
    'PARTITION BY session_id ORDER BY step'
    ' ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0)'
    for task in tasks
  ]
  found = []
  for name in ('train', 'validation'):
    parts = -(-manifest.splits[name].rows // _MOST_ROWS)
    read = connection.execute(
      f'SELECT {", ".join(columns)} FROM {rows[name]}'
      f' WHERE hash(session_id) % {parts} = 0 ORDER BY session_id, step'
    )
    found.append([*map(np.asarray, read.fetchnumpy().values())])
  count, result = len(fields), []
  states = [i for i, field in enumerate(fields) if _is_state(field)]
  for k, task in enumerate(tasks, count):
    y, later = (of[k] for of in found)
    if states and y.any() and all(map(np.ptp, np.array_split(later, 2))):
      means = [_means(found[0][i], found[1][i], y) for i in range(count)]
      state = _r2([means[i] for i in states], y, later)
      result.append({'task': task, 'state': state, 'row': _r2(means, y, later)})
  return result


def _is_state(field: manifest_lib.Field) -> bool:
  """Whether a field is known before an item is shown."""
  of = field.details
  if 'as_of' not in of:
    return of.get('side') in ('user', '')
  is_of_user = of.get('key') in ('user', 'session') and 'by' not in of
  return is_of_user or of['as_of'] in ('gap', 'position')


def _means(known: Array, others: Array, y: Array) -> tuple[Array, Array]:
  """The mean of y by a field's value, for its rows and for others."""
  if known.dtype.kind == 'f':
    cuts = np.quantile(known, _CUTS)
    known, others = (np.searchsorted(cuts, of) for of in (known, others))
  size = max(known.max(), others.max()) + 1
  rows = np.bincount(known, minlength=size)
  means = np.bincount(known, y - y.mean(), size) / (rows + _PRIOR)
  return means[known], means[others]


def _r2(pairs: Sequence, y: Array, later: Array) -> float:
  """R² on the last half of the other rows; the first chooses the ridge."""
  x, other = (np.stack(of, axis=1) for of in zip(*pairs, strict=True))
  squares, errors = x.T @ x, []
  for ridge in _RIDGES:
    penalty = np.diag(ridge * np.diag(squares) + 1e-9)
    weights = np.linalg.solve(squares + penalty, x.T @ (y - y.mean()))
    errors.append((later - y.mean() - other @ weights) ** 2)
  first, last = np.array_split(np.array(errors), 2, axis=1)
  best = last.mean(axis=1)[first.mean(axis=1).argmin()]
  return float(1.0 - best / np.array_split(later, 2)[1].var())
