"""Checks prepared data, of any engine, against its contract.

docs/prepared_data.md states the rules. First the files are read as training
reads them, which checks types, ranges and order (`columns.SplitFiles`). Each
further rule is one SQL condition that is true of every row; DuckDB looks for
the first row that breaks each in one pass over a split. Data may be larger than
memory.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rmtl_jax import types
from rmtl_jax.data import (
  columns,
  manifest_file,
  reading,
  vectors,
  vocabulary_file,
)
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import label_sql as labels_lib
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, sql

# More than a file has rows: a row's place is file_index * _FILE_ROWS + row.
_FILE_ROWS = 2**40
_CONTINUES = 'session_id IS NOT DISTINCT FROM before_session_id'


class _Rule(NamedTuple):
  """A condition on the rows of a split.

  Attributes:
    column: the column with the wrong value.
    holds: SQL, true of every right row. `before_<column>` is the value of the
      row before.
    expected: the end of the error's line.
  """

  column: str
  holds: str
  expected: str


def check(
  data_dir: str | pathlib.Path,
  progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> manifest_lib.Manifest:
  """Checks prepared data against every rule of its contract.

  Args:
    data_dir: the directory that contains manifest.json.
    progress: called with the stage's name and the fraction done, 0 to 1.

  Returns:
    The manifest, if all is right.

  Raises:
    types.InputError: for the first rule that is broken; names file, column
      and row where there are such.
  """
  directory = pathlib.Path(data_dir)
  with (
    reading.shared_lock(directory),
    sql.translate_errors(),
    contextlib.closing(sql.connect()) as connection,
    contextlib.ExitStack() as files,
  ):
    manifest = manifest_file.read(directory)
    paths = _files(directory, manifest)
    check_vocabularies(directory, manifest)
    vectors.read(directory, manifest)
    for number, split in enumerate(paths):
      for _ in columns.SplitFiles(directory, manifest, split).blocks():
        pass
      _create_view(connection, files, split, paths[split])
      with sql.name_errors(directory / split, 'not readable'):
        _check_rules(connection, manifest, split, paths[split])
        _check_counts(connection, directory, manifest, split)
      progress('check', (number + 1) / len(paths))
    _check_value_counts(connection, directory, manifest)
    _check_disjoint(connection, directory, manifest)
    reading.check_recorded(directory, manifest)
  return manifest


def check_vocabularies(
  directory: pathlib.Path, manifest: manifest_lib.Manifest
) -> None:
  """Checks the vocabularies, apart from their counts of train rows.

  Raises:
    types.InputError: one that is missing, unreadable or wrong; names file,
      column and row, counted from 1 (the file's first row is id 0).
  """
  for field in manifest.with_vocabulary:
    if 'count' not in vocabulary_file.read(directory, field).schema.names:
      path = vocabulary_file.path(directory, field)
      raise types.InputError(f"{path}: expected one column 'count'")


def _files(
  directory: pathlib.Path, manifest: manifest_lib.Manifest
) -> dict[str, list[pathlib.Path]]:
  """The files of each split, checked against the manifest and the folders."""
  where = directory / 'manifest.json'
  found: dict[str, list[pathlib.Path]] = {}
  for name, split in manifest.splits.items():
    for i, file in enumerate(split.files):
      if (directory / file).parent != directory / name:
        fault = f'file {file!r}, expected one in {name}/'
      elif file in split.files[:i]:
        fault = f'file {file!r} is listed twice'
      elif not (directory / file).is_file():
        fault = f'file {file!r} is missing'
      else:
        continue
      raise types.InputError(f'{where}: splits: {name!r}: {fault}')
    paths = found[name] = [directory / file for file in split.files]
    for path in sorted((directory / name).glob('*.parquet')):
      if path not in paths:
        raise types.InputError(f'{path}: is not listed in manifest.json')
    needs_end = manifest.split_by_time and name != 'test'
    if needs_end and split.end_ms is None:
      raise types.InputError(
        f'{where}: splits: {name!r}: end_ms is null, expected a time, because'
        ' the splits follow each other in time (split_by_time)'
      )
  return found


def _create_view(
  connection: sql.Connection,
  files: contextlib.ExitStack,
  split: str,
  paths: list[pathlib.Path],
) -> None:
  """Makes a view of a split's rows, each with values of the row before."""
  rows = files.enter_context(
    sql.scan_files(paths, 'parquet', 'union_by_name = true')
  )
  before = [
    f'lag({name}) OVER () AS before_{name}'
    for name in ('session_id', 'step', 'file_index')
  ]
  # Without an order in OVER, DuckDB streams over the rows in their order.
  connection.execute(
    f'CREATE VIEW {split} AS SELECT *, {", ".join(before)} FROM ('
    f'SELECT *, file_index, file_row_number FROM {rows})'
  )


def _check_rules(
  connection: sql.Connection,
  manifest: manifest_lib.Manifest,
  split: str,
  paths: list[pathlib.Path],
) -> None:
  """Refuses the first row that breaks the first broken rule."""
  rules = [*_session_rules(manifest, split), *_task_rules(manifest, split)]
  place = f'file_index * {_FILE_ROWS} + file_row_number'
  first = [
    f'min({place}) FILTER (NOT coalesce({rule.holds}, false))' for rule in rules
  ]
  found = sql.fetch_row(connection, f'SELECT {", ".join(first)} FROM {split}')
  for rule, at in zip(rules, found, strict=True):
    if at is None:
      continue
    value = sql.fetch_value(
      connection,
      f'SELECT CAST({sql.quote(rule.column)} AS VARCHAR) FROM {split}'
      f' WHERE {place} = {at}',
    )
    raise types.InputError(
      f'{paths[at // _FILE_ROWS]}: row {at % _FILE_ROWS + 1}, column'
      f' {rule.column!r}: is {"null" if value is None else value}, expected'
      f' {rule.expected}'
    )


def _session_rules(
  manifest: manifest_lib.Manifest, split: str
) -> Iterator[_Rule]:
  """Sessions are in one file and within their split."""
  yield _Rule(
    'session_id',
    f'NOT {_CONTINUES} OR file_index = before_file_index',
    'all rows of a session in one file',
  )
  yield _Rule(
    'step',
    f'step = CASE WHEN {_CONTINUES} THEN before_step + 1 ELSE 0 END',
    '0, 1, 2, ... in each session',
  )
  if not manifest.has_time:
    yield _Rule('timestamp', 'timestamp = 0', '0 in a log without a time')
  end = manifest.splits[split].end_ms
  if end is not None:
    delay, _ = _delays(manifest)
    yield _Rule(
      'timestamp',
      f'timestamp < {end - delay}',
      f'less than {end - delay}, so that a label is known at {end}',
    )
  if manifest.split_by_time and split != 'train':
    before = 'train' if split == 'validation' else 'validation'
    start = manifest.splits[before].end_ms
    yield _Rule(
      'timestamp',
      f'{_CONTINUES} OR timestamp >= {start}',
      f'at least {start}, where the split before ends',
    )


def _task_rules(manifest: manifest_lib.Manifest, split: str) -> Iterator[_Rule]:
  """Labels are 0 where they are not observed, and imply those of parents."""
  end, (_, late) = manifest.splits[split].end_ms, _delays(manifest)
  weighted = {task.name for task in manifest.tasks if task.weighted}
  for task in manifest.tasks:
    label, weight = sql.quote(f'y_{task.name}'), sql.quote(f'w_{task.name}')
    if task.name in weighted:
      yield _Rule(
        f'y_{task.name}',
        f'{weight} > 0 OR {label} = 0',
        '0, because the label is not observed (its weight is 0)',
      )
      if end is not None and task.name in late:
        yield _Rule(
          f'w_{task.name}',
          f'{weight} = 0 OR timestamp < {end - late[task.name]}',
          "0, because the label is not known at its split's end",
        )
    if task.within_seconds is not None:
      delay = sql.quote(f'd_{task.name}')
      # Rounded as the columns are.
      within = f'CAST({task.within_seconds} AS FLOAT)'
      yield _Rule(
        f'd_{task.name}',
        f'isnan({delay}) OR {delay} <= {within}',
        f'0 to {task.within_seconds} seconds, or NaN',
      )
      yield _Rule(
        f'w_{task.name}',
        f'{weight} = 0 OR age >= {within}',
        "0, because the label is not final at its split's end",
      )
    if task.after is None:
      continue
    parent = f'{sql.quote(f"y_{task.after}")} > 0'
    if task.after in weighted:
      parent += f' OR {sql.quote(f"w_{task.after}")} = 0'
    yield _Rule(
      f'y_{task.name}',
      f'{label} = 0 OR {parent}',
      f'0 where y_{task.after} is 0, because {task.name} implies {task.after}',
    )
    if task.only_after and task.name in weighted:
      yield _Rule(
        f'w_{task.name}',
        f'{weight} = 0 OR {parent}',
        f'0 where y_{task.after} is 0, because only its positives count',
      )


def _delays(manifest: manifest_lib.Manifest) -> tuple[int, dict[str, int]]:
  """The delay of a row's first label, and those of the late tasks, ms."""
  schema = schema_lib.schema_of_manifest(manifest)
  if schema is None:
    return 0, {}
  late = labels_lib.late(schema.tasks)
  return source.fastest(schema.tasks).delay_ms, {
    task.name: task.known_after_ms or 0 for task in late
  }


def _check_counts(
  connection: sql.Connection,
  directory: pathlib.Path,
  manifest: manifest_lib.Manifest,
  name: str,
) -> None:
  """Compares the manifest's counts of a split with those of the rows."""
  split = manifest.splits[name]
  stated: dict[str, int] = {}
  counts: list[str] = []
  for task in manifest.tasks:
    stated[f'positives: {task.name!r}'] = split.positives[task.name]
    counts.append(f'count_if({sql.quote(f"y_{task.name}")} <> 0)')
    if task.weighted:
      stated[f'observed: {task.name!r}'] = split.observed[task.name]
      counts.append(f'count_if({sql.quote(f"w_{task.name}")} <> 0)')
  if split.start_ms is not None:
    stated['start_ms'] = split.start_ms
    counts.append('min(timestamp)')
  found = sql.fetch_row(connection, f'SELECT {", ".join(counts)} FROM {name}')
  for (entry, number), count in zip(stated.items(), found, strict=True):
    if number != count:
      raise types.InputError(
        f'{directory / "manifest.json"}: splits: {name!r}: {entry} is {number},'
        f' the files have {count}'
      )


def _check_value_counts(
  connection: sql.Connection,
  directory: pathlib.Path,
  manifest: manifest_lib.Manifest,
) -> None:
  """Compares the vocabularies' counts with train.

  They differ if a vocabulary's rows are not in the order of the ids.
  """
  for field in manifest.with_vocabulary:
    path, column = (
      vocabulary_file.path(directory, field),
      sql.quote(field.column),
    )
    is_list = field.kind == 'multi_valued'
    ids = f'unnest({column})' if is_list else column
    with sql.scan_file(path, 'parquet') as words:
      wrong = connection.execute(
        f'SELECT v.id, v.count, coalesce(t.n, 0) FROM'
        f' (SELECT file_row_number AS id, count FROM {words}) v LEFT JOIN'
        f' (SELECT id, count(*) AS n FROM (SELECT {ids} AS id FROM train)'
        ' GROUP BY id) t USING (id)'
        ' WHERE v.count IS DISTINCT FROM coalesce(t.n, 0)'
        # Row 0 of a list also stands for no values at all.
        f' AND v.id >= {int(is_list)} ORDER BY id LIMIT 1'
      ).fetchall()
    for row, count, found in wrong:
      raise types.InputError(
        f"{path}: row {row + 1}, column 'count': {count}, but train has id"
        f' {row} {found} times, expected rows in the order of ids'
      )


def _check_disjoint(
  connection: sql.Connection,
  directory: pathlib.Path,
  manifest: manifest_lib.Manifest,
) -> None:
  """Refuses a session in two splits, and a user where users are split.

  A session belongs to the user of its first row.
  """
  columns = {'session_id': 'true'}
  if manifest.options.get('split_by') == 'user':
    columns['user_id'] = 'step = 0 AND user_id IS NOT NULL'
  for column, condition in columns.items():
    for one, other in itertools.combinations(manifest.splits, 2):
      found = connection.execute(
        f'SELECT {column} FROM {one} SEMI JOIN'
        f' (SELECT {column} FROM {other} WHERE {condition}) USING ({column})'
        f' WHERE {condition} ORDER BY 1 LIMIT 1'
      ).fetchall()
      for (value,) in found:
        noun = column.removesuffix('_id')
        raise types.InputError(
          f'{directory}: column {column!r}: {noun} {value} is in {one} and in'
          f' {other}, expected it in one split'
        )
