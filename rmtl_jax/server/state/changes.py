"""Rows that were shown, and what came of them, move the state.

A row counts in rates once its visit has rested: then the visit is closed, which
puts its rows into the counters. Some days later it settles: its rows are
deleted, and sums and last times remain of them.
"""

from __future__ import annotations

import time as time_lib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rmtl_jax.preparation.sources import table_events
from rmtl_jax.server.state import row_types
from rmtl_jax.server.state import shape as shape_lib
from rmtl_jax.server.state import store as store_lib

# A change closes so many visits and some more per row, and settles so many and
# some more per new visit, so that no request waits for many.
_SWEEP, _SETTLE = 64, 2
_DAY_MS = 86_400_000


def append(
  store: store_lib.Store,
  of: shape_lib.Shape,
  rows: Iterable[row_types.Row | None],
  days: float,
) -> Counter[str]:
  """Adds rows that were shown.

  Args:
    store: in `writing`.
    of: its shape.
    rows: in any order; mostly in that of time. None: an event that means
      nothing.
    days: after which rows settle.

  Returns:
    How many are `added`, `changed` (known, with other labels), `repeated`
    (known), `late` (so old that rows of their time have settled, or after the
    end of the split in which their session began, as prepared data leaves them
    out; those that came before its first row are taken out then) and `ignored`
    (None). Of events those are `added` that make a row.
  """
  change = Change(store, of) if of.events is None else OfEvents(store, of)
  for row in rows:
    if row is None:
      change.found['ignored'] += 1
    elif row.time < change.settled:
      change.found['late'] += 1
    else:
      change.add(row)
  change.finish(days)
  return change.found


def sweep(store: store_lib.Store, of: shape_lib.Shape, time: int) -> None:
  """Closes all visits that have rested before a time."""
  Change(store, of).sweep(time)


class Change:
  """Rows of one change.

  Attributes:
    found: what became of them.
    settled: rows before this time have settled, ms.
  """

  def __init__(self, store: store_lib.Store, of: shape_lib.Shape):
    self.found: Counter[str] = Counter()
    self.settled: int = store.fact('settled') or -row_types.NEVER
    self._store, self._shape = store, of
    self._counts: defaultdict[tuple[int, int], Counter[str]] = defaultdict(
      Counter
    )
    self._clock: int | None = store.fact('clock')
    self._rows: int = store.fact('rows') or 0
    self._new_visits = 0

  def add(self, row: row_types.Row) -> None:
    """Adds one row, or what is new of it."""
    near = self._near(row)
    for visit in near:
      known = self._store.find_event(visit.id, row.time, row.identity)
      if known is not None:
        self._relabel(row, known, visit)
        return
    # A session with an id continues after any rest.
    whole = near if row.session is None else self._store.visits(row.owner)
    end = self._shape.split_end(min([row.time, *(v.first for v in whole)]))
    # Rows that came before those with which their session began.
    late = {v.id: self._emptied(v) for v in whole if v.first >= end}
    near = [late.get(visit.id, visit) for visit in near]
    if row.time >= end:
      if near:
        self._store.put_visit(self._grown(row, near))
      self.found['late'] += 1
      return
    last = [row.time, *(v.last for v in near if v.id not in late)]
    visit = self._reopened(self._grown(row, near))._replace(last=max(last))
    if near:
      self._store.put_visit(visit)
    labels = shape_lib.censored(row.labels, self._shape.tasks, row.time, end)
    self._add_event(self._event(visit.id, row, row.time, labels))
    self._pass(row.time)
    self.found['added'] += 1

  def _pass(self, time: int) -> None:
    """Sets the clock to a time that has come."""
    self._clock = max(time, time if self._clock is None else self._clock)

  def _event(
    self, visit: int, row: row_types.Row, time: int, labels: shape_lib.Labels
  ) -> row_types.Event:
    """A new row of a visit."""
    self._rows += 1
    user = self._store.number(row.user)
    item = self._store.number(row.item)
    tastes = [
      key for n in range(len(self._shape.tastes)) for key in row.tastes(n)
    ]
    return row_types.Event(
      *(visit, time, self._rows, row.identity, user, item, labels),
      tastes=tastes,
    )

  def _add_event(self, event: row_types.Event) -> None:
    self._store.add_event(event, self._tells(event.labels))
    if event.time < row_types.NEVER:
      self._count_row(event, 1)

  def _count_row(self, event: row_types.Event, sign: int) -> None:
    self._store.show(event, sign)
    for key in event._replace(tastes=()).counters:
      self._counts[key, event.time]['rows'] += sign
    self._count_positives(event, sign)

  def _count_positives(self, event: row_types.Event, sign: int) -> None:
    if event.user is None or event.time == row_types.NEVER:
      return
    key = row_types.user_counter(event.user, of_positives=True)
    found = shape_lib.positives(event.labels, self._shape.tasks, event.time)
    for what, time in found:
      self._counts[key, time][what] += sign

  def _put_labels(
    self, event: row_types.Event, labels: shape_lib.Labels
  ) -> None:
    """Replaces the labels of a row."""
    visit = self._store.visit(event.visit)
    new = event._replace(labels=labels)
    for sign, one in ((-1, event), (1, new)):
      self._count_positives(one, sign)
      if not visit.open:
        self._count_event(one, visit.last, sign)
    self._store.put_event(new, self._tells(labels), visit.open)

  def _tells(self, labels: shape_lib.Labels) -> bool:
    return shape_lib.tells(labels, self._shape.tasks)

  def _emptied(self, visit: row_types.Visit) -> row_types.Visit:
    """The visit without rows, as all lie behind the end of their split."""
    for event in self._store.events(visit.id):
      self._remove(event)
    return self._store.visit(visit.id)

  def _remove(self, event: row_types.Event) -> None:
    """Deletes a row."""
    self._reopened(self._store.visit(event.visit))
    self._store.delete_event(event)
    if event.time < row_types.NEVER:
      self._count_row(event, -1)

  def _near(self, row: row_types.Row) -> list[row_types.Visit]:
    """The visits that a row may belong to."""
    idle = self._shape.idle_ms
    return self._store.near(row.owner, row.time - idle, row.time + idle)

  def _grown(
    self, row: row_types.Row, near: Sequence[row_types.Visit]
  ) -> row_types.Visit:
    """The visit of a row, which grows by it and may join two that are near.

    A new visit is written; one that has grown is left to the caller.
    """
    if not near:
      self._new_visits += 1
      return self._store.add_visit(row.owner, row.time)
    if len(near) > 1:
      near = [self._reopened(visit) for visit in near]
    kept, *others = near
    for other in others:
      self._store.join_visits(kept.id, other.id)
    return kept._replace(
      first=min(row.time, kept.first),
      reach=max([row.time, *(v.reach for v in near)]),
    )

  def _relabel(
    self, row: row_types.Row, event: row_types.Event, visit: row_types.Visit
  ) -> None:
    start = visit.first
    if row.session is not None:
      start = self._store.visits(row.owner)[0].first
    end = self._shape.split_end(start)
    labels = shape_lib.censored(row.labels, self._shape.tasks, row.time, end)
    if _equal(labels, event.labels):
      self.found['repeated'] += 1
      return
    self._put_labels(event, labels)
    self.found['changed'] += 1

  def _reopened(self, visit: row_types.Visit) -> row_types.Visit:
    """The visit, its rows out of the counters of rates."""
    if visit.open:
      return visit
    self._count(visit, -1)
    visit = visit._replace(open=True)
    self._store.put_open(visit)
    return visit

  def _count(self, visit: row_types.Visit, sign: int) -> None:
    for event in self._store.events(visit.id):
      self._count_event(event, visit.last, sign)

  def _count_event(self, event: row_types.Event, last: int, sign: int) -> None:
    if event.time == row_types.NEVER:
      return
    for what, time, much in self._told(event, last):
      for key in event.counters:
        self._counts[key, time][what] += sign * much

  def _told(
    self, event: row_types.Event, last: int
  ) -> Iterable[tuple[str, int, int]]:
    known = event.known(last, self._shape.idle_ms)
    return shape_lib.told(event.labels, self._shape.tasks, known)

  def finish(self, days: float) -> None:
    """Closes and settles due visits, and writes counters."""
    if self._clock is None:
      return
    most = _SWEEP + 2 * self.found['added']
    self._store.put_fact('clock', self._clock)
    self._store.put_fact('rows', self._rows)
    self.sweep(self._clock - self._shape.idle_ms, most)
    # A row of a time that has not come can't end what labels may come for.
    now = min(self._clock, int(1000 * time_lib.time()))
    end = store_lib.settled_before(now - round(days * _DAY_MS))
    self._settle_visits(end, _SETTLE * (1 + self._new_visits))

  def sweep(self, time: int, most: int = -1) -> None:
    """Closes visits that have rested before a time."""
    for visit in self._store.rested(time, most):
      self._count(visit, 1)
      self._store.put_open(visit._replace(open=False))
    self._store.add_counts(self._counts)

  def _settle_visits(self, end: int, most: int) -> None:
    """Settles visits without a count later than an end."""
    if end > self.settled:
      self._store.put_fact('settled', end)
    keys: set[int] = set()
    for visit in self._store.settling(end, most):
      later = self._counts_until(visit)
      if later < end:
        keys |= {*self._store.settle(visit, end)}
      else:
        self._store.settle_later(visit.id, later)
    self._store.settle_counts(keys, end)

  def _counts_until(self, visit: row_types.Visit) -> int:
    """The last time at which something of a visit begins to count, ms."""
    # All visits of a session count as one until the session has rested.
    visits = self._store.visits(visit.owner) if visit.owner >= 0 else [visit]
    times = [one.reach + self._shape.idle_ms for one in visits]
    for event in self._store.events(visit.id):
      times += [when for _, when, _ in self._told(event, visit.last)]
      times += [when for _, when in event.labels if when is not None]
    return max(times)


class OfEvents(Change):
  """Events of one change: rows are a session's first impressions of items.

  So rmtl_jax.preparation.sources.pairs makes rows of events. A visit ends with
  a rest between events; its `last` is the time of its last row, its `reach`
  that of its last event. An event before its item's impression waits as a row
  of no time.
  """

  def __init__(self, store: store_lib.Store, of: shape_lib.Shape):
    super().__init__(store, of)
    assert of.events is not None
    self._kinds = table_events.codes(of.events)

  def add(self, row: row_types.Row) -> None:
    """Adds one event, or what is new of it."""
    if row.item is None:
      self.found['ignored'] += 1
      return
    self._pass(row.time)
    near = self._near(row)
    visit = self._grown(row, near)
    if near:
      self._store.put_visit(visit)
    if len(near) > 1:
      self._unite(visit.id)
    visits = [visit.id]
    if row.session is not None:
      visits = [one.id for one in self._store.visits(row.owner)]
    # A row without a kind is an impression.
    is_view = row.event is None or row.event in self._kinds.impressions
    time = row.time if is_view else row_types.NEVER
    first = self._store.extent(visits, row_types.NEVER)[1]
    end = self._shape.split_end(time if first is None else min(time, first))
    self._drop_late(visits, end)
    item = self._store.numbers([row.item]).get(row.item)
    pair = self._store.of_item(visits, item)
    labels = self._merged(pair, row.labels, time, row)
    time = time if pair is None else min(time, pair.time)
    if row_types.NEVER > time >= end:
      self.found['late'] += 1
      return
    labels = shape_lib.censored(labels, self._shape.tasks, time, end)
    is_row = pair is not None and pair.time < row_types.NEVER
    if pair is None or time < pair.time:
      if pair is not None:
        self._drop(pair)
      self._put(visit.id, row, time, labels)
      is_new = not is_row and time < row_types.NEVER
      self.found['added' if is_new else 'changed'] += 1
    elif _equal(labels, pair.labels):
      self.found['repeated'] += 1
    else:
      self._put_labels(pair, labels)
      self.found['changed'] += 1

  def _drop_late(self, visits: Sequence[int], end: int) -> None:
    """Lets a session's rows behind the end of its split wait instead."""
    for visit in visits:
      for event in self._store.events(visit, end, row_types.NEVER):
        self._drop(event, waits=True)

  def _unite(self, visit: int) -> None:
    """Joins rows of one item, of visits that have become one."""
    members = self._store.events(visit)
    end = self._shape.split_end(min(event.time for event in members))
    for other in members:
      first = self._store.of_item([visit], other.item)
      if first is None or first.id == other.id:
        continue
      labels = self._merged(first, other.labels, other.time)
      labels = shape_lib.censored(labels, self._shape.tasks, first.time, end)
      self._put_labels(first, labels)
      self._drop(other)
    self._settle(visit)

  def _merged(
    self,
    pair: row_types.Event | None,
    labels: shape_lib.Labels,
    time: int,
    row: row_types.Row | None = None,
  ) -> list[tuple[int | None, int | None]]:
    """Labels of a pair and of what is new of it.

    Those that events tell are the first of either, others those of the first
    impression.

    Args:
      pair: as it is known, or None.
      labels: what is new.
      time: of the impression that they came with, or NEVER.
      row: the event, which may be a label itself.
    """
    found: list[tuple[int | None, int | None]] = []
    for i, task in enumerate(self._shape.tasks):
      old = (None, None) if pair is None else pair.labels[i]
      kinds = self._kinds.labels.get(task.name)
      if kinds is None:
        is_first = pair is None or time < pair.time
        label, when = labels[i] if is_first else old
        found.append((label, when))
        continue
      own = row.time if row is not None and row.event in kinds else None
      times = [t for t in (old[1], labels[i][1], own) if t is not None]
      found.append((int(bool(times)), min(times, default=None)))
    return self._implied(found)

  def _implied(
    self, labels: list[tuple[int | None, int | None]]
  ) -> list[tuple[int | None, int | None]]:
    """Labels of events, with those that they imply."""
    names = [task.name for task in self._shape.tasks]
    found = list(labels)
    for i, task in reversed([*enumerate(self._shape.tasks)]):
      if task.after is None or not {task.name, task.after} <= {
        *self._kinds.labels
      }:
        continue
      parent = names.index(task.after)
      times = [t for t in (found[i][1], found[parent][1]) if t is not None]
      found[parent] = (int(bool(times)), min(times, default=None))
    return found

  def _put(
    self, visit: int, row: row_types.Row, time: int, labels: shape_lib.Labels
  ) -> None:
    """Adds a row, or one of no time."""
    open_ = self._reopened(self._store.visit(visit))
    last = self._store.extent([visit], row_types.NEVER)[2]
    self._add_event(self._event(visit, row, time, labels))
    if time == row_types.NEVER:
      return
    if last is not None and 0 <= time - last <= self._shape.idle_ms:
      self._store.put_visit(open_._replace(last=time))
    else:
      self._settle(visit)

  def _drop(self, event: row_types.Event, waits: bool = False) -> None:
    """Deletes a row, or lets it wait for an impression."""
    self._remove(event)
    if waits:
      self._add_event(event._replace(time=row_types.NEVER, rest=None))
    if event.time < row_types.NEVER:
      self._settle(event.visit)

  def _settle(self, number: int) -> None:
    """Finds the rests between the rows of an open visit."""
    rows = self._store.events(number, end=row_types.NEVER)
    if not rows:
      return
    last = later = rest = rows[-1].time
    for event in reversed(rows):
      if later - event.time > self._shape.idle_ms:
        rest = event.time
      later = event.time
      own = None if rest == last else rest
      if own != event.rest:
        event = event._replace(rest=own)
        self._store.put_event(event, self._tells(event.labels), is_open=True)
    self._store.put_visit(self._store.visit(number)._replace(last=last))


def _equal(labels: shape_lib.Labels, others: shape_lib.Labels) -> bool:
  return [list(one) for one in labels] == [list(one) for one in others]
