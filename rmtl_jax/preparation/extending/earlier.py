"""Statistics of past rows for the users and items of new ones.

All new rows come after all past ones. So a count of earlier rows is the count
among new rows plus that of past ones, which takes one pass over the past and no
window. The same is true for known labels of sessions that were idle before the
first new row; only the few other sessions go through the windows of
rmtl_jax.preparation.as_of.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmtl_jax.preparation import sessionize, source, sql
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import recency as asof_recency
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.extending import settings


def find(new: settings.Extension) -> asof.Earlier:
  """Sums up the past of the keys of new rows."""
  rows, groups = new.rows, new.base.groups
  seen = sql.create_view(new.connection, _seen(new))
  wanted = {}
  if set(groups) & set(asof_groups.KEYED):
    wanted |= {key: (key,) for key in rows.key_columns}
  recent = asof_recency.GROUP in groups
  if recent:
    wanted['user'] = ('user',)
  if 'views' in groups:
    wanted['pair'] = tuple(asof_groups.KEYS)
  counted, known_sums, open_rows = {}, {}, ''
  rated = asof_groups.rated_keys(rows, groups, new.base.tastes)
  if rated:
    open_rows = _open_rows(new, seen)
  sums = {key.columns: key for key in rated}
  for name, columns in wanted.items():
    of_rates = open_rows if columns in sums else ''
    counted[name] = _count(new, seen, columns, of_rates)
    if columns in sums:
      known_sums[sums[columns]] = _known_sums(new, counted[name], columns)
  for key in rated:
    if key.by:
      table = _count(new, seen, (key.of,), open_rows, key)
      known_sums[key] = _known_sums(new, table, key.columns)
  positive = _positive(new, seen) if recent else ''
  return asof.Earlier(counted, known_sums, open_rows, positive)


def _seen(new: settings.Extension) -> str:
  """SQL of the past rows that are in a split, as `make_rates` takes rows."""
  rows, end = new.rows, _split_end(new)
  columns = ['row_id', 'number AS session_id', 'start', 'timestamp']
  columns += [sql.quote(key) for key in rows.key_columns]
  columns += map(sql.quote, map(asof_rates.value_column, new.base.tastes))
  names = [task.name for task in rows.rated_tasks]
  values: dict[str, str] = {}
  for i, task in enumerate(rows.rated_tasks):
    label, time = f'y_{i}', 'NULL::BIGINT'
    if task.timed:
      # An event after the split's end does not count.
      label = f'CASE WHEN t_{i} >= {end} THEN 0 ELSE y_{i} END'
      time = f't_{i}'
    elif task.known_after_ms is not None:
      time = f'timestamp + {task.known_after_ms}'
    if task.only_after and task.after in names:
      label = f'CASE WHEN {values[task.after]} = 1 THEN {label} END'
    values[task.name] = label
    columns += [f'CAST({label} AS BIGINT) AS y_{i}', f'{time} AS t_{i}']
  past = new.past.rows
  return f'SELECT {", ".join(columns)} FROM {past} WHERE timestamp < {end}'


def _split_end(new: settings.Extension) -> str:
  """SQL of the end, ms, of the split that a past row's session starts in."""
  split = sessionize.split_sql('start', new.boundaries)
  return sessionize.split_end_sql(split, new.boundaries)


def _open_rows(new: settings.Extension, seen: str) -> str:
  """Makes a table of the rows of sessions that may still add to statistics."""
  late = [f'timestamp >= {new.seam} - {new.idle_ms}']
  late += [f't_{i} >= {new.seam}' for i in range(len(new.rows.rated_tasks))]
  return sql.create_table(
    new.connection,
    f'SELECT s.* EXCLUDE (start) FROM {seen} s SEMI JOIN (SELECT session_id'
    f' FROM {seen} WHERE {" OR ".join(late)}) USING (session_id)',
  )


def _count(
  new: settings.Extension,
  seen: str,
  keys: Sequence[str],
  open_rows: str,
  rated: asof_rates.Key | None = None,
) -> str:
  """Makes a table of sums by key, for the keys of new rows.

  `count` and `last` (ms) of all rows; of those whose labels are told
  the sums of asof_rates.event_sums, where `open_rows` is the table of others.
  The value of the field of a `rated` key is part of the key.
  """
  rows, values = new.rows, []
  for key in keys:
    value = sql.null_if_empty(f'r.{sql.quote(rows.key_columns[key])}')
    values.append(f'{value} AS {sql.quote(key)}')
  if rated:
    values += asof_tastes.value_columns(rows, [rated.by])
    keys, seen = rated.columns, rated.rows(seen)
  wanted = f'(SELECT {", ".join(values)} FROM {rows.view} r)'
  if rated:
    wanted = rated.rows(wanted)
  by, sums = sql.quote_all(keys), ''
  if open_rows:
    tasks = rows.rated_tasks
    rests = f'session_id NOT IN (SELECT session_id FROM {open_rows})'
    some = [f'y_{i} IS NOT NULL' for i in range(len(tasks))]
    join = ' OR ' if asof_rates.apart(tasks) else ' AND '
    told = {'n': f'count(*) FILTER ({rests} AND ({join.join(some)}))'}
    for i, task in enumerate(tasks):
      told[f's_{i}'] = f'count(*) FILTER ({rests} AND y_{i} = 1)'
      if task.is_ranked:
        told[f's_{i}'] = f'coalesce(sum(y_{i}) FILTER ({rests}), 0)'
    for i in asof_rates.apart(tasks):
      told[f'n_{i}'] = f'count(*) FILTER ({rests} AND {some[i]})'
    sums = ''.join(
      f', {told[name]} AS {name}' for name in asof_rates.event_sums(tasks)
    )
  return sql.create_table(
    new.connection,
    f'SELECT {by}, count(*) AS count,'
    f' max(timestamp) AS last{sums} FROM {seen} SEMI JOIN'
    f' (SELECT DISTINCT * FROM {wanted}) USING ({by}) GROUP BY {by}',
  )


def _positive(new: settings.Extension, seen: str) -> str:
  """Makes a table of the past rows of new rows' users with a positive."""
  user = sql.null_if_empty('"user"')
  timed = source.with_label_time(new.rows.binary_tasks)
  positive = ' OR '.join(f'y_{i} = 1' for i in timed) or 'false'
  return sql.create_table(
    new.connection,
    f'FROM {seen} SEMI JOIN (SELECT DISTINCT {user} AS "user"'
    f' FROM {new.rows.view}) USING ("user") WHERE {positive}',
  )


def _known_sums(
  new: settings.Extension, counted: str, key: Sequence[str]
) -> str:
  """Makes a view of the sums known of a key just before the first new row."""
  sums = ', '.join(asof_rates.event_sums(new.rows.rated_tasks))
  return sql.create_view(
    new.connection,
    f'SELECT {sql.quote_all(key)}, {new.seam - 1} AS time, {sums}'
    f' FROM {counted} WHERE n > 0',
  )


def shown(new: settings.Extension) -> str:
  """Makes a table of past rows of new rows' users: what they were shown."""
  user, rows = sql.null_if_empty('"user"'), new.rows
  return sql.create_table(
    new.connection,
    'SELECT number AS session_id, "user", timestamp,'
    f' item AS {sql.quote(rows.item_column)} FROM {new.past.rows} SEMI JOIN ('
    f' SELECT DISTINCT {user} AS "user" FROM {rows.view}) USING ("user")'
    f' WHERE timestamp < {_split_end(new)} AND item IS NOT NULL',
  )
