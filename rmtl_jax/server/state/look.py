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
from typing import NamedTuple, TypeAlias

import numpy as np
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


@dataclasses.dataclass(frozen=True)
class Session:
  """The earlier rows of a row's session.

  Attributes:
    start: of the session, ms; the row's own time if it is the first.
    count: earlier rows.
    last: time of the last of them, ms; None without any.
    visits: of the session, in the order of time.
  """

  start: int
  count: int
  last: int | None
  visits: Sequence[row_types.Visit]


class Told(NamedTuple):
  """Known labels of a task in a session's earlier rows.

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
  """The state for rows to predict."""

  def __init__(
    self,
    reads: store.Store,
    of: shape_lib.Shape,
    rows: Sequence[row_types.Row],
  ):
    """Reads what most features need, of all rows together.

    Args:
      reads: in `reading`.
    """
    self.asked, self._store, self._shape = rows, reads, of
    self._different: dict[tuple[str, ...], tuple[list, pa.Array]] = {}
    self._sessions: dict[tuple[int, int], Session] = {}
    self._labels: dict[tuple[int, int, int], Told] = {}
    self._rested: dict[int, list[tuple[row_types.Event, int]]] = {}
    self._open: dict[int, _Sums] = {}
    self._own: dict[tuple[int, int], _Sums] = {}
    names = {name for row in rows for name in (row.user, row.item) if name}
    self._numbers = reads.numbers(names)
    counters, items = defaultdict(set), defaultdict(set)
    for row in rows:
      counters[row.time] |= {
        counter
        for key in ('user', 'item', *range(len(of.tastes)))
        for counter in self._counters(row, key)
      }
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
    is_user = key == 'user'
    return [
      (row_types.user_counter if is_user else row_types.item_counter)(number)
    ]

  def session(self, row: row_types.Row) -> Session:
    """The earlier rows of a row's session."""
    at = row.owner, row.time
    if at not in self._sessions:
      idle = self._shape.idle_ms
      if row.session is not None:
        visits = self._store.visits(row.owner)
      else:
        visits = self._store.near(row.owner, row.time - idle, row.time)
      extents = [
        self._store.extent(v.id, -row_types.NEVER, row.time) for v in visits
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

  def told(self, row: row_types.Row, place: int) -> Told:
    """Known labels of a task in a row's session before the row."""
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

  def rows_since(self, row: row_types.Row, time: int) -> int:
    """How many earlier rows of a row's session there are from a time on."""
    visits = self.session(row).visits
    return sum(self._store.extent(v.id, time, row.time)[0] for v in visits)

  def times(self, row: row_types.Row) -> np.ndarray:
    """Times of the earlier rows of a row's session."""
    visits = [visit.id for visit in self.session(row).visits]
    return self._store.times(visits, row.time)

  def items(self, row: row_types.Row, count: int) -> list[str | None]:
    """Items of the last so many of these rows."""
    visits = [visit.id for visit in self.session(row).visits]
    return self._store.items(visits, row.time, count)

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
    places = f's{task}', shape_lib.rows_count(self._shape.tasks, task)
    counters = self._counters(row, key)
    open_ = self._of_open(row) if counters else {}
    own = self._of_session(row) if counters else {}
    positives = rows = 0
    for counter in counters:
      closed = self._sums[counter, row.time]
      sums = [closed[x] for x in places]
      for sign, some in ((1, open_.get(counter)), (-1, own.get(counter))):
        if some:
          sums = [n + sign * some[x] for n, x in zip(sums, places, strict=True)]
      positives, rows = positives + sums[0], rows + sums[1]
    return positives, rows

  def _of_open(self, row: row_types.Row) -> _Sums:
    """Additions of rested rows that are not in the counters yet."""
    if row.time not in self._open:
      before = row.time - self._shape.idle_ms
      if before not in self._rested:
        self._rested[before] = self._store.rested_events(before)
      self._open[row.time] = self._told(self._rested[before], row.time)
    return self._open[row.time]

  def _of_session(self, row: row_types.Row) -> _Sums:
    """Additions of a row's own session, which the row must not see.

    Only rows that have rested can add something, even in a running session.
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
  name = field.column.removeprefix(groups.PREFIX)
  tasks = shape.tasks
  names = [task.name for task in tasks]
  task = field.details.get('task')
  place = names.index(task) if task in names else -1
  group = field.details['as_of']
  if group == 'rates' and place >= 0:
    return _rate(str(field.details['key']), place, tasks[place], _prior(field))
  if group == tastes.GROUP and place >= 0:
    by = shape.tastes.index(str(field.details['by']))
    return _rate(by, place, tasks[place], _prior(field))
  if group == recency.GROUP and place >= 0:
    return lambda look, row: _user_gap(look, row, f'k{place}')
  if group == 'feedback' and place >= 0 and tasks[place].is_ranked:
    return _session_rank(place, tasks[place], _prior(field))
  if group == 'feedback' and place >= 0:
    if 'counts' in field.details:
      return lambda look, row: _since(look, row, place)
    if 'train_rate' in field.details:
      prior = _prior(field)
      return lambda look, row: _session_rate(look, row, place, prior)
    return lambda look, row: _positives(look, row, place)
  window = window_features.named(name)
  if window is None:
    raise types.InputError(
      f'field {field.name!r}: no such as-of feature; prepare the data again'
    )
  return _WINDOWS[window.window, window.what]


def _prior(field: source.SourceField) -> float:
  return float(field.details['train_rate'])


def _number(count: int) -> float | None:
  return float(count) if count else None


def _session_gap(look: Look, row: row_types.Row) -> float | None:
  last = look.session(row).last
  return None if last is None else float(row.time - last)


def _pair_gap(look: Look, row: row_types.Row) -> float | None:
  last = look.pair(row)[1]
  return None if last is None else float(row.time - last)


def _user_gap(look: Look, row: row_types.Row, what: str) -> float | None:
  """Since the last of a user's rows or positives; see labels.dated."""
  last = look.last(row, what)
  return None if last is None else float(row.time - last)


_WINDOWS: dict[tuple[str, str], _Value] = {
  ('session', 'rows'): lambda look, row: _number(look.session(row).count),
  ('session', 'first'): lambda look, row: _number(
    row.time - look.session(row).start
  ),
  ('session', 'last'): _session_gap,
  ('pair', 'rows'): lambda look, row: _number(look.pair(row)[0]),
  ('pair', 'last'): _pair_gap,
  ('user', 'rows'): lambda look, row: _number(look.rows(row, 'user')),
  ('user', 'last'): lambda look, row: _user_gap(look, row, 'rows'),
  ('item', 'rows'): lambda look, row: _number(look.rows(row, 'item')),
}


def _rate(
  key: str | int, place: int, task: source.SourceTask, prior: float
) -> _Value:
  """As rates.features_sql."""

  def value(look: Look, row: row_types.Row) -> float | None:
    return _smoothed(task, prior, *look.rate(row, key, place))

  return value


def _smoothed(
  task: source.SourceTask, prior: float, total: int, count: int
) -> float | None:
  """As rates.smoothed_sql."""
  weight, parts = rates.weight(task), ranks.PARTS if task.is_ranked else 1
  if not count:
    return None
  return (total / parts + weight * prior) / (count + weight)


def _session_rank(place: int, task: source.SourceTask, prior: float) -> _Value:
  """As feedback.features_sql."""

  def value(look: Look, row: row_types.Row) -> float | None:
    told = look.told(row, place)
    return _smoothed(task, prior, told.total, told.labels)

  return value


def _positives(look: Look, row: row_types.Row, place: int) -> float | None:
  if not look.session(row).count:
    return None
  return float(look.told(row, place).positives)


def _session_rate(
  look: Look, row: row_types.Row, place: int, prior: float
) -> float | None:
  """As feedback.features_sql."""
  count = look.session(row).count
  if not count:
    return None
  known = look.told(row, place).positives
  return (known + feedback.WEIGHT * prior) / (count + feedback.WEIGHT)


def _since(look: Look, row: row_types.Row, place: int) -> float | None:
  last = look.told(row, place).last
  # Rows of one time have one position: that of the first of them.
  return None if last is None else float(look.rows_since(row, last))


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
