"""Items that a user was shown before a session.

What rmtl_jax.preparation.as_of.history does.
"""

from __future__ import annotations

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import window

from experiments.spark import vocabulary
from experiments.spark import work as work_lib
from rmtl_jax.preparation import source


def join(
  work: work_lib.Work,
  coded: sql.DataFrame,
  past: sql.DataFrame,
  field: source.SourceField,
  words: vocabulary.Vocabularies,
) -> sql.DataFrame:
  """Adds a field of histories, one for each session and user.

  Args:
    work: where.
    coded: the rows, with `session_id` and `user`.
    past: those that are seen, with the items as text too.
    field: of the items of `vocabulary_owner`.
    words: has the items' vocabulary.
  """
  items = words.ids(field.vocabulary_owner)
  item = F.col(f'`f_{field.vocabulary_owner}`')
  # Rows of one time are sorted by item, since the file's order may leak what
  # happened next.
  in_time = window.Window.partitionBy('user').orderBy('timestamp', 'value')
  shown = work.keep(
    past.where('user is not null')
    .select('user', 'timestamp', item.alias('value'))
    .join(items, 'value')
    .withColumn('place', F.row_number().over(in_time)),
    'shown',
  )
  starts = (
    past.where('user is not null')
    .groupBy('session_id', 'user')
    .agg(F.min('timestamp').alias('first'))
  )
  session = window.Window.partitionBy('session_id')
  starts = starts.select(
    'session_id', 'user', F.min('first').over(session).alias('time')
  )
  # A row is seen from the ms after it on: one running window over starts of
  # sessions and rows finds the last row that a session sees.
  events = starts.withColumn('place', F.lit(None).cast('int')).unionByName(
    shown.select(
      F.lit(None).cast('long').alias('session_id'),
      'user',
      (F.col('timestamp') + 1).alias('time'),
      'place',
    )
  )
  before = window.Window.partitionBy('user').orderBy('time')
  spans = (
    events.withColumn('last', F.max('place').over(before))
    .where('session_id is not null and last is not null')
    .select(
      'session_id',
      'user',
      F.explode(
        F.sequence(
          F.greatest(F.lit(1), F.col('last') - (field.width - 1)), 'last'
        )
      ).alias('place'),
    )
  )
  pairs = F.sort_array(F.collect_list(F.struct('place', 'id')))
  histories = (
    spans.join(shown, ['user', 'place'])
    .groupBy('session_id', 'user')
    .agg(F.transform(pairs, lambda pair: pair['id']).alias('ids'))
  )
  ids = F.coalesce('ids', F.array(F.lit(0))).cast('array<int>')
  return (
    coded.join(histories, ['session_id', 'user'], 'left')
    .withColumn(field.source_column, ids)
    .drop('ids')
  )
