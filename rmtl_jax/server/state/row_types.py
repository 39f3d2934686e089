"""Incoming rows, and their records in the state."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.server.state import shape as shape_lib

# The time of an event that waits for its item's impression.
NEVER = 2**52
# A field's value, or the different ones of its list; None if missing.
Value: TypeAlias = str | Sequence[str] | None


class Row(NamedTuple):
  """A raw row.

  Attributes:
    session: its id, or None.
    user: or None.
    item: or None.
    time: ms.
    labels: what came of it; of rows to predict for ().
    identity: equal for rows of one time that are equal but for labels.
    event: in a log of events the code of its kind; None of a row.
    values: of the fields that `tastes` is made by, in their order.
  """

  session: str | None
  user: str | None
  item: str | None
  time: int
  labels: shape_lib.Labels = ()
  identity: int = 0
  event: int | None = None
  values: tuple[Value, ...] = ()

  @property
  def owner(self) -> int:
    """Number of the session, or of the user: then it is negative."""
    if self.session is not None:
      return hashed('session', self.session)
    return -1 - hashed('user', str(self.user))

  def tastes(self, place: int) -> list[int]:
    """Counters of its user with its values of the field at a place."""
    value = self.values[place] if place < len(self.values) else None
    if self.user is None or value is None:
      return []
    many = [value] if isinstance(value, str) else value
    # Negative: other counters have positive numbers.
    return [-1 - hashed(str(place), self.user, one) for one in many]


@functools.lru_cache(100_000)
def hashed(*texts: str) -> int:
  """A positive number of 63 bits for some texts."""
  digest = hashlib.blake2b(digest_size=8)
  for text in texts:
    data = text.encode()
    digest.update(b'%d:' % len(data) + data)
  return int.from_bytes(digest.digest(), 'little') >> 1


def user_counter(user: int, of_positives: bool = False) -> int:
  """The counter of a user's number.

  Args:
    of_positives: the separate counter of positives.
  """
  return 3 * user + (2 if of_positives else 0)


def item_counter(item: int) -> int:
  """The counter of an item's number."""
  return 3 * item + 1


class Event(NamedTuple):
  """A row that was shown.

  Attributes:
    visit: the id of its visit.
    time: ms.
    id: in the order in which rows came.
    identity: as `Row.identity`.
    user: number of the user who saw it, or None.
    item: number of the item that was shown, or None.
    labels: what came of it.
    rest: time of the last row before its visit's next rest, where that is not
      the visit's last row: other events may fill a rest between rows.
    tastes: further counters that it is in, as `Row.tastes`.
  """

  visit: int
  time: int
  id: int
  identity: int
  user: int | None
  item: int | None
  labels: shape_lib.Labels
  rest: int | None = None
  tastes: Sequence[int] = ()

  def known(self, last: int, idle_ms: int) -> int:
    """When it counts in rates, ms.

    Args:
      last: time of its visit's last row, ms.
      idle_ms: the longest gap within a visit.
    """
    return idle_ms + (last if self.rest is None else self.rest)

  @property
  def counters(self) -> list[int]:
    """Those that it is in."""
    found = list(self.tastes)
    if self.user is not None:
      found.append(user_counter(self.user))
    if self.item is not None:
      found.append(item_counter(self.item))
    return found


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


class Visit(NamedTuple):
  """Rows of one session, or of a user without one, without a long rest.

  Attributes:
    id: any.
    owner: as `Row.owner`.
    first: time of its first row, ms.
    last: time of its last row that counts.
    reach: time of its last row; later than `last` where rows came after the end
      of the split that it began in.
    open: whether its rows are not in the counters of rates yet.
  """

  id: int
  owner: int
  first: int
  last: int
  reach: int
  open: bool


def different(values: Iterable[str | None]) -> Value:
  """The different values of a list, as the SQL of `tastes` takes them."""
  found = tuple(sorted({value for value in values if value is not None}))
  return found if 0 < len(found) <= asof_tastes.LONGEST else None
