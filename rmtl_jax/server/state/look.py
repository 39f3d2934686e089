"""As-of features of rows to predict for, from the state.

The values are those of rmtl_jax.preparation.as_of over the same rows
(tests/server/state compares them), whose names and details say which. Of a
session the state has its rows, of an item and a user counts by time, so that a
request costs what its own sessions and a few counters cost, however long the
log is. A row counts in rates once its visit has rested: until the visit is
closed it is read as it is, then it is in the counters.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation import ranks, source
from rmtl_jax.preparation.as_of import (
  feedback,
  groups,
  history,
  rates,
  recency,
  tastes,
  window_features,
)
from rmtl_jax.server.state import row_types, store
from rmtl_jax.server.state import shape as shape_lib
from rmtl_jax.serving import vocabulary_lookup

# Sums by counter.
_Sums: TypeAlias = dict[int, Counter[str]]
_NOTHING: Counter[str] = Counter()


@dataclasses.dataclass(frozen=True)
class Session:
  """The earlier rows of a row's session.

  Attributes:
    start: of the session, ms; the row's own time if it is the first.
    count: earlier rows.
    last: time of the last of them, ms; None without any.
    told: known labels of each task.
    visits: of the session, in the order of time.
  """

  start: int
  count: int
  last: int | None
  told: Sequence[row_types.Told]
  visits: Sequence[row_types.Visit]

  @property
  def ids(self) -> list[int]:
    """Those of its visits."""
    return [visit.id for visit in self.visits]


class Look:
  """The state for rows to predict.

  Attributes:
    asked: the rows.
    rested: rows that may count for them and are not in the counters yet.
  """

  def __init__(
    self,
    reads: store.Store,
    of: shape_lib.Shape,
    rows: Sequence[row_types.Row],
    most: int = -1,
  ):
    """Reads what most features need, of all rows together.

    Args:
      reads: in `reading`.
      most: rows in `rested`; -1 for all that there are.
    """
    self.asked, self._store, self._shape = rows, reads, of
    rested = max(row.time for row in rows) - of.idle_ms
    self.rested = reads.rested_events(rested, most)
    self._different: dict[tuple[str, ...], tuple[list, pa.Array]] = {}
    self._sessions: dict[tuple[int, int], Session] = {}
    self._open: dict[int, _Sums] = {}
    self._own: dict[tuple[int, int], _Sums] = {}
    names = {name for row in rows for name in (row.user, row.item) if name}
    self._numbers = reads.numbers(names)
    counters, items = defaultdict(set), defaultdict(set)
    for row in rows:
      for key in ('user', 'item', *range(len(of.tastes))):
        counters[row.time].update(self._counters(row, key))
      user, item = self._numbers.get(row.user), self._numbers.get(row.item)
      if user is not None and item is not None:
        items[user, row.time].add(item)
    self._sums = {
      (counter, time): found
      for time, some in counters.items()
      for counter, found in reads.sums(some, time).items()
    }
    self._pairs: dict[tuple[int | None, ...], tuple[int, int | None]] = {
      (user, item, time): found
      for (user, time), some in items.items()
      for item, found in reads.pairs(user, some, time).items()
    }

  def different(
    self, names: tuple[str, ...]
  ) -> tuple[list[row_types.Row], pa.Array]:
    """Rows that differ in some attributes, and the place of each row's."""
    if names not in self._different:
      read, places = operator.attrgetter(*names), {}
      rows, found = [], []
      for row in self.asked:
        place = places.setdefault(read(row), len(rows))
        if place == len(rows):
          rows.append(row)
        found.append(place)
      self._different[names] = rows, pa.array(found, pa.int64())
    return self._different[names]

  def _counters(self, row: row_types.Row, key: str | int) -> list[int]:
    """The counters of a row by a key.

    Args:
      key: `user`, `item`, or the place of a field in `Shape.tastes`.
    """
    if isinstance(key, int):
      return row.tastes(key)
    number = self._numbers.get(getattr(row, key))
    if number is None:
      return []
    if key == 'user':
      return [row_types.user_counter(number)]
    return [row_types.item_counter(number)]

  def session(self, row: row_types.Row) -> Session:
    """The earlier rows of a row's session."""
    at = row.owner, row.time
    if at not in self._sessions:
      idle = self._shape.idle_ms
      if row.session is not None:
        visits = self._store.visits(row.owner)
      else:
        visits = self._store.near(row.owner, row.time - idle, row.time)
      ids = [visit.id for visit in visits]
      count, first, last = self._store.extent(ids, row.time)
      start = row.time if first is None else first
      told = self._store.told(ids, row.time)
      self._sessions[at] = Session(start, count, last, told, visits)
    return self._sessions[at]

  def rows_since(self, row: row_types.Row, time: int) -> int:
    """How many earlier rows of a row's session there are from a time on."""
    session = self.session(row)
    return session.count - self._store.extent(session.ids, time)[0]

  def rows(self, row: row_types.Row, key: str) -> int:
    """How many earlier rows of a row's user or item there are."""
    found = self._counters(row, key)
    return sum(self._sums[counter, row.time]['rows'] for counter in found)

  def last(self, row: row_types.Row, what: str) -> int | None:
    """The last earlier time of a user's rows or positives, ms.

    Args:
      what: a dated one of shape.sums.
    """
    number = self._numbers.get(row.user)
    if number is None:
      return None
    counter = row_types.user_counter(number, what != 'rows')
    return self._store.last(counter, what, row.time)

  def pair(self, row: row_types.Row) -> tuple[int, int | None]:
    """Earlier rows of a row's user and item: number, time of the last."""
    at = self._numbers.get(row.user), self._numbers.get(row.item), row.time
    return self._pairs.get(at, (0, None))

  def shown(self, user: str, time: int) -> Iterable[str]:
    """Items of a user's earlier rows, the last first."""
    number = self._numbers.get(user)
    return () if number is None else self._store.shown(number, time)

  def rate(
    self, row: row_types.Row, key: str | int, task: int
  ) -> tuple[int, int]:
    """Positives, or the sum of ranks, and rows of a task that count for a key.

    Args:
      key: as for `_counters`.
    """
    counters = self._counters(row, key)
    if not counters:
      return 0, 0
    open_, own = self._of_open(row), self._of_session(row)

    def total(what: str) -> int:
      return sum(
        self._sums[counter, row.time][what]
        + open_.get(counter, _NOTHING)[what]
        - own.get(counter, _NOTHING)[what]
        for counter in counters
      )

    return total(f's{task}'), total(
      shape_lib.rows_count(self._shape.tasks, task)
    )

  def _of_open(self, row: row_types.Row) -> _Sums:
    """Additions of rested rows that are not in the counters yet."""
    if row.time not in self._open:
      self._open[row.time] = self._told(self.rested, row.time)
    return self._open[row.time]

  def _of_session(self, row: row_types.Row) -> _Sums:
    """Additions of a row's own session, which the row must not see.

    Only rows that have rested can add something, even in a running session.
    """
    at = row.owner, row.time
    if at not in self._own:
      before = row.time - self._shape.idle_ms
      # Within a visit, rows rest in a log of events alone.
      visits = [
        visit.id
        for visit in self.session(row).visits
        if visit.last < before or self._shape.events
      ]
      rested = self._store.rested_of(visits, before, row.time) if visits else ()
      self._own[at] = self._told(rested, row.time)
    return self._own[at]

  def _told(
    self, events: Iterable[tuple[row_types.Event, int]], time: int
  ) -> _Sums:
    """Known labels of rows at a time, with the last of their visits."""
    found: _Sums = {}
    for event, last in events:
      if event.time == row_types.NEVER:
        continue
      known = event.known(last, self._shape.idle_ms)
      told = [
        (what, much)
        for what, when, much in shape_lib.told(
          event.labels, self._shape.tasks, known
        )
        if when < time
      ]
      for counter in event.counters if told else ():
        sums = found.setdefault(counter, Counter())
        for what, much in told:
          sums[what] += much
    return found


_Value = Callable[[Look, row_types.Row], float | None]


def column(
  field: source.SourceField,
  shape: shape_lib.Shape,
  items: vocabulary_lookup.Vocabulary | None,
) -> Callable[[Look], pa.Array]:
  """The function that computes a field of the rows of a Look.

  Args:
    items: the vocabulary of items; None if the model reads none.

  Raises:
    types.InputError: there is no such feature.
  """
  if field.details['as_of'] == history.GROUP:
    assert items is not None
    return lambda look: _histories(look, items, field.width)
  value = _value(field, shape)
  # What it reads of a row.
  names = ('session', 'user', 'time')
  if groups.window_of(field) in ('item', 'pair'):
    names += ('item',)
  if field.details['as_of'] == tastes.GROUP:
    names += ('values',)

  def values(look: Look) -> pa.Array:
    # Candidates of one moment have most of their past in common.
    rows, places = look.different(names)
    found = [value(look, row) for row in rows]
    return pa.array(found, pa.float64()).take(places)

  return values


def _value(field: source.SourceField, shape: shape_lib.Shape) -> _Value:
  """The value of a field, by its details; see `column`."""
  names = [task.name for task in shape.tasks]
  name = field.details.get('task')
  if name not in names:
    return _window(field)
  place, group = names.index(name), field.details['as_of']
  task = shape.tasks[place]
  has_rate = 'train_rate' in field.details
  prior = float(field.details['train_rate']) if has_rate else 0.0

  def rate(total: int, count: int) -> float | None:
    """As rates.smoothed_sql."""
    weight, parts = rates.weight(task), ranks.PARTS if task.is_ranked else 1
    if not count:
      return None
    return (total / parts + weight * prior) / (count + weight)

  if group in ('rates', tastes.GROUP):
    key = str(field.details['key' if group == 'rates' else 'by'])
    by = key if group == 'rates' else shape.tastes.index(key)
    return lambda look, row: rate(*look.rate(row, by, place))
  if group == recency.GROUP:
    return lambda look, row: _gap(row, look.last(row, f'k{place}'))

  def of_session(look: Look, row: row_types.Row) -> float | None:
    """As feedback.features_sql."""
    session = look.session(row)
    told = session.told[place]
    if task.is_ranked:
      return rate(told.total, told.labels)
    if 'counts' in field.details:
      # Rows of one time have one position: that of the first of them.
      return None if told.last is None else look.rows_since(row, told.last)
    if not session.count:
      return None
    if not has_rate:
      return float(told.positives)
    known = told.positives + feedback.WEIGHT * prior
    return known / (session.count + feedback.WEIGHT)

  return of_session


def _window(field: source.SourceField) -> _Value:
  name = field.column.removeprefix(groups.PREFIX)
  window = window_features.named(name)
  if window is None:
    raise types.InputError(
      f'field {field.name!r}: no such as-of feature; prepare the data again'
    )
  return _WINDOWS[window.window, window.what]


def _number(count: int) -> float | None:
  return float(count) if count else None


def _gap(row: row_types.Row, last: int | None) -> float | None:
  return None if last is None else float(row.time - last)


_WINDOWS: dict[tuple[str, str], _Value] = {
  ('session', 'rows'): lambda look, row: _number(look.session(row).count),
  ('session', 'first'): lambda look, row: _number(
    row.time - look.session(row).start
  ),
  ('session', 'last'): lambda look, row: _gap(row, look.session(row).last),
  ('pair', 'rows'): lambda look, row: _number(look.pair(row)[0]),
  ('pair', 'last'): lambda look, row: _gap(row, look.pair(row)[1]),
  ('user', 'rows'): lambda look, row: _number(look.rows(row, 'user')),
  ('user', 'last'): lambda look, row: _gap(row, look.last(row, 'rows')),
  ('item', 'rows'): lambda look, row: _number(look.rows(row, 'item')),
}


def _histories(
  look: Look, items: vocabulary_lookup.Vocabulary, width: int
) -> pa.Array:
  """As history.encode_histories, by values."""
  rows, places = look.different(('session', 'user', 'time'))
  found = [
    None
    if row.user is None
    else _history(look, row.user, look.session(row).start, items, width) or None
    for row in rows
  ]
  return pa.array(found, pa.list_(pa.string())).take(places)


def _history(
  look: Look,
  user: str,
  start: int,
  items: vocabulary_lookup.Vocabulary,
  width: int,
) -> list[str]:
  """A user's last known items before a session, the last one last."""
  kept: list[str] = []
  shown = iter(look.shown(user, start))
  while len(kept) < width:
    page = list(itertools.islice(shown, 2 * width))
    if not page:
      break
    known = items.rows(pa.array(page, pa.string()), is_text=True) > 0
    kept += [
      item for item, is_known in zip(page, known, strict=True) if is_known
    ]
  return kept[:width][::-1]
