"""The keys of a schema that the Spark job does not take."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import fields


def check(
  path: str, schema: schema_lib.TableSchema, paths: Sequence[pathlib.Path] = ()
) -> None:
  """Refuses what `rmtl prepare` does and the job does not.

  Args:
    path: of the schema, for the error.
    schema: as it was read.
    paths: the raw files.

  Raises:
    types.InputError: names the first such key, or the file.
  """
  tasks = schema.tasks
  keys = {
    'missing': bool(schema.missing),
    'null': bool(schema.nulls),
    'missing_indicator': any(
      fields.INDICATES in field.details for field in schema.fields
    ),
    'from_time': any(
      fields.FROM_TIME in field.details for field in schema.fields
    ),
    'time.zone': schema.clock.zone != times.UTC,
    'time.format': bool(schema.clock.format),
    'events': schema.events is not None,
    'time_column': any(task.clock is not None for task in tasks),
    'positive': any(task.positive for task in tasks),
    'negative': any(task.negative for task in tasks),
  }
  for key, is_there in keys.items():
    if is_there:
      raise types.InputError(
        f'{path}: {key}: the Spark job does not take it; rmtl prepare does'
      )
  for file in paths:
    if raw.compression(file) == 'zstd':
      raise types.InputError(
        f'{file}: the Spark job reads no zstd; rmtl prepare does'
      )
