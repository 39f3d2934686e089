"""Refuses what the Spark job does not read of a schema, rather than ignore it.

Keys that are not listed here are refused: a new one of `rmtl prepare` has to be
done before it is taken.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import raw_files as raw

_ROLES = ('session', 'user', 'item', 'weight')
_FIELDS = {
  'categorical': ('name', 'column'),
  'multi_valued': ('name', 'column', 'separator'),
  'numeric': ('name', 'column', 'transform', 'bins'),
}
_TASK = (
  *('name', 'column', 'after', 'known_after_seconds', 'kind', 'loss', 'levels'),
  *('null', 'only_after', 'weight', 'negatives_kept'),
)
_KEYS = (*_ROLES, *_FIELDS, 'tasks', 'time', 'delimiter', 'missing')
_UNITS = ('ms', 'us', 's', 'iso')


def check(
  schema: schema_lib.TableSchema,
  path: str,
  files: Iterable[pathlib.Path] = (),
) -> None:
  """Refuses a schema with a key or a value that the job does not read.

  Args:
    schema: as `rmtl prepare` reads it.
    path: of its file, for the error.
    files: the raw files.

  Raises:
    types.InputError: names the key, or the file.
  """
  for file in files:
    if raw.compression(file) == 'zstd':
      raise types.InputError(
        f'{file}: the Spark job reads no zstd; rmtl prepare does'
      )
  for key in _unknown(schema.record):
    raise types.InputError(
      f'{path}: {key}: the Spark job does not take it; rmtl prepare does'
    )


def _unknown(record: dict[str, Any]) -> Iterator[str]:
  """The keys that the job does not read, as errors name them."""
  yield from _others(record, _KEYS)
  for role in _ROLES:
    # An object says more than a column's name.
    if not isinstance(record.get(role, ''), str):
      yield role
  time = record.get('time', {})
  yield from _others(time, ('column', 'unit'), 'time.')
  if time.get('unit', 'ms') not in _UNITS:
    yield f'time.unit={time["unit"]}'
  for kind, keys in _FIELDS.items():
    for i, field in enumerate(record.get(kind, ())):
      yield from _others(field, keys, f'{kind}[{i}].')
  for i, task in enumerate(record['tasks']):
    if isinstance(task, str):
      continue
    loss = task.get('loss')
    settings = kinds.LOSSES.find(loss).settings if loss else ()
    yield from _others(task, (*_TASK, *settings), f'tasks[{i}].')
    if task.get('null') not in (None, 'refused', 'not_observed'):
      yield f'tasks[{i}].null'


def _others(
  record: dict[str, Any] | str, known: Iterable[str], place: str = ''
) -> list[str]:
  # A text is the name of a column.
  keys = () if isinstance(record, str) else record
  return [f'{place}{key}' for key in keys if key not in known]
