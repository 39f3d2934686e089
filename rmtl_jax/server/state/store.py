"""The state in one SQLite file, which several processes share.

A change is committed, and on disk, before anybody is told of it; readers see
whole commits. Whoever is killed at any moment leaves the last commit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rmtl_jax import types
from rmtl_jax.server.state import counters, records

FILE = 'state.sqlite'
_LOCK = 'lock'
_VERSION = 6
# Seconds that a writer waits for another process's commit.
_PATIENCE = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (
  name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS visits (
  id INTEGER PRIMARY KEY, owner TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, reach INTEGER NOT NULL, open INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS visits_by_owner ON visits (owner, first);
CREATE INDEX IF NOT EXISTS visits_open ON visits (last) WHERE open = 1;
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE,
  visit INTEGER NOT NULL, user TEXT, item TEXT, time INTEGER NOT NULL,
  labels TEXT NOT NULL, told INTEGER NOT NULL, open INTEGER NOT NULL,
  rest INTEGER, tastes TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_visit ON events (visit, time);
CREATE INDEX IF NOT EXISTS events_told ON events (visit, time) WHERE told = 1;
CREATE INDEX IF NOT EXISTS events_rested ON events (visit, rest)
  WHERE rest IS NOT NULL;
CREATE INDEX IF NOT EXISTS open_by_rest ON events (rest)
  WHERE open = 1 AND rest IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_user ON events (user, time, item)
  WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_pair ON events (user, item, time)
  WHERE user IS NOT NULL AND item IS NOT NULL;
CREATE TABLE IF NOT EXISTS counters (
  key TEXT, level INTEGER, block INTEGER, n INTEGER NOT NULL,
  PRIMARY KEY (key, level, block)) WITHOUT ROWID;
"""
_VISIT = 'id, owner, first, last, reach, open'
# Of a counter's key, and of the first block and the end of each level.
_RANGES = ' UNION ALL '.join(
  f'SELECT n FROM counters WHERE key = ?1 AND level = {level}'
  ' AND block >= ? AND block < ?'
  for level in range(len(counters.SHIFTS))
)
_COUNT = f'SELECT coalesce(sum(n), 0) FROM ({_RANGES})'
_EVENT = 'e.id, e.visit, e.user, e.item, e.time, e.labels, e.rest, e.tastes'


class Store:
  """The file; one thread at a time.

  Attributes:
    where: its directory, for a person.
  """

  def __init__(self, directory: pathlib.Path):
    """Opens the file, and makes it if it is not there.

    Raises:
      types.InputError: it is no such file, or can't be used.
    """
    self.where = str(directory)
    self._where = directory / FILE
    self._lock = directory / _LOCK
    try:
      self._open(directory)
    except (sqlite3.Error, OSError) as error:
      first = types.first_line(error)
      raise types.InputError(f'{self._where}: not usable: {first}') from None

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
        for statement in _TABLES.split(';'):
          self._run(statement)
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

  # What is written.

  def fact(self, name: str) -> Any:
    """What is kept under a name; None for nothing."""
    found = self._rows('SELECT value FROM facts WHERE name = ?', name)
    return json.loads(found[0][0]) if found else None

  def put_fact(self, name: str, value: Any) -> None:
    """Keeps JSON under a name."""
    self._run(
      'INSERT OR REPLACE INTO facts VALUES (?, ?)', name, json.dumps(value)
    )

  def add_event(
    self, event: records.Event, identity: bytes, told: bool
  ) -> None:
    """Adds a row; its `id` is ignored.

    Args:
      told: whether its labels tell later rows of its session something.
    """
    self._run(
      'INSERT INTO events (identity, visit, user, item, time, labels, tastes,'
      ' told, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)',
      *(identity, event.visit, event.user, event.item, event.time),
      *map(json.dumps, (event.labels, event.values)),
      told,
    )

  def find_event(self, identity: bytes) -> records.Event | None:
    """The row with an identity."""
    found = self._rows(
      f'SELECT {_EVENT} FROM events e WHERE identity = ?', identity
    )
    return _event(found[0]) if found else None

  def put_labels(self, event: records.Event, labels: Any, told: bool) -> None:
    """Replaces the labels of a row."""
    self._run(
      'UPDATE events SET labels = ?, told = ? WHERE id = ?',
      *(json.dumps(labels), told, event.id),
    )

  def put_event(self, event: records.Event) -> None:
    """Replaces the time, the labels and the rest of a row."""
    self._run(
      'UPDATE events SET time = ?, labels = ?, rest = ? WHERE id = ?',
      *(event.time, json.dumps(event.labels), event.rest, event.id),
    )

  def add_visit(self, owner: str, time: int) -> records.Visit:
    """Adds a visit of one moment."""
    found = self._run(
      'INSERT INTO visits (owner, first, last, reach, open)'
      ' VALUES (?, ?, ?, ?, 1)',
      *(owner, time, time, time),
    )
    assert found.lastrowid is not None
    return records.Visit(found.lastrowid, owner, time, time, time, True)

  def put_visit(self, visit: records.Visit) -> None:
    """Replaces a visit, and whether its rows are open."""
    self._run(
      'UPDATE visits SET first = ?, last = ?, reach = ?, open = ? WHERE id = ?',
      *(visit.first, visit.last, visit.reach, visit.open, visit.id),
    )

  def put_open(self, visit: records.Visit) -> None:
    """Says of a visit and its rows whether they are in the counters."""
    self.put_visit(visit)
    self._run(
      'UPDATE events SET open = ? WHERE visit = ?', visit.open, visit.id
    )

  def join_visits(self, kept: int, gone: int) -> None:
    """Moves all rows of one visit to another and deletes it."""
    self._run('UPDATE events SET visit = ? WHERE visit = ?', kept, gone)
    self._run('DELETE FROM visits WHERE id = ?', gone)

  def add_counts(self, counts: Counter[records.Count]) -> None:
    """Adds to counters."""
    of_blocks: Counter[tuple[str, int, int]] = Counter()
    for at, number in counts.items():
      key = f'{at.key}:{at.what}:{at.value}'
      for level, block in counters.blocks(at.time):
        of_blocks[key, level, block] += number
    self._connection.executemany(
      'INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT'
      ' DO UPDATE SET n = n + excluded.n',
      [(*at, n) for at, n in sorted(of_blocks.items()) if n],
    )

  # What is read.

  def visits(self, owner: str) -> list[records.Visit]:
    """All visits of an owner, in the order of time."""
    return self._visits('owner = ? ORDER BY first', owner)

  def visit(self, number: int) -> records.Visit:
    """The visit with an id."""
    return self._visits('id = ?', number)[0]

  def near(self, owner: str, low: int, high: int) -> list[records.Visit]:
    """Visits of an owner that reach into a range of time, in its order.

    The range, in ms, is no longer than two rests.
    """
    # Visits lie a rest apart, so no more than two do.
    found = self._visits(
      'owner = ? AND first <= ? ORDER BY first DESC LIMIT 2', owner, high
    )
    return [visit for visit in found[::-1] if visit.reach >= low]

  def rested(self, time: int, most: int) -> list[records.Visit]:
    """Open visits whose last row is earlier, the earliest first."""
    return self._visits(
      'open = 1 AND last < ? ORDER BY last LIMIT ?', time, most
    )

  def _visits(self, which: str, *values: Any) -> list[records.Visit]:
    rows = self._rows(f'SELECT {_VISIT} FROM visits WHERE {which}', *values)
    return [records.Visit(*row) for row in rows]

  def events(self, visits: Sequence[int]) -> list[records.Event]:
    """The rows of visits, in the order of time."""
    query = f'SELECT {_EVENT} FROM events e WHERE visit = ?'
    return records.in_order(
      _event(row) for visit in visits for row in self._rows(query, visit)
    )

  def rested_events(
    self, time: int, most: int = -1
  ) -> list[tuple[records.Event, int]]:
    """Rows that have rested before a time and are not in the counters yet.

    With the time at which their visit ended. All others outside of the
    counters can't count yet.
    """
    rows = self._rows(
      f'SELECT {_EVENT}, v.last FROM visits v JOIN events e ON e.visit = v.id'
      ' WHERE v.open = 1 AND v.last < ?1 UNION ALL'
      f' SELECT {_EVENT}, v.last FROM events e JOIN visits v ON e.visit = v.id'
      ' WHERE e.open = 1 AND e.rest IS NOT NULL AND e.rest < ?1'
      ' AND v.last >= ?1 LIMIT ?2',
      *(time, most),
    )
    return [(_event(row[:-1]), row[-1]) for row in rows]

  def rested_of(self, visit: int, before: int | None) -> list[records.Event]:
    """Rows of a visit, or those whose rest began before a time."""
    query = f'SELECT {_EVENT} FROM events e WHERE visit = ?'
    if before is None:
      return [_event(row) for row in self._rows(query, visit)]
    query += ' AND rest IS NOT NULL AND rest < ?'
    return [_event(row) for row in self._rows(query, visit, before)]

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
    self, visit: int, place: int, time: int
  ) -> tuple[int, int | None, int, int]:
    """A visit's labels of a task that are known before a time.

    Args:
      place: the task's.
      time: ms.

    Returns:
      How many are positive, the time of the last such row, the sum of all
      known labels, and how many there are.
    """
    return self._rows(
      'SELECT count(*) FILTER (WHERE label = 1),'
      ' max(time) FILTER (WHERE label = 1), coalesce(sum(label), 0),'
      ' count(label) FROM (SELECT time, json_extract(labels, ?) AS label,'
      ' coalesce(json_extract(labels, ?), time) AS known FROM events'
      ' WHERE visit = ? AND time < ? AND told = 1) WHERE known < ?',
      *(f'$[{place}][0]', f'$[{place}][1]', visit, time, time),
    )[0]

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
        'SELECT item FROM events WHERE visit = ? AND time < ?'
        ' ORDER BY time DESC, id DESC LIMIT ?',
        *(visit, end, count - len(found)),
      )
      found += [item for (item,) in rows]
    return found[::-1]

  def of_item(
    self, visits: Sequence[int], item: str | None
  ) -> records.Event | None:
    """The row of an item in visits, or what waits for its impression."""
    query = (
      f'SELECT {_EVENT} FROM events e WHERE visit = ? AND item = ?'
      " AND labels != '[]' ORDER BY time, id LIMIT 1"
    )
    rows = [row for v in visits for row in self._rows(query, v, item)]
    return next(iter(records.in_order(map(_event, rows))), None)

  def events_from(self, visit: int, first: int) -> list[records.Event]:
    """The rows of a visit from a time on."""
    return [
      _event(row)
      for row in self._rows(
        f'SELECT {_EVENT} FROM events e WHERE visit = ? AND time >= ?'
        ' AND time < ? ORDER BY time, id',
        *(visit, first, records.NEVER),
      )
    ]

  def put_rest(self, visit: int, rest: int) -> None:
    """Says of the rows after a visit's last rest that another one came."""
    self._run(
      'UPDATE events SET rest = ?1 WHERE visit = ?2 AND rest IS NULL'
      ' AND time <= ?1',
      *(rest, visit),
    )

  def pair(self, user: str, item: str, time: int) -> tuple[int, int | None]:
    """Earlier rows of a user and item: how many, and the last time."""
    rows = 'FROM events WHERE user = ?1 AND item = ?2 AND time < ?3'
    return self._rows(
      f'SELECT count(*), (SELECT max(time) {rows}) {rows}',
      *(user, item, time),
    )[0]

  def shown(self, user: str, time: int) -> Iterator[str]:
    """Items of a user's earlier rows, the last first."""
    found = self._run(
      'SELECT item FROM events WHERE user = ? AND time < ? AND item IS NOT NULL'
      ' ORDER BY time DESC, item DESC',
      *(user, time),
    )
    return (item for (item,) in found)

  def count(self, key: str, what: str, value: str, time: int) -> int:
    """What a counter (records.Count) has of earlier times."""
    ranges = [n for _, *ends in counters.before(time) for n in ends]
    return self._rows(_COUNT, f'{key}:{what}:{value}', *ranges)[0][0]

  def last(self, key: str, what: str, value: str, time: int) -> int | None:
    """The last earlier time of which a counter has something, ms."""
    return self._rows(
      # Single times are of level 0; not max(), which would read all of them.
      'SELECT (SELECT block FROM counters WHERE key = ? AND level = 0 AND block'
      ' < ? AND n > 0 ORDER BY block DESC LIMIT 1)',
      *(f'{key}:{what}:{value}', time),
    )[0][0]

  def size(self) -> int:
    """How many rows there are."""
    # None is ever deleted, so the last number counts them.
    return self._rows('SELECT coalesce(max(id), 0) FROM events')[0][0]


def _event(row: Sequence[Any]) -> records.Event:
  number, visit, user, item, time, labels, rest, values = row
  return records.Event(
    *(number, visit, user, item, time),
    json.loads(labels),
    rest,
    json.loads(values),
  )
