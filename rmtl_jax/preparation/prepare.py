"""Raw logs to prepared sessions: the flow of `rmtl prepare`.

read -> check -> number sessions -> split -> as-of features -> encode -> write.
`docs/prepared_data.md` states the contract of the result.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import numpy as np

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  checks,
  encode,
  in_memory,
  label_statistics,
  labels,
  session_names,
  sessions,
  source,
  sources,
  splits,
  sql,
  vectors,
  writer,
)
from rmtl_jax.preparation.as_of import features as asof
from rmtl_jax.preparation.raw import files as raw

Progress = Callable[[str, float], None]

# Settings for every source; readers and as-of features record their own.
_RECORDED = ('idle_minutes', 'min_count', 'max_values', 'any_dates')
# Fraction of a split's rows that may be immature without a warning.
_MAX_IMMATURE = 0.1
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def prepare(
  config: prepare_config.PrepareConfig,
  progress: Progress = lambda stage, fraction: None,
  *,
  table: Any = None,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> manifest_lib.Manifest:
  """Reads raw logs, or a table in memory, and writes prepared data.

  Examples:
    >>> import tempfile
    >>> manifest = prepare(
    ...   prepare_config.PrepareConfig(
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
    table: rows in place of `config.raw_dir`, of source `table`: what speaks
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
  prepare_config.validate(config)
  record = sources.RECORDS.find(config.source)
  if not config.data_dir:
    raise types.InputError('data_dir: missing: where prepared data goes')
  if not config.raw_dir and record.holds and table is None:
    raise types.InputError(f'raw_dir: missing: expected {record.holds}')
  data_dir = pathlib.Path(config.data_dir)
  with writer.new_directory(data_dir, config.overwrite) as directory:
    spill = config.temp_dir or str(directory / 'spill')
    with (
      in_memory.as_files(config, table, schema, spill) as settings,
      sql.translate_errors(),
      sql.connect(config.memory_limit, config.threads, spill) as connection,
    ):
      manifest = _run(connection, record.read, settings, directory, progress)
    shutil.rmtree(directory / 'spill', ignore_errors=True)
    manifest_lib.write(manifest, directory)
  progress('done', 1.0)
  return manifest


def _run(
  connection: duckdb.DuckDBPyConnection,
  reader: source.Reader,
  config: prepare_config.PrepareConfig,
  directory: pathlib.Path,
  progress: Progress,
) -> manifest_lib.Manifest:
  progress('read', 0.0)
  rows = reader(connection, pathlib.Path(config.raw_dir), config)
  progress('check', 0.35)
  checks.check(connection, rows, config.any_dates)
  rule = splits.find_rule(rows, config)
  progress('sessions', 0.4)
  # Hashing the raw files releases the GIL and finding sessions leaves a core
  # idle, so both run at once. It starts after the checks: nobody should wait
  # for a hash before reading of a faulty value.
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    names = raw.short_names(rows.files)
    digests = pool.map(raw.file_record, rows.files, names)
    places, duplicates = _find_places(connection, rows, config, rule)
    rows = splits.without_split(connection, rows)
    rows = asof.add_features(connection, rows, places, config)
    progress('encode', 0.55)
    encoded = encode.encode(connection, rows, places, config)
    rows = asof.without_fields(rows, encoded.left_out)
    progress('write', 0.8)
    writer.write_vocabularies(connection, encoded, directory)
    found = vectors.write(
      connection, encoded.fields, encoded.vocabularies, directory
    )
    encoded = dataclasses.replace(encoded, fields=found.fields)
    rows = dataclasses.replace(rows, warnings=rows.warnings + found.warnings)
    files = writer.write_parts(
      connection,
      encoded,
      directory,
      config.rows_per_file,
      lambda done: progress('write', 0.8 + 0.2 * done),
    )
    source_files = tuple(digests)
  return manifest_lib.Manifest(
    source=config.source,
    fields=encoded.fields,
    tasks=label_statistics.tasks(
      connection, encoded.table, rows.tasks, config.raw_dir or config.source
    ),
    splits=_splits(connection, encoded, rows, places, files),
    user_field=rows.user_field,
    item_field=rows.item_field,
    domain_field=rows.domain_field,
    has_oracle=rows.has_oracle,
    has_time=rows.has_time,
    split_by_time=places.by_time,
    options={name: getattr(config, name) for name in _RECORDED}
    | rule.record()
    | rows.options,
    source_files=source_files,
    report=_report(connection, encoded, rows, places, duplicates),
  )


def _find_places(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  config: prepare_config.PrepareConfig,
  rule: splits.SplitRule,
) -> tuple[sessions.RowPlaces, int]:
  """Finds the places of rows; returns them and the number of duplicates."""
  keys, duplicates = rows.keys or rows.view, 0
  delay_ms = source.fastest(rows.tasks).delay_ms
  places: sessions.RowPlaces | None = None
  # The faster way places whole sessions, but rows without any label that is
  # known in time are dropped one by one.
  if rule.by_time and rows.has_session and not delay_ms:
    places = session_names.split_named_sessions(
      connection, keys, rule.ratio, rows.identity, rule.boundaries
    )
  if places is None:
    numbered = sessions.number_sessions(
      connection,
      keys,
      round(config.idle_minutes * 60_000),
      has_session=rows.has_session,
      has_user=rows.has_user,
      has_time=rows.has_time,
      has_split=rule.is_given,
      # Equal rows of no time may be two impressions.
      identity=rows.identity if rows.has_time else (),
      carry=rule.carried,
    )
    duplicates = numbered.duplicates
    if rule.by_time:
      places = sessions.split_sessions(
        connection, numbered, rule.ratio, delay_ms, boundaries=rule.boundaries
      )
    else:
      places = splits.split_sessions(connection, numbered, rule)
  _check_split(rows, places, config, rule)
  return places, duplicates


def _check_split(
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  config: prepare_config.PrepareConfig,
  rule: splits.SplitRule,
) -> None:
  """Refuses a split without rows."""
  where = config.raw_dir or config.source
  for name, count, immature in zip(
    manifest_lib.SPLITS, places.rows, places.immature, strict=True
  ):
    if immature and not count:
      raise types.InputError(
        f'{where}: {name} would be empty: {_fastest(rows)}, which is longer'
        f' than {name}, so at its end no label is known'
      )
    if not count:
      read = sum(places.rows) + sum(places.dropped) + sum(places.immature)
      raise types.InputError(
        f'{where}: {_count(read, "row")} in'
        f' {_count(sum(places.sessions), "session")} cannot be split'
        f' {rule.words}: {name} would be empty'
      )


def _count(number: int, noun: str) -> str:
  return f'{number} {noun}' + ('' if number == 1 else 's')


def _splits(
  connection: duckdb.DuckDBPyConnection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  files: dict[str, tuple[str, ...]],
) -> dict[str, manifest_lib.Split]:
  weighted = labels.weighted(rows.tasks)
  counts = [
    f'count(*) FILTER ({sql.quote(f"y_{task.name}")} <> 0)'
    for task in rows.tasks
  ]
  counts += [
    f'count(*) FILTER (WHERE {sql.quote(f"w_{name}")} > 0)' for name in weighted
  ]
  found = connection.execute(
    f'SELECT split, min(timestamp), {", ".join(counts)} FROM {encoded.table}'
    ' GROUP BY split ORDER BY split'
  ).fetchall()
  return {
    name: manifest_lib.Split(
      rows=places.rows[i],
      sessions=places.sessions[i],
      files=files[name],
      positives={
        task.name: count
        for task, count in zip(rows.tasks, found[i][2:], strict=False)
      },
      start_ms=found[i][1] if rows.has_time else None,
      end_ms=(*places.boundaries, None)[i],
      observed=dict(
        zip(weighted, found[i][2 + len(rows.tasks) :], strict=True)
      ),
    )
    for i, name in enumerate(manifest_lib.SPLITS)
  }


def _report(
  connection: duckdb.DuckDBPyConnection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  duplicates: int,
) -> dict[str, Any]:
  """Counts of what was read, kept and dropped, and session lengths."""
  dropped = dict(rows.dropped)
  if rows.identity:
    dropped['exact duplicate'] = duplicates
  for reason, counts in (
    (source.AFTER_END, places.dropped),
    (source.LABEL_UNKNOWN, places.immature),
  ):
    for name, count in zip(manifest_lib.SPLITS, counts, strict=True):
      if count:
        dropped[reason.format(name)] = count
  return {
    'raw_rows': rows.table.rows,
    **rows.counts,
    'dropped': dropped,
    'cut_values': encoded.cut_values,
    'session_rows': _session_rows(connection, encoded),
    **({'as_of_left_out': rows.as_of_left_out} if rows.as_of_left_out else {}),
    'warnings': [
      *rows.table.warnings,
      *rows.warnings,
      *_session_warnings(rows),
      *_immature_warnings(rows, places),
      *_late_warnings(connection, encoded, rows, places),
      *_field_warnings(connection, encoded, rows),
    ],
  }


def _session_warnings(rows: source.SourceTable) -> list[str]:
  """Says what a log without sessions has no use for."""
  if rows.has_session or (rows.has_user and rows.has_time):
    return []
  lack = 'session or user' if rows.has_time else 'session and no time'
  return [
    f'the log has no {lack}: each row is a session of its own, so critics have'
    ' no later row to foresee, and their values are rewards'
  ]


def _immature_warnings(
  rows: source.SourceTable, places: sessions.RowPlaces
) -> list[str]:
  """Warns about splits that lose many rows to labels known too late."""
  lines = []
  for name, kept, lost in zip(
    manifest_lib.SPLITS, places.rows, places.immature, strict=True
  ):
    if lost > _MAX_IMMATURE * (kept + lost):
      lines.append(
        f'{lost / (kept + lost):.0%} of the rows of {name} are left out, as'
        f' their labels are not known at its end: {_fastest(rows)}'
      )
  return lines


def _late_warnings(
  connection: duckdb.DuckDBPyConnection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
) -> list[str]:
  """Warns about splits in which many labels of a task are known too late."""
  lines = []
  for task in labels.late(rows.tasks):
    for i, end in enumerate(places.boundaries):
      if end is None:
        continue
      late = f'split = {i} AND timestamp + {task.known_after_ms} >= {end}'
      count = sql.fetch_row(
        connection,
        f'SELECT count(*) FROM {encoded.table} WHERE {late}',
      )[0]
      if count > _MAX_IMMATURE * places.rows[i]:
        lines.append(
          f'{count / places.rows[i]:.0%} of the labels of'
          f' {manifest_lib.SPLITS[i]} are not observed, as they are not known'
          f' at its end: {_known(task)}'
        )
  return lines


def _fastest(rows: source.SourceTable) -> str:
  return _known(source.fastest(rows.tasks))


def _known(task: source.SourceTask) -> str:
  return (
    f'task {task.name!r} is known {(task.known_after_ms or 0) / 1000:g} s after'
    ' its row (known_after_seconds)'
  )


def _field_warnings(
  connection: duckdb.DuckDBPyConnection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
) -> list[str]:
  """Warns about fields that were likely declared by mistake."""
  warnings = []
  if encoded.constant:
    names = ', '.join(map(repr, encoded.constant))
    noun = 'field' if len(encoded.constant) == 1 else 'fields'
    warnings.append(
      f'{noun} {names}: one value over all train rows, which tells nothing'
    )
  nothing = ', '.join(map(sql.literal, raw.NULL_TEXTS))
  for name, vocabulary in encoded.vocabularies.items():
    for value, count in connection.execute(
      f'SELECT value, count FROM {vocabulary.table} WHERE value IN ({nothing})'
      ' ORDER BY id'
    ).fetchall():
      remedy = 'empty it in the log'
      if 'schema' in rows.options:
        remedy = f'add {value!r} to "missing" in the schema'
      warnings.append(
        f'field {name!r}: {value!r} is a value like others, in'
        f' {_count(count, "train row")}; if it stands for nothing, {remedy}'
      )
  return warnings


def _session_rows(
  connection: duckdb.DuckDBPyConnection, encoded: encode.Encoded
) -> dict[str, float]:
  """Quantiles and mean of the sessions' rows."""
  # The number of rows with step n is the number of sessions longer than n, so
  # one small GROUP BY replaces a count per session.
  longer = connection.execute(
    f'SELECT count(*) FROM {encoded.table} GROUP BY {encoded.step}'
    f' ORDER BY {encoded.step}'
  ).fetchnumpy()['count_star()']
  sessions_of = longer - np.append(longer[1:], 0)
  quantiles = np.quantile(
    1 + np.arange(len(longer)),
    _QUANTILES,
    weights=sessions_of,
    method='inverted_cdf',
  )
  return {
    **{
      f'p{round(q * 100)}': int(rows)
      for q, rows in zip(_QUANTILES, quantiles, strict=True)
    },
    'mean': round(float(longer.sum() / longer[0]), 4),
  }
