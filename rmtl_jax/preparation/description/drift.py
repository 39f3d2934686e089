"""How the values of every field differ between splits.

The population stability index of a field compares its values in two splits:
the sum over groups of values of (q - p) log(q / p), with p the share of a group
in train and q its share in the other split. Below 0.1 the two are alike, above
0.25 they differ much. Few rows differ by chance: with no drift at all, and
independent rows, it is about (groups - 1) (1 / n + 1 / m) for n and m rows.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import described_splits

Record = dict[str, Any]

TRAIN, *OTHERS = manifest_lib.SPLITS
# Groups of a category: row 0, this many values, the rest.
_MOST_VALUES = 50
BINS = 10
# Numbers are at most 1e30 (numbers.Normalisation); NaN is above, as DuckDB and
# NumPy sort it.
_ABOVE_ALL = 2e30
# Rows that every group has at least, so that its logarithm is finite.
_PRIOR = 0.5
ALIKE, DIFFERENT = 0.1, 0.25


def of_fields(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  manifest: manifest_lib.Manifest,
  progress: Callable[[str, float], None] = lambda label, fraction: None,
) -> list[Record]:
  """Compares every field between train and the other splits.

  Args:
    progress: called with a label and the fraction done.

  Returns:
    For each field, in order: `name`, `kind`, `size`, `as_of` (its group or
    ''); `unseen` {split: share of values without their own row or without a
    train row}, empty for numbers; `psi` and `chance` {split: index, and what it
    is without drift}.

  Raises:
    types.InputError: a file that can't be read; names it.
  """
  found = []
  with described_splits.scan(data_dir, manifest) as rows:
    for i, field in enumerate(manifest.fields):
      progress('fields', i / len(manifest.fields))
      if field.kind == 'numeric':
        groups, unseen = _of_number(connection, data_dir, rows, field), {}
      else:
        groups, unseen = _of_vocabulary(connection, data_dir, rows, field)
      compared = {n: psi(groups[TRAIN], groups[n]) for n in OTHERS}
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


def _of_number(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  rows: Mapping[str, str],
  field: manifest_lib.Field,
) -> dict[str, np.ndarray]:
  """How many rows of each split lie between train's deciles; NaN is last."""
  column = f'CAST({sql.quote(field.column)} AS DOUBLE)'
  quantiles = field.details.get('quantiles')
  if not quantiles:
    ends = ', '.join(str(i / BINS) for i in range(BINS + 1))
    quantiles = sql.fetch_value(
      connection,
      f'SELECT approx_quantile({column}, [{ends}]) FROM {rows[TRAIN]}'
      f' WHERE isfinite({column})',
    )
  edges = np.unique(np.quantile(quantiles or [0.0], np.arange(1, BINS) / BINS))
  if field.details.get('missing'):
    edges = np.append(edges, _ABOVE_ALL)
  place = ' + '.join(
    f'CAST({column} > {sql.float_literal(float(edge))} AS INT)'
    for edge in edges
  )
  counts = {}
  for name, relation in rows.items():
    found = connection.execute(
      f'SELECT {place} AS bin, count(*) FROM {relation} GROUP BY bin'
    ).fetchall()
    if any(at is None for at, _ in found):
      raise described_splits.broken(
        data_dir / name, field.column, 'no value in a row'
      )
    counts[name] = np.zeros(len(edges) + 1)
    for at, count in found:
      counts[name][at] = count
  return counts


def _of_vocabulary(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  rows: Mapping[str, str],
  field: manifest_lib.Field,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
  """How many values of each split are in each group of a vocabulary.

  The groups are row 0, train's most frequent values, and the rest. Values
  without a train row, which extended data have, count as row 0.

  Returns:
    The counts, and the share of row 0 in each split.
  """
  counts = {
    name: _count_values(connection, data_dir / name, relation, field)
    for name, relation in rows.items()
  }
  train = counts[TRAIN]
  untrained = np.flatnonzero(train[1:] == 0) + 1
  if field.vocabulary_owner is not None and len(untrained):
    # A value's row is trained by the field that lends it, too.
    column = sql.quote(f'f_{field.vocabulary_owner}')
    found = connection.execute(
      f'SELECT DISTINCT CAST({column} AS BIGINT) AS v FROM {rows[TRAIN]}'
    ).fetchnumpy()
    untrained = np.setdiff1d(untrained, np.ma.filled(found['v'], 0))
  frequent = np.argsort(-train[1:], kind='stable')[:_MOST_VALUES] + 1
  ids = np.append(0, frequent[~np.isin(frequent, untrained)])
  groups, unseen = {}, {}
  for name, count in counts.items():
    shown = count[ids]
    shown[0] += count[untrained].sum()
    groups[name] = np.append(shown, count.sum() - shown.sum())
    unseen[name] = float(shown[0] / max(count.sum(), 1))
  return groups, unseen


def _count_values(
  connection: sql.Connection,
  where: pathlib.Path,
  relation: str,
  field: manifest_lib.Field,
) -> np.ndarray:
  """How often a split has each row of a vocabulary, i64[size]."""
  column = sql.quote(field.column)
  value = f'unnest({column})' if field.kind == 'multi_valued' else column
  found = connection.execute(
    f'SELECT v, count(*) AS n FROM (SELECT CAST({value} AS BIGINT) AS v'
    f' FROM {relation}) GROUP BY v'
  ).fetchnumpy()
  places = np.ma.filled(found['v'], -1)
  if len(places) and not 0 <= places.min() <= places.max() < field.size:
    what = 'values outside of its vocabulary'
    raise described_splits.broken(where, field.column, what)
  counts = np.zeros(field.size, np.int64)
  counts[places] = found['n']
  return counts
