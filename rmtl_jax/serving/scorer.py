"""Predicts for raw rows, by a run or by an exported model.

`Predictor` (a run) and `Exported` (an exported model) differ in how they call
the network; reading, encoding, the past and the order of rows are shared here.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
import pathlib
import warnings
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.serving import encoder as encoder_lib
from rmtl_jax.serving import kept as kept_lib
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import (
  raw_rows,
  row_past,
  row_slates,
  vocabulary_lookup,
)

# Most rows of a call of the network.
CHUNK_ROWS = 16_384


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Predictions for R raw rows, with remarks.

  Attributes:
    probabilities: {task: f32[R]}, rows in their order; of tasks that are not
      binary predictions on the label's scale.
    unseen: for each field with a vocabulary, the fraction of its non-missing
      values that the vocabulary lacks.
    warnings: lines for a person.
  """

  probabilities: dict[str, np.ndarray]
  unseen: dict[str, float]
  warnings: list[str]


class Scorer(abc.ABC):
  """A trained model that predicts for raw rows; threads may share it.

  Attributes:
    path: of the run or export.
    manifest: of the data that the model was trained on.
    stage: the stage of the parameters.
    tasks: K names.
    spec: what its network reads.
    encoder: encodes raw rows.
    needs: the model's inputs from the past.
    slates: computes what it reads of rows that are shown together.
  """

  stage: str

  def __init__(
    self,
    path: pathlib.Path,
    manifest: manifest_lib.Manifest,
    ignored: Collection[str],
  ):
    """Reads the vocabularies.

    Args:
      path: where `vocabulary/` is.
      manifest: of the data that the model was trained on.
      ignored: fields that the model does not see.

    Raises:
      types.InputError: vocabularies that are not the manifest's.
    """
    self.path, self.manifest = path, manifest
    self.tasks, self.spec = manifest.task_names, manifest.feature_spec()
    self.encoder = encoder_lib.Encoder(path, manifest, ignored)
    past, slate = [], []
    for field in self.encoder.as_of:
      is_slate = field.details['as_of'] == asof_slates.GROUP
      (slate if is_slate else past).append(field)
    self.needs = row_past.Needs(tuple(past))
    self.slates = row_slates.Slates(manifest, slate)

  def __repr__(self) -> str:
    past = ', takes the past' if self.needs else ''
    return (
      f'{type(self).__name__}: stage {self.stage}, tasks'
      f' {", ".join(self.tasks)}{past}\n  {self.path}'
    )

  @property
  def computed(self) -> tuple[str, ...]:
    """The as-of columns that rows need not have."""
    return self.needs.columns + self.slates.columns

  @property
  def items(self) -> vocabulary_lookup.Vocabulary | None:
    """The run's vocabulary of items; None if it reads none."""
    field = self.manifest.item_field
    return self.encoder.vocabulary(field) if field is not None else None

  @abc.abstractmethod
  def network(self, *inputs: Any) -> np.ndarray:
    """Probabilities of encoded rows.

    Args:
      *inputs: categorical i32[b, F], multi_valued i32[b, M] (-1 in unused
        slots), numeric f32[b, N].

    Returns:
      f32[b, K]. Every new b compiles a program.
    """

  def warm_up(self, rows: int = 1) -> None:
    """Compiles the programs of requests, and makes look-ups ready."""
    self.encoder.warm_up()
    widths = self.spec.input_widths
    for size in padded_sizes(min(rows, CHUNK_ROWS)):
      self.network(*(np.zeros((size, width), kind) for width, kind in widths))

  def infer(self, inputs: types.Inputs) -> np.ndarray:
    """Predictions for up to `CHUNK_ROWS` encoded rows, f32[R, K].

    By one call of `network`, on one of few sizes.
    """
    columns = (inputs.categorical, inputs.multi_valued, inputs.numeric)
    count = len(columns[0])
    missing = [(0, padded_sizes(count)[-1] - count), (0, 0)]
    padded = [np.pad(np.asarray(x), missing) for x in columns]
    return self.network(*padded)[:count].copy()

  @property
  def delimiter(self) -> str:
    """The delimiter of CSV, of the run's log; '' for that of a file's name."""
    return raw_rows.log_delimiter(self.manifest)

  def predict(self, table: Any, history: Any = None) -> dict[str, np.ndarray]:
    """Predictions for raw rows; remarks go to `warnings.warn`.

    Args:
      table: R rows: a pyarrow.Table, or what `tables.to_arrow` takes: any
        frame, a list of dicts, a dict of columns. Of its columns those of the
        features are used, named as in the raw log (source `table`) or as the
        fields (other sources); a model that needs the past needs session, user
        and time too (serving/past_log.py); labels are not needed.
      history: earlier raw rows, labels included: a table, or the path of a
        Parquet or CSV file or of a directory of such, or what `keep_history`
        gave.

    Returns:
      {task: f32[R]}, rows in their order.

    Raises:
      types.InputError: a column that is missing or of another type, or a value
        that its field can't have; names the column and the row, from 1.
    """
    return self._with_warnings(table, history)

  def predict_proba(self, table: Any, history: Any = None) -> np.ndarray:
    """As `predict`, f32[R, K]: a column per task, in the order of `tasks`."""
    found = self._with_warnings(table, history)
    return np.stack([found[task] for task in self.tasks], axis=1)

  def _with_warnings(self, table: Any, history: Any) -> dict[str, np.ndarray]:
    scored = self.score(table, history)
    for line in scored.warnings:
      warnings.warn(line, stacklevel=3)  # where the caller of `predict` stands
    return scored.probabilities

  def score(self, table: Any, history: Any = None) -> Predictions:
    """Probabilities of raw rows, with remarks.

    Raises:
      types.InputError: as for `predict`.
    """
    rows, notes = raw_rows.rows_of_table(table), notes_lib.Notes()
    found = [np.zeros((0, len(self.tasks)), np.float32)]
    with contextlib.ExitStack() as stack:
      earlier = history
      if not isinstance(history, kept_lib.KeptHistory | None):
        earlier = stack.enter_context(self._opened(history))
      found += [v for _, v in self.stream(rows, earlier, notes=notes)]
    values = np.concatenate(found)
    return Predictions(
      {task: values[:, k] for k, task in enumerate(self.tasks)},
      notes.unseen(),
      notes.warnings(),
    )

  def keep_history(self, history: Any) -> kept_lib.KeptHistory:
    """Reads a history once, for many calls of `predict`.

    Returns:
      What `predict` takes as its history; `extend_history` appends to it.

    Raises:
      types.InputError: as for `predict`.
    """
    found = kept_lib.KeptHistory(self.manifest, self.needs, self.items)
    self.extend_history(found, history)
    return found

  def extend_history(self, history: kept_lib.KeptHistory, table: Any) -> None:
    """Appends rows to a kept history, all or none.

    Args:
      table: later raw rows, labels included: as the history of `predict`.

    Raises:
      types.InputError: as for `predict`; the history is as before.
    """
    with self._opened(table) as parts:
      history.append(parts, CHUNK_ROWS)

  @contextlib.contextmanager
  def _opened(self, history: Any) -> Iterator[list[raw_rows.Rows]]:
    """Opens a history that is a table or a path."""
    if isinstance(history, str | os.PathLike):
      with raw_rows.open_log(os.fspath(history), self.delimiter) as parts:
        yield parts
    else:
      yield [raw_rows.rows_of_table(history, 'history')]

  def stream(
    self,
    rows: raw_rows.Rows,
    history: Iterable[raw_rows.Rows] | kept_lib.KeptHistory | None = None,
    memory_limit: str = '',
    notes: notes_lib.Notes | None = None,
  ) -> Iterator[tuple[raw_rows.Chunk, np.ndarray]]:
    """Predicts chunk by chunk, in the order of rows; f32[R, K] each.

    Args:
      memory_limit: memory of the past before it spills to disk.
      notes: collects unseen values and warnings.

    Raises:
      types.InputError: as for `predict`.
    """
    notes = notes or notes_lib.Notes()
    # Without a past, rows stream through; with one, all of them are needed
    # before the first can be predicted for.
    if self._is_complete(rows, history, notes):
      self.encoder.check(rows.schema, rows.path, self.slates.added(rows.schema))
      with contextlib.ExitStack() as stack:
        if self.slates.columns and raw_rows.are_read_once(rows):
          directory = stack.enter_context(row_past.scratch_directory())
          rows = raw_rows.make_rereadable(rows, directory)
        for chunk, inputs in self._encoded(rows, notes):
          yield chunk, self.infer(inputs)
      return
    added = self.slates.added(rows.schema)
    self.encoder.check(rows.schema, rows.path, (*self.needs.columns, *added))
    with row_past.scratch_database(memory_limit) as (connection, directory):
      again = raw_rows.make_rereadable(rows, directory)
      past = self._past(connection, again, history)
      notes.lines += past.warnings
      for chunk, inputs in self._encoded(again, notes, past):
        yield chunk, self.infer(inputs)

  def _past(
    self,
    connection: sql.Connection,
    rows: raw_rows.Rows,
    history: Iterable[raw_rows.Rows] | kept_lib.KeptHistory | None,
  ) -> row_past.Past:
    """The past of rows to predict for, computed."""
    past = row_past.Past(connection, self.manifest, self.needs)
    if isinstance(history, kept_lib.KeptHistory):
      seen = history.seen
      past.start_after(seen.rows)
      past.add(rows, scored=True, size=CHUNK_ROWS)
      past.add_kept(history.near(seen, past.keys()), seen.numbers)
    else:
      for part in history or ():
        past.add(part, scored=False, size=CHUNK_ROWS)
      past.add(rows, scored=True, size=CHUNK_ROWS)
    past.compute(self.items, self.encoder.tastes)
    return past

  def _is_complete(
    self,
    rows: raw_rows.Rows,
    history: Iterable[raw_rows.Rows] | kept_lib.KeptHistory | None,
    notes: notes_lib.Notes,
  ) -> bool:
    """Whether rows have all inputs of the model: no past is computed."""
    if isinstance(history, kept_lib.KeptHistory) and (
      (history.manifest, history.needs) != (self.manifest, self.needs)
    ):
      raise types.InputError(
        'history: was kept by a model of other data; let this one keep its own'
      )
    computed = self.needs.columns
    given = [name for name in computed if name in rows.schema.names]
    if history is not None:
      self.needs.check_absent(given, rows.path, 'history')
      if not self.needs:
        notes.lines.append('the model takes nothing from the history')
      return not self.needs
    if given or not computed:
      return True  # of some alone the encoder tells which is missing
    if self.needs.user_history:
      names = ', '.join(computed)
      raise types.InputError(
        f'{rows.path}: the model has as-of features, which take the past: give'
        ' a history (`history=`; on the command line --history), or all of them'
        f' as columns ({names})'
      )
    return False

  def with_slates(self, table: pa.Table, path: str) -> pa.Table:
    """Rows with the columns of their slates.

    Args:
      table: rows that are shown together and no others.

    Raises:
      types.InputError: a column that is missing or of another type.
    """
    found = self.slates.of_table(table, path)
    return table if found is None else with_columns(table, found)

  def _encoded(
    self,
    rows: raw_rows.Rows,
    notes: notes_lib.Notes,
    past: row_past.Past | None = None,
  ) -> Iterator[tuple[raw_rows.Chunk, types.Inputs]]:
    """Encodes rows in their order, with their as-of features."""
    computed = [self.slates.of_rows(rows)]
    if past is not None and self.needs.columns:
      computed.append(past.columns())
    readers = [reader for reader in computed if reader is not None]
    for chunk in rows.chunks(CHUNK_ROWS):
      table = chunk.table
      for reader in readers:
        table = with_columns(table, reader.take(chunk.table.num_rows))
      whole = raw_rows.Chunk(table, chunk.path, chunk.lines)
      yield chunk, self.encoder.encode(whole, notes)


def with_columns(table: pa.Table, others: pa.Table) -> pa.Table:
  """The table with the columns of another, row by row."""
  for name, column in zip(others.column_names, others.columns, strict=True):
    table = table.append_column(name, column)
  return table


def padded_sizes(count: int) -> list[int]:
  """Numbers of rows that calls of up to `count` are padded to.

  Few, so that few programs are compiled: steps of four while padding costs less
  than a program, then powers of two.

  >>> padded_sizes(20), padded_sizes(1000)
  ([8, 32], [8, 32, 128, 512, 1024])
  """
  sizes = [8]
  while sizes[-1] < count:
    sizes.append(sizes[-1] * (4 if sizes[-1] < 512 else 2))
  return sizes
