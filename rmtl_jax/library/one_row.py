"""One row at a time of a fitted Ranker, in milliseconds.

SQL over the fitted log takes some 0.2 s, however few the rows are. What a
server keeps of a log (rmtl_jax/server/state) gives the same features by
look-up, once the log is read into it.
"""

from __future__ import annotations

import pathlib
import threading
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import parquet
from rmtl_jax.library import fitting
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import scorer as scorer_lib

# A log of so many rows is read in 3 s; rows behind a longer one take SQL.
_MOST_ROWS = 20_000


class OneRow:
  """Predicts for single rows behind a log; threads may share it."""

  def __init__(self, model: scorer_lib.Scorer, log: pathlib.Path):
    """Reads nothing yet."""
    self._model, self._log = model, log
    self._lock = threading.Lock()
    self._made: Any = None

  def warm_up(self) -> bool:
    """Reads the log; False: it can't be kept as a server keeps it."""
    with self._lock:
      if self._made is None:
        self._made = self._make() or ()
      return bool(self._made)

  def score(self, row: pa.Table) -> scorer_lib.Predictions | None:
    """Predictions for one row; None: leave it to the SQL, errors included."""
    if not self.warm_up():
      return None
    scoring, keeper = self._made
    with self._lock:
      notes = notes_lib.Notes()
      try:
        values = scoring.score(self._model, keeper, row, notes)
      except types.InputError:
        return None
    return scorer_lib.Predictions(
      {task: values[:, k] for k, task in enumerate(self._model.tasks)},
      notes.unseen(),
      notes.warnings(),
    )

  def _make(self) -> Any:
    """The server's module and its memory of the log, or None."""
    if not self._log.is_file():
      return None
    with parquet.open_file(self._log) as file:
      if file.metadata.num_rows > _MOST_ROWS:
        return None
    try:
      # With the packages of a server.
      from rmtl_jax.server import scoring
      from rmtl_jax.server.state import keeper as keeper_lib

      self._place = fitting.Scratch()
      keeper = keeper_lib.Keeper(self._model, str(self._place.path))
      keeper.load(str(self._log), lambda line: None)
    except (ImportError, types.InputError):  # for example a log without times
      return None
    return scoring, keeper
