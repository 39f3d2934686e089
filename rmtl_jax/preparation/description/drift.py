"""How the values of every field differ between splits.

The population stability index of a field compares its values in two splits:
the sum over groups of values of (q - p) log(q / p), with p the share of a group
in train and q its share in the other split. Below 0.1 the two are alike, above
0.25 they differ much. Few rows differ by chance: with no drift at all, and
independent rows, it is about (groups - 1) (1 / n + 1 / m) for n and m rows.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
      groups = grouped(connection, data_dir, rows, field)
      compared = {
        n: psi(groups.counts[TRAIN], groups.counts[n]) for n in OTHERS
      }
      found.append(
        {
          'name': field.name,
          'kind': field.kind,
          'size': field.size,
          'as_of': field.details.get('as_of', ''),
          'unseen': {} if field.kind == 'numeric' else groups.blank,
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


def psi_error(train: np.ndarray, other: np.ndarray) -> float:
  """The standard error of `psi` by the delta method, of other's rows alone.

  With hardly a row in a group that is large in train it is large: 0 or 1 rows
  of 10,000 are another index.

  >>> sure = psi_error(np.array([50, 50]), np.array([3000, 7000]))
  >>> unsure = psi_error(np.array([50, 50]), np.array([1, 9999]))
  >>> round(sure, 3), round(unsure, 3)
  (0.008, 0.409)

  Args:
    train: rows of every group.
    other: rows of the same groups.
  """
  groups, rows = len(train), other.sum()
  p, q = (
    (counts + _PRIOR) / (counts.sum() + _PRIOR * groups)
    for counts in (train, other)
  )
  slope = np.log(q / p) + 1.0 - p / q
  variance = np.sum(q * slope**2) - np.sum(q * slope) ** 2
  return math.sqrt(max(float(variance), 0.0) / max(rows, 1))


def frequent_values(train: np.ndarray) -> list[int]:
  """Row 0 and train's most frequent values, the groups of a vocabulary.

  Args:
    train: rows of every id.
  """
  top = np.argsort(-train[1:], kind='stable')[:_MOST_VALUES] + 1
  return [0, *top.tolist()]


def untrained_ids(train: np.ndarray) -> np.ndarray:
  """Ids of values that no train row has, i64[U], rising.

  Extended data have some: a value gets its id when new rows have it.

  Args:
    train: rows of every id.
  """
  return np.flatnonzero(train[1:] == 0) + 1


def group_values(
  counts: Mapping[str, np.ndarray], untrained: np.ndarray
) -> tuple[list[int], dict[str, np.ndarray]]:
  """Parts values: row 0, each of train's most frequent ones, and the rest.

  Args:
    counts: rows of every id, by split; TRAIN is one.
    untrained: ids that count as row 0.

  Returns:
    The ids of all groups but the last, and of every split the rows of each.
  """
  frequent = np.array(frequent_values(counts[TRAIN]))
  ids = frequent[~np.isin(frequent, untrained)].tolist()
  found = {}
  for name, of_value in counts.items():
    shown = of_value[ids]
    shown[0] += of_value[untrained].sum()
    found[name] = np.append(shown, of_value.sum() - shown.sum())
  return ids, found


def bin_edges(
  quantiles: Sequence[float], field: manifest_lib.Field
) -> np.ndarray:
  """Train's deciles, equal ones once; above the last one are missing values."""
  edges = np.unique(np.quantile(quantiles, np.arange(1, BINS) / BINS))
  if field.details.get('missing'):
    return np.append(edges, _ABOVE_ALL)
  return edges


def bin_sql(column: str, edges: np.ndarray) -> tuple[str, int]:
  """SQL of a number's bin, from 0; and how many there are.

  Args:
    column: SQL of the number, DOUBLE; NaN is above all edges.
    edges: increasing.
  """
  place = ' + '.join(
    f'CAST({column} > {sql.float_literal(float(edge))} AS INT)'
    for edge in edges
  )
  return place, len(edges) + 1


class _Splits(NamedTuple):
  """The rows of every split (SQL), and the directory to name in errors."""

  connection: sql.Connection
  data_dir: pathlib.Path
  rows: Mapping[str, str]


class Groups(NamedTuple):
  """Groups of a field's values, and how many values each has.

  Attributes:
    parts: of a category or list, rows of the vocabulary that are a group each,
      row 0 first; the last group has all others. Of a number the edges of its
      groups, which are (edge, next edge]; NaN is in the last one.
    counts: {split: values of every group}.
    blank: {split: share of the values without their own row in the
      vocabulary, missing, unseen or rare, or without a train row}; of a number
      the share that is missing: NaN, or the mean in its place.
    untrained: i64[U], rows of the vocabulary that no train row has, which are
      in the group of row 0.
  """

  parts: tuple[int, ...] | tuple[float, ...]
  counts: dict[str, np.ndarray]
  blank: dict[str, float]
  untrained: np.ndarray


def grouped(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  rows: Mapping[str, str],
  field: manifest_lib.Field,
  weight: str = '',
) -> Groups:
  """The groups by which a field's index is computed.

  Args:
    data_dir: DATA, for errors.
    rows: SQL of the rows of every split.
    weight: SQL of how many rows each row counts as; empty: 1.

  Raises:
    types.InputError: a column that can't be read.
  """
  read = _Splits(connection, data_dir, rows)
  if field.kind != 'numeric':
    return _of_vocabulary(read, field, _count_values(read, field, weight))
  edges, counts = _count_bins(read, field, weight)
  return Groups(
    tuple(edges.tolist()),
    {name: of[:, 0] for name, of in counts.items()},
    {n: float(of[:, 1].sum() / of[:, 0].sum()) for n, of in counts.items()},
    np.zeros(0, np.int64),
  )


def _count_bins(
  read: _Splits, field: manifest_lib.Field, weight: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Parts a number by train's deciles.

  Returns:
    The edges, and of every split [groups, 2]: rows, and rows without a value,
    see Groups.blank.
  """
  column = f'CAST({sql.quote(field.column)} AS DOUBLE)'
  quantiles = field.details.get('quantiles')
  if not quantiles:
    ends = ', '.join(str(i / BINS) for i in range(BINS + 1))
    quantiles = sql.fetch_value(
      read.connection,
      f'SELECT approx_quantile({column}, [{ends}]) FROM {read.rows[TRAIN]}'
      f' WHERE isfinite({column})',
    )
  edges = bin_edges(quantiles or [0.0], field)
  place, bins = bin_sql(column, edges)
  count = f'sum({weight})' if weight else 'count(*)'
  counts = {}
  for name, relation in read.rows.items():
    found = read.connection.execute(
      f'SELECT {place} AS bin, {count},'
      f' coalesce({count} FILTER ({column} = 0 OR NOT isfinite({column})), 0)'
      f' FROM {relation} GROUP BY bin'
    ).fetchall()
    if any(at is None for at, *_ in found):
      where = read.data_dir / name
      raise described_splits.broken(where, field.column, 'no value in a row')
    counts[name] = np.zeros((bins, 2))
    for at, *of_bin in found:
      counts[name][at] = of_bin
  return edges, counts


def _count_values(
  read: _Splits, field: manifest_lib.Field, weight: str
) -> dict[str, np.ndarray]:
  """Counts the rows of a vocabulary, of a list each of its values."""
  column = sql.quote(field.column)
  count, beside = ('sum(w)', f', {weight} AS w') if weight else ('count(*)', '')
  value = f'unnest({column})' if field.kind == 'multi_valued' else column
  value = f'CAST({value} AS BIGINT)'
  counts = {}
  for name, relation in read.rows.items():
    found = read.connection.execute(
      f'SELECT v, {count} AS n FROM (SELECT {value} AS v{beside}'
      f' FROM {relation}) GROUP BY v'
    ).fetchnumpy()
    places = np.ma.filled(found['v'], -1)
    if len(places) and not 0 <= places.min() <= places.max() < field.size:
      what = 'values outside of its vocabulary'
      raise described_splits.broken(read.data_dir / name, field.column, what)
    counts[name] = np.zeros(field.size, float if weight else np.int64)
    counts[name][places] = found['n']
  return counts


def _of_vocabulary(
  read: _Splits, field: manifest_lib.Field, counts: Mapping[str, np.ndarray]
) -> Groups:
  """Groups of a vocabulary: row 0, train's most frequent values, the rest."""
  untrained = untrained_ids(counts[TRAIN])
  if field.vocabulary_owner is not None and len(untrained):
    # A value's row is trained by the field that lends it, too.
    untrained = np.setdiff1d(untrained, _owner_ids(read, field))
  is_seen = np.arange(field.size) > 0
  is_seen[untrained] = False
  blank = {
    n: float((c.sum() - c[is_seen].sum()) / max(c.sum(), 1))
    for n, c in counts.items()
  }
  ids, parted = group_values(counts, untrained)
  return Groups(tuple(ids), parted, blank, untrained)


def _owner_ids(read: _Splits, field: manifest_lib.Field) -> np.ndarray:
  """Ids that train rows have in the field that lends the vocabulary."""
  column = sql.quote(f'f_{field.vocabulary_owner}')
  found = read.connection.execute(
    f'SELECT DISTINCT CAST({column} AS BIGINT) AS v FROM {read.rows[TRAIN]}'
  ).fetchnumpy()
  return np.ma.filled(found['v'], 0)
