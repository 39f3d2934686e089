"""How the values of every field differ between splits.

The population stability index of a field compares its values in two splits:
the sum over groups of values of (q - p) log(q / p), with p the share of a group
in train and q its share in the other split. Below 0.1 the two are alike, above
0.25 they differ much. Few rows differ by chance: with no drift at all, and
independent rows, it is about (groups - 1) (1 / n + 1 / m) for n and m rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

Record = dict[str, Any]

TRAIN, *OTHERS = manifest_lib.SPLITS
# Groups of a category: row 0, this many values, the rest.
_MOST_VALUES = 50
_BINS = 10
# Numbers are at most 1e30 (numbers.Normalisation); NaN is above, as DuckDB and
# NumPy sort it.
_ABOVE_ALL = 2e30
# Rows that every group has at least, so that its logarithm is finite.
_PRIOR = 0.5
DIFFERENT = 0.25


def of_fields(
  connection: sql.Connection,
  rows: Mapping[str, str],
  manifest: manifest_lib.Manifest,
  progress: Callable[[str, float], None],
) -> list[Record]:
  """Compares every field between train and the other splits.

  Args:
    rows: SQL of the rows of every split.
    progress: called with a label and the fraction done.

  Returns:
    For each field, in order: `name`, `kind`, `size`, `as_of` (its group or
    ''); `unseen` {split: share of values without their own row or without a
    train row}, empty for numbers; `psi` and `chance` {split: index, and what it
    is without drift}.
  """
  found = []
  for i, field in enumerate(manifest.fields):
    progress('fields', i / len(manifest.fields))
    unseen: dict[str, float] = {}
    if field.kind == 'numeric':
      groups = _count_bins(connection, rows, field)
    else:
      groups, unseen = _count_values(connection, rows, field)
    compared = {name: psi(groups[TRAIN], groups[name]) for name in OTHERS}
    found.append(
      {
        'name': field.name,
        'kind': field.kind,
        'size': field.size,
        'as_of': field.details.get('as_of', ''),
        'unseen': unseen,
        'psi': {name: index for name, (index, _) in compared.items()},
        'chance': {name: chance for name, (_, chance) in compared.items()},
      }
    )
  return found


def order(record: Mapping[str, Any]) -> float:
  """The larger index of a field's two, to sort by."""
  return max(record['psi'].values(), default=0.0)


def psi(train: np.ndarray, other: np.ndarray) -> tuple[float, float]:
  """The population stability index of counts, and what chance alone gives.

  >>> index, chance = psi(np.array([50, 50]), np.array([50, 50]))
  >>> round(index, 3), round(chance, 3)
  (0.0, 0.02)
  >>> round(psi(np.array([9000, 1000]), np.array([5000, 5000]))[0], 2)
  0.88

  Args:
    train: rows of every group.
    other: rows of the same groups.
  """
  groups = len(train)
  if groups < 2 or not min(train.sum(), other.sum()):
    return 0.0, 0.0
  p, q = (
    (counts + _PRIOR) / (counts.sum() + _PRIOR * groups)
    for counts in (train, other)
  )
  chance = (groups - 1) * (1 / train.sum() + 1 / other.sum())
  return float(((q - p) * np.log(q / p)).sum()), float(chance)


def _count_bins(
  connection: sql.Connection,
  rows: Mapping[str, str],
  field: manifest_lib.Field,
) -> dict[str, np.ndarray]:
  """Counts the rows of every split between train's deciles.

  Missing values, which are NaN, are above the last one.
  """
  column = f'CAST({sql.quote(field.column)} AS DOUBLE)'
  quantiles = field.details.get('quantiles')
  if not quantiles:
    ends = ', '.join(str(i / _BINS) for i in range(_BINS + 1))
    quantiles = sql.fetch_value(
      connection,
      f'SELECT approx_quantile({column}, [{ends}]) FROM {rows[TRAIN]}'
      f' WHERE isfinite({column})',
    ) or [0.0]
  edges = np.unique(np.quantile(quantiles, np.arange(1, _BINS) / _BINS))
  if field.details.get('missing'):
    edges = np.append(edges, _ABOVE_ALL)
  place = ' + '.join(
    f'CAST({column} > {sql.float_literal(float(edge))} AS INT)'
    for edge in edges
  )
  counts = {}
  for name, relation in rows.items():
    counts[name] = np.zeros(len(edges) + 1)
    for at, count in connection.execute(
      f'SELECT {place} AS bin, count(*) FROM {relation} GROUP BY bin'
    ).fetchall():
      counts[name][at] = count
  return counts


def _count_values(
  connection: sql.Connection,
  rows: Mapping[str, str],
  field: manifest_lib.Field,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
  """Counts row 0, train's most frequent values and the rest, by split.

  Returns:
    The counts, of a list those of its values; and the share of values without
    their own row in the vocabulary, or without a train row.
  """
  column = sql.quote(field.column)
  value = f'unnest({column})' if field.kind == 'multi_valued' else column
  counts = {}
  for name, relation in rows.items():
    found = connection.execute(
      f'SELECT v, count(*) AS n FROM (SELECT CAST({value} AS BIGINT) AS v'
      f' FROM {relation}) GROUP BY v'
    ).fetchnumpy()
    counts[name] = np.zeros(field.size, np.int64)
    counts[name][found['v']] = found['n']
  # Extended data have values without a train row, which count as row 0. A
  # value's row is trained by the field that lends it, too.
  is_trained = counts[TRAIN] > 0
  if field.vocabulary_owner is not None:
    owner = sql.quote(f'f_{field.vocabulary_owner}')
    found = connection.execute(
      f'SELECT DISTINCT CAST({owner} AS BIGINT) AS v FROM {rows[TRAIN]}'
    ).fetchnumpy()
    is_trained[found['v']] = True
  is_trained[0] = False
  top = np.argsort(-counts[TRAIN][1:], kind='stable')[:_MOST_VALUES] + 1
  top = top[is_trained[top]]
  groups, unseen = {}, {}
  for name, of in counts.items():
    blank, total = of[~is_trained].sum(), of.sum()
    rest = total - blank - of[top].sum()
    groups[name] = np.array([blank, *of[top], rest])
    unseen[name] = float(blank / max(total, 1))
  return groups, unseen
