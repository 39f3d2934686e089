"""Rows to sessions to splits: what rmtl_jax.preparation.sessions does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import window

from experiments.spark import work as work_lib

_FOREVER = 2**63 - 1
_KEYS = ('session_key', 'owner')


class RowPlaces(NamedTuple):
  """Rows with session, step and split.

  Attributes:
    rows: those that are kept, with `session_id`, `step` and `split` (0, 1, 2).
    boundaries: ms; starts of the first validation and first test session;
      None where there is no such session.
    kept: rows that are kept, of every split.
    sessions: sessions of every split.
    dropped: rows at or after their split's end, of every split.
    immature: further rows left out, those without any label that is known
      before their split's end, of every split.
    duplicates: exact duplicates that were left out.
  """

  rows: sql.DataFrame
  boundaries: tuple[int | None, int | None]
  kept: tuple[int, ...]
  sessions: tuple[int, ...]
  dropped: tuple[int, ...]
  immature: tuple[int, ...]
  duplicates: int


def split_sessions(
  work: work_lib.Work,
  rows: sql.DataFrame,
  idle_ms: int,
  split_ratio: Sequence[int],
  delay_ms: int = 0,
) -> RowPlaces:
  """Cuts sessions by their id or by a user's idle time, and splits them.

  Args:
    work: where.
    rows: of `raw_table.read`.
    idle_ms: longest gap within a session that has no id, ms.
    split_ratio: of train, validation and test.
    delay_ms: how long after its row the first of its labels is known.
  """
  keyed = rows.withColumn('session_key', F.col('session')).withColumn(
    'owner', F.when(F.col('session').isNull(), F.col('user'))
  )
  single = _without_duplicates(keyed)
  cut = work.keep(_cut(single, idle_ms), 'cut')
  total = cut.count()
  groups = cut.groupBy(*_KEYS, 'part_of_key').agg(
    F.min('timestamp').alias('start'), F.count('*').alias('rows')
  )
  order = [F.col('start').asc()]
  order += [F.col(key).asc_nulls_last() for key in _KEYS]
  ordered = work.keep(
    work.number(groups, order, 'sessions_sorted', weight='rows'), 'sessions'
  )
  boundaries = tuple(
    ordered.where(F.col('before') * sum(split_ratio) >= share * total)
    .agg(F.min('start'))
    .collect()[0][0]
    for share in (split_ratio[0], split_ratio[0] + split_ratio[1])
  )
  places = work.keep(_join(cut, ordered, boundaries, delay_ms), 'places')
  counts = {
    split: counted
    for split, *counted in places.groupBy('split')
    .agg(
      F.count_if('kept'),
      F.count_if(F.col('kept') & (F.col('step') == 0)),
      F.count_if(~F.col('seen')),
      F.count_if(F.col('seen') & ~F.col('kept')),
    )
    .collect()
  }
  kept, sessions, dropped, immature = zip(
    *(counts.get(split, [0] * 4) for split in range(3)), strict=True
  )
  return RowPlaces(
    rows=places.where('kept').drop('seen', 'kept'),
    boundaries=boundaries,
    kept=kept,
    sessions=sessions,
    dropped=dropped,
    immature=immature,
    duplicates=rows.count() - total,
  )


def _without_duplicates(keyed: sql.DataFrame) -> sql.DataFrame:
  """Of rows of one key and time that are equal, the first."""
  equal = window.Window.partitionBy(*_KEYS, 'timestamp', 'row_hash').orderBy(
    'row_id'
  )
  return (
    keyed.withColumn('copy', F.row_number().over(equal))
    .where('copy = 1')
    .drop('copy')
  )


def _cut(single: sql.DataFrame, idle_ms: int) -> sql.DataFrame:
  """Adds `part_of_key`: which of its key's sessions a row is of."""
  in_time = window.Window.partitionBy(*_KEYS).orderBy('timestamp', 'row_id')
  gap = F.col('timestamp') - F.lag('timestamp').over(in_time)
  begins = F.coalesce(
    F.col('session_key').isNull() & (gap > idle_ms), F.lit(False)
  )
  return single.withColumn('begins', begins.cast('long')).withColumn(
    'part_of_key', F.sum('begins').over(in_time)
  )


def _join(
  cut: sql.DataFrame,
  ordered: sql.DataFrame,
  boundaries: tuple[int | None, ...],
  delay_ms: int,
) -> sql.DataFrame:
  """Rows with their session's number and split, and whether they are kept.

  `seen` is whether they lie before their split's end, `kept` whether one of
  their labels is known by then too.
  """
  first, second = (_FOREVER if b is None else b for b in boundaries)
  # A log that ends at a boundary has no session there: nothing reaches it.
  split = sum(
    F.lit(0) if boundary is None else (F.col('start') >= boundary).cast('int')
    for boundary in boundaries
  )
  ends = F.element_at(
    F.array(*(F.lit(end).cast('long') for end in (first, second, _FOREVER))),
    F.col('split') + 1,
  )
  numbered = ordered.select(
    *(F.col(key).alias(f's_{key}') for key in (*_KEYS, 'part_of_key')),
    F.col('number').alias('session_id'),
    split.cast('int').alias('split'),
  )
  same = F.lit(True)
  for key in (*_KEYS, 'part_of_key'):
    same = same & F.col(key).eqNullSafe(F.col(f's_{key}'))
  in_session = window.Window.partitionBy('session_id').orderBy(
    'timestamp', 'row_id'
  )
  return (
    cut.join(numbered, same)
    .withColumn('step', F.row_number().over(in_session) - 1)
    .withColumn('seen', F.col('timestamp') < ends)
    .withColumn('kept', F.col('timestamp') < ends - delay_ms)
    .drop(
      *_KEYS,
      *(f's_{key}' for key in (*_KEYS, 'part_of_key')),
      'part_of_key',
      'begins',
      'session',
      'row_hash',
    )
  )
