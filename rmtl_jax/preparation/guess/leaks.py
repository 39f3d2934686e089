"""Columns that tell a label: what was written down after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import label_names
from rmtl_jax.preparation.guess import labels as labels_lib

AUC = 0.98
# Least rows of either label, and least rows per value of a category: of all
# rows, and of those that have one.
_LEAST_ROWS, _ROWS_OF_VALUE, _FILLED_OF_VALUE = 10, 20, 5
# A column that is filled only where the label is 1, or 0: share, most of the
# share of other rows that the log has, chance were the two independent.
_FILLED, _MOST_OF_OTHERS, _CHANCE = 0.995, 0.1, 1e-3


def find(
  facts: Sequence[facts_lib.Facts], labels: Sequence[labels_lib.Label]
) -> dict[str, str]:
  """Why columns are leaks, by column.

  Args:
    facts: of the columns that might be features.
    labels: those of 0 and 1 are compared.
  """
  binary = [label for label in labels if label.kind == 'binary']
  found = {}
  for one in facts:
    if one.kind not in ('number', 'bool', 'text', 'time') or one.distinct < 1:
      continue
    why = _of_column(one, binary)
    if why:
      found[one.name] = why
  return found


def of_whole_sessions(
  facts: Sequence[facts_lib.Facts], roles: Mapping[str, keys_lib.Key]
) -> dict[str, str]:
  """Why columns that tell how long a session became are left out, by column."""
  return {
    one.name: f'one for all rows of each {roles["session"].column}, by its name'
    ' how long that became, which only its end tells'
    for one in facts
    if 'session' in roles and label_names.is_session_length(one.name)
    if 0 in keys_lib.varied(one, roles, ('session',)).values()
  }


def _of_column(
  facts: facts_lib.Facts, labels: Sequence[labels_lib.Label]
) -> str:
  """Why a column is a leak, or ''."""
  is_number = facts.kind in ('number', 'bool') or bool(facts.decimal)
  few = facts.distinct * _ROWS_OF_VALUE <= facts.rows
  few &= facts.distinct * _FILLED_OF_VALUE <= facts.filled
  value = facts.number if is_number else facts.text
  if not (is_number or few):
    value = f'{value} IS NOT NULL'
  labelled = [label.facts.number for label in labels]
  counts = ', '.join(
    f'count(*) FILTER ({label} = 1), count(*) FILTER ({label} = 0)'
    for label in labelled
  )
  if not counts:
    return ''
  rows = facts.sample.fetch(f'{value} AS v, {counts}', 'GROUP BY v ORDER BY v')
  # The rarest label that it tells says most.
  for i, label in reversed([*enumerate(labels)]):
    ones = np.array([row[1 + 2 * i] for row in rows], np.float64)
    zeros = np.array([row[2 + 2 * i] for row in rows], np.float64)
    if min(ones.sum(), zeros.sum()) < _LEAST_ROWS:
      continue
    values = [row[0] for row in rows]
    if why := _filled(values, ones, zeros, is_number):
      return f'{why} where {label.column} is 1'
    # Such as why something was lost; a 0 may say so of much else.
    if why := _filled(values, zeros, ones, is_number=False):
      return f'{why} where {label.column} is 0'
    given = [j for j, row in enumerate(rows) if row[0] is not None]
    auc = _auc(ones[given], zeros[given], few)
    if auc > AUC:
      return f'tells {label.column} nearly alone (AUC {auc:.3f})'
  return ''


def _filled(
  values: Sequence[Any], ones: np.ndarray, zeros: np.ndarray, is_number: bool
) -> str:
  """'filled only' or 'other than 0 only', if it is so; else ''."""
  rate = ones.sum() / (ones.sum() + zeros.sum())
  cases = {'filled only': [v is not None and v is not False for v in values]}
  if is_number and min((v for v in values if v is not None), default=-1) >= 0:
    cases['other than 0 only'] = [v is not None and v != 0 for v in values]
  for what, places in cases.items():
    inside, outside = ones[places].sum(), zeros[places].sum()
    if all(places) or inside < _LEAST_ROWS:
      continue
    most = min(1 - _FILLED, _MOST_OF_OTHERS * (1 - rate)) * (inside + outside)
    if outside <= most and rate**inside < _CHANCE:
      return what
  return ''


def _auc(ones: np.ndarray, zeros: np.ndarray, by_rate: bool) -> float:
  """The AUC of values in order, or in that of their rates, whichever way.

  Of every value there are so many rows with label 1, and with label 0.
  """
  if not min(ones.sum(), zeros.sum()):
    return 0.5
  if by_rate:
    order = np.argsort(ones / np.maximum(ones + zeros, 1))
    ones, zeros = ones[order], zeros[order]
  below = np.cumsum(zeros) - zeros
  auc = (ones * (below + zeros / 2)).sum() / (ones.sum() * zeros.sum())
  return float(max(auc, 1 - auc))
