"""Quantile bins and normalisation of numeric fields, fitted on train rows."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmtl_jax.preparation import source, sql

# Equally full bins of a numeric field, for piecewise-linear encodings.
BINS = 32


@dataclasses.dataclass(frozen=True)
class Normalisation:
  """z = (x - mean) / deviation.

  Attributes:
    mean: over the train rows that have a value; 0 if none has.
    deviation: population deviation; 1 for a constant column.
    missing: whether some train rows have no value. NaN stands for a missing one
      then, else 0, the mean: models have not learnt what NaN means.
  """

  mean: float
  deviation: float
  missing: bool = False

  @classmethod
  def of(cls, details: Mapping[str, Any]) -> Normalisation:
    """That of a field of the manifest."""
    missing = details.get('missing', False)
    return cls(details['mean'], details['deviation'], missing)

  def details(self) -> dict[str, Any]:
    """Its entry in the manifest."""
    found = dataclasses.asdict(self)
    if not self.missing:
      del found['missing']
    return found

  def apply(self, value: str) -> str:
    """SQL of the normalised value, FLOAT."""
    mean, deviation = (
      sql.float_literal(self.mean),
      sql.float_literal(self.deviation),
    )
    # Bounded, so that an outlier of another split stays finite in float32.
    scaled = f'least(greatest(({value} - {mean}) / {deviation}, -1e30), 1e30)'
    nothing = "CAST('NaN' AS DOUBLE)" if self.missing else '0'
    return (
      f'CAST(CASE WHEN {value} IS NULL THEN {nothing} ELSE {scaled} END'
      ' AS FLOAT)'
    )


def transformed(field: source.SourceField) -> str:
  """SQL of a numeric field before normalisation; NaN counts as missing."""
  value = sql.quote(field.source_column)
  if field.transform == 'log1p':
    value = f'ln(1 + {value})'
  return f'CASE WHEN NOT isnan({value}) THEN {value} END'


def fit_bin_edges(
  connection: sql.Connection, rows: str, fields: Sequence[source.SourceField]
) -> dict[str, list[float]]:
  """Fits the inner edges of quantile bins on train rows.

  Every bin has a train row: equal edges are one, and an empty bin is joined
  with the next. Else a value below all of train's, or between two that many
  rows share, would be of a bin that no row has trained.

  Args:
    rows: table or view with the fields' columns and `split` (0 is train).
    fields: numeric fields with transform `bins`.

  Returns:
    Increasing edges by field name; a value's bin is the number of edges at or
    below it.
  """
  if not fields:
    return {}
  # A quantile holds its whole column in memory. So the columns are computed in
  # one pass over the view, which can be costly, and then taken one at a time.
  columns = ', '.join(
    f'{transformed(f)} AS c_{i}' for i, f in enumerate(fields)
  )
  train = sql.create_table(
    connection, f'SELECT {columns} FROM {rows} WHERE split = 0'
  )
  edges = {}
  for i, field in enumerate(fields):
    quantiles = [n / field.bins for n in range(1, field.bins)]
    found = sql.quantiles(connection, train, f'c_{i}', quantiles, between=True)
    largest = sql.fetch_value(connection, f'SELECT max(c_{i}) FROM {train}')
    # Between two equal values a quantile may be rounded to beyond them.
    distinct = sorted({edge for edge in found if edge <= largest})
    edges[field.name] = _without_empty_bins(
      connection, train, f'c_{i}', distinct
    )
  sql.drop_tables(connection, train)
  return edges


def _without_empty_bins(
  connection: sql.Connection, train: str, column: str, edges: list[float]
) -> list[float]:
  """Leaves out the edge behind each bin that none of the rows is in."""
  found = connection.execute(
    f'SELECT DISTINCT {_bin_of(column, edges)} FROM {train}'
  )
  filled = {number for (number,) in found.fetchall()}
  return [edge for i, edge in enumerate(edges) if i + 1 in filled]


def bin_id(field: source.SourceField, edges: Sequence[float]) -> str:
  """SQL of a value's bin, INTEGER from 1; 0 where the value is missing."""
  return _bin_of(transformed(field), edges)


def _bin_of(value: str, edges: Sequence[float]) -> str:
  """SQL of 1 and the number of edges at or below a value; 0 of NULL."""
  cases = ' '.join(
    f'WHEN {value} < {sql.float_literal(edge)} THEN {i}'
    for i, edge in enumerate(edges, 1)
  )
  return f'CASE WHEN {value} IS NULL THEN 0 {cases} ELSE {len(edges) + 1} END'


def fit_normalisations(
  connection: sql.Connection, rows: str, columns: Sequence[str]
) -> dict[str, Normalisation]:
  """Fits mean and deviation of columns on train rows.

  Args:
    rows: a table (not a view) with the columns and `split` (0 is train), in a
      fixed order.
    columns: DOUBLE columns, NULL where missing.
  """
  if not columns:
    return {}
  names = [sql.quote(column) for column in columns]
  with _one_thread(connection):
    means = sql.fetch_row(
      connection,
      f'SELECT {", ".join(f"avg({name})" for name in names)},'
      f' {", ".join(f"count(*) > count({name})" for name in names)}'
      f' FROM {rows} WHERE split = 0',
    )
    means, missing = means[: len(names)], means[len(names) :]
    means = [mean or 0.0 for mean in means]
    apart = [
      f'({name} - {sql.float_literal(mean)})'
      for name, mean in zip(names, means, strict=True)
    ]
    # Two passes: the mean of squares less the squared mean would cancel. And a
    # product, as DuckDB takes five times as long for a power.
    squares = ', '.join(f'avg({one} * {one})' for one in apart)
    variances = sql.fetch_row(
      connection, f'SELECT {squares} FROM {rows} WHERE split = 0'
    )
  found = {}
  for column, mean, variance, some in zip(
    columns, means, variances, missing, strict=True
  ):
    deviation = (variance or 0.0) ** 0.5
    # A constant column's deviation can be above 0 by the mean's rounding.
    constant = deviation <= 1e-9 * abs(mean)
    found[column] = Normalisation(mean, 1.0 if constant else deviation, some)
  return found


def fit_quantiles(
  connection: sql.Connection, rows: str, values: Mapping[str, str]
) -> dict[str, list[float]]:
  """Fits quantiles on train rows, the edges of `BINS` equally full bins.

  A value that two edges share is one edge, and the quantiles of all other rows
  are more: else a count that is mostly 0 would have one bin for the rest.

  Args:
    rows: a table with `split` (0 is train).
    values: SQL of a FLOAT by name; NaN where it is missing, which counts as no
      value.

  Returns:
    Increasing values by name, each one that a train row has, from the least to
    the largest: BINS + 1, or where bins share edges these and BINS + 1 of the
    other rows at most. A value that all rows share has none.
  """
  shares = [n / BINS for n in range(BINS + 1)]

  def quantiles(value: str, without: Sequence[float] = ()) -> list[float]:
    others = ''.join(
      f' AND {value} <> CAST({sql.float_literal(one)} AS FLOAT)'
      for one in without
    )
    train = f'(FROM {rows} WHERE split = 0{others})'
    return sql.quantiles(connection, train, value, shares)

  found = {}
  # A quantile holds its whole column in memory, so one at a time.
  for name, value in values.items():
    edges = quantiles(value)
    if frequent := repeated(edges):
      edges = [*frequent, *quantiles(value, frequent)]
    distinct = sorted(set(edges))
    found[name] = distinct if len(distinct) > 1 else []
  return found


def repeated(edges: Sequence[float]) -> list[float]:
  """The values that occur more than once among sorted edges, in order."""
  return sorted({a for a, b in itertools.pairwise(edges) if a == b})


@contextlib.contextmanager
def _one_thread(connection: sql.Connection) -> Iterator[None]:
  """Runs DuckDB on one thread, so that sums have a fixed order."""
  before = sql.fetch_value(connection, "SELECT current_setting('threads')")
  connection.execute('SET threads = 1')
  try:
    yield
  finally:
    connection.execute(f'SET threads = {before}')
