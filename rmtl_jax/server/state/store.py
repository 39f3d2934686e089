"""The state in one SQLite file, which several processes share.

A change is on disk before it is acknowledged; readers see whole commits. A
killed process leaves the last commit.

    visits   sessions, or a user's rows, without a long rest
    events   rows of visits that have not settled (changes.py)
    shown    a user's rows by time; of those that have settled the last ones
    seen     rows of a user and item: how many up to each time
    counts   by counter and time: what came at single times; of busy counters
             in blocks of time too, so that any sum reads few rows
    totals   by counter: sums of what has settled, and the last times
    names    numbers of users and items
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import pathlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from rmtl_jax import types
from rmtl_jax.server.state import row_types

FILE = 'state.sqlite'
_LOCK = 'lock'
_VERSION = 8
# Seconds that a writer waits for another process's commit.
_PATIENCE = 30.0
# Lengths of the blocks of `counts`, as powers of two of ms: single times, half
# a minute, 17 minutes, 19 hours.
_SHIFTS = (0, 15, 20, 26)
# A counter with more single times has blocks too.
_SINGLES = 48
# Rows of a user that stay in `shown` once they have settled.
_LAST = 32
# A row, and the last time of its visit.
_Rested: TypeAlias = tuple[row_types.Event, int]
_VISIT = 'id, owner, first, last, reach, open'


def settled_before(time: int) -> int:
  """The last end of a longest block that is no later, ms."""
  return time >> _SHIFTS[-1] << _SHIFTS[-1]


class Store:
  """The file; one thread at a time.

  Attributes:
    where: its directory, for a person.
  """

  def __init__(
    self, directory: pathlib.Path, tasks: int, sums: Mapping[str, bool]
  ):
    """Opens the file, and makes it if it is not there.

    Args:
      tasks: how many labels a row has.
      sums: what counters count, and whether `last` is asked of it; see
        shape.sums.

    Raises:
      types.InputError: it is no such file, or can't be used.
    """
    self.where = str(directory)
    self._where, self._lock = directory / FILE, directory / _LOCK
    self._sums = list(sums)
    self._dated = [name for name, is_dated in sums.items() if is_dated]
    self._labels = [c for i in range(tasks) for c in (f'y{i}', f'd{i}')]
    self._event = (
      'visit, time, id, identity, user, item, rest, tastes'
      f'{"".join(", " + name for name in self._labels)}'
    )
    self._find_sum()
    self._told = ', '.join(_told_sql(place) for place in range(tasks))
    try:
      self._open(directory)
    except (sqlite3.Error, OSError) as error:
      first = types.first_line(error)
      raise types.InputError(f'{self._where}: not usable: {first}') from None

  def _find_sum(self) -> None:
    """Makes the queries of counters, ?1, before a time, ?2."""
    sums = ', '.join(f'sum({name})' for name in self._sums)
    names = ', '.join(self._sums)
    one = (
      f'SELECT c.key, {names} FROM json_each(?1) CROSS JOIN counts c'
      ' ON c.key = value WHERE level = '
    )
    singles = f'{one}0 AND block < ?2'
    blocks = []
    for level, shift in enumerate(_SHIFTS):
      parts = f'{one}{level} AND block < ?2 >> {shift}'
      if level + 1 < len(_SHIFTS):
        longer = _SHIFTS[level + 1]
        parts += f' AND block >= ?2 >> {longer} << {longer - shift}'
      blocks.append(parts)
    self._sum = [
      f'SELECT key, {sums} FROM ({query}) GROUP BY key'
      for query in (singles, ' UNION ALL '.join(blocks))
    ]

  def _tables(self) -> Iterator[str]:
    labels = ''.join(f', {name} INTEGER' for name in self._labels)
    sums = ''.join(f', {n} INTEGER NOT NULL DEFAULT 0' for n in self._sums)
    lasts = ''.join(f', last_{n} INTEGER' for n in self._dated)
    yield 'facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID'
    yield 'names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)'
    yield (
      'visits (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, first INTEGER'
      ' NOT NULL, last INTEGER NOT NULL, reach INTEGER NOT NULL, open INTEGER'
      ' NOT NULL, settles INTEGER, rows INTEGER NOT NULL DEFAULT 0)'
    )
    yield (
      'events (visit INTEGER, time INTEGER, id INTEGER, identity INTEGER, user'
      ' INTEGER, item INTEGER, told INTEGER, waits INTEGER, rest INTEGER,'
      f' tastes BLOB{labels}, PRIMARY KEY (visit, time, id)) WITHOUT ROWID'
    )
    yield (
      'shown (user INTEGER, time INTEGER, id INTEGER, item INTEGER,'
      ' PRIMARY KEY (user, time, id)) WITHOUT ROWID'
    )
    yield (
      'seen (user INTEGER, item INTEGER, time INTEGER, n INTEGER,'
      ' PRIMARY KEY (user, item, time)) WITHOUT ROWID'
    )
    yield (
      f'counts (key INTEGER, level INTEGER, block INTEGER{sums},'
      ' PRIMARY KEY (key, level, block)) WITHOUT ROWID'
    )
    yield f'totals (key INTEGER PRIMARY KEY, busy INTEGER{sums}{lasts})'

  def _open(self, directory: pathlib.Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Of a directory that was there, others may list the files.
    os.close(os.open(self._where, os.O_RDWR | os.O_CREAT, mode=0o600))
    self._connection = sqlite3.connect(
      self._where,
      timeout=_PATIENCE,
      isolation_level=None,
      check_same_thread=False,
      cached_statements=256,
    )
    self._write_ahead()
    # FULL: a commit is on disk when it returns.
    self._run('PRAGMA synchronous = FULL')
    self._run('PRAGMA cache_size = -65536')
    self._run('PRAGMA trusted_schema = OFF')
    version = self._rows('PRAGMA user_version')[0][0]
    if version not in (0, _VERSION):
      raise types.InputError(
        f'{self._where}: is of version {version}, expected {_VERSION}; name'
        ' another --state, and load the history again'
      )
    if version != _VERSION:
      with self.writing():
        # Another process may have made them by now.
        for table in self._tables():
          self._run(f'CREATE TABLE IF NOT EXISTS {table}')
        for index in (
          'visits_by_owner ON visits (owner, first)',
          'visits_open ON visits (last) WHERE open = 1',
          'visits_settling ON visits (settles) WHERE open = 0',
          'events_told ON events (visit, time) WHERE told = 1',
          'events_waiting ON events (rest) WHERE waits = 1',
        ):
          self._run(f'CREATE INDEX IF NOT EXISTS {index}')
        self._run(f'PRAGMA user_version = {_VERSION}')

  def _write_ahead(self) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
      try:
        self._run('PRAGMA journal_mode = WAL')
        return
      except sqlite3.OperationalError as error:
        # Of a new file that others open too, SQLite doesn't wait for them.
        is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
        if not is_busy or time.monotonic() > until:
          raise
      time.sleep(0.01)

  def close(self) -> None:
    """Closes the file."""
    self._connection.close()

  @contextlib.contextmanager
  def alone(self) -> Iterator[None]:
    """Keeps other processes out of the same block."""
    with open(self._lock, 'w', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      yield

  @contextlib.contextmanager
  def writing(self) -> Iterator[Store]:
    """A change, which sees what it has changed: all of it is kept, or none."""
    self._run('BEGIN IMMEDIATE')
    try:
      yield self
      self._run('COMMIT')
    except BaseException:
      if self._connection.in_transaction:
        self._run('ROLLBACK')
      raise

  @contextlib.contextmanager
  def reading(self) -> Iterator[Store]:
    """Reads of one commit."""
    self._run('BEGIN')
    try:
      yield self
    finally:
      self._run('COMMIT')

  def _run(self, query: str, *values: Any) -> sqlite3.Cursor:
    return self._connection.execute(query, values)

  def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return self._run(query, *values).fetchall()

  # Facts and names.

  def fact(self, name: str) -> Any:
    """The value under a name; None if there is none."""
    found = self._rows('SELECT value FROM facts WHERE name = ?', name)
    return json.loads(found[0][0]) if found else None

  def put_fact(self, name: str, value: Any) -> None:
    """Keeps JSON under a name."""
    self._run(
      'INSERT OR REPLACE INTO facts VALUES (?, ?)', name, json.dumps(value)
    )

  def number(self, name: str | None) -> int | None:
    """The number of a user or an item, which gets one if it has none."""
    if name is None:
      return None
    found = self.numbers([name]).get(name)
    if found is None:
      new = self._run('INSERT INTO names (name) VALUES (?)', name)
      found = new.lastrowid
    return found

  def numbers(self, names: Iterable[str]) -> dict[str | None, int]:
    """The numbers of those of some users and items that have one."""
    query = 'SELECT name, n.id FROM json_each(?) JOIN names n ON name = value'
    return dict(self._rows(query, json.dumps(list(names))))

  # Visits.

  def add_visit(self, owner: int, time: int) -> row_types.Visit:
    """Adds a visit of one moment."""
    found = self._run(
      'INSERT INTO visits (owner, first, last, reach, open)'
      ' VALUES (?, ?, ?, ?, 1)',
      *(owner, time, time, time),
    )
    assert found.lastrowid is not None
    return row_types.Visit(found.lastrowid, owner, time, time, time, True)

  def put_visit(self, visit: row_types.Visit) -> None:
    """Replaces a visit, and whether its rows are open."""
    self._run(
      'UPDATE visits SET first = ?, last = ?, reach = ?, open = ?, settles = ?'
      ' WHERE id = ?',
      *(visit.first, visit.last, visit.reach, visit.open, visit.reach),
      visit.id,
    )

  def put_open(self, visit: row_types.Visit) -> None:
    """Says of a visit and its rows whether they are in the counters."""
    self.put_visit(visit)
    self._run(
      'UPDATE events SET waits = ? WHERE visit = ? AND rest IS NOT NULL',
      *(visit.open, visit.id),
    )

  def join_visits(self, kept: int, gone: int) -> None:
    """Moves all rows of one visit to another and deletes it."""
    self._run('UPDATE events SET visit = ? WHERE visit = ?', kept, gone)
    self._run(
      'UPDATE visits SET rows = rows + (SELECT rows FROM visits WHERE id = ?)'
      ' WHERE id = ?',
      *(gone, kept),
    )
    self._run('DELETE FROM visits WHERE id = ?', gone)

  def visits(self, owner: int) -> list[row_types.Visit]:
    """All visits of an owner, in the order of time."""
    return self._visits('owner = ? ORDER BY first', owner)

  def visit(self, number: int) -> row_types.Visit:
    """The visit with an id."""
    return self._visits('id = ?', number)[0]

  def near(self, owner: int, low: int, high: int) -> list[row_types.Visit]:
    """Visits of an owner that reach into a range of time, in its order.

    The range, in ms, is no longer than two rests.
    """
    # Visits lie a rest apart, so no more than two do.
    found = self._visits(
      'owner = ? AND first <= ? ORDER BY first DESC LIMIT 2', owner, high
    )
    return [visit for visit in found[::-1] if visit.reach >= low]

  def rested(self, time: int, most: int) -> list[row_types.Visit]:
    """Open visits with an earlier last row, the earliest first."""
    return self._visits(
      'open = 1 AND last < ? ORDER BY last LIMIT ?', time, most
    )

  def settling(self, time: int, most: int) -> list[row_types.Visit]:
    """Visits that may settle at a time, the earliest first."""
    return self._visits(
      'open = 0 AND settles < ? ORDER BY settles LIMIT ?', time, most
    )

  def settle_later(self, visit: int, time: int) -> None:
    """Says that a visit can't settle before a time."""
    self._run('UPDATE visits SET settles = ? WHERE id = ?', time, visit)

  def _visits(self, which: str, *values: Any) -> list[row_types.Visit]:
    rows = self._rows(f'SELECT {_VISIT} FROM visits WHERE {which}', *values)
    return [row_types.Visit(*row) for row in rows]

  # Rows of visits.

  def add_event(self, event: row_types.Event, told: bool) -> None:
    """Adds a row of an open visit.

    Args:
      told: whether later rows of its session read its labels.
    """
    labels = _pairs(event)
    tastes = array.array('q', event.tastes).tobytes() or None
    self._run(
      f'INSERT INTO events ({self._event}, told, waits)'
      f' VALUES ({"?, " * (8 + len(labels))}?, ?)',
      *event[:6],
      *(event.rest, tastes, *labels, told, event.rest is not None),
    )
    self._add_rows(event.visit, 1)

  def put_event(
    self, event: row_types.Event, told: bool, is_open: bool
  ) -> None:
    """Replaces the labels and the rest of a row.

    Args:
      told: as for `add_event`.
      is_open: whether its visit is.
    """
    changed = ''.join(f', {name} = ?' for name in self._labels)
    self._run(
      f'UPDATE events SET told = ?, rest = ?, waits = ?{changed}'
      ' WHERE visit = ? AND time = ? AND id = ?',
      *(told, event.rest, is_open and event.rest is not None),
      *(*_pairs(event), event.visit, event.time, event.id),
    )

  def delete_event(self, event: row_types.Event) -> None:
    """Deletes a row."""
    self._run(
      'DELETE FROM events WHERE visit = ? AND time = ? AND id = ?',
      *(event.visit, event.time, event.id),
    )
    self._add_rows(event.visit, -1)

  def _add_rows(self, visit: int, count: int) -> None:
    self._run('UPDATE visits SET rows = rows + ? WHERE id = ?', count, visit)

  def _events(self, which: str, *values: Any) -> list[row_types.Event]:
    rows = self._rows(f'SELECT {self._event} FROM events e {which}', *values)
    return list(map(_event, rows))

  def events(
    self,
    visit: int,
    first: int = -row_types.NEVER,
    end: int = row_types.NEVER + 1,
  ) -> list[row_types.Event]:
    """The rows of a visit from a time on, in their order."""
    return self._events(
      'WHERE visit = ? AND time >= ? AND time < ? ORDER BY time, id',
      *(visit, first, end),
    )

  def find_event(
    self, visit: int, time: int, identity: int
  ) -> row_types.Event | None:
    """The row of a visit with a time and an identity."""
    which = 'WHERE visit = ? AND time = ? AND identity = ?'
    return next(iter(self._events(which, visit, time, identity)), None)

  def of_item(
    self, visits: Sequence[int], item: int | None
  ) -> row_types.Event | None:
    """The row of an item in visits, or what waits for its impression."""
    found = self._events(
      'WHERE visit IN (SELECT value FROM json_each(?)) AND item = ?'
      ' ORDER BY time, id LIMIT 1',
      *(json.dumps(visits), item),
    )
    return next(iter(found), None)

  def rested_events(self, time: int, most: int = -1) -> list[_Rested]:
    """Rows that have rested before a time and are not in the counters yet.

    With the time at which their visit ended. All others outside of the
    counters can't count yet.
    """
    return self._rested(
      'v.open = 1 AND v.last < ?1 UNION ALL {} e.waits = 1 AND e.rest < ?1'
      ' AND v.last >= ?1 LIMIT ?2',
      *(time, most),
    )

  def rested_of(
    self, visits: Sequence[int], time: int, end: int
  ) -> list[_Rested]:
    """As `rested_events`, of visits' rows before an end, counted or not."""
    return self._rested(
      'v.id IN (SELECT value FROM json_each(?1)) AND e.time < ?3'
      ' AND (v.last < ?2 OR e.rest < ?2)',
      *(json.dumps(visits), time, end),
    )

  def _rested(self, which: str, *values: Any) -> list[_Rested]:
    names = ', '.join('e.' + name for name in self._event.split(', '))
    select = (
      f'SELECT {names}, v.last FROM visits v JOIN events e ON e.visit = v.id'
      ' WHERE'
    )
    rows = self._rows(f'{select} {which.format(select)}', *values)
    return [(_event(row[:-1]), row[-1]) for row in rows]

  def extent(
    self, visits: Sequence[int], end: int
  ) -> tuple[int, int | None, int | None]:
    """Earlier rows of visits: how many, first and last time."""
    rows = 'FROM events WHERE visit = v.id AND time'
    return self._rows(
      # Of most requests no row is later, so that few are counted.
      f'SELECT coalesce(sum(rows - (SELECT count(*) {rows} >= ?2)), 0),'
      f' min((SELECT min(time) {rows} < ?2)),'
      f' max((SELECT max(time) {rows} < ?2))'
      ' FROM json_each(?1) CROSS JOIN visits v ON v.id = value',
      *(json.dumps(visits), end),
    )[0]

  def told(self, visits: Sequence[int], time: int) -> list[row_types.Told]:
    """Labels of visits that are known before a time, by the task's place."""
    found = self._rows(
      f'SELECT {self._told} FROM json_each(?1) CROSS JOIN events ON visit ='
      ' value WHERE told = 1 AND time < ?2',
      *(json.dumps(visits), time),
    )[0]
    return [
      row_types.Told(*found[at : at + 4]) for at in range(0, len(found), 4)
    ]

  # Rows of users, and of users and items.

  def show(self, event: row_types.Event, sign: int) -> None:
    """Adds a row to those of its user, or takes it out."""
    user, item, at = event.user, event.item, event.time
    if user is None or item is None:
      return
    if sign > 0:
      self._run(
        'INSERT INTO shown VALUES (?, ?, ?, ?)', user, at, event.id, item
      )
    else:
      self._run(
        'DELETE FROM shown WHERE user = ? AND time = ? AND id = ?',
        *(user, at, event.id),
      )
    before = self.pairs(user, [item], at)[item][0]
    self._run(
      'INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)', user, item, at, before
    )
    self._run(
      'UPDATE seen SET n = n + ? WHERE user = ? AND item = ? AND time >= ?',
      *(sign, user, item, at),
    )
    self._run(
      'DELETE FROM seen WHERE user = ? AND item = ? AND time = ? AND n = ?',
      *(user, item, at, before),
    )

  def pairs(
    self, user: int, items: Iterable[int], time: int
  ) -> dict[int, tuple[int, int | None]]:
    """Earlier rows of a user and items: how many, and the last time."""
    which = 'FROM seen WHERE user = ?2 AND item = value AND time < ?3'
    rows = self._rows(
      f'SELECT value, (SELECT n {which} ORDER BY time DESC LIMIT 1),'
      f' (SELECT max(time) {which}) FROM json_each(?1)',
      *(json.dumps(list(items)), user, time),
    )
    return {item: (n or 0, last) for item, n, last in rows}

  def shown(self, user: int, time: int) -> Iterator[str]:
    """Items of a user's earlier rows, the last first."""
    found = self._run(
      'SELECT name FROM shown s CROSS JOIN names ON names.id = item'
      ' WHERE user = ? AND time < ? ORDER BY time DESC, name DESC',
      *(user, time),
    )
    return (item for (item,) in found)

  # Counters.

  def add_counts(self, counts: Mapping[tuple[int, int], Counter[str]]) -> None:
    """Adds to counters.

    Args:
      counts: what to add, by counter and time, ms.
    """
    busy: dict[int, bool] = {}
    rows: dict[tuple[int, int, int], np.ndarray] = {}
    for (key, at), added in counts.items():
      if key not in busy:
        busy[key] = self._is_busy(key)
      values = np.array([added[name] for name in self._sums])
      for level, shift in enumerate(_SHIFTS if busy[key] else _SHIFTS[:1]):
        place = key, level, at >> shift
        rows[place] = rows.get(place, 0) + values
    self._put_counts(
      (*at, *n.tolist()) for at, n in sorted(rows.items()) if n.any()
    )
    for key, is_busy in busy.items():
      if not is_busy:
        self._make_busy(key)

  def _put_counts(self, rows: Iterable[tuple[int, ...]]) -> None:
    added = ', '.join(f'{n} = {n} + excluded.{n}' for n in self._sums)
    marks = ', '.join('?' * (3 + len(self._sums)))
    self._connection.executemany(
      f'INSERT INTO counts VALUES ({marks}) ON CONFLICT DO UPDATE SET {added}',
      rows,
    )

  def _is_busy(self, key: int) -> bool:
    found = self._rows('SELECT busy FROM totals WHERE key = ?', key)
    return bool(found and found[0][0])

  def _make_busy(self, key: int) -> None:
    """Makes the blocks of a counter that has many single times."""
    names = ', '.join(self._sums)
    which = 'FROM counts WHERE key = ? AND level = 0'
    few = f'SELECT 1 {which} LIMIT {_SINGLES + 1}'
    if self._rows(f'SELECT count(*) FROM ({few})', key)[0][0] <= _SINGLES:
      return
    rows = self._rows(f'SELECT block, {names} {which}', key)
    self._put_counts(
      (key, level, at >> shift, *n)
      for level, shift in enumerate(_SHIFTS)
      if level
      for at, *n in rows
    )
    self._run(
      'INSERT INTO totals (key, busy) VALUES (?, 1)'
      ' ON CONFLICT DO UPDATE SET busy = 1',
      key,
    )

  def sums(self, keys: Iterable[int], time: int) -> dict[int, dict[str, int]]:
    """Values of some counters at earlier times, by name."""
    names = ', '.join(self._sums)
    rows = self._rows(
      f'SELECT value, busy, {names} FROM json_each(?) LEFT JOIN totals t'
      ' ON t.key = value',
      json.dumps(list(keys)),
    )
    found = {
      key: {name: n or 0 for name, n in zip(self._sums, settled, strict=True)}
      for key, _, *settled in rows
    }
    for is_busy, query in enumerate(self._sum):
      some = [key for key, busy, *_ in rows if bool(busy) == is_busy]
      for key, *later in (
        self._rows(query, json.dumps(some), time) if some else ()
      ):
        before = found[key]
        for name, n in zip(self._sums, later, strict=True):
          before[name] += n
    return found

  def last(self, key: int, name: str, time: int) -> int | None:
    """The last earlier time of which a counter has something, ms."""
    return self._rows(
      # Not max(), which would read all of them.
      f'SELECT coalesce((SELECT block FROM counts WHERE key = ?1 AND level = 0'
      f' AND block < ?2 AND {name} > 0 ORDER BY block DESC LIMIT 1),'
      f' (SELECT last_{name} FROM totals WHERE key = ?1))',
      *(key, time),
    )[0][0]

  # What settles.

  def settle(self, visit: row_types.Visit, end: int) -> list[int]:
    """Deletes the rows of a visit; returns the counters that they are in.

    Args:
      end: a time that `settled_before` gives, after all that the rows count.
    """
    events = self.events(visit.id)
    self._run('DELETE FROM events WHERE visit = ?', visit.id)
    self._run('DELETE FROM visits WHERE id = ?', visit.id)
    for user, item in {(e.user, e.item) for e in events}:
      self._run(
        'DELETE FROM seen WHERE user = ?1 AND item = ?2 AND time < (SELECT'
        ' max(time) FROM seen WHERE user = ?1 AND item = ?2 AND time < ?3)',
        *(user, item, end),
      )
    for user in {e.user for e in events}:
      self._run(
        'DELETE FROM shown WHERE user = ?1 AND time < (SELECT time FROM shown'
        ' WHERE user = ?1 AND time < ?2 ORDER BY time DESC LIMIT 1'
        f' OFFSET {_LAST - 1})',
        *(user, end),
      )
    users = {event.user for event in events if event.user is not None}
    return [key for event in events for key in event.counters] + [
      row_types.user_counter(user, of_positives=True) for user in users
    ]

  def settle_counts(self, keys: Iterable[int], end: int) -> None:
    """Puts what counters have of times before an end into their totals."""
    names, lasts = self._sums, [f'last_{name}' for name in self._dated]
    made = [f'sum({n})' for n in names] + [
      f'max(block) FILTER (WHERE {n} > 0)' for n in self._dated
    ]
    changed = [f'{n} = {n} + excluded.{n}' for n in names] + [
      f'{n} = coalesce(excluded.{n}, {n})' for n in lasts
    ]
    for key in {*keys}:
      self._run(
        f'INSERT INTO totals (key, {", ".join([*names, *lasts])})'
        f' SELECT ?1, {", ".join(made)} FROM counts WHERE key = ?1'
        ' AND level = 0 AND block < ?2 GROUP BY key'
        f' ON CONFLICT DO UPDATE SET {", ".join(changed)}',
        *(key, end),
      )
      for level, shift in enumerate(_SHIFTS):
        self._run(
          'DELETE FROM counts WHERE key = ? AND level = ? AND block < ?',
          *(key, level, end >> shift),
        )


def _told_sql(place: int) -> str:
  """SQL of a task's `Told` over rows, before ?2."""
  label = f'y{place}'
  known = f'time + coalesce(d{place}, 0) < ?2'
  is_positive = f'FILTER (WHERE {label} = 1 AND {known})'
  return (
    f'count(*) {is_positive}, max(time) {is_positive},'
    f' coalesce(sum({label}) FILTER (WHERE {known}), 0),'
    f' count({label}) FILTER (WHERE {known})'
  )


def _pairs(event: row_types.Event) -> list[int | None]:
  """A row's labels, each with the time from the row until it is known."""
  return [
    value
    for label, when in event.labels
    for value in (label, None if when is None else when - event.time)
  ]


def _event(row: Sequence[Any]) -> row_types.Event:
  visit, at, number, identity, user, item, rest, tastes, *labels = row
  pairs = zip(labels[::2], labels[1::2], strict=True)
  return row_types.Event(
    *(visit, at, number, identity, user, item),
    [(y, None if d is None else at + d) for y, d in pairs],
    rest,
    array.array('q', tastes or b''),
  )
