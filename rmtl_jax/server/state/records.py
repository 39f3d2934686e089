"""Rows as a state knows them, and what it keeps of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from rmtl_jax.preparation.as_of import rates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.server.state import labels as labels_lib

# The time of what is no row: of a pair that was not viewed yet, or that has
# another row by now, and of a row whose session turned out to have begun in an
# earlier split. What asks for earlier rows does not see it.
NEVER = 2**52
# Characters of a user with a value that counters name as they are.
_LONGEST = 256


# A field's value, or the different ones of its list; None if missing.
Value: TypeAlias = str | Sequence[str] | None


class Row(NamedTuple):
  """What the state knows of a raw row.

  Attributes:
    session: its id, or None.
    user: or None.
    item: or None.
    time: ms.
    labels: what came of it; of rows to predict for ().
    identity: equal for rows that are equal but for labels.
    event: in a log of events the code of its kind; None of a row.
    values: of the fields that `tastes` is made by, in their order.
  """

  session: str | None
  user: str | None
  item: str | None
  time: int
  labels: labels_lib.Labels = ()
  identity: bytes = b''
  event: int | None = None
  values: tuple[Value, ...] = ()

  @property
  def owner(self) -> str:
    """Whose visits the row belongs to."""
    return f's{self.session}' if self.session is not None else f'u{self.user}'


class Event(NamedTuple):
  """A row that was shown.

  Attributes:
    id: in the order in which rows came.
    visit: the id of its visit.
    user: who saw it, or None.
    item: what was shown, or None.
    time: ms.
    labels: what came of it.
    rest: time of the last row before its visit's next rest, where that is not
      the visit's last row: other events may fill a rest between rows.
    values: of the fields that `tastes` is made by, in their order.
  """

  id: int
  visit: int
  user: str | None
  item: str | None
  time: int
  labels: labels_lib.Labels
  rest: int | None = None
  values: Sequence[Value] = ()

  def known(self, last: int, idle_ms: int) -> int:
    """When it counts in rates, ms.

    Args:
      last: time of its visit's last row, ms.
      idle_ms: the longest gap within a visit.
    """
    return idle_ms + (last if self.rest is None else self.rest)


def in_order(events: Iterable[Event]) -> list[Event]:
  """Events in the order of time."""
  return sorted(events, key=lambda event: (event.time, event.id))


class Visit(NamedTuple):
  """Rows of one session, or of a user without one, without a long rest.

  Attributes:
    id: any.
    owner: the session's id, or the user.
    first: time of its first row, ms.
    last: time of its last row that counts.
    reach: time of its last row; later than `last` where rows came after the end
      of the split that it began in.
    open: whether its rows are not in the counters of rates yet.
  """

  id: int
  owner: str
  first: int
  last: int
  reach: int
  open: bool


def different(values: Iterable[str | None]) -> Value:
  """The different values of a list, as the SQL of `tastes` takes them."""
  found = tuple(sorted({value for value in values if value is not None}))
  return found if 0 < len(found) <= asof_tastes.LONGEST else None


def keys(row: Event | Row, tastes: Sequence[str]) -> list[tuple[str, str]]:
  """What a row has in common with the rows of its rates: keys and values.

  Keys are `user`, `item`, and the user's with the value of a field, or with
  each of its list.

  Args:
    tastes: names of the fields that `tastes` is made by.
  """
  named = ('user', row.user), ('item', row.item)
  found = [(key, value) for key, value in named if value is not None]
  if row.user is not None:
    for name, value in zip(tastes, row.values, strict=False):
      many = [value] if isinstance(value, str) else value or ()
      key = rates.value_column(name)
      found += [(key, _short(pair(row.user, one))) for one in many]
  return found


def _short(name: str) -> str:
  """The name, or a hash of a long one: counters repeat it."""
  if len(name) <= _LONGEST:
    return name
  return hashlib.blake2b(name.encode(), digest_size=32).hexdigest()


def pair(user: str, value: str) -> str:
  """The name of a user and another value, which no other two have."""
  return f'{len(user)}:{user}:{value}'


class Count(NamedTuple):
  """A place of a counter.

  Attributes:
    key: of `keys`.
    what: is counted: `rows`, or what labels.told or labels.positives says.
    value: of the key.
    time: ms.
  """

  key: str
  what: str
  value: str
  time: int
