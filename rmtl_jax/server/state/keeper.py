"""The state of a server's process: opened, loaded once, read and moved."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation.as_of import history as history_lib
from rmtl_jax.server import bodies
from rmtl_jax.server.state import changes, row_reader, row_types, store
from rmtl_jax.server.state import look as look_lib
from rmtl_jax.server.state import shape as shape_lib
from rmtl_jax.serving import raw_rows
from rmtl_jax.serving import scorer as scorer_lib

_LOG = logging.getLogger('rmtl_jax.server')
# Rows of a history that are kept by one commit.
_CHUNK = 4096
# Rested rows outside of the counters that a request reads; of more, they are
# put into the counters first.
_MOST_OPEN = 256
# What a state remembers of itself.
_SHAPE, _HISTORY = 'shape', 'history'


class Keeper:
  """One process's part in a state, for one model.

  A thread that predicts and one that takes events may use it at once, and so
  may other processes, with models of logs with the same columns and tasks.
  """

  def __init__(
    self, scorer: scorer_lib.Scorer, where: str, settle_days: float = 7.0
  ):
    """Opens the state.

    Args:
      scorer: the model.
      where: a directory.
      settle_days: after which only sums are kept of rows.

    Raises:
      types.InputError: no state can be kept, or one of another log is there.
    """
    self._scorer, self._items = scorer, scorer.items
    if self._items is None and history_lib.GROUP in scorer.needs.groups:
      raise types.InputError('the model reads items and has no vocabulary')
    self._shape = shape_lib.of_manifest(scorer.manifest)
    self._settle_days = settle_days
    self._reader = row_reader.Reader(scorer.manifest)
    self._columns = [
      (one.column, look_lib.column(one, self._shape, self._items))
      for one in scorer.needs.fields
    ]
    # One for the thread that reads, one for that which writes.
    tasks = self._shape.tasks
    opened = pathlib.Path(where), len(tasks), shape_lib.sums(tasks)
    self._reads, self._writes = store.Store(*opened), store.Store(*opened)
    self.where, self._lock = self._writes.where, threading.Lock()
    try:
      with self._usable():
        self._check_shape()
    except BaseException:
      self.close()
      raise

  def _check_shape(self) -> None:
    """Refuses the state of a log that is described in another way."""
    wanted = self._shape.described()
    with self._writing() as change:
      found = change.fact(_SHAPE) or wanted
      change.put_fact(_SHAPE, found)
    if found == wanted:
      return
    what, ranks = (
      'another log (columns, tasks or idle time differ)',
      {shape_lib.RANKS: None},
    )
    if found | ranks == wanted | ranks:
      what = 'data whose ranks of numbers begin at other values'
    raise types.InputError(
      f'{self.where}: is the state of {what}; name another place'
    )

  def close(self) -> None:
    """Closes the store."""
    self._reads.close()
    self._writes.close()

  def size(self) -> int:
    """How many rows have come.

    Raises:
      bodies.Refused: the state can't be read now.
    """
    with self._lock, self._available():
      return self._writes.fact('rows') or 0

  def load(self, history: str, say: Callable[[str], None]) -> None:
    """Adds the rows of a history, unless another state is there.

    One process does it, the others wait. What was killed in the middle begins
    again: rows that are there already change nothing.

    Args:
      history: as for `rmtl predict`.

    Raises:
      types.InputError: rows that can't be used.
    """
    with self._usable(), self._writes.alone():
      begun = self._writes.fact(_HISTORY)
      if begun == 'done' or (begun is None and self._writes.fact('rows')):
        return
      say(f'reading the history: {history}')
      with raw_rows.open_log(history, self._scorer.delimiter) as parts:
        found = [row for part in parts for row in self.shown(part)]
      rows = [row for row in found if row is not None]
      # A session's first row decides its split, so rows come in order of time.
      rows.sort(key=lambda row: row.time)
      for start in range(0, len(rows), _CHUNK):
        done = start + _CHUNK >= len(rows)
        with self._writing() as change:
          part = rows[start : start + _CHUNK]
          changes.append(change, self._shape, part, self._settle_days)
          change.put_fact(_HISTORY, 'done' if done else 'begun')
      say(f'history: {len(rows):,} rows')

  @contextlib.contextmanager
  def _writing(self) -> Iterator[store.Store]:
    with self._lock, self._writes.writing() as change:
      yield change

  @contextlib.contextmanager
  def _usable(self) -> Iterator[None]:
    """At the start, a state that can't be used is a fault of the input."""
    try:
      yield
    except sqlite3.Error as error:
      raise types.InputError(
        f'{self.where}: not usable: {types.first_line(error)}'
      ) from None

  @contextlib.contextmanager
  def _available(self) -> Iterator[None]:
    try:
      yield
    except sqlite3.Error as error:
      _LOG.error('state %s: %s', self.where, types.first_line(error))
      raise bodies.Refused(
        'state: not available; try again later', 503
      ) from None

  def shown(self, table: raw_rows.Rows) -> Iterator[row_types.Row | None]:
    """Reads raw rows that were shown; None for what means nothing."""
    return self._reader.read(table, self._scorer.needs, scored=False)

  def append(self, table: pa.Table) -> dict[str, int]:
    """Adds rows by one commit, all or none; returns what became of them.

    Raises:
      types.InputError: a column or a value that can't be used.
      bodies.Refused: the state can't be written now; nothing is kept.
    """
    rows = list(self.shown(raw_rows.rows_of_table(table, bodies.WHERE)))
    with self._available(), self._writing() as change:
      added = changes.append(change, self._shape, rows, self._settle_days)
      return dict(added)

  def look_up(self, rows: raw_rows.Rows) -> pa.Table:
    """As-of columns of rows.

    Raises:
      types.InputError: a column or a value that can't be used.
    """
    read = self._reader.read(rows, self._scorer.needs, scored=True)
    asked = [row for row in read if row is not None]
    with self._available():
      with self._reads.reading() as reads:
        look = look_lib.Look(reads, self._shape, asked, _MOST_OPEN)
        if len(look.rested) < _MOST_OPEN:
          return self._found(look)
      with self._writing() as change:
        before = max(row.time for row in asked) - self._shape.idle_ms
        changes.sweep(change, self._shape, before)
      with self._reads.reading() as reads:
        return self._found(look_lib.Look(reads, self._shape, asked))

  def _found(self, look: look_lib.Look) -> pa.Table:
    return pa.table({name: make(look) for name, make in self._columns})
