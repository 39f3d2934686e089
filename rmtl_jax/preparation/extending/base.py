"""Prepared data that is extended, and the settings that it gives."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.schema import fields as fields_lib

# Where new rows come from and go to; all other settings are the data's.
_OF_NEW_ROWS = (
  *('raw_dir', 'data_dir', 'extend', 'since', 'until', 'overwrite'),
  *('rows_per_file', 'memory_limit', 'threads', 'temp_dir'),
)


@dataclasses.dataclass(frozen=True)
class Base:
  """Prepared data that is extended.

  Attributes:
    directory: where it is.
    manifest: its manifest.
    config: the settings for new rows, completed by those of the data.
    schema: the schema of a table; None of another source.
  """

  directory: pathlib.Path
  manifest: manifest_lib.Manifest
  config: prepare_settings.PrepareConfig
  schema: dict[str, Any] | None

  @property
  def idle_ms(self) -> int:
    """A longer gap between two rows of a user starts a new session."""
    return round(self.config.idle_minutes * 60_000)

  @property
  def starts(self) -> tuple[int, int | None]:
    """Ends of the data's validation and test, ms; None if unknown."""
    splits = self.manifest.splits
    first = splits['validation'].end_ms
    assert first is not None  # splits follow each other in time
    return first, splits['test'].end_ms

  @property
  def tastes(self) -> tuple[str, ...]:
    """Names of the fields that `tastes` is made by.

    Raises:
      types.InputError: as for tastes.recorded.
    """
    return asof_tastes.recorded(self.manifest.fields)


def read(
  config: prepare_settings.PrepareConfig,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> Base:
  """Reads the manifest of `config.extend`, and takes its settings.

  Raises:
    types.InputError: no prepared data, data that can't be extended, or a
      setting that the data gives.
  """
  directory = pathlib.Path(config.extend)
  manifest = manifest_file.read(directory)
  if not manifest.split_by_time or manifest.splits['validation'].end_ms is None:
    raise types.InputError(
      f'{directory}: its splits do not follow each other in time, so nothing'
      ' can be added after them'
    )
  if manifest.delay_columns:
    raise types.InputError(
      f'{directory}: has labels that become final later (within_seconds), so'
      ' earlier rows change with new ones; prepare the whole log again'
    )
  given = [
    field.name
    for field in dataclasses.fields(config)
    if field.name not in _OF_NEW_ROWS
    and getattr(config, field.name) != field.default
  ]
  given += ['schema'] if schema is not None else []
  if given:
    raise types.InputError(
      f'{given[0]}: {directory}, which is extended, gives it; leave it out'
    )
  if os.path.realpath(directory) == os.path.realpath(config.data_dir):
    raise types.InputError(
      f'data_dir: is {directory}, which is extended; name another directory'
    )
  names = {field.name for field in dataclasses.fields(config)}
  settings = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in manifest.options.items()
    if name in names - {'schema', *_OF_NEW_ROWS}
    and not name.startswith('split')
  }
  settings.setdefault('as_of', ('none',))
  return Base(
    directory,
    manifest,
    dataclasses.replace(config, source=manifest.source, **settings),
    _schema(manifest),
  )


def _schema(manifest: manifest_lib.Manifest) -> dict[str, Any] | None:
  """The schema of the data, without files of vectors, which the data has."""
  schema = manifest.options.get('schema')
  if schema is None:
    return None
  entries = [
    {k: v for k, v in entry.items() if k != fields_lib.VECTORS}
    if isinstance(entry, dict)
    else entry
    for entry in schema.get('categorical', ())
  ]
  return schema | {'categorical': entries}
