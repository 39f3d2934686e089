"""Raw logs to prepared sessions: the flow of `rmtl prepare`.

read -> check -> number sessions -> split -> as-of features -> encode -> write.
`docs/prepared_data.md` states the contract of the result. `--extend` goes the
same way with the past of prepared data, whose bins and scales it takes and
whose vocabularies grow (rmtl_jax.preparation.extending).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.preparation import (
  counts,
  encode,
  in_memory,
  label_statistics,
  source,
  sources,
  split_rules,
  sql,
  time_window,
  value_checks,
  warning_lines,
  writer,
)
from rmtl_jax.preparation import (
  sessionize as sessions,
)
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.extending import base as base_lib
from rmtl_jax.preparation.extending import extend
from rmtl_jax.preparation.extending import known as known_lib
from rmtl_jax.preparation.extending import past as past_lib
from rmtl_jax.preparation.raw import raw_files as raw

Progress = Callable[[str, float], None]

# Settings for every source; readers and as-of features record their own.
_RECORDED = ('idle_minutes', 'min_count', 'max_values', 'any_dates')
# Those that are recorded only where they are given.
_RECORDED_IF = ('since', 'until')


def prepare(
  config: prepare_settings.PrepareConfig,
  progress: Progress = lambda stage, fraction: None,
  *,
  table: Any = None,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> manifest_lib.Manifest:
  """Reads raw logs, or a table in memory, and writes prepared data.

  Examples:
    >>> import tempfile
    >>> manifest = prepare(
    ...   prepare_settings.PrepareConfig(
    ...     source='simulated',
    ...     data_dir=f'{tempfile.mkdtemp()}/data',
    ...     simulated_rows=300,
    ...   )
    ... )
    >>> manifest.task_names
    ('click', 'conversion')

  Args:
    config: source, places and options.
    progress: called with the stage's name and the fraction done, 0 to 1.
    table: rows in place of `config.raw_dir`, of source `table`: what has
      Arrow's C stream interface (a pandas or Polars frame, a pyarrow.Table, a
      RecordBatchReader, a DuckDB relation), a list of dicts or a dict of
      columns. It is read once, batch by batch.
    schema: what its columns mean, as a schema file has it, or the file's path;
      in place of `config.schema`.

  Returns:
    The manifest that was written.

  Raises:
    types.InputError: bad options or raw files; nothing is left behind.
  """
  prepare_settings.validate(config)
  time_window.of(config)
  if not config.extend:
    return _prepare(config, progress, table, schema, None)
  with reading.shared_lock(config.extend):
    base = base_lib.read(config, schema)
    return _prepare(base.config, progress, table, base.schema, base)


def _prepare(
  config: prepare_settings.PrepareConfig,
  progress: Progress,
  table: Any,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None,
  base: base_lib.Base | None,
) -> manifest_lib.Manifest:
  """`prepare`; extends a base if there is one."""
  record = sources.RECORDS.find(config.source)
  if not config.data_dir:
    raise types.InputError('data_dir: missing: where prepared data goes')
  if not config.raw_dir and record.holds and table is None:
    raise types.InputError(f'raw_dir: missing: expected {record.holds}')
  data_dir = pathlib.Path(config.data_dir)
  with writer.new_directory(data_dir, config.overwrite) as directory:
    spill = config.temp_dir or str(directory / 'spill')
    with (
      in_memory.as_files(config, table, schema, spill) as given,
      sql.translate_errors(),
      sql.connect(config.memory_limit, config.threads, spill) as connection,
    ):
      manifest = run(connection, record.read, given, base, directory, progress)
    shutil.rmtree(directory / 'spill', ignore_errors=True)
    manifest = dataclasses.replace(manifest, digests=writer.digests(directory))
    manifest_file.write(manifest, directory)
  progress('done', 1.0)
  return manifest


def run(
  connection: sql.Connection,
  reader: source.Reader,
  config: prepare_settings.PrepareConfig,
  base: base_lib.Base | None,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  """Writes all but the manifest, which it returns.

  Args:
    connection: to DuckDB, or another engine in its place, whose data can't be
      extended.
    reader: of the log.
    config: as for `prepare`.
    base: the data that is extended, if any.
    directory: where to write.
    progress: as for `prepare`.
  """
  progress('read', 0.0)
  first_row = 0 if base is None else past_lib.begin(connection, base)
  rows = reader(connection, pathlib.Path(config.raw_dir), config)
  if base is not None:
    rows = extend.as_the_data(connection, rows, base)
  progress('check', 0.35)
  value_checks.check(connection, rows, config.any_dates)
  window = time_window.of(config)
  rows = time_window.restrict(connection, rows, window)
  # Hashing the raw files releases the GIL and finding sessions leaves a core
  # idle, so both run at once. It starts after the checks: nobody should wait
  # for a hash before reading of a faulty value.
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    progress('sessions', 0.4)
    names = raw.short_names(rows.files)
    digests = pool.map(raw.file_record, rows.files, names)
    past = None
    if base is None:
      rule = split_rules.find_rule(rows, config)
    else:
      past = past_lib.read(connection, base, rows, first_row, window)
      rule = split_rules.SplitRule('rolling', boundaries=past.boundaries)
      rows = past.before(rows)
    end = _end(connection, rows, window)
    places, duplicates = _find_places(connection, rows, config, rule, end)
    if rows.has_split:  # which places have
      view = f'SELECT * EXCLUDE (split) FROM {rows.view}'
      rows = dataclasses.replace(rows, view=sql.create_view(connection, view))
    logged = rows
    if past is None:
      _check_split(rows, places, config.raw_dir or config.source, rule)
      rows = asof.add_features(connection, rows, places, config)
    else:
      rows = extend.add_features(rows, past, places)
    progress('encode', 0.55)
    known = known_lib.Known(past) if past else None
    encoded = encode.encode(connection, rows, places, config, known)
    kept = {field.name for field in encoded.fields}
    rows = asof_groups.without_fields(
      rows, [field.name for field in rows.fields if field.name not in kept]
    )
    progress('write', 0.8)
    if known is None:
      fields, lines = encode.write_vocabularies(connection, encoded, directory)
      encoded = dataclasses.replace(encoded, fields=fields)
      rows = dataclasses.replace(rows, warnings=rows.warnings + lines)
    else:
      known.write_vocabularies(directory)
    files = writer.write_parts(
      connection,
      encoded,
      directory,
      config.rows_per_file,
      lambda done: progress('write', 0.8 + 0.2 * done),
    )
    if past is not None:
      files |= extend.link_files(past.base, directory)
    if places.by_time and sql.engine_of(connection) is None:
      past_lib.write(
        connection,
        dataclasses.replace(logged, tasks=rows.tasks),
        places.whole,
        encoded.users,
        directory,
        asof_tastes.recorded(encoded.fields),
        past,
      )
    source_files = tuple(digests)
  of_splits = counts.of_splits(connection, encoded, rows, places, files)
  report = _report(
    connection, encoded, rows, places, duplicates, rule, of_splits
  )
  if past is not None:
    return extend.add_to_manifest(
      past, encoded.fields, of_splits, files, source_files, report
    )
  return manifest_lib.Manifest(
    source=config.source,
    fields=encoded.fields,
    tasks=label_statistics.tasks(
      connection, encoded.table, rows.tasks, config.raw_dir or config.source
    ),
    splits=of_splits,
    user_field=rows.user_field,
    item_field=rows.item_field,
    has_oracle=rows.has_oracle,
    has_time=rows.has_time,
    split_by_time=places.by_time,
    options={name: getattr(config, name) for name in _RECORDED}
    | {n: v for n in _RECORDED_IF if (v := getattr(config, n))}
    | rule.record()
    | rows.options,
    source_files=source_files,
    report=report,
  )


def _end(
  connection: sql.Connection,
  rows: source.SourceTable,
  window: time_window.Window,
) -> int | None:
  """The end of the log, ms, where it is known or labels become final late."""
  late = source.delayed(rows.tasks)
  if window.until is not None or not late:
    return window.until
  times = ', '.join(sql.quote(f't_{task.name}') for task in late)
  return sql.fetch_value(
    connection, f'SELECT max(greatest(timestamp, {times})) + 1 FROM {rows.view}'
  )


def _find_places(
  connection: sql.Connection,
  rows: source.SourceTable,
  config: prepare_settings.PrepareConfig,
  rule: split_rules.SplitRule,
  end: int | None,
) -> tuple[sessions.RowPlaces, int]:
  """Finds the places of rows, and the number of duplicates.

  `end` is that of the log, ms; None if unknown.
  """
  keys = rows.keys or rows.view
  delay_ms = source.fastest(rows.tasks).delay_ms
  numbered = sessions.number_sessions(
    connection,
    keys,
    round(config.idle_minutes * 60_000),
    rows.session_keys._replace(split=rule.is_given),
    # Equal rows of no time may be two impressions.
    identity=rows.identity if rows.has_time else (),
    carry=rule.carried,
  )
  if rule.by_time:
    places = sessions.split_sessions(
      connection,
      numbered,
      rule.ratio,
      delay_ms,
      boundaries=rule.boundaries,
      end=end,
    )
  else:
    places = split_rules.split_sessions(
      connection, numbered, rule, end, delay_ms
    )
  return places, numbered.duplicates


def _check_split(
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  where: str,
  rule: split_rules.SplitRule,
) -> None:
  """Refuses a split without rows.

  Raises:
    types.InputError: names the split.
  """
  for name, count, immature in zip(
    manifest_lib.SPLITS, places.rows, places.immature, strict=True
  ):
    if count:
      continue
    why = f'the log has {sum(places.sessions):,} sessions'
    if immature:
      why = f'{warning_lines.fastest(rows)}, so at its end no label is known'
    raise types.InputError(
      f'{where}: split {rule.words}, {name} would be empty: {why}; --split_by'
      ' can split otherwise'
    )


def _report(
  connection: sql.Connection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  duplicates: int,
  rule: split_rules.SplitRule,
  of_splits: Mapping[str, manifest_lib.Split],
) -> dict[str, Any]:
  """Counts of what was read, kept and dropped, and session lengths."""
  dropped = dict(rows.dropped)
  if rows.identity:
    dropped['exact duplicate'] = duplicates
  for reason, counted in (
    ('after the end of {}, in a session that starts in it', places.dropped),
    ('label not yet known at the end of {}', places.immature),
  ):
    for name, count in zip(manifest_lib.SPLITS, counted, strict=True):
      if count:
        dropped[reason.format(name)] = count
  return {
    'raw_rows': rows.table.rows,
    **rows.counts,
    'dropped': dropped,
    'cut_values': encoded.cut_values,
    'session_rows': counts.session_rows(connection, encoded.table),
    **({'as_of_left_out': rows.as_of_left_out} if rows.as_of_left_out else {}),
    'warnings': [
      *rows.table.warnings,
      *rows.warnings,
      *warning_lines.of_rows(
        connection, encoded, rows, places, rule, of_splits
      ),
    ],
  }
