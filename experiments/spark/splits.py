"""Sessions to splits: what rmtl_jax.preparation.split_rules does."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import work as work_lib
from rmtl_jax.preparation import split_rules

Boundaries = tuple[int | None, int | None]


def split(
  work: work_lib.Work,
  groups: sql.DataFrame,
  order: Sequence[sql.Column],
  rule: split_rules.SplitRule,
) -> tuple[sql.DataFrame, Boundaries]:
  """Gives sessions their split, and numbers them by split and start.

  Args:
    work: where.
    groups: one row per session: `start` (ms), `rows`, `row_id` and
      `first_user` of its first row, and `given_split`.
    order: of the sessions by start; no two are equal in it.
    rule: how to split.

  Returns:
    The sessions with `split` and `number`, and the boundaries of
    rmtl_jax.preparation.sessionize.RowPlaces.
  """
  if rule.by_time:
    return _by_time(work, groups, order, rule)
  groups = work.keep(groups, 'sessions')
  if rule.is_given:
    found = _given(work, groups, rule)
  else:
    found = _drawn(work, groups, rule)
  order = [F.col('split').asc(), *order]
  numbered = work.number(found, order, 'sessions_sorted')
  return work.keep(numbered, 'sessions_numbered'), (None, None)


def _by_time(
  work: work_lib.Work,
  groups: sql.DataFrame,
  order: Sequence[sql.Column],
  rule: split_rules.SplitRule,
) -> tuple[sql.DataFrame, Boundaries]:
  """Splits sessions by their start, at dates or by ratio of the rows."""
  numbered = work.number(groups, order, 'sessions_sorted', weight='rows')
  numbered = work.keep(numbered, 'sessions')
  boundaries: Boundaries | None = rule.boundaries
  if boundaries is None:
    total = _total(numbered)
    first, second = numbered.agg(
      *(
        F.min(F.when(_reached(rule, part, total), F.col('start')))
        for part in range(2)
      )
    ).collect()[0]
    boundaries = first, second
  # A log that ends at a boundary has no session there: nothing reaches it.
  reached = [
    (F.col('start') >= boundary).cast('int')
    for boundary in boundaries
    if boundary is not None
  ]
  found = sum(reached, F.lit(0))
  return numbered.withColumn('split', found), boundaries


def _total(groups: sql.DataFrame) -> int:
  return groups.agg(F.sum('rows')).collect()[0][0] or 0


def _reached(rule: split_rules.SplitRule, part: int, total: int) -> sql.Column:
  """Whether the rows before reach the end of a part, in whole numbers."""
  share = sum(rule.ratio[: part + 1])
  return F.col('before') * sum(rule.ratio) >= share * total


def _hashed(rule: split_rules.SplitRule, key: sql.Column) -> sql.Column:
  """The place of a key (text) in the drawn order."""
  return F.md5(F.concat(F.lit(f'{rule.seed}:'), key))


def _drawn(
  work: work_lib.Work, groups: sql.DataFrame, rule: split_rules.SplitRule
) -> sql.DataFrame:
  """Draws sessions, or users with all their sessions."""
  key = F.col('row_id').cast('string')
  if rule.by == 'user':
    # A session without a user is drawn alone.
    key = F.coalesce(F.concat(F.lit('u'), 'first_user'), key)
  keyed = groups.withColumn('key', key)
  drawn = keyed.groupBy('key').agg(F.sum('rows').alias('rows'))
  order = [_hashed(rule, F.col('key')).asc(), F.col('key').asc()]
  ordered = work.number(drawn, order, 'drawn', weight='rows')
  total = _total(groups)
  reached = [_reached(rule, part, total).cast('int') for part in range(2)]
  found = sum(reached, F.lit(0))
  places = ordered.select('key', found.alias('split'))
  return keyed.join(places, 'key').drop('key')


def _given(
  work: work_lib.Work,
  groups: sql.DataFrame,
  rule: split_rules.SplitRule,
) -> sql.DataFrame:
  """Takes the log's own split, and fills validation."""
  found = groups.withColumn('split', F.col('given_split'))
  if not found.where('split = 1').isEmpty():
    return found
  train = found.where('split = 0')
  total = _total(train)
  row_id = F.col('row_id')
  order = [_hashed(rule, row_id.cast('string')).asc(), row_id.asc()]
  if rule.has_time:
    order = [F.col('start').asc(), *order]
  ordered = work.number(train, order, 'carved', weight='rows')
  rest = F.lit(total) - F.col('before') - F.col('rows')
  last = rest < F.lit(total * split_rules.VALIDATION_SHARE)
  carved = ordered.withColumn('split', last.cast('int'))
  return carved.drop('number', 'before').unionByName(found.where('split <> 0'))
