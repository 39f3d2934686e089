"""The state of a server's process: opened, loaded once, read and moved."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation.as_of import history as history_lib
from rmtl_jax.server import bodies
from rmtl_jax.server.state import features, lanes, reading, sqlite
from rmtl_jax.server.state import state as state_lib
from rmtl_jax.serving import past
from rmtl_jax.serving import rows as rows_lib
from rmtl_jax.serving import scorer as scorer_lib

_LOG = logging.getLogger('rmtl_jax.server')
_LOCK = 'lock'
# Rows of a history that are kept by one commit.
_CHUNK = 4096
# What a state remembers of itself.
_SHAPE, _HISTORY = 'shape', 'history'


class Keeper:
  """One process's part in a state.

  A thread that predicts and one that takes events may use it at once; models
  may change, if their logs' columns and tasks don't.
  """

  def __init__(self, scorer: scorer_lib.Scorer, where: str):
    """Opens the state.

    Args:
      scorer: the model, for the log's columns.
      where: a directory.

    Raises:
      types.InputError: no state can be kept, or one of another log is there.
    """
    self.where = where
    self._shape = state_lib.shape(scorer.manifest)
    self._directory = pathlib.Path(where)
    self._reads = sqlite.Store(self._directory)
    self._writes = sqlite.Store(self._directory)
    self._lock = threading.Lock()
    self._readers: dict[int, _Model] = {}
    self._check_shape()

  def _check_shape(self) -> None:
    with self._lock, self._writes.writing():
      found = self._writes.fact(_SHAPE)
      if found is None:
        self._writes.put_fact(_SHAPE, self._shape.described())
    if found is not None and found != self._shape.described():
      raise types.InputError(
        f'{self.where}: is the state of another log (columns, tasks or idle'
        ' time differ); name another directory'
      )

  def take_up(self, scorer: scorer_lib.Scorer) -> None:
    """Makes ready for a model, if it can go on with this state.

    Raises:
      types.InputError: it can't.
    """
    shape = state_lib.shape(scorer.manifest)
    if shape.described() != self._shape.described():
      raise types.InputError(
        f'{self.where}: is the state of another log than the model was trained'
        ' on'
      )
    # A model that is being replaced still answers.
    readers = dict(list(self._readers.items())[-1:])
    readers[id(scorer)] = _Model(scorer, shape)
    self._readers = readers

  def close(self) -> None:
    """Closes the files."""
    self._reads.close()
    self._writes.close()

  def size(self) -> int:
    """How many rows are kept."""
    with self._lock:
      return self._writes.size()

  def load(
    self,
    scorer: scorer_lib.Scorer,
    history: str,
    say: Callable[[str], None],
  ) -> None:
    """Adds the rows of a history, unless another state is there.

    One process does it, the others wait. What was killed in the middle begins
    again: rows that are there already change nothing.

    Args:
      scorer: the model.
      history: as for `rmtl predict`.
      say: takes lines for a person.

    Raises:
      types.InputError: rows that can't be used.
    """
    with self._alone():
      begun = self._writes.fact(_HISTORY)
      if begun == 'done' or (begun is None and self._writes.size()):
        return
      model = self._readers[id(scorer)]
      say(f'reading the history: {history}')
      with rows_lib.open_log(history, scorer.delimiter) as parts:
        rows = [row for part in parts for row in model.rows(part, scored=False)]
      # A session's first row tells its split, so that one comes first.
      rows.sort(key=lambda row: row.time)
      for start in range(0, len(rows), _CHUNK):
        done = start + _CHUNK >= len(rows)
        with self._lock, self._writes.writing():
          part = rows[start : start + _CHUNK]
          state_lib.append(self._writes, self._shape, part)
          self._writes.put_fact(_HISTORY, 'done' if done else 'begun')
      say(f'history: {len(rows):,} rows')

  @contextlib.contextmanager
  def _alone(self) -> Iterator[None]:
    """Keeps other processes out."""
    with open(self._directory / _LOCK, 'w', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      yield

  @contextlib.contextmanager
  def _available(self) -> Iterator[None]:
    try:
      yield
    except self._writes.errors as error:
      _LOG.error('state %s: %s', self.where, types.first_line(error))
      raise bodies.Refused(
        'state: not available; try again later', 503
      ) from None

  def append(
    self, scorer: scorer_lib.Scorer, tables: Sequence[pa.Table]
  ) -> list[dict[str, int] | Exception]:
    """Adds the rows of several requests by one commit.

    Args:
      scorer: the model, for the log's columns.
      tables: rows of each request, with labels.

    Returns:
      What became of the rows of each request, or what it is refused with; of
      such none is kept.

    Raises:
      bodies.Refused: the state can't be written now; nothing is kept.
    """
    found = self._readers[id(scorer)].shown(tables)
    with self._lock, self._available(), self._writes.writing():
      return [
        one
        if isinstance(one, Exception)
        else dict(state_lib.append(self._writes, self._shape, one))
        for one in found
      ]

  def look_up(
    self, scorer: scorer_lib.Scorer, rows: rows_lib.Rows
  ) -> tuple[pa.Table, list[lanes.Earlier]]:
    """As-of columns of rows, and their sessions if the model reads them.

    Raises:
      types.InputError: a column or a value that can't be used.
    """
    model = self._readers[id(scorer)]
    asked = list(model.rows(rows, scored=True))
    with self._available(), self._reads.reading():
      look = state_lib.Look(self._reads, self._shape)
      columns = {name: make(look, asked) for name, make in model.columns}
      earlier = model.earlier(look, asked) if scorer.needs.sessions else []
    return pa.table(columns), earlier


class _Model:
  """What a model reads of the state."""

  def __init__(self, scorer: scorer_lib.Scorer, shape: state_lib.Shape):
    self._reader = reading.Reader(scorer.manifest)
    self._needs: past.Needs = scorer.needs
    field = scorer.manifest.item_field
    self._items = None if field is None else scorer.encoder.vocabulary(field)
    if self._items is None and (
      scorer.needs.sessions or history_lib.GROUP in scorer.needs.groups
    ):
      raise types.InputError('the model reads items and has no vocabulary')
    self.columns = [
      (one.column, features.column(one, shape.tasks, self._items))
      for one in scorer.needs.fields
    ]

  def rows(self, table: rows_lib.Rows, scored: bool) -> Iterator[reading.Row]:
    """Reads raw rows."""
    return self._reader.read(table, self._needs, scored)

  def shown(
    self, tables: Sequence[pa.Table]
  ) -> list[list[reading.Row] | Exception]:
    """Reads rows of several requests, or what is wrong with each."""
    if len(tables) > 1 and all(t.schema == tables[0].schema for t in tables):
      # A query costs the same for one row as for many.
      whole = self.shown([pa.concat_tables(tables)])[0]
      if isinstance(whole, list):
        rows = iter(whole)
        return [list(itertools.islice(rows, len(table))) for table in tables]
    found: list[list[reading.Row] | Exception] = []
    for table in tables:
      try:
        rows = rows_lib.rows_of_table(table, bodies.WHERE)
        found.append(list(self.rows(rows, scored=False)))
      except types.InputError as error:
        found.append(error)
    return found

  def earlier(
    self, look: state_lib.Look, rows: Sequence[reading.Row]
  ) -> list[lanes.Earlier]:
    """What came before each row in its session."""
    assert self._items is not None
    found: dict[tuple[str, int], lanes.Earlier] = {}
    for row in rows:
      at = row.owner, row.time
      if at not in found:
        events = look.session(row).events
        items = pa.array([event.item for event in events], pa.string())
        found[at] = lanes.Earlier(
          [event.time for event in events],
          self._items.rows(items, is_text=True).tolist() if events else [],
        )
    return [found[row.owner, row.time] for row in rows]
