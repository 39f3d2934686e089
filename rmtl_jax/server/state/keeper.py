"""The state of a server's process: opened, loaded once, read and moved."""

from __future__ import annotations

import contextlib
import itertools
import logging
import pathlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation.as_of import history as history_lib
from rmtl_jax.server import bodies
from rmtl_jax.server.state import (
  changes,
  lanes,
  row_reader,
  row_types,
  store,
)
from rmtl_jax.server.state import look as look_lib
from rmtl_jax.server.state import shape as shape_lib
from rmtl_jax.serving import raw_rows, row_past
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
  """One process's part in a state.

  A thread that predicts and one that takes events may use it at once; models
  may change, if their logs' columns and tasks don't.
  """

  def __init__(
    self, scorer: scorer_lib.Scorer, where: str, settle_days: float = 7.0
  ):
    """Opens the state.

    Args:
      scorer: the model, for the log's columns.
      where: a directory.
      settle_days: after which only sums are kept of rows.

    Raises:
      types.InputError: no state can be kept, or one of another log is there.
    """
    self._shape = shape_lib.of_manifest(scorer.manifest)
    directory = pathlib.Path(where)
    # One for the thread that reads, one for that which writes.
    tasks = self._shape.tasks
    opened = directory, len(tasks), shape_lib.sums(tasks)
    self._reads = store.Store(*opened)
    self._writes = store.Store(*opened)
    self._settle_days = settle_days
    self.where = self._writes.where
    self._lock = threading.Lock()
    self._readers: dict[int, _Model] = {}
    try:
      with self._usable():
        self._check_shape()
    except BaseException:
      self.close()
      raise

  def _check_shape(self) -> None:
    wanted = self._shape.described()
    with self._writing() as change:
      found = change.fact(_SHAPE) or wanted
      if found == wanted:
        change.put_fact(_SHAPE, wanted)
    self._check_same(
      found, wanted, ' (columns, tasks or idle time differ); name another place'
    )

  def _check_same(
    self, found: dict[str, object], wanted: dict[str, object], why: str
  ) -> None:
    """Refuses a log that is described in another way."""
    if found == wanted:
      return
    what, ranks = f'another log{why}', {shape_lib.RANKS: None}
    if found | ranks == wanted | ranks:
      what = (
        'data whose ranks of numbers begin at other values; name another place,'
        ' or train on data that --extend made of these'
      )
    raise types.InputError(f'{self.where}: is the state of {what}')

  def take_up(self, scorer: scorer_lib.Scorer) -> None:
    """Prepares the state for a model, if it fits the state.

    Raises:
      types.InputError: it can't.
    """
    shape = shape_lib.of_manifest(scorer.manifest)
    self._check_same(
      self._shape.described(),
      shape.described(),
      ' than the model was trained on',
    )
    # A model that is being replaced still answers.
    readers = dict(list(self._readers.items())[-1:])
    readers[id(scorer)] = _Model(scorer, shape)
    self._readers = readers

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

  def load(
    self, scorer: scorer_lib.Scorer, history: str, say: Callable[[str], None]
  ) -> None:
    """Adds the rows of a history, unless another state is there.

    One process does it, the others wait. What was killed in the middle begins
    again: rows that are there already change nothing.

    Args:
      history: as for `rmtl predict`.

    Raises:
      types.InputError: rows that can't be used.
    """
    with self._usable(), self._writes.alone():
      with self._writing() as change:
        begun = change.fact(_HISTORY)
      if begun == 'done' or (begun is None and self._writes.fact('rows')):
        return
      model = self._readers[id(scorer)]
      say(f'reading the history: {history}')
      with raw_rows.open_log(history, scorer.delimiter) as parts:
        found = [row for part in parts for row in model.shown_rows(part)]
      rows = [row for row in found if row is not None]
      # A session's first row tells its split, so none is taken out again.
      rows.sort(key=lambda row: row.time)
      for start in range(0, len(rows), _CHUNK):
        done = start + _CHUNK >= len(rows)
        part = rows[start : start + _CHUNK]
        with self._writing() as change:
          changes.append(change, model.shape, part, self._settle_days)
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

  def append(
    self, scorer: scorer_lib.Scorer, tables: Sequence[pa.Table]
  ) -> list[dict[str, int] | Exception]:
    """Adds the rows of several requests by one commit.

    Returns:
      What became of the rows of each request, or what it is refused with; of
      such none is kept.

    Raises:
      bodies.Refused: the state can't be written now; nothing is kept.
    """
    model = self._readers[id(scorer)]
    found = model.shown(tables)
    with self._available(), self._writing() as change:
      return [
        one
        if isinstance(one, Exception)
        else dict(changes.append(change, model.shape, one, self._settle_days))
        for one in found
      ]

  def look_up(
    self, scorer: scorer_lib.Scorer, rows: raw_rows.Rows
  ) -> tuple[pa.Table, list[lanes.Earlier]]:
    """As-of columns of rows, and their sessions if the model reads them.

    Raises:
      types.InputError: a column or a value that can't be used.
    """
    model = self._readers[id(scorer)]
    asked = list(model.rows(rows))
    rested = max(row.time for row in asked) - model.shape.idle_ms
    with self._available():
      with self._reads.reading() as reads:
        many = len(reads.rested_events(rested, _MOST_OPEN)) == _MOST_OPEN
      if many:
        with self._writing() as change:
          changes.sweep(change, model.shape, rested)
    with self._available(), self._reads.reading() as reads:
      look = look_lib.Look(reads, model.shape, asked)
      columns = {name: make(look) for name, make in model.columns}
      earlier = model.earlier(look, asked) if scorer.needs.sessions else []
    return pa.table(columns), earlier


class _Model:
  """Reads the state for a model, and adds rows to it."""

  def __init__(self, scorer: scorer_lib.Scorer, shape: shape_lib.Shape):
    # Its own: a newer model's data may be split at other times.
    self.shape = shape
    self._reader = row_reader.Reader(scorer.manifest)
    self._needs: row_past.Needs = scorer.needs
    self._items = scorer.items
    self._lane_length = scorer.lane_length
    if self._items is None and (
      scorer.needs.sessions or history_lib.GROUP in scorer.needs.groups
    ):
      raise types.InputError('the model reads items and has no vocabulary')
    self.columns = [
      (one.column, look_lib.column(one, shape, self._items))
      for one in scorer.needs.fields
    ]

  def rows(self, table: raw_rows.Rows) -> Iterator[row_types.Row]:
    """Reads raw rows to predict for."""
    found = self._reader.read(table, self._needs, scored=True)
    return (row for row in found if row is not None)

  def shown_rows(self, table: raw_rows.Rows) -> Iterator[row_types.Row | None]:
    """Reads raw rows that were shown; None for what means nothing."""
    return self._reader.read(table, self._needs, scored=False)

  def shown(
    self, tables: Sequence[pa.Table]
  ) -> list[list[row_types.Row | None] | Exception]:
    """Reads rows of several requests, or what is wrong with each."""

    def read(numbers: list[int]) -> list[row_types.Row | None]:
      whole = pa.concat_tables([tables[n] for n in numbers])
      rows = raw_rows.rows_of_table(whole, bodies.WHERE)
      return list(self.shown_rows(rows))

    done, faults = bodies.work_together(tables, read)
    found: dict[int, list[row_types.Row | None] | Exception] = {**faults}
    for numbers, rows in done:
      left = iter(rows)
      for n in numbers:
        found[n] = list(itertools.islice(left, len(tables[n])))
    return [found[n] for n in range(len(tables))]

  def earlier(
    self, look: look_lib.Look, rows: Sequence[row_types.Row]
  ) -> list[lanes.Earlier]:
    """The earlier rows of each row's session."""
    assert self._items is not None
    found: dict[tuple[int, int], lanes.Earlier] = {}
    for row in rows:
      at = row.owner, row.time
      if at not in found:
        times = look.times(row)
        cut = lanes.find_cut(times, self._lane_length)
        items = pa.array(look.items(row, len(times) - cut), pa.string())
        rows_ = self._items.rows(items, is_text=True).tolist() if items else []
        found[at] = lanes.Earlier(times[cut:], rows_)
    return [found[row.owner, row.time] for row in rows]
