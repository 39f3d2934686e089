"""Checks prepared data, of any engine, against its contract.

docs/prepared_data.md states the rules. Rows are read a batch at a time, so data
larger than memory can be checked; memory holds a batch, one vocabulary and a
count per vocabulary row.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, parquet, reading, vectors
from rmtl_jax.preparation import labels as labels_lib
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, writer
from rmtl_jax.preparation.contract import columns as contract_columns
from rmtl_jax.preparation.contract import sessions as contract_sessions
from rmtl_jax.preparation.contract import users as contract_users
from rmtl_jax.preparation.contract import vocabulary as contract_vocabulary

# Row groups above this many times the usual size raise a warning.
_MAX_GROUP_RATIO = 4


@dataclasses.dataclass(frozen=True)
class ContractReport:
  """The result of a successful check.

  Attributes:
    manifest: of the data.
    files: Parquet files of rows.
    vocabularies: Parquet files of vocabularies.
    warnings: allowed but slow properties, one line each.
  """

  manifest: manifest_lib.Manifest
  files: int
  vocabularies: int
  warnings: tuple[str, ...]


def check(
  data_dir: str | pathlib.Path,
  progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> ContractReport:
  """Checks prepared data against every rule of its contract.

  Args:
    data_dir: the directory that holds manifest.json.
    progress: called with the stage's name and the fraction done, 0 to 1.

  Returns:
    What was checked, if all of it is right.

  Raises:
    types.InputError: for the first rule that is broken; names file, column
      and row where there are such.
  """
  directory = pathlib.Path(data_dir)
  with reading.shared_lock(directory):
    manifest = manifest_file.read(directory)
    _check_files(directory, manifest)
    vocabularies = contract_vocabulary.check(directory, manifest)
    vectors.read(directory, manifest)
    _check_ends(directory, manifest)
    total = max(1, sum(split.rows for split in manifest.splits.values()))
    split_counts: dict[str, contract_sessions.SplitCounts] = {}
    delay_ms, late = _delays(manifest)
    against = _Against(
      manifest,
      late,
      contract_vocabulary.ValueCounts(manifest),
      contract_users.Users(manifest),
    )
    done = 0
    for name in manifest.splits:
      totals = split_counts[name] = contract_sessions.SplitCounts(
        _min_start(manifest, name), manifest.splits[name].end_ms, delay_ms
      )
      for values in _batches(directory, manifest, name):
        _check_batch(values, against, name, totals)
        done += len(values.table)
        progress('check', min(1.0, done / total))
      _check_counts(directory, manifest, name, totals)
    against.counts.check(directory)
    contract_sessions.check_disjoint(directory, manifest, split_counts)
    reading.check_recorded(directory, manifest)
    files = [
      directory / file
      for split in manifest.splits.values()
      for file in split.files
    ]
    return ContractReport(
      manifest, len(files), vocabularies, _slow_groups(files)
    )


def _check_files(
  directory: pathlib.Path, manifest: manifest_lib.Manifest
) -> None:
  """Refuses files outside their split's directory, repeated or unnamed."""
  seen: set[pathlib.Path] = set()
  for name in manifest.splits:
    where = directory / name
    for file in manifest.splits[name].files:
      path = directory / file
      if path.parent != where:
        raise types.InputError(
          f'{directory / "manifest.json"}: splits: {name!r}: file {file!r},'
          f' expected one in {name}/'
        )
      if path in seen:
        raise types.InputError(
          f'{directory / "manifest.json"}: splits: {name!r}: file {file!r}'
          ' stands twice'
        )
      if not path.is_file():
        raise types.InputError(f'{path}: not found')
      seen.add(path)
    for path in sorted(where.glob('*.parquet')):
      if path not in seen:
        raise types.InputError(
          f'{path}: is not among the files that manifest.json names'
        )


def _check_ends(
  directory: pathlib.Path, manifest: manifest_lib.Manifest
) -> None:
  """Refuses splits by time without the ends that part them."""
  for name in ('train', 'validation') if manifest.split_by_time else ():
    if manifest.splits[name].end_ms is None:
      raise types.InputError(
        f'{directory / "manifest.json"}: splits: {name!r}: end_ms is null,'
        ' expected a time, as splits follow each other in time'
        ' (split_by_time)'
      )


def _batches(
  directory: pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> Iterator[contract_columns.BatchColumns]:
  """The rows of a split, some at a time, in order."""
  wanted = contract_columns.expected_types(manifest)
  for name in manifest.splits[split].files:
    path = directory / name
    columns = contract_columns.check_types(path, wanted)
    first_row = 0
    for batch in contract_columns.batches(path, columns):
      if len(batch):
        yield contract_columns.BatchColumns(path, first_row, batch)
      first_row += len(batch)


def _min_start(manifest: manifest_lib.Manifest, split: str) -> int | None:
  """The earliest allowed start of a split's sessions, ms.

  None for the first, and where sessions are not split by time.
  """
  if not manifest.split_by_time or split == 'train':
    return None
  before = 'train' if split == 'validation' else 'validation'
  return manifest.splits[before].end_ms


def _delays(manifest: manifest_lib.Manifest) -> tuple[int, dict[str, int]]:
  """How long after a row its first label is known, and those of late tasks, ms.

  Those are late that some rows don't know in time; without a schema none is.
  """
  schema = schema_lib.schema_of_manifest(manifest)
  if schema is None:
    return 0, {}
  late = labels_lib.late(schema.tasks)
  of_late = {task.name: task.known_after_ms or 0 for task in late}
  return source.fastest(schema.tasks).delay_ms, of_late


class _Against(NamedTuple):
  """What rows are checked against, and what has been seen of them so far."""

  manifest: manifest_lib.Manifest
  late: dict[str, int]
  counts: contract_vocabulary.ValueCounts
  users: contract_users.Users


def _check_batch(
  values: contract_columns.BatchColumns,
  against: _Against,
  split: str,
  totals: contract_sessions.SplitCounts,
) -> None:
  """Checks rows and adds them to the split's counts."""
  manifest, late, counts, users = against
  if not manifest.has_time:
    values.require(
      values.integers('timestamp') == 0,
      'timestamp',
      'is not 0, and manifest.json says has_time: false',
      '0 in a log without a time',
    )
  contract_sessions.check_rows(values, totals)
  values.integers('row_id')
  users.check(values, split)
  for field in manifest.fields:
    if field.kind == 'numeric':
      values.numbers(field)
      continue
    if field.kind == 'categorical':
      ids = values.ids(field)
    else:
      ids, _ = values.values_of_lists(field)
    if split == 'train':
      counts.add(field, ids)
  weights = {
    task.name: values.floats(f'w_{task.name}', 0.0, expected='a weight >= 0')
    for task in manifest.tasks
    if task.weighted
  }
  labels = {
    task.name: values.labels(task, weights.get(task.name))
    for task in manifest.tasks
  }
  _check_weights(
    values, manifest, labels, weights, manifest.splits[split], late
  )
  for name, found in weights.items():
    totals.observed[name] += int(np.count_nonzero(found))
  for task in manifest.tasks:
    found = labels[task.name]
    totals.positives[task.name] += int(np.count_nonzero(found))
    if task.after is not None:
      unknown = weights.get(task.after, np.ones(len(found))) == 0
      values.require(
        (labels[task.after] > 0) | (found == 0) | unknown,
        f'y_{task.name}',
        f'is {"1" if task.is_binary else "not 0"} where y_{task.after} is 0',
        f'0 there, as {task.name} implies {task.after}',
      )
    if manifest.has_oracle:
      values.floats(f'p_{task.name}', 0.0, 1.0, 'a probability')
  totals.rows += len(values.table)
  totals.last_file = values.path


def _check_weights(
  values: contract_columns.BatchColumns,
  manifest: manifest_lib.Manifest,
  labels: dict[str, np.ndarray],
  weights: dict[str, np.ndarray],
  split: manifest_lib.Split,
  late: dict[str, int],
) -> None:
  """Checks where rows have weight 0, and that their labels are 0 there."""
  time = values.integers('timestamp')
  for task in manifest.tasks:
    if not task.weighted:
      continue
    is_out = weights[task.name] == 0
    values.require(
      ~is_out | (labels[task.name] == 0),
      f'y_{task.name}',
      f'is {"1" if task.is_binary else "not 0"} where w_{task.name} is 0',
      '0 where the label is not observed',
    )
    if split.end_ms is not None and late.get(task.name):
      values.require(
        is_out | (time < split.end_ms - late[task.name]),
        f'w_{task.name}',
        "is above 0 where the label is not known at its split's end",
        '0 there',
      )
    if task.only_after and task.after is not None:
      # A parent of weight 0 may have been positive: its label is not told.
      parent = weights.get(task.after, np.ones(len(is_out)))
      values.require(
        is_out | (labels[task.after] > 0) | (parent == 0),
        f'w_{task.name}',
        f'is above 0 where y_{task.after} is 0',
        f'0 there, as only positives of {task.after} count',
      )


def _check_counts(
  directory: pathlib.Path,
  manifest: manifest_lib.Manifest,
  name: str,
  totals: contract_sessions.SplitCounts,
) -> None:
  """Compares the manifest's counts with those of the rows."""
  split = manifest.splits[name]
  if not totals.rows:
    raise types.InputError(
      f'{directory}: split {name!r} has no rows; an empty split is of no use'
    )
  pairs = {
    'rows': (split.rows, totals.rows),
    'sessions': (split.sessions, totals.sessions),
    **{
      f'positives: {task!r}': (split.positives[task], totals.positives[task])
      for task in manifest.task_names
    },
    **{
      f'observed: {task!r}': (split.observed[task], found)
      for task, found in totals.observed.items()
    },
  }
  if split.start_ms is not None:
    pairs['start_ms'] = split.start_ms, totals.first_time
  for entry, (stated, found) in pairs.items():
    if stated != found:
      raise types.InputError(
        f'{directory / "manifest.json"}: splits: {name!r}: {entry} is {stated},'
        f' the files say {found}'
      )


def _slow_groups(files: list[pathlib.Path]) -> tuple[str, ...]:
  """Warns about row groups that are too large for streaming."""
  largest, where, count = 0, pathlib.Path(), 0
  for path in files:
    with parquet.open_file(path) as file:
      found = file.metadata
    rows = (
      max(found.row_group(i).num_rows for i in range(found.num_row_groups))
      if found.num_row_groups
      else 0
    )
    count += rows > _MAX_GROUP_RATIO * writer.ROW_GROUP
    if rows > largest:
      largest, where = rows, path
  if not count:
    return ()
  noun = 'file has' if count == 1 else 'files have'
  return (
    f'{count} {noun} row groups of more than'
    f' {_MAX_GROUP_RATIO * writer.ROW_GROUP:,} rows ({where}: {largest:,});'
    ' training that streams reads whole groups'
    f' for small blocks, so write groups of {writer.ROW_GROUP:,}',
  )
