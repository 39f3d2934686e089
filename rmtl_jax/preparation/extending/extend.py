"""New days for prepared data: the flow of `rmtl prepare --extend`.

read -> check -> find the seam -> go on with sessions -> as-of features with
statistics of past rows -> grow vocabularies -> encode -> link, write.
`docs/every_day.md` lists what equals data that is prepared at once.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading
from rmtl_jax.preparation import (
  contract,
  encode,
  ranks,
  sessionize,
  source,
  split_rules,
  sql,
  time_window,
  value_checks,
  writer,
)
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.extending import (
  drift,
  earlier,
  encoding,
  files,
  records,
  settings,
  stitch,
  vectors,
  vocabularies,
)
from rmtl_jax.preparation.extending import past as past_lib
from rmtl_jax.preparation.raw import raw_files as raw

Progress = Callable[[str, float], None]


def run(
  connection: sql.Connection,
  reader: source.Reader,
  config: prepare_settings.PrepareConfig,
  base: settings.Base,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Writes the data with the rows of a new log; the manifest is left out.

  Args:
    reader: of the new log.
    config: settings, completed by `settings.read_base`.
    directory: where files go.
    progress: called with the stage's name and the fraction done.

  Raises:
    types.InputError: bad raw files, damaged vocabularies, or rows that don't
      come after the data.
  """
  progress('read', 0.0)
  first_row = base.manifest.report.get('raw_rows')
  if type(first_row) is not int:
    raise types.InputError(
      f'{base.directory}: manifest.json: report lacks raw_rows; prepare it'
      ' again'
    )
  # A value that occurs twice would double the rows that have it.
  contract.check_vocabularies(base.directory, base.manifest)
  reading.check_recorded(base.directory, base.manifest)
  first_row = past_lib.next_row(connection, base.directory, first_row)
  past_lib.register_events(connection, base.directory, first_row)
  rows = reader(connection, pathlib.Path(config.raw_dir), config)
  rows = _new_alone(connection, split_rules.without_split(connection, rows))
  rows = _with_levels(rows, base)
  progress('check', 0.35)
  value_checks.check(connection, rows, config.any_dates)
  window = time_window.of(config)
  rows = time_window.restrict(connection, rows, window)
  with (
    concurrent.futures.ThreadPoolExecutor(1) as pool,
    past_lib.open_past(
      connection, base.directory, rows, first_row, base.tastes
    ) as past,
  ):
    digests = pool.map(raw.file_record, rows.files, raw.short_names(rows.files))
    seam = _find_seam(connection, rows, base, past, window)
    idle_ms = round(config.idle_minutes * 60_000)
    new = settings.Extension(
      connection, rows, base, past, seam, window.until, idle_ms
    )
    manifest = _add(new, config, directory, progress)
    new_files = tuple(digests)
  # Days of one log come from the same files.
  known = base.manifest.source_files
  return dataclasses.replace(
    manifest,
    source_files=(*known, *(file for file in new_files if file not in known)),
  )


def _new_alone(
  connection: sql.Connection, rows: source.SourceTable
) -> source.SourceTable:
  """Leaves out the past rows that a reader of events has joined."""
  if not rows.open_events:
    return rows
  view = sql.create_view(connection, f'FROM {rows.view} WHERE row_id >= 0')
  return dataclasses.replace(rows, view=view)


def _with_levels(
  rows: source.SourceTable, base: settings.Base
) -> source.SourceTable:
  """Gives labels the levels and the edges of ranks that the data have."""
  known = {task.name: tuple(task.levels) for task in base.manifest.tasks}
  tasks = tuple(
    dataclasses.replace(task, levels=known.get(task.name, task.levels))
    for task in rows.tasks
  )
  tasks = ranks.recorded(base.manifest.options, tasks)
  return dataclasses.replace(rows, tasks=tasks)


def _find_seam(
  connection: sql.Connection,
  rows: source.SourceTable,
  base: settings.Base,
  past: past_lib.Past,
  window: time_window.Window,
) -> int:
  """Where the data ends, ms.

  Raises:
    types.InputError: as for settings.seam, a row that is earlier, or no row.
  """
  _, end = base.boundaries
  limit = past.last_row + 1 if end is None else end
  if window.since is None:
    early = sql.fetch_value(
      connection,
      f'SELECT min(row_id) FROM {rows.view} WHERE timestamp < {limit}',
    )
    if early is not None:
      rows.table.fail(
        early,
        rows.time_column,
        f'a time from {time_window.shown(limit)} on, where {base.directory}'
        ' ends; --since leaves earlier rows out',
      )
  first = sql.fetch_value(connection, f'SELECT min(timestamp) FROM {rows.view}')
  if first is None:  # events may make no row
    raise types.InputError(f'{rows.table.place}: has no new row to add')
  return settings.seam(base, window, first, past.last)


def _add(
  new: settings.Extension,
  config: prepare_settings.PrepareConfig,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Places, encodes and writes the new rows, and links the others."""
  progress('sessions', 0.4)
  base, past = new.base, new.past
  stitched = stitch.place(new)
  places = stitched.places
  if not places.rows[2]:
    raise types.InputError(
      f'{config.raw_dir or config.source}: no new row is left for test:'
      f' {stitched.left_out} are in sessions that began before'
      f' {time_window.shown(new.seam)}, and {places.immature[2]} have no label'
      ' that is known by the end'
    )
  logged = new
  new = new._replace(rows=_with_features(new, places))
  progress('encode', 0.55)
  shown = ''
  if history.GROUP in base.manifest.options.get('as_of', ()):
    shown = earlier.shown(new)
  known = encoding.Known(new, places, shown)
  encoded = encode.encode(known)

  progress('write', 0.8)
  written = writer.write_parts(
    new.connection,
    _counted_on(encoded, past.first_row),
    directory,
    config.rows_per_file,
    lambda done: progress('write', 0.8 + 0.1 * done),
  )
  rolled = files.roll(base.directory, base.manifest, directory)
  _write_vocabularies(new, known.grown, directory)
  vectors.extend(known.grown, base, directory)
  _write_past(logged, stitched, encoded, directory)
  progress('drift', 0.95)
  train = files.rolling(base.directory, base.manifest, 'train')
  drifted = drift.of_new_rows(new.connection, encoded, train, base.manifest)
  return records.manifest(
    new, config, stitched, encoded, known.grown, drifted, written | rolled
  )


def _counted_on(rows: encode.Encoded, first_row: int) -> encode.Encoded:
  """The rows with numbers that continue those of the data."""
  columns = tuple(
    f'row_id + {first_row} AS row_id' if column == 'row_id' else column
    for column in rows.columns
  )
  return dataclasses.replace(rows, columns=columns)


def _with_features(
  new: settings.Extension, places: sessionize.RowPlaces
) -> source.SourceTable:
  """Adds the data's as-of features to new rows."""
  rows, base = new.rows, new.base
  made = base.as_of_fields
  numbers = [field.name for field in asof_slates.fields_of(rows)]
  asof_groups.check_slates(made, numbers)
  fields = tuple(_declared(field) for field in made)
  if base.groups:
    table, _ = asof.compute_features(
      new.connection,
      rows,
      places,
      base.groups,
      new.idle_ms,
      train=asof_rates.recorded(base.manifest, rows.rated_tasks),
      earlier=earlier.find(new),
      numbers=asof_slates.compared(made),
      tastes=base.tastes,
    )
    binned = tuple(f for f in fields if f.transform == 'bins')
    view = asof.join(new.connection, rows, table, binned)
    rows = dataclasses.replace(rows, view=view)
  rows = dataclasses.replace(rows, fields=rows.fields + fields)
  return dataclasses.replace(rows, fields=encoding.fields_of(rows, base))


def _declared(field: manifest_lib.Field) -> source.SourceField:
  """An as-of feature as `groups` declares it."""
  if field.vocabulary_owner is not None:
    return history.history_field(
      field.name, field.vocabulary_owner, field.width
    )
  return source.SourceField(
    field.name,
    'numeric',
    transform='bins',
    bins=asof_groups.BINS,
    details={'as_of': field.details['as_of']},
  )


def _write_vocabularies(
  new: settings.Extension,
  grown: dict[str, vocabularies.Grown],
  directory: pathlib.Path,
) -> None:
  (directory / 'vocabulary').mkdir()
  base = new.base
  joined = [
    base.directory / name for name in base.manifest.splits['validation'].files
  ]
  for field in base.manifest.fields:
    if field.name in grown:
      vocabularies.write(
        new.connection,
        grown[field.name],
        field,
        joined,
        directory / 'vocabulary' / f'{field.name}.parquet',
      )


def _write_past(
  new: settings.Extension,
  stitched: stitch.Stitched,
  encoded: encode.Encoded,
  directory: pathlib.Path,
) -> None:
  """Links the past of the data, and writes that of the new rows."""
  connection, rows, past = new.connection, new.rows, new.past
  path = files.link_past(new.base.directory, directory)
  past_lib.write_rows(
    connection,
    rows,
    'p.number, p.start',
    f'{stitched.everything} p USING (row_id)',
    path,
    past.first_row,
    past.kinds,
    tastes=new.base.tastes,
  )
  if past.users:
    past_lib.write_users(
      connection,
      f'FROM {past.users} UNION SELECT name, number FROM {encoded.users}',
      path.parent,
    )
  if rows.open_events:
    past_lib.write_events(
      connection, rows.open_events, path.parent, past.first_row
    )
