"""Normalisation and quantiles of numbers, fitted on train rows.

What rmtl_jax.preparation.numbers does.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import duckdb
from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import work as work_lib
from rmtl_jax.preparation import numbers, source
from rmtl_jax.preparation import sql as duckdb_sql


def transformed(field: source.SourceField) -> sql.Column:
  """A number before normalisation; NaN counts as missing."""
  value = F.col(f'`{field.source_column}`')
  if field.transform == 'log1p':
    value = F.log(1 + value)
  return F.when(~F.isnan(value), value)


def fit_normalisations(
  train: sql.DataFrame, fields: Sequence[source.SourceField]
) -> list[numbers.Normalisation]:
  """Mean and deviation of each field."""
  if not fields:
    return []
  values = [transformed(field) for field in fields]
  means = [mean or 0.0 for mean in train.agg(*map(F.avg, values)).collect()[0]]
  nulls = (F.count_if(value.isNull()) for value in values)
  missing = [count > 0 for count in train.agg(*nulls).collect()[0]]
  squares = (
    F.avg((value - F.lit(mean)) ** 2)
    for value, mean in zip(values, means, strict=True)
  )
  found = []
  for mean, variance, some in zip(
    means, train.agg(*squares).collect()[0], missing, strict=True
  ):
    deviation = (variance or 0.0) ** 0.5
    constant = deviation <= 1e-9 * abs(mean)
    deviation = 1.0 if constant else deviation
    found.append(numbers.Normalisation(mean, deviation, some))
  return found


def normalised(
  field: source.SourceField, scale: numbers.Normalisation
) -> sql.Column:
  """The normalised value, FLOAT; see numbers.Normalisation."""
  value = transformed(field)
  scaled = (value - F.lit(scale.mean)) / F.lit(scale.deviation)
  bounded = F.least(F.greatest(scaled, F.lit(-1e30)), F.lit(1e30))
  nothing = F.lit(math.nan if scale.missing else 0.0)
  return F.when(value.isNull(), nothing).otherwise(bounded).cast('float')


class Ranked(NamedTuple):
  """Values of several columns, each sorted.

  Attributes:
    work: where.
    rows: `name`, `value`, `rows` that have it and `before`, the rows before.
    spans: by name, the `before` of the first value and the number of rows.
  """

  work: work_lib.Work
  rows: sql.DataFrame
  spans: dict[str, tuple[int, int]]

  def values_at(
    self, ranks: Mapping[str, Iterable[int]]
  ) -> dict[str, dict[int, float]]:
    """The values at ranks, counted from 0, by name and rank."""
    wanted = [
      (name, rank, self.spans[name][0] + rank)
      for name, some in ranks.items()
      for rank in sorted(set(some))
    ]
    table = self.work.table(wanted, 'name string, rank long, place long')
    place = F.col('place')
    within = (place >= F.col('before')) & (
      place < F.col('before') + F.col('rows')
    )
    named = table.withColumnRenamed('name', 'wanted')
    found: dict[str, dict[int, float]] = {name: {} for name in ranks}
    for name, rank, value in (
      self.rows.join(named, (F.col('name') == F.col('wanted')) & within)
      .select('name', 'rank', 'value')
      .collect()
    ):
      found[name][rank] = value
    return found

  def runs_of(
    self, values: Mapping[str, Sequence[float]]
  ) -> dict[str, list[tuple[int, int]]]:
    """The first rank and the rows of each value, in order; by name."""
    wanted = [(name, value) for name, some in values.items() for value in some]
    table = self.work.table(wanted, 'wanted string, same double')
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in values}
    joined = self.rows.join(
      table,
      (F.col('name') == F.col('wanted')) & (F.col('value') == F.col('same')),
    )
    for name, before, rows in joined.select('name', 'before', 'rows').collect():
      found[name].append((before - self.spans[name][0], rows))
    return {name: sorted(some) for name, some in found.items()}


def rank(
  work: work_lib.Work, rows: sql.DataFrame, values: Mapping[str, sql.Column]
) -> Ranked:
  """Sorts values, all columns at once; missing ones are left out."""
  pairs = F.array(
    *(
      F.struct(F.lit(name).alias('name'), value.cast('double').alias('value'))
      for name, value in values.items()
    )
  )
  counts = (
    rows.select(F.inline(pairs))
    .where('value is not null and not isnan(value)')
    .groupBy('name', 'value')
    .agg(F.count('*').alias('rows'))
  )
  order = [F.col('name').asc(), F.col('value').asc()]
  ordered = work.number(counts, order, 'ranked_sorted', weight='rows')
  ordered = work.keep(ordered, 'ranked')
  spans = {
    name: (first, total)
    for name, first, total in ordered.groupBy('name')
    .agg(F.min('before'), F.sum('rows'))
    .collect()
  }
  return Ranked(work, ordered, spans)


def fit_bin_edges(
  ranked: Ranked, bins: Mapping[str, int]
) -> dict[str, list[float]]:
  """Inner edges of quantile bins; every bin has a row.

  Args:
    ranked: the values.
    bins: number of bins, by name.
  """
  # A quantile between two values is as far between them.
  places = {
    name: [(ranked.spans[name][1] - 1) * (i / count) for i in range(1, count)]
    for name, count in bins.items()
    if name in ranked.spans
  }
  found = ranked.values_at(
    {
      name: [
        *(0, ranked.spans[name][1] - 1),
        *(f(at) for at in some for f in (math.floor, math.ceil)),
      ]
      for name, some in places.items()
    }
  )
  edges: dict[str, list[float]] = {name: [] for name in bins}
  with duckdb_sql.connect() as connection:
    for name, some in places.items():
      of = found[name]
      # Of each edge the least value that is not below it.
      reached = {}
      for at in some:
        low, high = of[math.floor(at)], of[math.ceil(at)]
        edge = _between(connection, low, high, at % 1)
        reached[edge] = low if low >= edge else high
      least, largest = of[0], of[ranked.spans[name][1] - 1]
      for edge in sorted(reached):
        if least < edge <= largest:
          edges[name].append(edge)
        least = reached[edge]
  return edges


def _between(
  connection: duckdb.DuckDBPyConnection, low: float, high: float, share: float
) -> float:
  """The value so far between two, to the bit as rmtl_jax.preparation has it.

  Compilers round the last bit each in their way, and a bin's edge may be a
  value that rows have: so DuckDB computes it, as a quantile of the two.
  """
  query = f'SELECT quantile_cont(x, [{share!r}]) FROM unnest([?, ?]) t(x)'
  return connection.execute(query, [low, high]).fetchall()[0][0][0]


def fit_quantiles(
  ranked: Ranked, names: Sequence[str]
) -> dict[str, list[float]]:
  """Edges of numbers.BINS equally full bins, values of rows; by name.

  A value that two edges share is one edge, beside the quantiles of all other
  rows. None of a constant one.
  """
  edges = _quantiles(ranked, {name: [] for name in names})
  runs = ranked.runs_of(
    {name: numbers.repeated(some) for name, some in edges.items()}
  )
  others = _quantiles(ranked, runs)
  found = {}
  for name in names:
    frequent = numbers.repeated(edges[name])
    some = [*frequent, *others[name]] if frequent else edges[name]
    distinct = sorted(set(some))
    found[name] = distinct if len(distinct) > 1 else []
  return found


def _quantiles(
  ranked: Ranked, without: Mapping[str, Sequence[tuple[int, int]]]
) -> dict[str, list[float]]:
  """numbers.BINS + 1 quantiles of rows, sorted; by name.

  Args:
    ranked: the values.
    without: runs of equal values that are left out, first rank and number of
      rows, in order; by name.
  """
  ranks: dict[str, list[int]] = {}
  for name, runs in without.items():
    total = ranked.spans.get(name, (0, 0))[1] - sum(rows for _, rows in runs)
    ranks[name] = []
    for n in range(numbers.BINS + 1) if total else ():
      # In whole numbers, the least rank that holds so large a share.
      rank = max(1, -(-total * n // numbers.BINS)) - 1
      for first, rows in runs:
        rank += rows if rank >= first else 0
      ranks[name].append(rank)
  found = ranked.values_at(ranks)
  return {
    name: [found[name][rank] for rank in some] for name, some in ranks.items()
  }


def bin_id(field: source.SourceField, edges: Sequence[float]) -> sql.Column:
  """A value's bin, from 1; 0 where the value is missing."""
  value = transformed(field)
  number = functools.reduce(
    operator.add,
    ((value >= F.lit(edge)).cast('int') for edge in edges),
    F.lit(1),
  )
  return F.when(value.isNotNull(), number).otherwise(0)
