"""The flow of `rmtl predict`: read, encode, predict, write, chunk by chunk."""

from __future__ import annotations

import contextlib
import os
import pathlib

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.runtime import progress
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import raw_rows, sinks
from rmtl_jax.serving import scorer as scorer_lib

PREFIX = 'p_'


def predict(
  scorer: scorer_lib.Scorer,
  source: str,
  target: str,
  history: str = '',
  memory_limit: str = '',
  live: progress.Progress | None = None,
) -> int:
  """Writes raw rows with a column `p_<task>` per task; returns how many.

  Args:
    source: raw rows: a Parquet or CSV file, or `-` (Arrow IPC stream on
      standard input).
    target: the same rows in the same order: a Parquet or CSV file, which
      appears when it is complete, or `-` (Arrow IPC stream on standard
      output). CSV has the delimiter of the run's log.
    history: earlier raw rows: a file or a directory of files; '' for none.
    memory_limit: memory of the past before it spills to disk.

  Raises:
    types.InputError: bad input; no file is left.
  """
  live = live or progress.Progress()
  delimiter = scorer.delimiter
  count, notes = 0, notes_lib.Notes()
  with contextlib.ExitStack() as stack:
    rows = stack.enter_context(raw_rows.open_rows(source, delimiter))
    earlier = None
    if history:
      earlier = stack.enter_context(raw_rows.open_log(history, delimiter))
    schema = _with_predictions(rows, scorer.tasks)
    live.start(f'predict ({scorer.stage})', rows.total)
    write = stack.enter_context(sinks.open_sink(target, schema, delimiter))
    for chunk, found in scorer.stream(rows, earlier, memory_limit, notes):
      added = [pa.array(column) for column in found.T]
      write(pa.table([*chunk.table.columns, *added], schema))
      count += len(found)
      live.advance(len(found))
  live.finish(f'{count:,} rows')
  for warning in notes.warnings():
    live.say(f'warning: {warning}')
  return count


def check_names(source: str, target: str) -> None:
  """Refuses names of files before anything is read.

  Raises:
    types.InputError: another kind of file, or one file for both.
  """
  raw_rows.check_name(source)
  sinks.check_name(target)
  if raw_rows.STANDARD in (source, target):
    return
  files = [pathlib.Path(name) for name in (source, target)]
  if all(p.is_file() for p in files) and os.path.samefile(*files):
    raise types.InputError(f'{target}: is the input, expected another file')


def _with_predictions(rows: raw_rows.Rows, tasks: tuple[str, ...]) -> pa.Schema:
  """The schema with a column per task."""
  taken = {name.lower(): name for name in rows.schema.names}
  schema = rows.schema
  for task in tasks:
    name = PREFIX + task
    if name.lower() in taken:
      raise types.InputError(
        f'{rows.path}: column {taken[name.lower()]!r} is there already, where'
        ' the predictions would go; rename or leave it out'
      )
    schema = schema.append(pa.field(name, pa.float32()))
  return schema
