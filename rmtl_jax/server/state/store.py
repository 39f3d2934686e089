"""The state in one SQLite file, which several processes share.

A change is committed, and on disk, before anybody is told of it; readers see
whole commits. Whoever is killed at any moment leaves the last commit.

    visits   sessions, or a user's rows, without a long rest
    events   rows of visits
    counts   by counter and time: what came at single times; of busy counters
             in blocks of time too, so that any sum reads few rows
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
from typing import Any

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
_VISIT = 'id, owner, first, last, reach, open'


class Store:
  """The file; one thread at a time.

  Attributes:
    where: its directory, for a person.
  """

  def __init__(self, directory: pathlib.Path, tasks: int, sums: Sequence[str]):
    """Opens the file, and makes it if it is not there.

    Args:
      tasks: how many labels a row has.
      sums: what counters count; see shape.sums.

    Raises:
      types.InputError: it is no such file, or can't be used.
    """
    self.where = str(directory)
    self._where, self._lock = directory / FILE, directory / _LOCK
    self._sums, self._tasks = list(sums), tasks
    self._labels = [c for i in range(tasks) for c in (f'y{i}', f'd{i}')]
    self._event = (
      'visit, time, id, identity, user, item, rest, tastes'
      f'{"".join(", " + name for name in self._labels)}'
    )
    self._find_sum()
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
    yield 'facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID'
    yield 'names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)'
    yield (
      'visits (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, first INTEGER'
      ' NOT NULL, last INTEGER NOT NULL, reach INTEGER NOT NULL, open INTEGER'
      ' NOT NULL)'
    )
    yield (
      'events (visit INTEGER, time INTEGER, id INTEGER, identity INTEGER, user'
      ' INTEGER, item INTEGER, told INTEGER, waits INTEGER, rest INTEGER,'
      f' tastes BLOB{labels}, PRIMARY KEY (visit, time, id)) WITHOUT ROWID'
    )
    yield (
      f'counts (key INTEGER, level INTEGER, block INTEGER{sums},'
      ' PRIMARY KEY (key, level, block)) WITHOUT ROWID'
    )

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
    version = self._version()
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
          'events_told ON events (visit, time) WHERE told = 1',
          'events_waiting ON events (rest) WHERE waits = 1',
          'events_of_user ON events (user, time, item) WHERE item IS NOT NULL',
        ):
          self._run(f'CREATE INDEX IF NOT EXISTS {index}')
        self._run(f'PRAGMA user_version = {_VERSION}')

  def _version(self) -> int:
    return self._rows('PRAGMA user_version')[0][0]

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

  def number(self, name: str | None, make: bool = False) -> int | None:
    """The number of a user or an item; None if there is none.

    Args:
      make: whether it gets one.
    """
    if name is None:
      return None
    found = self._rows('SELECT id FROM names WHERE name = ?', name)
    if found:
      return found[0][0]
    if not make:
      return None
    return self._run('INSERT INTO names (name) VALUES (?)', name).lastrowid

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
      'UPDATE visits SET first = ?, last = ?, reach = ?, open = ? WHERE id = ?',
      *(visit.first, visit.last, visit.reach, visit.open, visit.id),
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

  def _visits(self, which: str, *values: Any) -> list[row_types.Visit]:
    rows = self._rows(f'SELECT {_VISIT} FROM visits WHERE {which}', *values)
    return [row_types.Visit(*row) for row in rows]

  # Rows of visits.

  def add_event(self, event: row_types.Event, told: bool) -> None:
    """Adds a row of an open visit.

    Args:
      told: whether its labels tell later rows of its session something.
    """
    labels = _pairs(event)
    tastes = array.array('q', event.tastes).tobytes() or None
    self._run(
      f'INSERT INTO events ({self._event}, told, waits)'
      f' VALUES ({"?, " * (8 + len(labels))}?, ?)',
      *event[:6],
      *(event.rest, tastes, *labels, told, event.rest is not None),
    )

  def put_labels(self, event: row_types.Event, told: bool) -> None:
    """Replaces the labels of a row."""
    changed = ''.join(f', {name} = ?' for name in self._labels)
    self._run(
      f'UPDATE events SET told = ?{changed} WHERE visit = ? AND time = ?'
      ' AND id = ?',
      *(told, *_pairs(event), event.visit, event.time, event.id),
    )

  def delete_event(self, event: row_types.Event) -> None:
    """Deletes a row."""
    self._run(
      'DELETE FROM events WHERE visit = ? AND time = ? AND id = ?',
      *(event.visit, event.time, event.id),
    )

  def put_rest(self, visit: int, rest: int) -> None:
    """Says of the rows after a visit's last rest that another one came."""
    self._run(
      'UPDATE events SET rest = ?1, waits = 1 WHERE visit = ?2 AND rest IS NULL'
      ' AND time <= ?1',
      *(rest, visit),
    )

  def set_rest(self, event: row_types.Event, rest: int | None) -> None:
    """Sets the rest of a row of an open visit."""
    self._run(
      'UPDATE events SET rest = ?, waits = ? WHERE visit = ? AND time = ?'
      ' AND id = ?',
      *(rest, rest is not None, event.visit, event.time, event.id),
    )

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
    which = 'WHERE visit = ? AND item = ? ORDER BY time, id LIMIT 1'
    found = [e for visit in visits for e in self._events(which, visit, item)]
    return next(iter(row_types.in_order(found)), None)

  def rested_events(
    self, time: int, most: int = -1
  ) -> list[tuple[row_types.Event, int]]:
    """Rows that have rested before a time and are not in the counters yet.

    With the time at which their visit ended. All others outside of the
    counters can't count yet.
    """
    names = ', '.join('e.' + name for name in self._event.split(', '))
    rows = self._rows(
      f'SELECT {names}, v.last FROM visits v JOIN events e ON e.visit = v.id'
      ' WHERE v.open = 1 AND v.last < ?1 UNION ALL'
      f' SELECT {names}, v.last FROM events e JOIN visits v ON e.visit = v.id'
      ' WHERE e.waits = 1 AND e.rest < ?1 AND v.last >= ?1 LIMIT ?2',
      *(time, most),
    )
    return [(_event(row[:-1]), row[-1]) for row in rows]

  def rested_of(self, visit: int, before: int | None) -> list[row_types.Event]:
    """Rows of a visit, or those that rested before a time."""
    if before is None:
      return self.events(visit)
    return self._events(
      'WHERE visit = ? AND rest IS NOT NULL AND rest < ?', visit, before
    )

  def extent(
    self, visit: int, first: int, end: int
  ) -> tuple[int, int | None, int | None]:
    """A visit's rows of a range of time: how many, first and last time."""
    rows = 'FROM events WHERE visit = ?1 AND time >= ?2 AND time < ?3'
    return self._rows(
      # Apart, min() and max() take one step each.
      f'SELECT count(*), (SELECT min(time) {rows}),'
      f' (SELECT max(time) {rows}) {rows}',
      *(visit, first, end),
    )[0]

  def told(
    self, visits: Sequence[int], time: int
  ) -> list[tuple[int, int | None, int, int]]:
    """Labels of visits that are known before a time, ms, by task.

    Returns:
      How many are positive, the time of the last such row, the sum of all
      known labels, and how many there are.
    """
    sums = ', '.join(
      f'count(*) FILTER (WHERE y{i} = 1 AND {known}), max(time) FILTER (WHERE'
      f' y{i} = 1 AND {known}), coalesce(sum(y{i}) FILTER (WHERE {known}), 0),'
      f' count(y{i}) FILTER (WHERE {known})'
      for i in range(self._tasks)
      for known in (f'time + coalesce(d{i}, 0) < ?2',)
    )
    (found,) = self._rows(
      f'SELECT {sums} FROM json_each(?1) CROSS JOIN events ON visit = value'
      ' AND told = 1 AND time < ?2',
      *(json.dumps(visits), time),
    )
    return [found[4 * i : 4 * i + 4] for i in range(self._tasks)]

  def times(self, visits: Sequence[int], end: int) -> np.ndarray:
    """Times of the earlier rows of visits, in order, i64[rows]."""
    # As one text of small numbers: a session may have thousands of rows.
    query = (
      'SELECT group_concat(?1 - time) FROM events WHERE visit = ?2'
      ' AND time < ?1'
    )
    found = [self._rows(query, end, visit)[0][0] for visit in visits]
    text = ','.join(one for one in found if one is not None)
    return np.sort(end - np.fromstring(text, np.int64, sep=','))

  def items(
    self, visits: Sequence[int], end: int, count: int
  ) -> list[str | None]:
    """Items of the last so many earlier rows of visits, in order."""
    found: list[str | None] = []
    for visit in reversed(visits):
      rows = self._rows(
        'SELECT name FROM events LEFT JOIN names ON names.id = item'
        ' WHERE visit = ? AND time < ?'
        ' ORDER BY time DESC, events.id DESC LIMIT ?',
        *(visit, end, count - len(found)),
      )
      found += [item for (item,) in rows]
    return found[::-1]

  # Rows of users, and of users and items.

  def shown(self, user: int, time: int) -> Iterator[str]:
    """Items of a user's earlier rows, the last first."""
    found = self._run(
      'SELECT name FROM events e CROSS JOIN names ON names.id = item'
      ' WHERE user = ? AND item IS NOT NULL AND time < ?'
      ' ORDER BY time DESC, name DESC',
      *(user, time),
    )
    return (item for (item,) in found)

  # Counters.

  def add_counts(self, counts: Mapping[tuple[int, int], Counter[str]]) -> None:
    """Adds to counters.

    Args:
      counts: what to add, by counter and time, ms.
    """
    keys = {key for key, _ in counts}
    busy = self._busy(keys)
    rows: dict[tuple[int, int, int], np.ndarray] = {}
    for (key, at), added in counts.items():
      values = np.array([added[name] for name in self._sums])
      for level, shift in enumerate(_SHIFTS if key in busy else _SHIFTS[:1]):
        place = key, level, at >> shift
        rows[place] = rows.get(place, 0) + values
    self._put_counts(
      (*at, *n.tolist()) for at, n in sorted(rows.items()) if n.any()
    )
    for key in keys - busy:
      self._make_busy(key)

  def _put_counts(self, rows: Iterable[tuple[int, ...]]) -> None:
    added = ', '.join(f'{n} = {n} + excluded.{n}' for n in self._sums)
    marks = ', '.join('?' * (3 + len(self._sums)))
    self._connection.executemany(
      f'INSERT INTO counts VALUES ({marks}) ON CONFLICT DO UPDATE SET {added}',
      rows,
    )

  def _busy(self, keys: Iterable[int]) -> set[int]:
    """Those of some counters that have blocks of time."""
    rows = self._rows(
      'SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM counts WHERE'
      ' key = value AND level = 1)',
      json.dumps(list(keys)),
    )
    return {key for (key,) in rows}

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

  def sums(self, keys: Iterable[int], time: int) -> dict[int, dict[str, int]]:
    """Values of some counters at earlier times, by name."""
    keys = {*keys}
    found = {key: dict.fromkeys(self._sums, 0) for key in keys}
    busy = self._busy(keys)
    for some, query in zip((keys - busy, busy), self._sum, strict=True):
      if some:
        for key, *sums in self._rows(query, json.dumps(list(some)), time):
          found[key] = dict(zip(self._sums, sums, strict=True))
    return found

  def last(self, key: int, name: str, time: int) -> int | None:
    """The last earlier time of which a counter has something, ms."""
    # Not max(), which would read all of them.
    found = self._rows(
      'SELECT block FROM counts WHERE key = ? AND level = 0 AND block < ?'
      f' AND {name} > 0 ORDER BY block DESC LIMIT 1',
      *(key, time),
    )
    return found[0][0] if found else None


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
