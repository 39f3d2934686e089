"""New days for prepared data: the flow of `rmtl prepare --extend`.

read -> check -> find the seam -> continue sessions -> as-of features with past
rows -> grow vocabularies -> encode -> link, write.
`docs/every_day.md` lists what equals data that is prepared at once.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from rmtl_jax import durable, types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading
from rmtl_jax.preparation import (
  contract,
  counts,
  encode,
  field_vectors,
  ranks,
  sessionize,
  source,
  split_rules,
  sql,
  time_window,
  value_checks,
  warning_lines,
  writer,
)
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.extending import base as base_lib
from rmtl_jax.preparation.extending import known as known_lib
from rmtl_jax.preparation.extending import past as past_lib
from rmtl_jax.preparation.raw import raw_files as raw

Progress = Callable[[str, float], None]

# Errors of systems without hard links, or without one for this file.
_NO_LINK = (
  errno.EXDEV,
  errno.EPERM,
  errno.EOPNOTSUPP,
  errno.ENOSYS,
  errno.EMLINK,
)
# The earlier splits with which each split of extended data begins.
_ROLLING = {'train': ('train', 'validation'), 'validation': ('test',)}
# Options of the splits of the data.
_REPLACED = ('split', 'split_dates', 'until')


class _Placed(NamedTuple):
  """Where new rows go.

  Attributes:
    places: of the rows in test.
    everything: table of `row_id`, `number` and `start` (ms) of every new row,
      but for duplicates.
    left_out: new rows of sessions that began before the seam.
    duplicates: number of exact duplicates.
  """

  places: sessionize.RowPlaces
  everything: str
  left_out: int
  duplicates: int


def run(
  connection: sql.Connection,
  reader: source.Reader,
  config: prepare_settings.PrepareConfig,
  base: base_lib.Base,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Writes the data with the rows of a new log, but for the manifest.

  Args:
    reader: of the new log.
    config: settings, completed by `base.read`.
    directory: where files go.
    progress: called with the stage's name and the fraction done.

  Raises:
    types.InputError: bad raw files, damaged vocabularies, or rows that don't
      come after the data.
  """
  progress('read', 0.0)
  raw_rows = base.manifest.report.get('raw_rows')
  if type(raw_rows) is not int:
    raise types.InputError(
      f'{base.directory}: manifest.json: report lacks raw_rows; prepare it'
      ' again'
    )
  # A value that occurs twice would double the rows that have it.
  contract.check_vocabularies(base.directory, base.manifest)
  reading.check_recorded(base.directory, base.manifest)
  first_row = past_lib.next_row(connection, base.directory, raw_rows)
  past_lib.register_events(connection, base.directory, first_row)
  rows = reader(connection, pathlib.Path(config.raw_dir), config)
  rows = _as_the_data(connection, rows, base)
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
    seam = _find_seam(rows, base, past, window)
    past = dataclasses.replace(
      past, boundaries=(base.starts[0], seam, window.until)
    )
    manifest = _add(rows, base, past, directory, progress)
    new_files = tuple(digests)
  # Days of one log come from the same files.
  known = base.manifest.source_files
  return dataclasses.replace(
    manifest,
    source_files=(*known, *(file for file in new_files if file not in known)),
  )


def _as_the_data(
  connection: sql.Connection, rows: source.SourceTable, base: base_lib.Base
) -> source.SourceTable:
  """The new rows alone, with the levels and the edges of ranks of the data."""
  rows = split_rules.without_split(connection, rows)
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


def _find_seam(
  rows: source.SourceTable,
  base: base_lib.Base,
  past: past_lib.Past,
  window: time_window.Window,
) -> int:
  """Where the data ends, ms.

  Raises:
    types.InputError: as for base.seam, a row that is earlier, or no row.
  """
  _, end = base.starts
  limit = past.last_row + 1 if end is None else end
  first, early = sql.fetch_row(
    past.connection,
    'SELECT min(timestamp), min(row_id) FILTER (WHERE timestamp <'
    f' {limit}) FROM {rows.view}',
  )
  if window.since is None and early is not None:
    rows.table.fail(
      early,
      rows.time_column,
      f'a time from {time_window.shown(limit)} on, where {base.directory}'
      ' ends; --since leaves earlier rows out',
    )
  if first is None:  # events may make no row
    raise types.InputError(f'{rows.table.place}: has no new row to add')
  return base_lib.seam(base, window, first, past.last)


def _add(
  rows: source.SourceTable,
  base: base_lib.Base,
  past: past_lib.Past,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Places, encodes and writes the new rows, and links the others."""
  connection, config = past.connection, base.config
  progress('sessions', 0.4)
  placed = _place(rows, base, past)
  places = placed.places
  if not places.rows[2]:
    raise types.InputError(
      f'{config.raw_dir or config.source}: no new row is left for test:'
      f' {placed.left_out} are in sessions that began before the end of the'
      f' data, and {places.immature[2]} have no label that is known by the end'
    )
  logged, rows = rows, _with_features(rows, base, past, places)
  progress('encode', 0.55)
  known = known_lib.Known(connection, rows, places, base, past)
  encoded = encode.encode(known)
  progress('write', 0.8)
  # Row ids continue those of the data.
  columns = tuple(
    f'row_id + {past.first_row} AS row_id' if column == 'row_id' else column
    for column in encoded.columns
  )
  files = writer.write_parts(
    connection,
    dataclasses.replace(encoded, columns=columns),
    directory,
    config.rows_per_file,
    lambda done: progress('write', 0.8 + 0.2 * done),
  )
  for split in _ROLLING:
    old = _rolling(base, split)
    names = [f'{split}/part-{i:05d}.parquet' for i in range(len(old))]
    for path, name in zip(old, names, strict=True):
      _link(path, directory / name)
    files[split] = tuple(names)
  known.write_vocabularies(directory)
  field_vectors.extend(base.directory, base.manifest, encoded.fields, directory)
  (directory / past_lib.FOLDER).mkdir()
  for path in past_lib.files(base.directory):
    _link(path, directory / past_lib.FOLDER / path.name)
  past_lib.write(
    connection,
    logged,
    placed.everything,
    encoded.users,
    directory,
    base.tastes,
    past,
  )
  return _manifest(rows, base, past, placed, encoded, files, known)


def _place(
  rows: source.SourceTable, base: base_lib.Base, past: past_lib.Past
) -> _Placed:
  """Finds the sessions of new rows; some began earlier.

  A session lies in the split in which it begins, so rows of those that began
  before the seam are left out, as rows at or after their split's end.
  """
  connection = past.connection
  relation, near = _with_near(rows, base, past)
  numbered = sessionize.number_sessions(
    connection,
    relation,
    base.idle_ms,
    rows.session_keys._replace(time=True, split=False),
    identity=(*rows.identity, 'alone') if rows.identity else (),
  )
  found = sessionize.split_sessions(
    connection,
    numbered,
    delay_ms=source.fastest(rows.tasks).delay_ms,
    boundaries=past.boundaries[:2],
    end=past.boundaries[2],
  )
  # Sessions are numbered by their start: those that began before come first.
  began, left_out = sql.fetch_row(
    connection,
    f'SELECT count(DISTINCT session_id), count(*) FILTER (row_id >= 0)'
    f' FROM {found.whole} WHERE split < 2',
  )
  shift = past.next_session - began
  everything = sql.create_table(
    connection,
    'WITH begun AS ('
    f'  SELECT DISTINCT p.session_id, n.number, n.start FROM {found.whole} p'
    f'  JOIN {near} n USING (row_id))'
    ' SELECT p.row_id, coalesce(b.number, p.session_id + '
    f'{shift}) AS number, coalesce(b.start, p.start) AS start'
    f' FROM {found.whole} p LEFT JOIN begun b USING (session_id)'
    ' WHERE p.row_id >= 0',
  )

  def in_test(table: str) -> str:
    return sql.create_view(
      connection,
      f'SELECT * REPLACE (session_id + {shift} AS session_id) FROM {table}'
      ' WHERE split = 2',
    )

  places = dataclasses.replace(
    found,
    table=in_test(found.table),
    past=in_test(found.past) if found.past else '',
    rows=(0, 0, found.rows[2]),
    sessions=(0, 0, found.sessions[2]),
    dropped=(0, left_out, 0),
    immature=(0, 0, found.immature[2]),
  )
  return _Placed(places, everything, left_out, numbered.duplicates)


def _with_near(
  rows: source.SourceTable, base: base_lib.Base, past: past_lib.Past
) -> tuple[str, str]:
  """Makes a view of new rows and past rows of their sessions.

  Returns:
    The view, and a table of these past rows.
  """
  connection, keys = past.connection, rows.keys or rows.view
  if rows.open_events:
    # The reader has joined them already.
    near = sql.create_table(
      connection,
      f'SELECT row_id, number, start FROM {past.rows}'
      f' SEMI JOIN (SELECT row_id FROM {keys} WHERE row_id < 0) USING (row_id)',
    )
    return keys, near
  named = 'p.session' if past_lib.has_session(rows) else 'NULL'
  wanted = []
  if past_lib.has_session(rows):
    wanted.append(
      f'SELECT DISTINCT number FROM {past.rows} p SEMI JOIN (SELECT session'
      f' FROM {keys} WHERE session IS NOT NULL) USING (session)'
    )
  if rows.has_user:
    wanted.append(
      f'SELECT DISTINCT number FROM {past.rows} p SEMI JOIN (SELECT "user"'
      f' FROM {keys} WHERE session IS NULL) USING ("user")'
      f' WHERE timestamp >= {past.boundaries[1]} - {base.idle_ms}'
      f' AND {named} IS NULL'
    )
  user = 'p."user"' if rows.has_user else 'NULL'
  of_past = (
    f'SELECT p.row_id, p.number, p.start, p.timestamp, {user} AS "user",'
    f' {named} AS session, p.row_id AS alone FROM {past.rows} p'
  )
  if wanted:
    of_past += f' SEMI JOIN ({" UNION ".join(wanted)}) USING (number)'
  else:
    of_past += ' WHERE false'
  near = sql.create_table(connection, of_past)
  columns = ['row_id', 'session', '"user"', 'timestamp']
  columns += map(sql.quote, rows.identity)
  view = sql.create_view(
    connection,
    f'SELECT {", ".join(columns)}, 0 AS alone FROM {keys}'
    f' UNION ALL BY NAME SELECT * EXCLUDE (number, start) FROM {near}',
  )
  return view, near


def _with_features(
  rows: source.SourceTable,
  base: base_lib.Base,
  past: past_lib.Past,
  places: sessionize.RowPlaces,
) -> source.SourceTable:
  """Adds the data's as-of features to new rows."""
  made = base.as_of_fields
  numbers = [field.name for field in asof_slates.fields_of(rows)]
  asof_groups.check_slates(made, numbers)
  fields = tuple(_declared(field) for field in made)
  groups = dict.fromkeys(str(field.details['as_of']) for field in made)
  groups.pop(history.GROUP, None)
  if groups:
    plan = asof.Plan(
      tuple(groups),
      base.idle_ms,
      asof_slates.compared(made),
      base.tastes,
      asof_rates.recorded(base.manifest, rows.rated_tasks),
    )
    table, _ = asof.compute_features(
      past.connection, rows, places, plan, past=past.seen(rows, base.tastes)
    )
    binned = tuple(f for f in fields if f.is_binned)
    view = asof.join(past.connection, rows, table, binned)
    rows = dataclasses.replace(rows, view=view)
  rows = dataclasses.replace(rows, fields=rows.fields + fields)
  return dataclasses.replace(rows, fields=base.fields_of(rows))


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


def _rolling(base: base_lib.Base, split: str) -> list[pathlib.Path]:
  """The files of the data that move to a split of extended data."""
  return [
    base.directory / name
    for origin in _ROLLING[split]
    for name in base.manifest.splits[origin].files
  ]


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
  except OSError as error:
    if error.errno not in _NO_LINK:
      raise
    durable.copy_file(pathlib.Path(real), new)


def _manifest(
  rows: source.SourceTable,
  base: base_lib.Base,
  past: past_lib.Past,
  placed: _Placed,
  encoded: encode.Encoded,
  files: dict[str, tuple[str, ...]],
  known: known_lib.Known,
) -> manifest_lib.Manifest:
  """The manifest of extended data, its `source_files` those of the data before.

  Args:
    files: of every split.
  """
  old, config, seam = base.manifest, base.config, past.boundaries[1]
  assert seam is not None
  ends = {'train': base.starts[0], 'validation': seam}
  splits = {
    split: dataclasses.replace(
      manifest_lib.together(*(old.splits[origin] for origin in origins)),
      files=files[split],
      end_ms=ends[split],
    )
    for split, origins in _ROLLING.items()
  } | counts.of_splits(past.connection, encoded, rows, placed.places, files)
  step = {
    'data': str(base.directory),
    'since': config.since or time_window.shown(seam),
    'until': config.until or None,
    'rows': placed.places.rows[2],
    'first_row_id': past.first_row,
  }
  options = {k: v for k, v in old.options.items() if k not in _REPLACED}
  if config.until:
    options['until'] = config.until
  return dataclasses.replace(
    old,
    fields=encoded.fields,
    splits=splits,
    options=options
    | {
      'split_by': 'rolling',
      'extended': [*old.options.get('extended', ()), step],
    },
    report={
      'raw_rows': old.report['raw_rows'] + rows.table.rows,
      'new_values': {n: one.added for n, one in known.grown.items()},
      **_report(past.connection, rows, placed, encoded),
      **{k: v for k, v in old.report.items() if k == 'as_of_left_out'},
      'warnings': _warnings(past.connection, rows, placed, encoded, splits),
    },
  )


def _report(
  connection: sql.Connection,
  rows: source.SourceTable,
  placed: _Placed,
  encoded: encode.Encoded,
) -> dict[str, Any]:
  """Counts of the new rows."""
  dropped = dict(rows.dropped)
  if rows.identity:
    dropped['exact duplicate'] = placed.duplicates
  if placed.left_out:
    dropped['in a session that began before the new rows'] = placed.left_out
  if placed.places.immature[2]:
    reason = source.LABEL_UNKNOWN.format('test')
    dropped[reason] = placed.places.immature[2]
  return {
    **rows.counts,
    'dropped': dropped,
    'cut_values': encoded.cut_values,
    'session_rows': counts.session_rows(connection, encoded.table),
  }


def _warnings(
  connection: sql.Connection,
  rows: source.SourceTable,
  placed: _Placed,
  encoded: encode.Encoded,
  splits: dict[str, manifest_lib.Split],
) -> list[str]:
  add_more, places = warning_lines.ADD_MORE, placed.places
  return [
    *rows.table.warnings,
    *rows.warnings,
    *warning_lines.duplicates(rows, placed.duplicates),
    *warning_lines.immature(rows, places, add_more),
    *warning_lines.late(connection, encoded, rows, places, add_more),
    *warning_lines.one_class(rows, splits, warning_lines.MORE_DAYS),
  ]
