"""Smoothed label rates of a row's user and item, as known before the row.

Or of those of the user's rows that have the row's own value of a field. Of a
label that is a number or a level, not 0 or 1, they are mean ranks (ranks.py).

A label may come later than its row, so a row counts only once its session has
rested: no row of the session for more than the idle time. A rest can be seen
without looking ahead; the end of a session cannot. A row never sees labels of
its own session, even after a rest (see asof_feedback for those). A label with a
known time that lies after the rest counts from that time on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import ranks, source, sql

# Pseudo-rows with train's rate that a user or an item starts from. A rank says
# more of a row than 0 or 1.
WEIGHT, RANK_WEIGHT = 10, 2
# A window's rows of the same time and later.
FROM_HERE = (
  'ORDER BY timestamp RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING'
)


@dataclasses.dataclass(frozen=True)
class Key:
  """The key of a rate: columns that its rows share.

  Attributes:
    of: `user` or `item`.
    by: the field of which they have one value too; '' for none.
    many: whether that field has lists: a row has a key for each value.
  """

  of: str
  by: str = ''
  many: bool = False

  @property
  def columns(self) -> tuple[str, ...]:
    """Its columns in the table that `make_rates` takes."""
    return (self.of, value_column(self.by)) if self.by else (self.of,)

  @property
  def details(self) -> dict[str, str]:
    """For the manifest."""
    return {'key': self.of} | ({'by': self.by} if self.by else {})

  def name(self, task: source.SourceTask) -> str:
    """Name of a task's rate."""
    what = 'rank' if task.is_ranked else 'rate'
    return f'{self.of}_{task.name}_{what}' + (
      f'_by_{self.by}' if self.by else ''
    )

  def rows(self, relation: str) -> str:
    """SQL of a relation's rows, once for each of their keys."""
    if not self.many:
      return relation
    values = sql.quote(value_column(self.by))
    return (
      f'(SELECT * EXCLUDE ({values}), unnest({values}) AS {values}'
      f' FROM {relation})'
    )


def value_column(field: str) -> str:
  """The column of a field's values in the table that `make_rates` takes."""
  return f'by_{field}'


def weight(task: source.SourceTask) -> int:
  """The pseudo-rows of a task."""
  return RANK_WEIGHT if task.is_ranked else WEIGHT


def make_rates(
  connection: sql.Connection,
  keyed: str,
  keys: Sequence[Key],
  tasks: Sequence[source.SourceTask],
  idle_ms: int,
  train: Sequence[float],
) -> list[str]:
  """Computes rates by each key.

  (positives + weight * train's rate) / (rows + weight), over the counting rows
  of the same key; ranks over ranks.PARTS add up as positives do.

  Args:
    keyed: table with `row_id`, `session_id`, `split`, `timestamp`, the keys and
      the columns of labels.label_and_time_columns.
    keys: at least one.
    idle_ms: a session rests after a gap of more than this, ms.
    train: each task's prior rate.

  Returns:
    A table for each key, with `row_id` and a DOUBLE per feature; NULL where no
    earlier row counts. Rows may be missing, which have none.
  """
  query = rested_sql(keyed, key_columns(keys), tasks, idle_ms)
  rested = sql.create_table(connection, query)
  resumes = sql.fetch_value(
    connection, f'SELECT coalesce(bool_or(resumed), false) FROM {rested}'
  )
  found = []
  # Rows of an extended log's past, below 0, count but need no rates.
  new = f'(FROM {keyed} WHERE row_id >= 0)'
  for key in keys:
    given, known = key.rows(new), key.rows(rested)
    told = sql.create_table(connection, _told_sql(given, known, key))
    of_told = f'SEMI JOIN {told} USING ({sql.quote_all(key.columns)})'
    query = features_sql(
      f'(FROM {given} {of_told})',
      f'(FROM {known} {of_told})',
      key,
      tasks,
      train,
      resumes,
    )
    found.append(sql.create_table(connection, query))
    sql.drop_tables(connection, told)
  sql.drop_tables(connection, rested)
  return found


def key_columns(keys: Sequence[Key]) -> list[str]:
  """The columns of keys, each once."""
  return list(dict.fromkeys(c for key in keys for c in key.columns))


def details(
  keys: Sequence[Key],
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
) -> dict[str, dict[str, Any]]:
  """All rates: details for the manifest, by name."""
  return {
    key.name(task): {
      **key.details,
      'task': task.name,
      'train_rate': rate,
      'weight': weight(task),
    }
    for key in keys
    for task, rate in zip(tasks, train, strict=True)
  }


def train_rates(
  connection: sql.Connection,
  keyed: str,
  tasks: Sequence[source.SourceTask],
  is_train: Sequence[str],
) -> tuple[float, ...]:
  """Each task's fraction of positives, or mean rank, in observed train rows.

  Args:
    keyed: the table that `make_rates` takes.
    is_train: SQL, for each task, of the train rows that know its label.

  Returns:
    K rates; 0 for a task without such rows.
  """
  # Sums of whole numbers: the same in any order.
  rates = ', '.join(
    f'coalesce({_positives(f"sum(y_{i}) FILTER (WHERE {known})", task)}'
    f' / nullif(count(y_{i}) FILTER (WHERE {known}), 0), 0.0)'
    for i, (task, known) in enumerate(zip(tasks, is_train, strict=True))
  )
  return sql.fetch_row(connection, f'SELECT {rates} FROM {keyed}')


def recorded(
  manifest: manifest_lib.Manifest, tasks: Sequence[source.SourceTask]
) -> list[float]:
  """Each task's train rate, as the features of prepared data record it.

  Raises:
    types.InputError: a rate is no number.
  """
  found = {}
  for field in manifest.fields:
    if 'train_rate' in field.details:
      rate = field.details['train_rate']
      if type(rate) not in (int, float):
        raise types.InputError(
          f'manifest.json: fields: train_rate is {rate!r:.80}, expected a'
          ' number'
        )
      found[field.details.get('task')] = float(rate)
  # A task without a recorded rate has no feature that reads it.
  return [found.get(task.name, 0.0) for task in tasks]


def _positives(total: str, task: source.SourceTask) -> str:
  """SQL of a sum of labels, as of 0 and 1."""
  parts = sql.float_literal(float(ranks.PARTS))
  return f'{total} / {parts}' if task.is_ranked else total


def rested_sql(
  keyed: str,
  columns: Sequence[str],
  tasks: Sequence[source.SourceTask],
  idle_ms: int,
) -> str:
  """SQL of when rows (`known`) and positives (`k_<i>`) count, ms.

  `resumed`: whether rows of the session follow the rest; `o_<i>`: when a row
  counts for a task of `apart`, NULL if it never does; `y_<i>`: its rank, which
  counts with it. Rows without any label are dropped; where all tasks have one,
  only prediction has such rows.

  Args:
    keyed: the table that `make_rates` takes.
    columns: of its columns, those of keys.
    idle_ms: as for `make_rates`.
  """
  # A row counts one idle time after the last row before the next rest: `rests`
  # marks those last rows, and each row looks for the first from it on.
  known = ', '.join(
    f'{_observed_time(tasks, i)} AS k_{i}, y_{i}'
    if task.is_ranked
    else f'CASE WHEN y_{i} = 1 THEN greatest(known, t_{i}) END AS k_{i}'
    for i, task in enumerate(tasks)
  )
  known += ''.join(
    f', {_observed_time(tasks, i)} AS o_{i}' for i in apart(tasks)
  )
  join = ' OR ' if apart(tasks) else ' AND '
  labelled = join.join(f'y_{i} IS NOT NULL' for i in range(len(tasks)))
  session = 'PARTITION BY session_id'
  return (
    f'SELECT session_id, {sql.quote_all(columns)},'
    f' known, known < last AS resumed, {known} FROM ('
    f' SELECT *, {idle_ms} + min(CASE WHEN rests THEN timestamp END) OVER ('
    f'  {session} {FROM_HERE}) AS known'
    f' FROM (SELECT *, max(timestamp) OVER ({session}) AS last,'
    f'  coalesce(lead(timestamp) OVER ({session} ORDER BY timestamp)'
    f'   - timestamp > {idle_ms}, true) AS rests FROM {keyed}))'
    f' WHERE ({labelled})'
  )


def _observed_time(tasks: Sequence[source.SourceTask], number: int) -> str:
  """SQL of the ms from which a row is known to count for a task.

  Judged on the positives of another, it counts once that one is known, or its
  own positive, which implies it. A rank counts once it is known itself.
  """
  names = [task.name for task in tasks]
  task, times = tasks[number], ['known']
  is_ranked = task.is_ranked
  while task.only_after and task.after is not None:
    parent = names.index(task.after)
    task = tasks[parent]
    times.append(f't_{parent}')
  if is_ranked:
    times.append(f't_{number}')
  # NULLs, of labels of unknown time, are passed over.
  time = f'greatest({", ".join(times)})' if len(times) > 1 else times[0]
  if is_ranked:
    return f'CASE WHEN y_{number} IS NOT NULL THEN {time} END'
  return (
    f'CASE WHEN y_{number} = 1 THEN least({time}, greatest(known, t_{number}))'
    f' WHEN y_{number} = 0 THEN {time} END'
  )


def apart(tasks: Sequence[source.SourceTask]) -> list[int]:
  """Places of the tasks that count their rows apart.

  Some rows have no label of them, or count only once their rank is known.
  """
  return [
    i for i, task in enumerate(tasks) if task.may_lack_label or task.is_ranked
  ]


def _told_sql(keyed: str, rested: str, key: Key) -> str:
  """SQL of the keys with a row that sees a label of them; often few."""
  by = sql.quote_all(key.columns)
  times = (
    f'SELECT {by}, timestamp, NULL AS time FROM {keyed}'
    f' UNION ALL SELECT {by}, NULL, known FROM {rested}'
  )
  return (
    f'SELECT {by} FROM ({times}) WHERE {_given(key)} GROUP BY {by}'
    ' HAVING min(time) < max(timestamp)'
  )


def features_sql(
  keyed: str,
  rested: str,
  key: Key,
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
  resumes: bool = True,
) -> str:
  """SQL of `row_id` and the rates by one key, of rows that have it.

  What becomes known is an event of its own, which rows see from the ms after it
  on.

  Args:
    keyed: relation as `make_rates` takes it, of `Key.rows`.
    rested: relation of `rested_sql`, of `Key.rows`.
    train: each task's prior rate.
    resumes: whether a session may go on after a rest.
  """
  by, sums, given = sql.quote_all(key.columns), event_sums(tasks), _given(key)
  zeros, names = ''.join(f', 0 AS {name}' for name in sums), ', '.join(sums)
  events = events_sql(rested, ['session_id', *key.columns, 'resumed'], tasks)
  rows = (
    f'SELECT row_id, session_id, {by}, timestamp AS time, false AS resumed'
    f'{zeros} FROM {keyed} r WHERE {given}'
    f' UNION ALL SELECT NULL, session_id, {by}, time + 1, resumed, {names}'
    f' FROM ({events}) e WHERE {given}'
  )
  # What every session has told of the key, less what the row's own session has:
  # only sessions that go on after a rest can have told anything by then.
  told = [f'sum({name}) OVER every' for name in sums]
  windows = f'every AS (PARTITION BY {by} ORDER BY time)'
  if resumes:
    own = 'sum(CASE WHEN resumed THEN {} ELSE 0 END) OVER own'
    told = [
      f'{every} - {own.format(name)}'
      for every, name in zip(told, sums, strict=True)
    ]
    windows += f', own AS (PARTITION BY session_id, {by} ORDER BY time)'
  columns = ', '.join(
    f'{value} AS {name}' for value, name in zip(told, sums, strict=True)
  )
  some = apart(tasks)
  rates = ', '.join(
    smoothed_sql(task, train[i], f's_{i}', f'n_{i}' if i in some else 'n')
    + f' AS {sql.quote(key.name(task))}'
    for i, task in enumerate(tasks)
  )
  told_rows = (
    f'SELECT * FROM (SELECT row_id, {columns} FROM ({rows})'
    f' WINDOW {windows}) WHERE row_id IS NOT NULL'
  )
  if key.many:
    whole = ', '.join(f'sum({name}) AS {name}' for name in sums)
    told_rows = f'SELECT row_id, {whole} FROM ({told_rows}) GROUP BY row_id'
  return f'SELECT row_id, {rates} FROM ({told_rows})'


def _given(key: Key) -> str:
  """SQL of whether a row has the key."""
  columns = map(sql.quote, key.columns)
  return ' AND '.join(f'{column} IS NOT NULL' for column in columns)


def smoothed_sql(
  task: source.SourceTask, rate: float, total: str, rows: str
) -> str:
  """SQL of a task's smoothed rate or mean rank; NULL without rows.

  Args:
    rate: train's.
    total: SQL of its positives, or the sum of its ranks.
    rows: SQL of the number of rows.
  """
  pseudo = sql.float_literal(weight(task) * rate)
  return (
    f'CASE WHEN {rows} > 0 THEN ({_positives(total, task)} + {pseudo})'
    f' / ({rows} + {weight(task)}) END'
  )


def event_sums(tasks: Sequence[source.SourceTask]) -> list[str]:
  """Columns of `events_sql` that add up."""
  positives = [f's_{i}' for i in range(len(tasks))]
  return ['n', *positives, *(f'n_{i}' for i in apart(tasks))]


def events_sql(
  rested: str, columns: Sequence[str], tasks: Sequence[source.SourceTask]
) -> str:
  """SQL of what becomes known at a `time`, ms: the columns of `event_sums`.

  Args:
    rested: of `rested_sql`.
    columns: of its columns, those to keep.
  """
  by, numbers = sql.quote_all(columns), range(len(tasks))
  some = apart(tasks)
  adds = [f'y_{i}' if task.is_ranked else '1' for i, task in enumerate(tasks)]
  # Each row is an event at `known`. A label that comes later is an event of its
  # own, which adds to the positives and not again to the rows.
  events = [
    f'SELECT {by}, known AS time, 1 AS n, '
    + ', '.join(
      f'CASE WHEN k_{i} = known THEN {adds[i]} ELSE 0 END AS s_{i}'
      for i in numbers
    )
    + ''.join(f', coalesce(o_{i} = known, false)::INT AS n_{i}' for i in some)
    + f' FROM {rested}'
  ]
  for i in numbers:
    sums = ', '.join(adds[i] if i == j else '0' for j in numbers)
    events.append(
      f'SELECT {by}, k_{i}, 0, {sums}{", 0" * len(some)} FROM {rested}'
      f' WHERE k_{i} > known'
    )
  for i in some:
    ones = ', '.join(str(int(i == j)) for j in some)
    events.append(
      f'SELECT {by}, o_{i}, 0{", 0" * len(tasks)}, {ones} FROM {rested}'
      f' WHERE o_{i} > known'
    )
  return ' UNION ALL '.join(events)
