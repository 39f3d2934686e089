"""The state: rows that were shown move it, rows to predict for read it.

Its values are those of the SQL of rmtl_jax.preparation.as_of over the same rows
(tests/server/state compares them): of a session its rows, of an item and a user
counts by time, so that a request costs what its own sessions and a few counters
cost, however long the log is. A row counts in rates once its visit has rested:
until then it is looked up as it is, then it goes into the counters.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.server.state import labels as labels_lib
from rmtl_jax.server.state import reading, records, stores
from rmtl_jax.serving import log_columns, past

_FOREVER = 2**63 - 1
# Visits that a change puts into the counters at most, beside some per row.
_SWEEP = 64


@dataclasses.dataclass(frozen=True)
class Shape:
  """What a log's state depends on.

  Attributes:
    tasks: the log's, parents before children.
    idle_ms: the longest gap within a visit.
    boundaries: starts of the first validation and first test session, ms.
    columns: names of the raw columns.
  """

  tasks: tuple[source.SourceTask, ...]
  idle_ms: int
  boundaries: tuple[int | None, int | None]
  columns: tuple[str | None, ...]

  def split_end(self, start: int) -> int:
    """When the split of a session ends, ms.

    Args:
      start: of the session, ms.
    """
    for boundary in self.boundaries:
      if boundary is not None and start < boundary:
        return boundary
    return _FOREVER

  def asked(self, rows: Sequence[reading.Row] = ()) -> records.Asked:
    """What a store is told of rows."""
    return records.Asked(rows, self.idle_ms, labels_lib.counted(self.tasks))

  def described(self) -> dict[str, object]:
    """What must stay for a state to go on."""
    return {
      'columns': list(self.columns),
      'tasks': [task.name for task in self.tasks],
      'idle_ms': self.idle_ms,
    }


def shape(manifest: manifest_lib.Manifest) -> Shape:
  """The shape of a model's log.

  Raises:
    types.InputError: no state can be kept for it.
  """
  schema = log_columns.make_log_schema(manifest)
  if schema.time is None:
    raise types.InputError('--state: the log has no time')
  if schema.events is not None:
    raise types.InputError(
      '--state: the log has events of several kinds (schema: events); no state'
      ' is kept for these yet'
    )
  splits = manifest.splits
  return Shape(
    schema.tasks,
    past.idle_ms(manifest),
    (splits['train'].end_ms, splits['validation'].end_ms),
    (schema.time, schema.session, schema.user, schema.item, *schema.labels),
  )


def append(
  store: stores.Change, of: Shape, rows: Iterable[reading.Row]
) -> Counter[str]:
  """Adds rows that were shown.

  Args:
    store: of `Store.writing` for these rows.
    of: its shape.
    rows: in any order; mostly in that of time.

  Returns:
    How many are `added`, `changed` (known, with other labels), `repeated`
    (known) and `late` (after the end of the split in which their session
    began, as prepared data leaves them out).
  """
  change = _Change(store, of)
  for row in rows:
    change.add(row)
  change.finish()
  return change.found


class _Change:
  """Rows of one change."""

  def __init__(self, store: stores.Change, of: Shape):
    self.found: Counter[str] = Counter()
    self._store, self._shape = store, of
    self._counts: Counter[records.Count] = Counter()
    self._clock: int | None = store.fact('clock')

  def add(self, row: reading.Row) -> None:
    """Adds one row, or what is new of it."""
    known = self._store.find_event(row.identity)
    if known is not None:
      self._relabel(known, row.labels)
      return
    idle = self._shape.idle_ms
    near = self._store.near(row.owner, row.time - idle, row.time + idle)
    start = min([row.time, *(visit.first for visit in near)])
    if row.session is not None:
      # A session with an id goes on after any rest.
      first = self._store.visits(row.owner)[:1]
      start = min([start, *(visit.first for visit in first)])
    end = self._shape.split_end(start)
    if row.time >= end:
      for visit in near:
        reach = max(visit.reach, row.time)
        self._store.put_visit(visit._replace(reach=reach))
      self.found['late'] += 1
      return
    visit = self._visit(near, row)
    labels = labels_lib.censored(row.labels, self._shape.tasks, end)
    self._store.add_event(
      records.Event(0, visit.id, row.user, row.item, row.time, labels),
      row.identity,
    )
    for key, value in (('user', row.user), ('item', row.item)):
      if value is not None:
        self._counts[records.Count(key, 'rows', value, row.time)] += 1
    self._clock = max(
      row.time, row.time if self._clock is None else self._clock
    )
    self.found['added'] += 1

  def _visit(
    self, near: Sequence[records.Visit], row: reading.Row
  ) -> records.Visit:
    """The visit of a row, which grows by it and may join two."""
    if not near:
      return self._store.add_visit(row.owner, row.time)
    kept, *others = [self._reopened(visit) for visit in near]
    for other in others:
      self._store.join_visits(kept.id, other.id)
    kept = kept._replace(
      first=min(row.time, kept.first),
      last=max([row.time, kept.last, *(v.last for v in others)]),
      reach=max([row.time, kept.reach, *(v.reach for v in others)]),
    )
    self._store.put_visit(kept)
    return kept

  def _relabel(self, event: records.Event, labels: labels_lib.Labels) -> None:
    visit = self._store.visit(event.visit)
    start = visit.first
    if visit.owner.startswith('s'):
      start = self._store.visits(visit.owner)[0].first
    end = self._shape.split_end(start)
    labels = labels_lib.censored(labels, self._shape.tasks, end)
    if [list(one) for one in labels] == [list(one) for one in event.labels]:
      self.found['repeated'] += 1
      return
    self._reopened(visit)
    self._store.put_labels(event, labels)
    self.found['changed'] += 1

  def _reopened(self, visit: records.Visit) -> records.Visit:
    """The visit, its rows out of the counters of rates."""
    if visit.open:
      return visit
    self._count(visit, -1)
    visit = visit._replace(open=True)
    self._store.put_open(visit)
    return visit

  def _count(self, visit: records.Visit, sign: int) -> None:
    known = visit.last + self._shape.idle_ms
    for event in self._store.events([visit.id]):
      for what, time in labels_lib.told(event.labels, self._shape.tasks, known):
        for key, value in (('user', event.user), ('item', event.item)):
          if value is not None:
            self._counts[records.Count(key, what, value, time)] += sign

  def finish(self) -> None:
    """Puts visits that have rested into the counters, and writes those."""
    if self._clock is None:
      return
    most = _SWEEP + 2 * self.found['added']
    rested = self._store.rested(self._clock - self._shape.idle_ms, most)
    for visit in rested:
      self._count(visit, 1)
      self._store.put_open(visit._replace(open=False))
    self._store.put_fact('clock', self._clock)
    self._store.add_counts(self._counts)


@dataclasses.dataclass(frozen=True)
class Session:
  """What came before a row in its session.

  Attributes:
    start: of the session, ms; the row's own time if it is the first.
    events: earlier rows, in the order of time.
    known: when the rows of each visit count in rates, ms.
  """

  start: int
  events: Sequence[records.Event]
  known: dict[int, int]


class Look:
  """Reads the state for rows to predict for."""

  def __init__(self, store: stores.Reads, of: Shape):
    """Nothing is read yet.

    Args:
      store: of `Store.reading` for these rows.
      of: the state's shape.
    """
    self._store, self._shape = store, of
    self._sessions: dict[tuple[str, int], Session] = {}
    self._rates: dict[tuple[str, str, int], Counter[str]] = {}
    self._numbers: dict[records.Count, int] = {}
    self._own: dict[tuple[str, int, str], dict[str, Counter[str]]] = {}

  def session(self, row: reading.Row) -> Session:
    """What came before a row in its session."""
    at = row.owner, row.time
    if at not in self._sessions:
      idle = self._shape.idle_ms
      if row.session is not None:
        visits = self._store.visits(row.owner)
      else:
        visits = [
          visit
          for visit in self._store.near(row.owner, row.time - idle, row.time)
          if visit.first <= row.time
        ]
      events = self._store.events([visit.id for visit in visits])
      start = min([row.time, *(event.time for event in events[:1])])
      self._sessions[at] = Session(
        start,
        list(itertools.takewhile(lambda e: e.time < row.time, events)),
        {visit.id: visit.last + idle for visit in visits},
      )
    return self._sessions[at]

  def rows(self, key: str, value: str, time: int) -> int:
    """How many earlier rows of a user or an item there are."""
    return self._number(records.Count(key, 'rows', value, time))

  def _number(self, at: records.Count) -> int:
    if at not in self._numbers:
      self._numbers[at] = self._store.count(*at)
    return self._numbers[at]

  def pair(self, row: reading.Row) -> tuple[int, int | None]:
    """Earlier rows of a row's user and item: number, time of the last."""
    if row.user is None or row.item is None:
      return 0, None
    return self._store.pair(row.user, row.item, row.time)

  def shown(self, user: str, time: int) -> Iterable[str]:
    """Items of a user's earlier rows, the last first."""
    return self._store.shown(user, time)

  def rate(self, row: reading.Row, key: str, task: int) -> tuple[int, int]:
    """Positives and rows of a task that count for a row's user or item.

    Args:
      row: to predict for.
      key: `user` or `item`.
      task: its place.
    """
    value = getattr(row, key)
    if value is None:
      return 0, 0
    open_ = self._of_open(key, value, row.time)
    own = self._of_session(row, key).get(value, Counter())
    sums = []
    for what in (f's{task}', labels_lib.rows_count(self._shape.tasks, task)):
      closed = self._number(records.Count(key, what, value, row.time))
      sums.append(closed + open_[what] - own[what])
    return sums[0], sums[1]

  def _of_open(self, key: str, value: str, time: int) -> Counter[str]:
    """What rows outside of the counters add to a key's."""
    at = key, value, time
    if at not in self._rates:
      found: Counter[str] = Counter()
      for event, last in self._store.open_events(key, value):
        self._tell(found, event, last + self._shape.idle_ms, time)
      self._rates[at] = found
    return self._rates[at]

  def _of_session(self, row: reading.Row, key: str) -> dict[str, Counter[str]]:
    """What a row's own session adds to rates, which the row doesn't see."""
    at = row.owner, row.time, key
    if at not in self._own:
      found: dict[str, Counter[str]] = {}
      session = self.session(row)
      for event in session.events:
        value = getattr(event, key)
        if value is not None:
          into = found.setdefault(value, Counter())
          self._tell(into, event, session.known[event.visit], row.time)
      self._own[at] = found
    return self._own[at]

  def _tell(
    self, found: Counter[str], event: records.Event, known: int, time: int
  ) -> None:
    for what, when in labels_lib.told(event.labels, self._shape.tasks, known):
      if when < time:
        found[what] += 1
