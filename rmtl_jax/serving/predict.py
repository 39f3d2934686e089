"""The flow of `rmtl predict`: read, encode, predict, write, chunk by chunk."""

from __future__ import annotations

import os
import pathlib

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.serving import predictor as predictor_lib
from rmtl_jax.serving import rows as rows_lib
from rmtl_jax.serving import sinks
from rmtl_jax.training import progress

PREFIX = 'p_'


def predict(
  workdir: pathlib.Path,
  source: str,
  target: str,
  stage: str = '',
  live: progress.Progress | None = None,
) -> int:
  """Writes raw rows with one more column per task, `p_<task>`.

  Args:
    workdir: RUN.
    source: raw rows: a Parquet or CSV file, or `-` (Arrow IPC stream on
      standard input).
    target: the same rows in the same order: a Parquet or CSV file, which
      appears when it is complete, or `-` (Arrow IPC stream on standard
      output).
    stage: as for `predictor.load`.
    live: where progress and warnings go.

  Returns:
    The number of rows.

  Raises:
    types.InputError: bad input or a run that can't predict; no file is left.
  """
  live = live or progress.Progress()
  _check_names(source, target)
  predictor = predictor_lib.load(workdir, stage)
  delimiter = _delimiter(predictor.run.manifest)
  count = 0
  with rows_lib.open_rows(source, delimiter) as rows:
    predictor.encoder.check(rows.schema, rows.path)
    schema = _with_predictions(rows, predictor.tasks)
    live.start(f'predict ({predictor.stage})', rows.total)
    with sinks.open_sink(target, schema, delimiter) as write:
      for chunk in rows.chunks(predictor.chunk_rows):
        found = predictor.probabilities(chunk)
        added = [pa.array(column) for column in found.T]
        write(pa.table([*chunk.table.columns, *added], schema))
        count += len(found)
        live.advance(len(found))
  live.finish(f'{count:,} rows')
  for warning in predictor.encoder.unknown_fields():
    live.say(f'warning: {warning}')
  return count


def _check_names(source: str, target: str) -> None:
  rows_lib.check_name(source)
  sinks.check_name(target)
  files = [pathlib.Path(name) for name in (source, target)]
  if all(p.is_file() for p in files) and os.path.samefile(*files):
    raise types.InputError(f'{target}: is the input, expected another file')


def _delimiter(manifest: manifest_lib.Manifest) -> str:
  """Between the values of CSV: what the run's own schema says."""
  schema = manifest.options.get('schema')
  found = schema.get('delimiter') if isinstance(schema, dict) else None
  return found if isinstance(found, str) and len(found) == 1 else ','


def _with_predictions(rows: rows_lib.Rows, tasks: tuple[str, ...]) -> pa.Schema:
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
