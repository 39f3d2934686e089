"""A history that is read once and serves many requests.

A row's past consists of the rows of its user, its item and its session, and of
their sessions, which decide when labels count. `near` finds them, and the SQL
of row_past.py gives the same values over them as over all of the history. So a
request costs as much as its rows' past, plus one scan of the keys.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.serving import past_log, raw_rows, row_past, vocabulary_lookup

_KEYS, _LOG = 'keys', past_log.TABLE


class Snapshot(NamedTuple):
  """A snapshot of a history, for a request, while rows may be appended.

  Attributes:
    rows: how many there are.
    numbers: keys of which every value is a number, so that 118.0 may be 118.
  """

  rows: int
  numbers: frozenset[str]


class KeptHistory:
  """Earlier rows, read and checked once; threads may share it.

  Attributes:
    seen: the current snapshot.
  """

  def __init__(
    self,
    manifest: manifest_lib.Manifest,
    needs: row_past.Needs,
    items: vocabulary_lookup.Vocabulary | None,
  ):
    """Keeps no rows yet.

    Args:
      items: the run's vocabulary of items; None if it reads none.
    """
    self.manifest, self.needs = manifest, needs
    self._items, self._lock = items, threading.Lock()
    stack = contextlib.ExitStack()
    self._connection, _ = stack.enter_context(row_past.scratch_database())
    self.close = weakref.finalize(self, stack.close)
    self._past = row_past.Past(self._connection, manifest, needs)
    self._connection.execute(
      f'CREATE TABLE {_KEYS} (row_id BIGINT, session VARCHAR, "user" VARCHAR,'
      ' item VARCHAR)'
    )
    self.seen = Snapshot(0, frozenset(row_past.KEYS))

  def __len__(self) -> int:
    return self.seen.rows

  def append(self, parts: Iterable[raw_rows.Rows], size: int) -> None:
    """Adds rows, all or none.

    Raises:
      types.InputError: a column or a value that can't be used.
    """
    with self._lock:
      before = self._past.first
      self._connection.begin()
      try:
        for part in parts:
          self._past.add(part, scored=False, size=size)
        numbers = self._add_keys(before)
      except BaseException:
        self._connection.rollback()
        self._past.start_after(before)
        raise
      self._connection.commit()
      self.seen = Snapshot(self._past.first, numbers)

  def _add_keys(self, first: int) -> frozenset[str]:
    """Writes the keys of rows from `first` on; which keys are numbers still."""
    found = self._past.keys(first)
    numbers = set(self.seen.numbers)
    columns = {'row_id': found['row_id']}
    for name in ('session', 'user'):
      values = found[name].combine_chunks()
      if vocabulary_lookup.strip_zero_fractions(values.drop_null()) is None:
        numbers.discard(name)
      columns[name] = vocabulary_lookup.whole(values)
    columns['item'] = self._spelled_items(found['item'].combine_chunks())
    sql.insert(self._connection, _KEYS, pa.table(columns))
    return frozenset(numbers)

  def _spelled_items(self, values: pa.Array) -> pa.Array:
    return values if self._items is None else self._items.spelled(values)

  def near(self, seen: Snapshot, keys: pa.Table) -> pa.Table:
    """Rows of the log that the past of a request is made of, in their order.

    Args:
      keys: `session`, `user` and `item` of its rows.
    """
    wanted = {
      name: vocabulary_lookup.whole(keys[name].combine_chunks())
      for name in ('session', 'user')
    }
    if self.needs.items:
      wanted['item'] = self._spelled_items(keys['item'].combine_chunks())
    # Keys are compared in one spelling; rows that the log tells apart after all
    # are more of the past than is needed, which changes nothing.
    with self._connection.cursor() as cursor:
      for name, values in wanted.items():
        table = pa.table({'value': values.drop_null()})
        cursor.register(f'of_{name}', table)
      own = ' OR '.join(
        f'{sql.quote(name)} IN (FROM of_{name})' for name in wanted
      )
      return cursor.sql(
        f'WITH seen AS (FROM {_KEYS} WHERE row_id < {seen.rows}),'
        f' own AS (FROM seen WHERE {own})'
        f' SELECT l.* FROM {_LOG} l SEMI JOIN (SELECT row_id FROM seen'
        f'  WHERE {own} OR session IN (SELECT session FROM own WHERE session'
        '   IS NOT NULL) OR (session IS NULL AND "user" IN (SELECT "user" FROM'
        '   own WHERE session IS NULL AND "user" IS NOT NULL))) k'
        ' ON l.row_id = k.row_id ORDER BY l.row_id'
      ).to_arrow_table()
