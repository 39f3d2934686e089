"""What a state asks of the store that keeps it."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rmtl_jax import extras
from rmtl_jax.server.state import records, sqlite

_URL = re.compile(r'[a-zA-Z][\w+.-]*://')


class Visits(Protocol):
  """Visits and their rows, as whoever reads or changes a state finds them."""

  def visits(self, owner: str) -> Sequence[records.Visit]:
    """All visits of an owner, in the order of time."""
    ...

  def near(self, owner: str, low: int, high: int) -> Sequence[records.Visit]:
    """Visits of an owner that reach into a range of time, in its order.

    The range, in ms, is no longer than two rests.
    """
    ...

  def events(self, visits: Sequence[int]) -> Sequence[records.Event]:
    """The rows of visits, in the order of time."""
    ...


class Reads(Visits, Protocol):
  """One commit, for the rows that it was asked for."""

  def open_events(
    self, key: str, value: str
  ) -> Sequence[tuple[records.Event, int]]:
    """Rows that are not in the counters yet, and when their visit ended.

    They are those of a `key`, `user` or `item`, with a value.
    """
    ...

  def pair(self, user: str, item: str, time: int) -> tuple[int, int | None]:
    """How many earlier rows of a user and item there are, and the last time."""
    ...

  def shown(self, user: str, time: int) -> Iterable[str]:
    """Items of a user's earlier rows, the last first."""
    ...

  def count(self, key: str, what: str, value: str, time: int) -> int:
    """What a counter (records.Count) has of earlier times."""
    ...

  def last(self, key: str, what: str, value: str, time: int) -> int | None:
    """The last earlier time of which a counter has something, ms."""
    ...


class Change(Visits, Protocol):
  """A change, which sees what it has changed; one writer at a time."""

  def fact(self, name: str) -> Any:
    """What is kept under a name; None for nothing."""
    ...

  def put_fact(self, name: str, value: Any) -> None:
    """Keeps JSON under a name."""
    ...

  def find_event(self, identity: bytes) -> records.Event | None:
    """The row with an identity."""
    ...

  def add_event(self, event: records.Event, identity: bytes) -> None:
    """Adds a row; its `id` is ignored."""
    ...

  def put_labels(self, event: records.Event, labels: Any) -> None:
    """Replaces the labels of a row."""
    ...

  def put_event(self, event: records.Event) -> None:
    """Replaces the time, the labels and the rest of a row."""
    ...

  def visit(self, number: int) -> records.Visit:
    """The visit with an id."""
    ...

  def rested(self, time: int, most: int) -> Sequence[records.Visit]:
    """Open visits whose last row is earlier, the earliest first."""
    ...

  def add_visit(self, owner: str, time: int) -> records.Visit:
    """Adds a visit of one moment."""
    ...

  def put_visit(self, visit: records.Visit) -> None:
    """Replaces a visit."""
    ...

  def put_open(self, visit: records.Visit) -> None:
    """Says of a visit and its rows whether they are in the counters."""
    ...

  def join_visits(self, kept: int, gone: int) -> None:
    """Moves all rows of one visit to another and deletes it."""
    ...

  def add_counts(self, counts: Counter[records.Count]) -> None:
    """Adds to counters."""
    ...


class Store(Protocol):
  """A store; one thread at a time.

  Attributes:
    errors: raised when it can't be read or written for now.
    where: names it for a person, without secrets.
  """

  errors: type[Exception]
  where: str

  def reading(
    self, asked: records.Asked
  ) -> contextlib.AbstractContextManager[Reads]:
    """Reads, for rows that are asked for, which see one commit."""
    ...

  def writing(
    self, asked: records.Asked
  ) -> contextlib.AbstractContextManager[Change]:
    """A change, by rows that are asked for: all of it is kept, or none."""
    ...

  def alone(self) -> contextlib.AbstractContextManager[None]:
    """Keeps other processes out of the same block."""
    ...

  def size(self) -> int:
    """How many rows there are."""
    ...

  def close(self) -> None:
    """Closes what is open."""
    ...


def is_url(where: str) -> bool:
  """Whether a state is kept by a server, not in a directory."""
  return _URL.match(where) is not None


def check(where: str) -> None:
  """Checks what a state's place says, before anything is opened.

  Raises:
    types.InputError: it is no place that a state can be in, or needs a package
      that is not installed. Says nothing of a URL, which may hold a password.
  """
  if is_url(where):
    extras.require('redis', '--state=redis://...')
    from rmtl_jax.server.state import redis_url

    redis_url.read(where)


def open_stores(where: str) -> tuple[Store, Store]:
  """Opens, or makes, a store for a thread that reads and for one that writes.

  Args:
    where: a directory, or the URL of a Redis.

  Raises:
    types.InputError: it can't be used.
  """
  if not is_url(where):
    directory = pathlib.Path(where)
    return sqlite.Store(directory), sqlite.Store(directory)
  check(where)
  from rmtl_jax.server.state import redis_store

  store = redis_store.Store(where)
  return store, store
