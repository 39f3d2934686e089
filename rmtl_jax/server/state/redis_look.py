"""What one commit in Redis says to rows to predict for, read at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rmtl_jax.server.state import records, redis_keys, redis_scripts

# Items of a user that are read at a time.
_PAGE = 128


def read(asked: records.Asked, scripts: redis_scripts.Scripts) -> Look:
  """Reads all that the rows may need, but for the users' items."""
  rows = asked.rows
  sessions = _unique(row.owner for row in rows if row.session is not None)
  near = _unique((row.owner, row.time) for row in rows if row.session is None)
  times = _unique(row.time for row in rows)
  place = {time: n for n, time in enumerate(times, 1)}
  keyed = _unique(
    (f'{key}:{value}', row.time)
    for row in rows
    for key, value in records.keys(row, asked.tastes)
  )
  open_ = _unique(
    f'{key}:{value}' for row in rows for key, value in records.keys(row, ())
  )
  users = _unique((row.user, row.time) for row in rows if row.user is not None)
  pairs = _unique(
    (row.user, row.item, row.time)
    for row in rows
    if row.user is not None and row.item is not None
  )
  question = {
    'sessions': sessions,
    'near': [(owner, str(time)) for owner, time in near],
    'names': asked.counts,
    'ranges': [redis_keys.before(time) for time in times],
    'counts': [(key, str(place[time])) for key, time in keyed],
    'open': open_,
    'dated': asked.dated,
    'users': [(f'user:{user}', str(time)) for user, time in users],
    'pairs': [
      (records.pair(user, item), str(time)) for user, item, time in pairs
    ],
  }
  texts = scripts.run(redis_scripts.LOOK, redis_keys.dumps(question))
  found = [json.loads(text) for text in texts]
  answers = [
    dict(zip(of, one, strict=True))
    for of, one in zip(
      (sessions, near, keyed, open_, users, pairs), found, strict=True
    )
  ]
  names = asked.counts, asked.dated
  return Look(
    answers, [{n: i for i, n in enumerate(o)} for o in names], scripts
  )


def _unique(values: Any) -> list[Any]:
  return list(dict.fromkeys(values))


class Look:
  """See `stores.Reads`."""

  def __init__(
    self,
    answers: Sequence[dict[Any, Any]],
    names: Sequence[dict[str, int]],
    scripts: redis_scripts.Scripts,
  ):
    """Takes what `read` has found."""
    self._sessions, self._near, self._counts, self._open, *others = answers
    self._dates, self._pairs = others
    (self._names, self._dated), self._scripts = names, scripts
    self._events: dict[int, list[Any]] = {}

  def _visits(self, found: list[Any]) -> list[records.Visit]:
    visits = [(redis_keys.visit(visit), events) for visit, events in found]
    self._events |= {visit.id: events for visit, events in visits}
    return sorted((v for v, _ in visits), key=lambda visit: visit.first)

  def visits(self, owner: str) -> list[records.Visit]:
    """See `stores.Reads`."""
    return self._visits(self._sessions[owner])

  def near(self, owner: str, low: int, high: int) -> list[records.Visit]:
    """See `stores.Reads`."""
    found = self._visits(self._near[owner, high])
    return [visit for visit in found if visit.reach >= low]

  def events(self, visits: Sequence[int]) -> list[records.Event]:
    """See `stores.Reads`."""
    return records.in_order(
      [redis_keys.event(one) for visit in visits for one in self._events[visit]]
    )

  def open_events(
    self, key: str, value: str
  ) -> list[tuple[records.Event, int]]:
    """See `stores.Reads`."""
    events, visits = self._open[f'{key}:{value}']
    last = {visit.id: visit.last for visit in map(redis_keys.visit, visits)}
    return [
      (event, last[event.visit]) for event in map(redis_keys.event, events)
    ]

  def pair(self, user: str, item: str, time: int) -> tuple[int, int | None]:
    """See `stores.Reads`."""
    count, last = self._pairs[user, item, time]
    return count, None if last is None else int(last)

  def shown(self, user: str, time: int) -> Iterator[str]:
    """See `stores.Reads`; rows are only ever added, so pages fit together."""
    start = 0
    while page := self._scripts.shown(user, time, start, _PAGE):
      for member in page:
        yield member.rpartition(b'\0')[0].decode()
      start += len(page)

  def count(self, key: str, what: str, value: str, time: int) -> int:
    """See `stores.Reads`."""
    return self._counts[f'{key}:{value}', time][self._names[what]]

  def last(self, key: str, what: str, value: str, time: int) -> int | None:
    """See `stores.Reads`; of users."""
    assert key == 'user'
    return self._dates[value, time][self._dated[what]]
