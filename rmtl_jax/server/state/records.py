"""What a state consists of, whatever keeps it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from rmtl_jax.server.state import labels as labels_lib


class Event(NamedTuple):
  """A row that was shown.

  Attributes:
    id: in the order in which rows came.
    visit: the id of its visit.
    user: who saw it, or None.
    item: what was shown, or None.
    time: ms.
    labels: what came of it.
  """

  id: int
  visit: int
  user: str | None
  item: str | None
  time: int
  labels: labels_lib.Labels


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


class Store(Protocol):
  """What keeps a state (rmtl_jax.server.state.sqlite says what each does)."""

  @property
  def errors(self) -> type[Exception]: ...  # noqa: D102

  def writing(self) -> contextlib.AbstractContextManager[None]:
    """A change: all of it is kept, or none."""
    ...

  def reading(self) -> contextlib.AbstractContextManager[None]:
    """Reads within see one state."""
    ...

  def fact(self, name: str) -> Any: ...  # noqa: D102
  def put_fact(self, name: str, value: Any) -> None: ...  # noqa: D102
  def add_event(self, event: Event, identity: bytes) -> None: ...  # noqa: D102
  def find_event(self, identity: bytes) -> Event | None: ...  # noqa: D102
  def put_labels(self, event: int, labels: Any) -> None: ...  # noqa: D102
  def add_visit(self, owner: str, time: int) -> Visit: ...  # noqa: D102
  def put_visit(self, visit: Visit) -> None: ...  # noqa: D102
  def put_open(self, visit: Visit) -> None: ...  # noqa: D102
  def join_visits(self, kept: int, gone: int) -> None: ...  # noqa: D102
  def add_counts(self, counts: Counter[tuple[str, int]]) -> None: ...  # noqa: D102
  def visits(self, owner: str) -> list[Visit]: ...  # noqa: D102
  def visit(self, number: int) -> Visit: ...  # noqa: D102
  def near(self, owner: str, low: int, high: int) -> list[Visit]: ...  # noqa: D102
  def rested(self, time: int, most: int) -> list[Visit]: ...  # noqa: D102
  def events(self, visits: Sequence[int]) -> list[Event]: ...  # noqa: D102
  def open_events(self, key: str, value: str) -> list[tuple[Event, int]]: ...  # noqa: D102
  def pair(self, user: str, item: str, time: int) -> tuple[int, int | None]: ...  # noqa: D102
  def shown(self, user: str, time: int) -> Iterator[str]: ...  # noqa: D102
  def count(self, key: str, time: int) -> int: ...  # noqa: D102
  def size(self) -> int: ...  # noqa: D102
  def close(self) -> None: ...  # noqa: D102
