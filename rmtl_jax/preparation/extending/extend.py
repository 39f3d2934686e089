"""What `rmtl prepare --extend` does where data has a past.

`docs/every_day.md` lists what equals data that is prepared at once.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rmtl_jax import durable, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  ranks,
  sessionize,
  source,
  sql,
  time_window,
)
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.extending import base as base_lib
from rmtl_jax.preparation.extending import past as past_lib

# The earlier splits with which each split of extended data begins.
_ROLLING = {'train': ('train', 'validation'), 'validation': ('test',)}
# Options of the splits of the data.
_REPLACED = ('split', 'split_dates', 'until')


def as_the_data(
  connection: sql.Connection, rows: source.SourceTable, base: base_lib.Base
) -> source.SourceTable:
  """The new rows alone, with the levels and the edges of ranks of the data."""
  if rows.open_events:  # the reader has joined past rows
    view = sql.create_view(connection, f'FROM {rows.view} WHERE row_id >= 0')
    rows = dataclasses.replace(rows, view=view)
  known = {task.name: tuple(task.levels) for task in base.manifest.tasks}
  tasks = tuple(
    dataclasses.replace(task, levels=known.get(task.name, task.levels))
    for task in rows.tasks
  )
  tasks = ranks.recorded(base.manifest.options, tasks)
  return dataclasses.replace(rows, tasks=tasks)


def add_features(
  rows: source.SourceTable,
  past: past_lib.Past,
  places: sessionize.RowPlaces,
) -> source.SourceTable:
  """Adds the data's as-of features to the rows of `Past.before`.

  Raises:
    types.InputError: no new row has a place in test, or rows lack a field.
  """
  if not places.rows[2]:
    raise types.InputError(
      f'{rows.table.place}: no new row is left for test:'
      f' {sum(places.dropped)} are in sessions that began before the end of the'
      f' data, and {places.immature[2]} have no label that is known by the end'
    )
  base = past.base
  made = [f for f in base.manifest.fields if 'as_of' in f.details]
  numbers = [field.name for field in asof_slates.fields_of(rows)]
  asof_groups.check_slates(made, numbers)
  fields = tuple(_declared(field) for field in made)
  binned = tuple(f for f in fields if f.is_binned)
  if binned:
    plan = asof_groups.recorded_plan(
      base.manifest,
      base.idle_ms,
      (str(field.details['as_of']) for field in binned),
      rows.rated_tasks,
    )
    table, _ = asof.compute_features(past.connection, rows, places, plan)
    view = asof.join(past.connection, rows, table, binned)
    rows = dataclasses.replace(rows, view=view)
  by_name = {field.name: field for field in rows.fields + fields}
  for field in base.manifest.fields:
    if field.name not in by_name:
      raise types.InputError(
        f'{rows.table.place}: has no field {field.name!r}, which'
        f' {base.directory} has'
      )
  found = tuple(by_name[field.name] for field in base.manifest.fields)
  return dataclasses.replace(rows, fields=found)


def _declared(field: manifest_lib.Field) -> source.SourceField:
  """An as-of feature as `groups` declares it."""
  if field.vocabulary_owner is not None:
    return history.history_field(
      field.name, field.vocabulary_owner, field.width
    )
  name = field.name.removeprefix(asof_groups.PREFIX)
  made = {name: {'as_of': field.details['as_of']}}
  return asof_groups.binned_fields(made)[0]


def link_files(
  base: base_lib.Base, directory: pathlib.Path
) -> dict[str, tuple[str, ...]]:
  """Links the data's files: those of its past, and those that change split.

  Returns:
    The files of the splits that begin with earlier ones.
  """
  (directory / past_lib.FOLDER).mkdir()
  for path in past_lib.files(base.directory):
    _link(path, directory / past_lib.FOLDER / path.name)
  found = {}
  for split, origins in _ROLLING.items():
    old = [n for origin in origins for n in base.manifest.splits[origin].files]
    new = tuple(f'{split}/part-{i:05d}.parquet' for i in range(len(old)))
    for earlier, name in zip(old, new, strict=True):
      _link(base.directory / earlier, directory / name)
    found[split] = new
  return found


def _link(path: pathlib.Path, new: pathlib.Path) -> None:
  """Makes a hard link, or a copy where there can be none.

  Raises:
    types.InputError: the file is not there.
    OSError: names the copy if its disk is full.
  """
  # Not to a symbolic link itself, which another directory would not resolve.
  real = os.path.realpath(path)
  try:
    os.link(real, new)
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except OSError:  # a system without links, or without one for this file
    durable.copy_file(pathlib.Path(real), new)


def add_to_manifest(
  past: past_lib.Past,
  fields: tuple[manifest_lib.Field, ...],
  new: dict[str, manifest_lib.Split],
  files: Mapping[str, tuple[str, ...]],
  source_files: tuple[dict[str, Any], ...],
  report: dict[str, Any],
) -> manifest_lib.Manifest:
  """The manifest of extended data.

  Args:
    new: the splits of the new rows.
    files: of every split.
    source_files: of the new rows.
    report: of the new rows.
  """
  base, (first, seam) = past.base, past.boundaries
  old, config = base.manifest, base.config
  ends = {'train': first, 'validation': seam}
  splits = {
    split: dataclasses.replace(
      manifest_lib.together(*(old.splits[origin] for origin in origins)),
      files=files[split],
      end_ms=ends[split],
    )
    for split, origins in _ROLLING.items()
  }
  step = {
    'data': str(base.directory),
    'since': config.since or time_window.shown(seam),
    'until': config.until or None,
    'rows': new['test'].rows,
    'first_row_id': past.first_row,
  }
  options = {k: v for k, v in old.options.items() if k not in _REPLACED}
  options['split_by'] = 'rolling'
  options['extended'] = [*old.options.get('extended', ()), step]
  if config.until:
    options['until'] = config.until
  sizes = {field.name: field.size for field in old.fields}
  added = {
    field.name: field.size - sizes[field.name]
    for field in fields
    if field.has_vocabulary
  }
  kept = {k: v for k, v in old.report.items() if k == 'as_of_left_out'}
  raw_rows = old.report['raw_rows'] + report['raw_rows']
  # Days of one log come from the same files.
  known = old.source_files
  return dataclasses.replace(
    old,
    fields=fields,
    splits=splits | new,
    options=options,
    source_files=(*known, *(f for f in source_files if f not in known)),
    report=report | kept | {'raw_rows': raw_rows, 'new_values': added},
  )
