"""Rows to ordered sessions, sessions to splits; DuckDB does the work.

`number_sessions` finds the sessions, `split_sessions` splits them by time
(`rmtl_jax.preparation.split_rules` by anything else), `place_rows` says where
every row goes. All rely on this: an ordered CREATE TABLE keeps its order and
`rowid` counts it. In DuckDB a window without PARTITION BY or ORDER BY walks it
in one streaming pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

_FOREVER = 2**63 - 1
# Starts of validation and test, ms, and where it is known the end of the log;
# None where there is no such session. Where sessions are not split by time, all
# of them are the end of the log, or None.
Boundaries = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class NumberedRows:
  """Rows sorted by session and time, sessions numbered.

  Attributes:
    table: DuckDB table with `session_number` BIGINT (in key order), `begins`
      (whether a row is its session's first), `timestamp` BIGINT, `row_id`
      BIGINT and the carried columns; `rowid` is the position.
    duplicates: number of exact duplicates.
    left_out: table of the `row_id` of dropped duplicates; empty if none.
  """

  table: str
  duplicates: int
  left_out: str = ''


@dataclasses.dataclass(frozen=True)
class RowPlaces:
  """Session, step and split of every row that is kept.

  Attributes:
    table: DuckDB table or view with a place for each kept row: `row_id` BIGINT,
      `session_id` BIGINT (dense, by split and session start), `step` INTEGER,
      `position` BIGINT (sorts rows by session and step; has gaps where rows
      were dropped) and `split` TINYINT (0, 1, 2).
    boundaries: see Boundaries.
    rows: rows of every split.
    sessions: sessions of every split.
    dropped: rows at or after their split's end, of every split.
    immature: rows left out because all their labels are known only at their
      split's end or later, of every split.
    delay_ms: time from a row to the first of its labels.
    seen: `table` with the immature rows too, which later rows may see.
    left_out: as in NumberedRows.
    whole: table with `session_id` and `start` (ms) of every row, dropped ones
      too, but for duplicates.
    by_time: whether sessions are split by time.
    rate_keys: `user` and `item` where no session starts before one of an
      earlier split; `user` where each user is in one split; otherwise none. By
      these, what is known before a train row has no label of another split.
  """

  table: str
  boundaries: Boundaries
  rows: tuple[int, ...]
  sessions: tuple[int, ...]
  dropped: tuple[int, ...]
  immature: tuple[int, ...] = (0, 0, 0)
  delay_ms: int = 0
  seen: str = ''
  left_out: str = ''
  whole: str = ''
  by_time: bool = True
  rate_keys: tuple[str, ...] = ('user', 'item')

  def is_train(self) -> str:
    """SQL condition, over a reader's rows, that selects the rows of train.

    A row before the first boundary belongs to train, as its session began
    earlier still; no other row does. So no join with the places is needed
    where sessions are split by time.
    """
    condition = self.is_mature_train()
    if self.left_out and self.by_time:
      condition += f' AND row_id NOT IN (SELECT row_id FROM {self.left_out})'
    return condition

  def is_mature_train(self, delay_ms: int = 0) -> str:
    """`is_train` before duplicates are dropped.

    Args:
      delay_ms: of a label, of which rows are left out that don't know it.
    """
    end = self.boundaries[0]
    delay_ms = max(delay_ms, self.delay_ms)
    known = 'true' if end is None else f'timestamp < {end - delay_ms}'
    if self.by_time:
      return known
    train = f'(SELECT row_id FROM {self.table} WHERE split = 0)'
    return f'row_id IN {train} AND {known}'


class Keys(NamedTuple):
  """The keys of sessions that a log has.

  Attributes:
    session: whether `session` is ever given.
    user: whether `user` is ever given.
    time: whether `timestamp` is one; else rows keep the raw order.
    split: whether the rows have `split`, which no session then spans.
  """

  session: bool = False
  user: bool = True
  time: bool = True
  split: bool = False


_BY_USER = Keys()


def number_sessions(
  connection: sql.Connection,
  relation: str,
  idle_ms: int,
  has: Keys = _BY_USER,
  *,
  identity: Sequence[str] = (),
  carry: Sequence[str] = (),
  drop: bool = True,
) -> NumberedRows:
  """Cuts rows into sessions and sorts them; ties of time keep the raw order.

  A row with a session id belongs to that session. Other rows belong to sessions
  of their user, which end with a gap above `idle_ms`; without a user or a time,
  each is its own session.

  Args:
    relation: table or view with `row_id`, `session`, `user`, `timestamp`.
    idle_ms: longest gap within a session, ms.
    has: the keys that the relation has.
    identity: rows of one session and time with equal values in these columns
      are duplicates; the first is kept.
    carry: further columns to keep with the rows.
    drop: drop duplicates; else only count them.
  """
  owner = '"user"'
  if has.session:
    # A session id overrides the user: one session may have rows of two users,
    # as after a log-in, and is not to be cut there.
    owner = 'CASE WHEN session IS NULL THEN "user" END'
  keys = {'given_split': 'split'} if has.split else {}
  keys |= {'session_key': 'session'} if has.session else {}
  keys |= {'owner': owner} if has.user else {}
  kept = ', '.join(['row_id', 'timestamp', *map(sql.quote, carry)])
  selected = ''.join(f'{value} AS {name}, ' for name, value in keys.items())
  # The one sort of all rows. What follows reads `rowid` and neighbours in this
  # order in streaming passes, which fit any log.
  ordered = sql.create_table(
    connection,
    f'SELECT {selected}{kept} FROM {relation}'
    f' ORDER BY {", ".join([*keys, "timestamp", "row_id"])}',
  )
  gap = f'timestamp - earlier_timestamp > {idle_ms}'
  if not (has.user and has.time):
    gap = 'true'
  marked = _mark(connection, ordered, list(keys), kept, gap)
  sql.drop_tables(connection, ordered)
  if not identity:
    return NumberedRows(marked, 0)
  duplicates = _find_duplicates(connection, marked, relation, identity)
  found = sql.count_rows(connection, duplicates)
  if not found or not drop:
    return NumberedRows(marked, found)
  table = _without(connection, marked, duplicates, kept)
  return NumberedRows(table, found, duplicates)


def split_sessions(
  connection: sql.Connection,
  numbered: NumberedRows,
  split_ratio: Sequence[int] = (),
  delay_ms: int = 0,
  *,
  boundaries: Boundaries | None = None,
  end: int | None = None,
  always: str = 'false',
) -> RowPlaces:
  """Assigns sessions to splits by their start.

  Sessions are ordered by start. The first boundary is the start of the first
  session before which at least the first part of the rows lies; so is the
  second, for the first two parts. A session that starts before a boundary
  keeps the rows before it that have a label known by then. A session without
  any row left keeps its number.

  Args:
    numbered: from `number_sessions`.
    split_ratio: parts of the rows for train, validation and test.
    delay_ms: how long after its row the first of its labels is known.
    boundaries: as in RowPlaces, those of earlier data; found by `split_ratio`
      if None.
    end: of test, ms; None for none.
    always: SQL, over the numbered rows as `n`, of the rows to keep even at or
      after their split's end.
  """
  ordered = sql.create_table(
    connection,
    f'FROM {session_list(numbered)} ORDER BY start, session_number',
  )
  by_start = add_session_ids(connection, ordered)
  if boundaries is None:
    boundaries = find_boundaries(connection, by_start, split_ratio)
  boundaries = with_end(boundaries, end)
  of_session = split_sql('start', boundaries)
  split = sql.create_view(
    connection, f'SELECT *, {of_session} AS split FROM {by_start}'
  )
  places = place_rows(
    connection, numbered, split, delay_ms, boundaries=boundaries, always=always
  )
  connection.execute(f'DROP VIEW {split}')
  sql.drop_tables(connection, by_start)
  return places


def place_rows(
  connection: sql.Connection,
  numbered: NumberedRows,
  found: str,
  delay_ms: int = 0,
  *,
  boundaries: Boundaries = (None, None),
  always: str = 'false',
) -> RowPlaces:
  """Gives rows the split of their session and a place in it.

  Args:
    numbered: from `number_sessions`.
    found: sessions with `session_number`, `session_id`, `split`, `start`,
      `first` (the position of its first row) and `before`.
    delay_ms: as for `split_sessions`.
    always: as for `split_sessions`.
  """
  # A row's step counts from its session's first row, its position from the
  # first row of all: both follow from `rowid`, so nothing is sorted again.
  # `seen` rows lie before their split's end; `kept` ones have a label that is
  # known by then too: others have nothing to learn from.
  table = sql.create_table(
    connection,
    'SELECT n.row_id, s.session_id, s.split, s.start,'
    ' CAST(n.rowid - s.first AS INTEGER) AS step,'
    ' s.before + n.rowid - s.first AS position,'
    f' n.timestamp < s.ends OR {always} AS seen,'
    f' n.timestamp < s.ends - {delay_ms} OR {always} AS kept'
    f' FROM {numbered.table} n JOIN ('
    '  SELECT session_number, session_id, start, first, before, split,'
    f'  {split_end_sql("split", boundaries)} AS ends FROM {found})'
    ' s USING (session_number)',
  )
  # Rows of an extended log's past, below 0, have been counted before.
  rows, session_counts, dropped, immature = count_by_split(
    connection,
    f'{table} WHERE row_id >= 0',
    'count(*) FILTER (WHERE kept)',
    'count(*) FILTER (WHERE kept AND step = 0)',
    'count(*) FILTER (WHERE NOT seen)',
    'count(*) FILTER (WHERE seen AND NOT kept)',
  )
  return RowPlaces(
    sql.create_view(connection, f'FROM {table} WHERE kept'),
    boundaries,
    rows,
    session_counts,
    dropped,
    immature,
    delay_ms,
    sql.create_view(connection, f'FROM {table} WHERE seen'),
    numbered.left_out,
    table,
  )


def find_boundaries(
  connection: sql.Connection, by_start: str, split_ratio: Sequence[int]
) -> tuple[int | None, int | None]:
  """Finds the boundaries for `split_sessions`."""
  reached = [split_ratio[0], split_ratio[0] + split_ratio[1]]
  firsts = ', '.join(
    f'min(start) FILTER (WHERE before * {sum(split_ratio)} >= {share} * total)'
    for share in reached
  )
  # In whole numbers, so that no rounding moves a boundary by a session.
  first, second = sql.fetch_row(
    connection,
    f'SELECT {firsts} FROM {by_start},'
    f' (SELECT sum(rows)::BIGINT AS total FROM {by_start})',
  )
  return first, second


def with_end(boundaries: Boundaries, end: int | None) -> Boundaries:
  """The boundaries with the end of the log, where it is known."""
  return boundaries if end is None else (*boundaries[:2], end)


def split_sql(start: str, boundaries: Boundaries) -> str:
  """SQL of a session's split, 0, 1 or 2.

  Args:
    start: SQL of the session's start, ms.
  """
  first, second = (_reaches(start, boundary) for boundary in boundaries[:2])
  return f'CAST({first} + {second} AS TINYINT)'


def split_end_sql(split: str, boundaries: Boundaries) -> str:
  """SQL of a split's end, ms; its rows and labels lie before it.

  Args:
    split: SQL that gives 0, 1 or 2.
  """
  first, second, last = (
    _FOREVER if b is None else b for b in (*boundaries, None)[:3]
  )
  return (
    f'CASE {split} WHEN 0 THEN {first} WHEN 1 THEN {second} ELSE {last} END'
  )


def _mark(
  connection: sql.Connection,
  ordered: str,
  keys: Sequence[str],
  kept: str,
  gap: str,
) -> str:
  """Numbers the sessions of sorted rows and marks ties of time.

  Args:
    keys: columns of one value in a session.
    kept: SQL of the columns to keep.
    gap: SQL of whether a session ends before a row of the same keys; sessions
      with an id don't.
  """
  if 'session_key' in keys:
    gap = f'session_key IS NULL AND {gap}'
  # The position of its first row numbers a session, without a second sort or a
  # join. Keys may be NULL, which `<>` would not tell apart.
  here, order = '', ''
  if sql.engine_of(connection):  # no task walks all rows
    here = f'PARTITION BY {", ".join(keys) or "position"} ORDER BY position'
    order = ' ORDER BY position'
  changes = [f'{key} IS DISTINCT FROM earlier_{key}' for key in keys]
  begins = ' OR '.join(['earlier_row_id IS NULL', *changes, f'({gap})'])
  earlier = ', '.join(
    f'lag({name}) OVER ({here}) AS earlier_{name}'
    for name in [*keys, 'timestamp', 'row_id']
  )
  return sql.create_table(
    connection,
    f'SELECT {kept}, begins,'
    ' NOT begins AND timestamp = earlier_timestamp AS tied,'
    ' max(CASE WHEN begins THEN position END) OVER ('
    f'  {here} ROWS UNBOUNDED PRECEDING) AS session_number'
    f' FROM (SELECT *, {begins} AS begins FROM (SELECT *, {earlier}'
    f'  FROM (SELECT *, rowid AS position FROM {ordered}))){order}',
  )


def _reaches(column: str, boundary: int | None) -> str:
  return '0' if boundary is None else f'CAST({column} >= {boundary} AS INT)'


def _find_duplicates(
  connection: sql.Connection,
  marked: str,
  relation: str,
  identity: Sequence[str],
) -> str:
  """Makes a table of the row ids of duplicates, each group's first excepted."""
  # Only rows that share session and time with a neighbour can be equal:
  # few, so the columns to compare are fetched for those alone.
  return sql.create_table(
    connection,
    'WITH tied AS ('
    f' SELECT row_id, session_number, timestamp FROM {marked} m SEMI JOIN ('
    f'  SELECT rowid AS position FROM {marked} WHERE tied'
    f'  UNION SELECT rowid - 1 FROM {marked} WHERE tied) t'
    ' ON m.rowid = t.position)'
    ' SELECT row_id FROM (SELECT r.row_id, row_number() OVER ('
    f'  PARTITION BY t.session_number, t.timestamp, {sql.quote_all(identity)}'
    f'  ORDER BY r.row_id) AS n FROM {relation} r JOIN tied t'
    '  ON r.row_id = t.row_id) WHERE n > 1',
  )


def _without(
  connection: sql.Connection, marked: str, duplicates: str, kept: str
) -> str:
  """Copies the marked rows without the duplicates, in order."""
  # A duplicate is never a session's first row, so no number gets lost.
  table = sql.create_table(
    connection,
    f'SELECT session_number, begins, {kept} FROM {marked}'
    f' WHERE row_id NOT IN (SELECT row_id FROM {duplicates}) ORDER BY rowid',
  )
  sql.drop_tables(connection, marked)
  return table


def session_list(numbered: NumberedRows, *carried: str) -> str:
  """SQL of one row per session, from its first row.

  Args:
    numbered: from `number_sessions`.
    carried: columns that its rows carry.

  Returns:
    A subquery with `session_number`, `start` (ms), `first` (position of the
    first row), `rows` (their number), `row_id` (of the first) and the carried
    columns.
  """
  of_first = ''.join(
    f', max({name}) FILTER (WHERE begins) AS {name}'
    for name in ['row_id', *map(sql.quote, carried)]
  )
  return (
    '(SELECT session_number, min(timestamp) AS start, min(rowid) AS first,'
    f' count(*) AS rows{of_first} FROM {numbered.table}'
    ' GROUP BY session_number)'
  )


def add_session_ids(connection: sql.Connection, ordered: str) -> str:
  """Replaces a table of ordered sessions by one with two more columns.

  `session_id` BIGINT is the session's position, `before` BIGINT the number of
  rows of earlier sessions.

  Args:
    connection: holds the table, which is dropped.
    ordered: sessions with `rows`.
  """
  table = sql.create_table(
    connection,
    'SELECT *, rowid AS session_id, CAST(coalesce(sum(rows) OVER (ROWS'
    f' UNBOUNDED PRECEDING) - rows, 0) AS BIGINT) AS before FROM {ordered}',
  )
  sql.drop_tables(connection, ordered)
  return table


def count_by_split(
  connection: sql.Connection,
  table: str,
  *wanted: str,
) -> tuple[tuple[int, ...], ...]:
  """Evaluates SQL aggregates: for each a tuple of counts, one per split."""
  found: dict[int, tuple[int, ...]]
  found = dict.fromkeys(range(len(manifest_lib.SPLITS)), (0,) * len(wanted))
  for number, *counts in connection.execute(
    f'SELECT split, {", ".join(wanted)} FROM {table} GROUP BY split'
  ).fetchall():
    found[number] = tuple(map(int, counts))
  return tuple(zip(*found.values(), strict=True))
