"""New days for prepared data: the flow of `rmtl prepare --extend`.

read -> check -> find the seam -> go on with sessions -> as-of features with
what past rows tell -> grow vocabularies -> encode -> link, write.
`docs/new_days.md` says what equals data that is prepared at once.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading
from rmtl_jax.preparation import (
  checks,
  encode,
  ranks,
  source,
  splits,
  sql,
  windows,
  writer,
)
from rmtl_jax.preparation.as_of import features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.contract import vocabulary as contract_vocabulary
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
from rmtl_jax.preparation.raw import files as raw

Progress = Callable[[str, float], None]


def run(
  connection: sql.Connection,
  reader: source.Reader,
  config: prepare_config.PrepareConfig,
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
  # A value that stands twice would double the rows that have it.
  contract_vocabulary.check(base.directory, base.manifest)
  reading.check_recorded(base.directory, base.manifest)
  first_row = past_lib.next_row(connection, base.directory, first_row)
  past_lib.register_events(connection, base.directory, first_row)
  rows = reader(connection, pathlib.Path(config.raw_dir), config)
  rows = _new_alone(connection, splits.without_split(connection, rows))
  rows = _with_levels(rows, base)
  progress('check', 0.35)
  checks.check(connection, rows, config.any_dates)
  window = windows.of(config)
  rows = windows.restrict(connection, rows, window)
  with (
    concurrent.futures.ThreadPoolExecutor(1) as pool,
    past_lib.open_past(
      connection,
      base.directory,
      rows,
      first_row,
      asof_tastes.recorded(base.manifest.fields),
    ) as past,
  ):
    digests = pool.map(raw.file_record, rows.files, raw.short_names(rows.files))
    seam = _find_seam(connection, rows, base, past, window)
    manifest = _add(
      connection, rows, config, base, past, seam, directory, progress
    )
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
  window: windows.Window,
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
        f'a time from {windows.shown(limit)} on, where {base.directory} ends;'
        ' --since leaves earlier rows out',
      )
  first = sql.fetch_value(connection, f'SELECT min(timestamp) FROM {rows.view}')
  if first is None:  # events may make no row
    raise types.InputError(f'{rows.table.place}: has no new row to add')
  return settings.seam(base, window, first, past.last)


def _add(
  connection: sql.Connection,
  rows: source.SourceTable,
  config: prepare_config.PrepareConfig,
  base: settings.Base,
  past: past_lib.Past,
  seam: int,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Places, encodes and writes the new rows, and links the others."""
  progress('sessions', 0.4)
  idle_ms = round(config.idle_minutes * 60_000)
  boundaries = (base.boundaries[0], seam, windows.of(config).until)
  stitched = stitch.place(connection, rows, past, boundaries, idle_ms)
  places = stitched.places
  if not places.rows[2]:
    raise types.InputError(
      f'{config.raw_dir or config.source}: no new row is left for test:'
      f' {stitched.left_out} are in sessions that began before'
      f' {windows.shown(seam)}, and {places.immature[2]} have no label that is'
      ' known by the end'
    )
  logged = rows
  rows = _with_features(
    connection, rows, base, past, stitched, boundaries, idle_ms
  )
  progress('encode', 0.55)
  shown = ''
  if history.GROUP in base.manifest.options.get('as_of', ()):
    shown = earlier.shown(connection, rows, past, boundaries)
  encoded = encoding.apply(connection, rows, places, base, past, shown)

  progress('write', 0.8)
  written = writer.write_parts(
    connection,
    _counted_on(encoded.rows, past.first_row),
    directory,
    config.rows_per_file,
    lambda done: progress('write', 0.8 + 0.1 * done),
  )
  rolled = files.roll(base.directory, base.manifest, directory)
  _write_vocabularies(connection, encoded, base, directory)
  vectors.extend(encoded, base, directory)
  if config.keep_past:
    _write_past(connection, logged, stitched, past, encoded, base, directory)
  progress('drift', 0.95)
  drifted = drift.of_new_rows(
    connection, encoded, files.rolling(base.directory, base.manifest, 'train')
  )
  return records.manifest(
    connection,
    rows,
    config,
    base,
    seam,
    stitched,
    encoded,
    drifted,
    written | rolled,
    past.first_row,
  )


def _counted_on(rows: encode.Encoded, first_row: int) -> encode.Encoded:
  """The rows with numbers that go on from those of the data."""
  columns = tuple(
    f'row_id + {first_row} AS row_id' if column == 'row_id' else column
    for column in rows.columns
  )
  return dataclasses.replace(rows, columns=columns)


def _with_features(
  connection: sql.Connection,
  rows: source.SourceTable,
  base: settings.Base,
  past: past_lib.Past,
  stitched: stitch.Stitched,
  boundaries: tuple[int | None, ...],
  idle_ms: int,
) -> source.SourceTable:
  """Adds the data's as-of features to new rows."""
  made = [f for f in base.manifest.fields if 'as_of' in f.details]
  groups = tuple(dict.fromkeys(str(f.details['as_of']) for f in made))
  groups = tuple(group for group in groups if group != history.GROUP)
  numbers = [field.name for field in asof_slates.fields_of(rows)]
  asof_groups.check_slates(made, numbers)
  tastes = asof_tastes.recorded(base.manifest.fields)
  fields = tuple(_declared(field) for field in made)
  if groups:
    table, _ = asof.compute_features(
      connection,
      rows,
      stitched.places,
      groups,
      idle_ms,
      train=asof_rates.recorded(base.manifest, rows.rated_tasks),
      earlier=earlier.find(
        connection, rows, past, boundaries, idle_ms, groups, tastes
      ),
      numbers=asof_slates.compared(made),
      tastes=tastes,
    )
    binned = tuple(f for f in fields if f.transform == 'bins')
    view = asof.join(connection, rows, table, binned)
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
  connection: sql.Connection,
  encoded: encoding.Encoding,
  base: settings.Base,
  directory: pathlib.Path,
) -> None:
  (directory / 'vocabulary').mkdir()
  joined = [
    base.directory / name for name in base.manifest.splits['validation'].files
  ]
  for field in base.manifest.fields:
    if field.name in encoded.grown:
      vocabularies.write(
        connection,
        encoded.grown[field.name],
        field,
        joined,
        directory / 'vocabulary' / f'{field.name}.parquet',
      )


def _write_past(
  connection: sql.Connection,
  rows: source.SourceTable,
  stitched: stitch.Stitched,
  past: past_lib.Past,
  encoded: encoding.Encoding,
  base: settings.Base,
  directory: pathlib.Path,
) -> None:
  """Links the past of the data, and writes that of the new rows."""
  path = files.link_past(base.directory, directory)
  past_lib.write_rows(
    connection,
    rows,
    'p.number, p.start',
    f'{stitched.everything} p USING (row_id)',
    path,
    past.first_row,
    past.kinds,
    tastes=asof_tastes.recorded(base.manifest.fields),
  )
  if past.users:
    past_lib.write_users(
      connection,
      f'FROM {past.users} UNION SELECT name, number FROM {encoded.rows.users}',
      path.parent,
    )
  if rows.open_events:
    past_lib.write_events(
      connection, rows.open_events, path.parent, past.first_row
    )
