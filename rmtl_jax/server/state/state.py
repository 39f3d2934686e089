"""The state as rows to predict for read it; changes.py moves it.

Its values are those of the SQL of rmtl_jax.preparation.as_of over the same rows
(tests/server/state compares them): of a session its rows, of an item and a user
counts by time, so that a request costs what its own sessions and a few counters
cost, however long the log is. A row counts in rates once its visit has rested:
until then it is looked up as it is, then it goes into the counters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.schema import events as events_lib
from rmtl_jax.server.state import labels as labels_lib
from rmtl_jax.server.state import records
from rmtl_jax.server.state import store as store_lib
from rmtl_jax.serving import log_columns, past

_FOREVER = 2**63 - 1
# Sums by counter.
_Sums: TypeAlias = dict[int, Counter[str]]
# Of what is described, the values at which ranks of labels begin.
RANKS = 'ranks'


@dataclasses.dataclass(frozen=True)
class Shape:
  """What a log's state depends on.

  Attributes:
    tasks: the log's, parents before children.
    idle_ms: the longest gap within a visit.
    boundaries: starts of the first validation and first test session, ms.
    columns: names of the raw columns.
    events: in a log of events what their kinds mean; None of a log of rows.
    tastes: names of the fields that `tastes` is made by.
    lists: those of these fields that have lists.
  """

  tasks: tuple[source.SourceTask, ...]
  idle_ms: int
  boundaries: tuple[int | None, int | None]
  columns: tuple[str | None, ...]
  events: events_lib.Events | None = None
  tastes: tuple[str, ...] = ()
  lists: tuple[str, ...] = ()

  def split_end(self, start: int) -> int:
    """When the split of a session ends, ms.

    Args:
      start: of the session, ms.
    """
    for boundary in self.boundaries:
      if boundary is not None and start < boundary:
        return boundary
    return _FOREVER

  def described(self) -> dict[str, object]:
    """What must stay for a state to go on."""
    found: dict[str, object] = {
      'columns': list(self.columns),
      'tasks': [task.name for task in self.tasks],
      'labels': [
        [
          task.after,
          task.timed,
          task.known_after_ms,
          [*task.positive],
          [*task.negative],
          task.nullable,
          task.only_after,
          *([] if task.at_least is None else [task.at_least]),
        ]
        for task in self.tasks
      ],
      'idle_ms': self.idle_ms,
    }
    if ranks := {t.name: list(t.edges) for t in self.tasks if t.edges}:
      found[RANKS] = ranks
    if self.events is not None:
      found['events'] = self.events.to_dict()
    if self.tastes:
      found['tastes'] = list(self.tastes)
    if self.lists:
      found['lists'] = list(self.lists)
    return found


def shape(manifest: manifest_lib.Manifest) -> Shape:
  """The shape of a model's log.

  Raises:
    types.InputError: no state can be kept for it.
  """
  schema = log_columns.make_log_schema(manifest)
  if schema.time is None:
    raise types.InputError('--state: the log has no time')
  splits = manifest.splits
  return Shape(
    schema.tasks,
    past.idle_ms(manifest),
    (splits['train'].end_ms, splits['validation'].end_ms),
    (schema.time, schema.session, schema.user, schema.item, *schema.labels),
    schema.events,
    tuple(schema.tastes),
    tuple(schema.lists),
  )


@dataclasses.dataclass(frozen=True)
class Session:
  """What came before a row in its session.

  Attributes:
    start: of the session, ms; the row's own time if it is the first.
    count: earlier rows.
    last: time of the last of them, ms; None without any.
    visits: of the session, in the order of time.
  """

  start: int
  count: int
  last: int | None
  visits: Sequence[records.Visit]


class Told(NamedTuple):
  """What is known of a task's labels of a session's earlier rows.

  Attributes:
    positives: how many are positive.
    last: time of the last positive row, ms; None without any.
    total: the sum of all labels, of ranks.
    labels: how many labels there are.
  """

  positives: int
  last: int | None
  total: int
  labels: int


class Look:
  """Reads the state for rows to predict for."""

  def __init__(self, store: store_lib.Store, of: Shape):
    """Nothing is read yet."""
    self._store, self._shape = store, of
    self._sessions: dict[tuple[int, int], Session] = {}
    self._labels: dict[tuple[int, int, int], Told] = {}
    self._rested: dict[int, list[tuple[records.Event, int]]] = {}
    self._open: dict[int, _Sums] = {}
    self._own: dict[tuple[int, int], _Sums] = {}
    self._sums: dict[tuple[int, int], dict[str, int]] = {}
    self._pairs: dict[tuple[int, int, int], tuple[int, int | None]] = {}
    # Candidates share their user, and some their item.
    self.number = functools.cache(store.number)

  def session(self, row: records.Row) -> Session:
    """What came before a row in its session."""
    at = row.owner, row.time
    if at not in self._sessions:
      idle = self._shape.idle_ms
      if row.session is not None:
        visits = self._store.visits(row.owner)
      else:
        visits = self._store.near(row.owner, row.time - idle, row.time)
      extents = [
        self._store.extent(v.id, -records.NEVER, row.time) for v in visits
      ]
      counts, firsts, lasts = (
        zip(*extents, strict=True) if extents else 3 * [()]
      )
      self._sessions[at] = Session(
        min([row.time, *(first for first in firsts if first is not None)]),
        sum(counts),
        max((last for last in lasts if last is not None), default=None),
        visits,
      )
    return self._sessions[at]

  def told(self, row: records.Row, place: int) -> Told:
    """What is known of a task's labels of a row's session before the row."""
    at = row.owner, row.time, place
    if at not in self._labels:
      visits = self.session(row).visits
      found = [self._store.told(v.id, place, row.time) for v in visits]
      self._labels[at] = Told(
        sum(positives for positives, *_ in found),
        max((last for _, last, *_ in found if last is not None), default=None),
        sum(total for *_, total, _ in found),
        sum(count for *_, count in found),
      )
    return self._labels[at]

  def rows_since(self, row: records.Row, time: int) -> int:
    """How many earlier rows of a row's session there are from a time on."""
    visits = self.session(row).visits
    return sum(self._store.extent(v.id, time, row.time)[0] for v in visits)

  def times(self, row: records.Row) -> np.ndarray:
    """Times of the earlier rows of a row's session."""
    visits = [visit.id for visit in self.session(row).visits]
    return self._store.times(visits, row.time)

  def items(self, row: records.Row, count: int) -> list[str | None]:
    """Items of the last so many of these rows."""
    visits = [visit.id for visit in self.session(row).visits]
    return self._store.items(visits, row.time, count)

  def rows(self, row: records.Row, key: str) -> int:
    """How many earlier rows of a row's user or item there are."""
    counter = self._counter(row, key)
    return 0 if counter is None else self._of(counter, row.time)['rows']

  def _counter(self, row: records.Row, key: str) -> int | None:
    """The counter of a row's user or item."""
    number = self.number(getattr(row, key))
    if number is None:
      return None
    is_user = key == 'user'
    make = records.user_counter if is_user else records.item_counter
    return make(number)

  def _of(self, counter: int, time: int) -> dict[str, int]:
    """What a counter has of earlier times."""
    at = counter, time
    if at not in self._sums:
      self._sums[at] = self._store.sums(*at)
    return self._sums[at]

  def last(self, row: records.Row, what: str) -> int | None:
    """The last earlier time of a user's rows or positives, ms.

    Args:
      what: a dated one of labels.sums.
    """
    counter = self._counter(row, 'user')
    if counter is None:
      return None
    return self._store.last(counter, what, row.time)

  def pair(self, row: records.Row) -> tuple[int, int | None]:
    """Earlier rows of a row's user and item: number, time of the last."""
    user, item = self.number(row.user), self.number(row.item)
    if user is None or item is None:
      return 0, None
    at = user, item, row.time
    if at not in self._pairs:
      self._pairs[at] = self._store.pair(*at)
    return self._pairs[at]

  def shown(self, user: str, time: int) -> Iterable[str]:
    """Items of a user's earlier rows, the last first."""
    number = self.number(user)
    return () if number is None else self._store.shown(number, time)

  def rate(
    self, row: records.Row, key: str | int, task: int
  ) -> tuple[int, int]:
    """Positives, or the sum of ranks, and rows of a task that count for a key.

    Args:
      key: `user`, `item`, or the place of a field in `Shape.tastes`.
    """
    if isinstance(key, int):
      counters = row.tastes(key)
    else:
      counter = self._counter(row, key)
      counters = [] if counter is None else [counter]
    if not counters:
      return 0, 0
    places = f's{task}', labels_lib.rows_count(self._shape.tasks, task)
    parts = self._of_open(row), self._of_session(row)
    positives = rows = 0
    for counter in counters:
      closed = self._of(counter, row.time)
      open_, own = (part.get(counter, Counter()) for part in parts)
      found = [closed[x] + open_[x] - own[x] for x in places]
      positives, rows = positives + found[0], rows + found[1]
    return positives, rows

  def _of_open(self, row: records.Row) -> _Sums:
    """What rested rows outside of the counters add to them."""
    if row.time not in self._open:
      before = row.time - self._shape.idle_ms
      if before not in self._rested:
        self._rested[before] = self._store.rested_events(before)
      self._open[row.time] = self._told(self._rested[before], row.time)
    return self._open[row.time]

  def _of_session(self, row: records.Row) -> _Sums:
    """What a row's own session adds to counters, which the row doesn't see.

    Only rows that have rested, though the session goes on, can add something.
    """
    at = row.owner, row.time
    if at not in self._own:
      before = row.time - self._shape.idle_ms
      rested = [
        (event, visit.last)
        for visit in self.session(row).visits
        for event in self._store.rested_of(
          visit.id, None if visit.last < before else before
        )
        if event.time < row.time
      ]
      self._own[at] = self._told(rested, row.time)
    return self._own[at]

  def _told(
    self, events: Iterable[tuple[records.Event, int]], time: int
  ) -> _Sums:
    """What rows, with the last of their visits, have told by a time."""
    found: _Sums = {}
    for event, last in events:
      if event.time == records.NEVER:
        continue
      known = event.known(last, self._shape.idle_ms)
      told = [
        (what, much)
        for what, when, much in labels_lib.told(
          event.labels, self._shape.tasks, known
        )
        if when < time
      ]
      for counter in event.counters if told else ():
        sums = found.setdefault(counter, Counter())
        for what, much in told:
          sums[what] += much
    return found
