"""Rows to sessions to splits.

What rmtl_jax.preparation.sessionize and rmtl_jax.preparation.split_rules do.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import window

from experiments.spark import splits as splits_lib
from experiments.spark import work as work_lib
from rmtl_jax.preparation import sessionize, source, split_rules
from rmtl_jax.preparation.as_of import groups as asof_groups

_FOREVER = 2**63 - 1
# A session is one of these keys and `part_of_key`.
_KEYS = ('given_split', 'session_key', 'owner')
_IDENTITY = (*_KEYS, 'part_of_key')


class RowPlaces(NamedTuple):
  """Rows with session, step and split.

  Attributes:
    rows: those that are kept, with `session_id`, `step` and `split` (0, 1, 2).
    past: those too that know no label before their split's end, which later
      rows may see.
    record: boundaries and counts; it has no tables.
    duplicates: exact duplicates that were left out.
  """

  rows: sql.DataFrame
  past: sql.DataFrame
  record: sessionize.RowPlaces
  duplicates: int


def split_sessions(
  work: work_lib.Work,
  rows: sql.DataFrame,
  described: source.SourceTable,
  rule: split_rules.SplitRule,
  idle_ms: int,
) -> RowPlaces:
  """Cuts sessions by their id or by a user's idle time, and splits them.

  Args:
    work: where.
    rows: of `raw_table.read`.
    described: what the log has.
    rule: how to split.
    idle_ms: longest gap within a session that has no id, ms.
  """
  owner = F.when(F.col('session').isNull(), F.col('user'))
  given = F.col('split') if rule.is_given else F.lit(None).cast('int')
  keyed = rows.withColumns(
    {'given_split': given, 'session_key': F.col('session'), 'owner': owner}
  ).drop('split')
  # Equal rows of no time may be two impressions; a row that is a session of its
  # own has no equal.
  has_key = described.has_session or described.has_user
  single = keyed
  if described.has_time and has_key:
    single = _without_duplicates(keyed)
  cut = work.keep(_cut(single, described, idle_ms), 'cut')
  first = F.struct('timestamp', 'row_id')
  groups = cut.groupBy(*_IDENTITY).agg(
    F.min('timestamp').alias('start'),
    F.count('*').alias('rows'),
    F.min_by('row_id', first).alias('row_id'),
    F.min_by('user', first).cast('string').alias('first_user'),
  )
  order = [F.col('start').asc()]
  order += [F.col(key).asc_nulls_last() for key in _IDENTITY]
  ordered, boundaries = splits_lib.split(work, groups, order, rule)
  # Only splits in time leave out what lies after their end.
  delay_ms = source.fastest(described.tasks).delay_ms if rule.by_time else 0
  placed = work.keep(_join(cut, ordered, boundaries, delay_ms), 'places')
  return RowPlaces(
    rows=placed.where('kept').drop('seen', 'kept'),
    past=placed.where('seen').drop('seen', 'kept'),
    record=_record(placed, boundaries, delay_ms, rule),
    duplicates=rows.count() - cut.count(),
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


def _cut(
  single: sql.DataFrame, described: source.SourceTable, idle_ms: int
) -> sql.DataFrame:
  """Adds `part_of_key`: which of its key's sessions a row is of."""
  has_id = F.col('session_key').isNotNull()
  if not (described.has_user and described.has_time):
    part = F.when(has_id, F.lit(0).cast('long')).otherwise(F.col('row_id'))
    return single.withColumn('part_of_key', part)
  in_time = window.Window.partitionBy(*_KEYS).orderBy('timestamp', 'row_id')
  gap = F.col('timestamp') - F.lag('timestamp').over(in_time)
  begins = F.coalesce(~has_id & (gap > idle_ms), F.lit(False))
  return single.withColumn('begins', begins.cast('long')).withColumn(
    'part_of_key', F.sum('begins').over(in_time)
  )


def _join(
  cut: sql.DataFrame,
  ordered: sql.DataFrame,
  boundaries: tuple[int | None, int | None],
  delay_ms: int,
) -> sql.DataFrame:
  """Rows with their session's number and split, and whether they are kept.

  `seen` is whether they lie before their split's end, `kept` whether one of
  their labels is known by then too.
  """
  first, second = (_FOREVER if b is None else b for b in boundaries)
  ends = F.element_at(
    F.array(*(F.lit(end).cast('long') for end in (first, second, _FOREVER))),
    F.col('split') + 1,
  )
  numbered = ordered.select(
    *(F.col(key).alias(f's_{key}') for key in _IDENTITY),
    F.col('number').alias('session_id'),
    F.col('split').cast('int').alias('split'),
  )
  same = F.lit(True)
  for key in _IDENTITY:
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
      *_IDENTITY,
      *(f's_{key}' for key in _IDENTITY),
      'begins',
      'session',
      'row_hash',
    )
  )


def _whole_keys(
  placed: sql.DataFrame, rule: split_rules.SplitRule
) -> tuple[str, ...]:
  """`user` if all rows of each user are in one split."""
  if rule.by != 'user':
    return ()
  rows, users = F.count('*'), F.count('user')
  several = F.count_distinct('user') > 1
  mixed = several | ((users > 0) & (users < rows))
  found = placed.groupBy('session_id').agg(mixed.alias('mixed'))
  return ('user',) if found.where('mixed').isEmpty() else ()


def _record(
  placed: sql.DataFrame,
  boundaries: tuple[int | None, int | None],
  delay_ms: int,
  rule: split_rules.SplitRule,
) -> sessionize.RowPlaces:
  """Counts rows and sessions by split, and looks whether splits overlap."""
  starts = F.when(F.col('step') == 0, F.col('timestamp'))
  counts = {
    split: counted
    for split, *counted in placed.groupBy('split')
    .agg(
      F.count_if('kept'),
      F.count_if(F.col('kept') & (F.col('step') == 0)),
      F.count_if(~F.col('seen')),
      F.count_if(F.col('seen') & ~F.col('kept')),
      F.min(starts),
      F.max(starts),
    )
    .collect()
  }
  kept, session_counts, dropped, immature = zip(
    *(counts.get(split, [0] * 4)[:4] for split in range(3)), strict=True
  )
  spans = [counts[split][4:] for split in sorted(counts)]
  in_order = rule.by_time or all(
    a[1] <= b[0] for a, b in itertools.pairwise(spans)
  )
  return sessionize.RowPlaces(
    table='',
    boundaries=boundaries,
    rows=kept,
    sessions=session_counts,
    dropped=dropped,
    immature=immature,
    delay_ms=delay_ms,
    by_time=rule.by_time,
    rate_keys=tuple(asof_groups.KEYS)
    if in_order
    else _whole_keys(placed, rule),
  )
