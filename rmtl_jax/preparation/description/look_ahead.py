"""How much the shown item adds to a prediction of the session's rest.

A weight by a critic's Q can order the items of one state differently only as
far as the item, and not the state alone, predicts the rest of the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import extras
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

# Rows that are read of a split, and values of a field that is no id.
_MOST_ROWS, _MOST_VALUES = 100_000, 1_000
_SETTINGS = {
  'objective': 'regression',
  'num_leaves': 15,
  'learning_rate': 0.05,
  'min_data_in_leaf': 200,
  'feature_fraction': 0.5,
  'num_threads': 1,
  'deterministic': True,
  'verbosity': -1,
}
_ROUNDS, _PATIENCE = 200, 20
# As-of features that are known before an item is shown, besides those whose
# key is the user or the session.
_OF_STATE = ('gap', 'position')


def explained(
  connection: sql.Connection,
  rows: Mapping[str, str],
  manifest: manifest_lib.Manifest,
) -> list[dict[str, Any]]:
  """R² on validation rows of the later positives of each session.

  Boosted trees are fitted to train rows: to the fields that are known before an
  item is shown, and to all fields. Ids are left out.

  Args:
    rows: SQL of the rows of every split.

  Returns:
    `task`, `state` and `row`, the two R²; none without LightGBM, or without a
    session of two rows.
  """
  fields = [
    field
    for field in manifest.fields
    if field.kind == 'numeric'
    or (field.kind == 'categorical' and field.size <= _MOST_VALUES)
  ]
  of_state = [_is_state(field) for field in fields]
  every = [True] * len(fields)
  if extras.unavailable('lightgbm') or not any(of_state):
    return []
  tasks = [task for task in manifest.tasks if task.is_binary]
  train, validation = (
    _read(connection, rows[name], manifest.splits[name].rows, fields, tasks)
    for name in ('train', 'validation')
  )
  found = []
  for task in tasks:
    if np.ptp(train[f'later_{task.name}']) > 0:
      found.append(
        {
          'task': task.name,
          'state': _r2(train, validation, task.name, fields, of_state),
          'row': _r2(train, validation, task.name, fields, every),
        }
      )
  return found


def _is_state(field: manifest_lib.Field) -> bool:
  """Whether a field is known before an item is shown."""
  details = field.details
  if 'as_of' in details:
    return details['as_of'] in _OF_STATE or details.get('key') in (
      'user',
      'session',
    )
  return details.get('side') in ('user', '')


def _read(
  connection: sql.Connection,
  relation: str,
  rows: int,
  fields: Sequence[manifest_lib.Field],
  tasks: Sequence[manifest_lib.Task],
) -> dict[str, np.ndarray]:
  """Fields, and the positives of later rows, of a sample of the sessions."""
  parts = -(-rows // _MOST_ROWS)
  columns = [sql.quote(field.column) for field in fields]
  for task in tasks:
    label = sql.quote(f'y_{task.name}')
    columns.append(
      f'sum({label}) OVER (PARTITION BY session_id ORDER BY step'
      ' ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS '
      + sql.quote(f'later_{task.name}')
    )
  found = connection.execute(
    f'SELECT {", ".join(columns)} FROM {relation}'
    f' WHERE hash(session_id) % {parts} = 0 ORDER BY session_id, step'
  ).fetchnumpy()
  return {
    name: np.ma.filled(np.ma.asarray(values, np.float64), 0.0)
    for name, values in found.items()
  }


def _r2(
  train: Mapping[str, np.ndarray],
  validation: Mapping[str, np.ndarray],
  task: str,
  fields: Sequence[manifest_lib.Field],
  chosen: Sequence[bool],
) -> float:
  """R² of later positives from the chosen fields."""
  lightgbm = extras.require('lightgbm', 'rmtl describe')
  names = [f.column for f, one in zip(fields, chosen, strict=True) if one]
  x, other = (
    np.stack([rows[name] for name in names], 1) for rows in (train, validation)
  )
  y, expected = (rows[f'later_{task}'] for rows in (train, validation))
  # The first half of validation chooses how many trees, the second is scored.
  half = len(other) // 2
  stops = lightgbm.Dataset(other[:half], expected[:half])
  model = lightgbm.train(
    _SETTINGS,
    lightgbm.Dataset(x, y),
    _ROUNDS,
    [stops],
    callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
  )
  other, expected = other[half:], expected[half:]
  errors = np.square(model.predict(other) - expected).mean()
  return float(1.0 - errors / max(expected.var(), 1e-12))
