"""Settings of an extension, taken from the data that it continues.

`Base` is that data, `Extension` what the steps of `extend.py` hand on.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import in_memory, sessionize, source, sql, time_window
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.extending import past
from rmtl_jax.preparation.schema import vocabularies

# Settings that may differ in an extension.
_OF_NEW_ROWS = (
  *('raw_dir', 'data_dir', 'extend', 'schema', 'since', 'until', 'overwrite'),
  *('rows_per_file', 'memory_limit', 'threads', 'temp_dir'),
)


@dataclasses.dataclass(frozen=True)
class Base:
  """Prepared data that is extended.

  Attributes:
    directory: where it is.
    manifest: its manifest.
    config: the settings, completed by those of the data.
    schema: the schema of a table; None of another source.
  """

  directory: pathlib.Path
  manifest: manifest_lib.Manifest
  config: prepare_settings.PrepareConfig
  schema: dict[str, Any] | None

  @property
  def boundaries(self) -> tuple[int, int | None]:
    """Ends of the data's validation and test, ms; None if unknown."""
    splits = self.manifest.splits
    first = splits['validation'].end_ms
    assert first is not None  # splits follow each other in time
    return first, splits['test'].end_ms

  @property
  def as_of_fields(self) -> list[manifest_lib.Field]:
    """The data's as-of features."""
    return [f for f in self.manifest.fields if 'as_of' in f.details]

  @property
  def groups(self) -> tuple[str, ...]:
    """The groups of its as-of features, but for the histories."""
    found = dict.fromkeys(str(f.details['as_of']) for f in self.as_of_fields)
    return tuple(group for group in found if group != history.GROUP)

  @property
  def tastes(self) -> tuple[str, ...]:
    """Names of the fields that `tastes` is made by.

    Raises:
      types.InputError: as for tastes.recorded.
    """
    return asof_tastes.recorded(self.manifest.fields)


class Extension(NamedTuple):
  """New rows, and the data that they extend.

  Attributes:
    connection: holds their tables.
    rows: new rows, `row_id` from 0; `keys` may have past ones below 0.
    base: the data.
    past: its rows.
    seam: where the data ends and the new rows begin, ms.
    until: the end of the new rows, ms; None if unknown.
    idle_ms: a longer gap between two rows of a user starts a new session.
  """

  connection: sql.Connection
  rows: source.SourceTable
  base: Base
  past: past.Past
  seam: int
  until: int | None
  idle_ms: int

  @property
  def boundaries(self) -> sessionize.Boundaries:
    """Starts of validation and test, and the end of test.

    A past row is in a split by them, with the label that is known at that
    split's end.
    """
    return self.base.boundaries[0], self.seam, self.until


def read_base(
  config: prepare_settings.PrepareConfig,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None,
) -> Base:
  """Reads the manifest of `config.extend`, and takes its settings.

  Args:
    config: the settings as they are given.
    schema: as for `prepare`.

  Raises:
    types.InputError: no prepared data, data that can't be extended, or a
      setting that contradicts it.
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
  past.check(directory, len(manifest.options.get('extended', ())))
  if os.path.realpath(directory) == os.path.realpath(config.data_dir):
    raise types.InputError(
      f'data_dir: is {directory}, which is extended; name another directory'
    )
  settings = _settings(config, manifest, directory)
  if config.schema and schema is None:
    schema = config.schema
  return Base(
    directory,
    manifest,
    dataclasses.replace(config, schema='', **settings),
    _schema(manifest, directory, schema),
  )


def _settings(
  config: prepare_settings.PrepareConfig,
  manifest: manifest_lib.Manifest,
  directory: pathlib.Path,
) -> dict[str, Any]:
  """The settings that the data was made with, if no other ones are given."""
  recorded = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in manifest.options.items()
    if not name.startswith('split')
  }
  recorded |= {'split_by': 'rolling', 'source': manifest.source}
  recorded.setdefault('as_of', ('none',))
  found = {}
  for field in dataclasses.fields(config):
    name, given = field.name, getattr(config, field.name)
    if name in _OF_NEW_ROWS:
      continue
    made = recorded.get(name, field.default)
    fits = given in (field.default, made)
    if not (fits or (name == 'as_of' and _has_groups(config, made))):
      raise types.InputError(
        f'{name}: is {given!r:.80}, and {directory} was made with'
        f' {made!r:.80}; leave it out'
      )
    found[name] = made
  return found


def _has_groups(
  config: prepare_settings.PrepareConfig, made: Sequence[str]
) -> bool:
  """Whether the data have the as-of features that are asked for.

  `all` and `auto` stand for what the log could support.
  """
  whatever = {'all', 'auto'}
  if whatever & {*config.as_of}:
    return 'none' not in made and {*made} >= {*config.as_of} - whatever
  return {*made} - {'none'} == {*prepare_settings.as_of_groups(config)}


def _schema(
  manifest: manifest_lib.Manifest,
  directory: pathlib.Path,
  given: Mapping[str, Any] | str | os.PathLike[str] | None,
) -> dict[str, Any] | None:
  """The schema of the data; refuses another one."""
  recorded = manifest.options.get('schema')
  if recorded is None:
    if given is not None:
      raise types.InputError(
        f'schema: {directory} is of source {manifest.source!r}, which has none;'
        ' leave it out'
      )
    return None
  if given is not None:
    asked = (
      schema_lib.parse(in_memory.with_places(given), 'schema')
      if isinstance(given, Mapping)
      else schema_lib.read(pathlib.Path(given))
    )
    if asked.to_dict() != recorded:
      raise types.InputError(
        f'schema: is another one than {directory} was made with; leave it out'
      )
  return recorded | {'categorical': list(map(_plain, recorded['categorical']))}


def _plain(entry: Any) -> Any:
  """A field without the file of its vectors, which DATA has."""
  if not isinstance(entry, dict):
    return entry
  return {k: v for k, v in entry.items() if k != vocabularies.VECTORS}


def seam(base: Base, window: time_window.Window, first: int, last: int) -> int:
  """Where the data ends and the new rows begin, ms: validation's new end.

  Args:
    first: the earliest of them, ms.
    last: ms after which nothing is known to the data.

  Raises:
    types.InputError: `since` is before the end of the data, or nothing says
      that labels of its test are known by then.
  """
  _, end = base.boundaries
  if end is not None:
    if window.since is not None and window.since < end:
      raise types.InputError(
        f'since: is {time_window.shown(window.since)}, before the end of'
        f' {base.directory}, {time_window.shown(end)} (its until)'
      )
    return end
  found = first if window.since is None else window.since
  if found <= last:
    raise types.InputError(
      f'{base.directory}: has rows or labels up to {time_window.shown(last)},'
      f' and the new rows begin at {time_window.shown(found)}: prepare it with'
      ' --until, so that its test ends'
    )
  return found
