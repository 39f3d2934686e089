"""A change of a state in Redis: kept here until it is committed at once."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rmtl_jax.server.state import labels as labels_lib
from rmtl_jax.server.state import records, redis_keys, redis_scripts

# Values of one command; Lua takes some thousands.
_MOST = 1000


class Change:
  """See `stores.Change`."""

  def __init__(self, scripts: redis_scripts.Scripts, facts: dict[str, Any]):
    """Nothing is changed yet.

    Args:
      scripts: read what was not read ahead.
      facts: as they are.
    """
    self._scripts, self._facts = scripts, facts
    # What is known, as it is now.
    self._visits: dict[int, records.Visit] = {}
    self._owners: dict[str, set[int]] = {}
    self._ranges: dict[str, tuple[int, int]] = {}
    self._events: dict[int, records.Event] = {}
    self._members: dict[int, list[int]] = {}
    self._identities: dict[bytes, int | None] = {}
    # What is new of it.
    self._put_facts: set[str] = set()
    self._put_visits: set[int] = set()
    self._gone: dict[int, str] = {}
    self._put_events: set[int] = set()
    self._moved: set[int] = set()
    self._new: dict[int, bytes] = {}
    self._pushed: defaultdict[int, list[int]] = defaultdict(list)
    self._open: dict[int, bool] = {}
    self._counts: Counter[records.Count] = Counter()

  def learn(
    self,
    asked: records.Asked,
    known: Sequence[int | None],
    events: Sequence[Any],
    owners: dict[str, tuple[int | None, int | None, Sequence[Any]]],
  ) -> None:
    """Takes what was read ahead.

    Args:
      known: numbers of their events.
      owners: visits of a range of the first times, or all.
    """
    for row, number in zip(asked.rows, known, strict=True):
      self._identities[row.identity] = number
    for one in events:
      event = redis_keys.event(one)
      self._events[event.id] = event
    for owner, (low, high, found) in owners.items():
      self._learn_visits(owner, found)
      if low is not None and high is not None:
        self._ranges[owner] = low, high

  def _learn_visits(self, owner: str, found: Sequence[Any]) -> None:
    into = self._owners.setdefault(owner, set())
    for visit in map(redis_keys.visit, found):
      if visit.id not in self._gone:
        self._visits.setdefault(visit.id, visit)
        into.add(visit.id)

  def fact(self, name: str) -> Any:
    """See `stores.Change`."""
    return self._facts.get(name)

  def put_fact(self, name: str, value: Any) -> None:
    """See `stores.Change`."""
    self._facts[name] = value
    self._put_facts.add(name)

  def _next(self, name: str) -> int:
    number = self._facts.get(name, 0) + 1
    self.put_fact(name, number)
    return number

  def find_event(self, identity: bytes) -> records.Event | None:
    """See `stores.Change`."""
    if identity not in self._identities:
      found = self._scripts.event(identity)
      event = None if found is None else redis_keys.event(found)
      self._identities[identity] = None if event is None else event.id
      if event is not None:
        self._events.setdefault(event.id, event)
    number = self._identities[identity]
    return None if number is None else self._events[number]

  def add_event(self, event: records.Event, identity: bytes) -> None:
    """See `stores.Change`."""
    event = event._replace(id=self._next('events'))
    self._events[event.id] = event
    self._identities[identity] = event.id
    self._new[event.id] = identity
    self._put_events.add(event.id)
    self._pushed[event.visit].append(event.id)
    if event.visit in self._members:
      self._members[event.visit].append(event.id)
    self._open[event.id] = True

  def put_labels(self, event: records.Event, labels: Any) -> None:
    """See `stores.Change`."""
    # The event may have been read before its visit was.
    known = self._events.get(event.id, event)
    self._events[event.id] = known._replace(labels=labels)
    self._put_events.add(event.id)

  def put_event(self, event: records.Event) -> None:
    """See `stores.Change`."""
    self._events[event.id] = event
    self._put_events.add(event.id)
    self._moved.add(event.id)

  def visits(self, owner: str) -> list[records.Visit]:
    """See `stores.Change`."""
    if owner not in self._owners or owner in self._ranges:
      self._ranges.pop(owner, None)
      self._learn_visits(owner, self._scripts.visits(owner))
    return self._known_visits(owner)

  def _known_visits(self, owner: str) -> list[records.Visit]:
    found = [self._visits[number] for number in self._owners[owner]]
    return sorted(found, key=lambda visit: visit.first)

  def near(self, owner: str, low: int, high: int) -> list[records.Visit]:
    """See `stores.Change`."""
    first, last = self._ranges.get(owner, (high + 1, high))
    found = (
      self._known_visits(owner) if first <= high <= last else self.visits(owner)
    )
    # Visits lie a rest apart, so no more than two do.
    found = [visit for visit in found if visit.first <= high][-2:]
    return [visit for visit in found if visit.reach >= low]

  def visit(self, number: int) -> records.Visit:
    """See `stores.Change`."""
    if number not in self._visits:
      self._learn_wholes(self._scripts.wholes([number]))
    return self._visits[number]

  def events(self, visits: Sequence[int]) -> list[records.Event]:
    """See `stores.Change`."""
    found = [n for visit in visits for n in self._of_visit(visit)]
    return records.in_order([self._events[number] for number in found])

  def _of_visit(self, visit: int) -> list[int]:
    if visit not in self._members:
      self._learn_wholes(self._scripts.wholes([visit]))
    return self._members[visit]

  def _learn_wholes(self, text: str) -> list[records.Visit]:
    """Takes visits and their events, as they were; returns those visits."""
    found = []
    for one, events in json.loads(text):
      visit = redis_keys.visit(one)
      found.append(visit)
      self._visits.setdefault(visit.id, visit)
      if visit.id in self._members:
        continue
      for event in map(redis_keys.event, events):
        self._events.setdefault(event.id, event)
      members = [event[0] for event in events]
      self._members[visit.id] = members + self._pushed[visit.id]
    return found

  def rested(self, time: int, most: int) -> list[records.Visit]:
    """See `stores.Change`."""
    touched = {*self._put_visits, *self._gone}
    found = [
      visit
      for visit in self._learn_wholes(
        self._scripts.rested(time, most + len(touched))
      )
      if visit.id not in touched
    ]
    found += [
      visit
      for visit in map(self._visits.__getitem__, self._put_visits)
      if visit.open and visit.last < time
    ]
    return sorted(found, key=lambda visit: visit.last)[:most]

  def add_visit(self, owner: str, time: int) -> records.Visit:
    """See `stores.Change`."""
    number = self._next('visits')
    visit = records.Visit(number, owner, time, time, time, True)
    self._owners[owner].add(number)
    self._members[number] = []
    self.put_visit(visit)
    return visit

  def put_visit(self, visit: records.Visit) -> None:
    """See `stores.Change`."""
    self._visits[visit.id] = visit
    self._put_visits.add(visit.id)

  def put_open(self, visit: records.Visit) -> None:
    """See `stores.Change`."""
    self.put_visit(visit)
    for number in self._of_visit(visit.id):
      self._open[number] = visit.open

  def join_visits(self, kept: int, gone: int) -> None:
    """See `stores.Change`."""
    into, moved = self._of_visit(kept), self._of_visit(gone)
    for number in moved:
      self._events[number] = self._events[number]._replace(visit=kept)
      self._put_events.add(number)
    into += moved
    self._pushed[kept] += moved
    self._pushed.pop(gone, None)
    self._put_visits.discard(gone)
    owner = self._visits.pop(gone).owner
    self._owners[owner].discard(gone)
    self._gone[gone] = owner

  def add_counts(self, counts: Counter[records.Count]) -> None:
    """See `stores.Change`."""
    for at, number in counts.items():
      self._counts[at] += number

  def commands(self) -> list[list[str]]:
    """What makes the change, in any order."""
    facts = [
      text
      for name in self._put_facts
      for text in (name, redis_keys.dumps(self._facts[name]))
    ]
    found = itertools.chain(
      _cut('HSET', 'facts', facts),
      self._of_visits(),
      self._of_events(),
      self._of_open(),
      self._of_counts(),
    )
    return [
      [name, self._scripts.prefix + key, *map(str, values)]
      for name, key, values in found
    ]

  def _of_visits(self) -> Iterator[_Command]:
    texts: list[Any] = []
    for number in self._put_visits:
      visit = self._visits[number]
      texts += [number, redis_keys.dumps([*visit[:-1], int(visit.open)])]
      yield 'ZADD', f'owner:{visit.owner}', (visit.first, number)
      if visit.open:
        yield 'ZADD', 'open', (visit.last, number)
      else:
        yield 'ZREM', 'open', (number,)
    yield from _cut('HSET', 'visits', texts)
    for number, owner in self._gone.items():
      yield 'HDEL', 'visits', (number,)
      yield 'ZREM', f'owner:{owner}', (number,)
      yield 'ZREM', 'open', (number,)
      yield 'DEL', f'visit:{number}', ()
    for visit, events in self._pushed.items():
      yield from _cut('RPUSH', f'visit:{visit}', events)

  def _of_events(self) -> Iterator[_Command]:
    texts: list[Any] = []
    for number in self._put_events:
      event = self._events[number]
      # As rows are kept that have no rest of their own and no values.
      values = event if event.values else event[:-1]
      if not event.values and event.rest is None:
        values = event[:-2]
      texts += [number, redis_keys.dumps(values)]
    yield from _cut('HSET', 'events', texts)
    for number, identity in self._new.items():
      yield 'HSET', 'identities', (identity.hex(), number)
    for number in sorted(self._moved.union(self._new)):
      event = self._events[number]
      if event.user is not None and event.item is not None:
        at = event.time, f'{event.item}\0{number}'
        yield 'ZADD', f'shown:{event.user}', at
        pair = records.pair(event.user, event.item)
        yield 'ZADD', f'pair:{pair}', (event.time, number)

  def _of_open(self) -> Iterator[_Command]:
    for number, is_open in self._open.items():
      event = self._events[number]
      for key, value in (('user', event.user), ('item', event.item)):
        if value is not None:
          name = 'SADD' if is_open else 'SREM'
          yield name, f'open:{key}:{value}', (number,)

  def _of_counts(self) -> Iterator[_Command]:
    of_blocks: Counter[tuple[str, str, int]] = Counter()
    for at, number in self._counts.items():
      if number > 0 and labels_lib.is_dated(at.key, at.what):
        yield 'ZADD', f'dates:{at.key}:{at.value}:{at.what}', (at.time, at.time)
      for block in redis_keys.blocks(at.time):
        of_blocks[f'{at.key}:{at.value}', at.what, block] += number
    for (key, what, block), number in of_blocks.items():
      if number:
        yield 'ZADD', f'blocks:{key}', (block, block)
        yield 'HINCRBY', f'counts:{key}', (f'{what}:{block}', number)


_Command = tuple[str, str, Sequence[Any]]


def _cut(name: str, key: str, values: list[Any]) -> Iterator[_Command]:
  for start in range(0, len(values), _MOST):
    yield name, key, values[start : start + _MOST]
