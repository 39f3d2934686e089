"""Checks of a run's directory: place, settings and data."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, vocabulary_file

# First file of a backtest's directory, as config.json of others.
BACKTEST = 'asked.json'
REMEDY = '; choose another --workdir'
# Subdirectories of a run or study in which no other may be.
_PARTS = (
  *('checkpoints', 'data', 'evaluation', 'report', 'tensorboard', 'tracking'),
  'vocabulary',
)
_APART = (
  '; data that were prepared apart are encoded in another way (rmtl predict'
  ' reads raw rows)'
)
# Settings that may change on resume: a comparison may get more seeds and
# methods, and the others change no number.
_FREE = ('compare.', 'batch.input', 'checkpoint_minutes')


def check_place(path: pathlib.Path) -> None:
  """Refuses a new run or study in what belongs to something else.

  Raises:
    types.InputError: it contains prepared data, an export or a study, or
      is a run's part.
  """
  fault = ''
  if (path / 'manifest.json').exists() and (path / 'train').exists():
    fault = 'contains prepared data'
  elif holder := manifest_file.copy_holder(path):
    fault = f'contains {holder}'
  elif (path / BACKTEST).exists():
    fault = 'contains a backtest'
  place = path.resolve()
  for part, whole in itertools.pairwise([place, *place.parents]):
    files = ('config.json', 'manifest.json')
    if part.name in _PARTS and all((whole / name).exists() for name in files):
      fault = f'is a part of {whole}'
  if fault:
    raise types.InputError(f'{path}: {fault}{REMEDY}')


def check_settings(
  path: pathlib.Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
  """Refuses other settings than a run's, but for those that may change.

  Args:
    path: the run's directory.
    old: its settings (`config.values.flatten`).
    new: those asked for.

  Raises:
    types.InputError: names the first that differs.
  """
  for name, value in new.items():
    if old.get(name) != value and not name.startswith(_FREE):
      raise types.InputError(
        f'{path}: this run has config.{name}={old.get(name)!r}, not'
        f' {value!r}{REMEDY}'
      )


def check_compatible(
  own: manifest_lib.Manifest, data: manifest_lib.Manifest, path: str
) -> None:
  """Refuses data with other features or tasks than a run's.

  Args:
    own: the run's manifest.
    data: that of the data.
    path: what to call the data in errors.

  Raises:
    types.InputError: names the first field or task that differs.
  """
  old, new = (
    [
      (f.name, f.kind, f.size, f.width, f.vocabulary_owner, _lacks(f))
      for f in manifest.fields
    ]
    for manifest in (own, data)
  )
  names = ('name', 'kind', 'vocabulary rows', 'slots', 'vocabulary')
  names = (*names, 'missing in train')
  for number, fields in enumerate(zip(old, new, strict=False), start=1):
    for what, before, after in zip(names, *fields, strict=True):
      if before != after:
        raise types.InputError(
          f'{path}: field number {number}, {fields[1][0]!r}: {what}:'
          f' {after!r}, the run has {before!r}'
        )
  if len(old) != len(new):
    raise types.InputError(
      f'{path}: has {len(new)} fields, the run has {len(old)}'
    )
  if own.task_names != data.task_names:
    raise types.InputError(
      f'{path}: tasks are {", ".join(data.task_names)}, the run has'
      f' {", ".join(own.task_names)}'
    )
  for known, task in zip(own.tasks, data.tasks, strict=True):
    for what in ('kind', 'levels'):
      before, after = getattr(known, what), getattr(task, what)
      if before != after:
        raise types.InputError(
          f'{path}: task {task.name!r}: {what}: {after!r}, the run has'
          f' {before!r}'
        )


def _lacks(field: manifest_lib.Field) -> bool:
  return field.details.get('missing', False)


def check_encoding(
  path: pathlib.Path,
  own: manifest_lib.Manifest,
  data: manifest_lib.Manifest,
  data_dir: pathlib.Path,
) -> None:
  """Refuses compatible data with other vocabularies, bins or scales.

  Data that were prepared separately have other vocabularies, bins and scales,
  and vocabularies may have the run's sizes by chance. What either side lacks,
  as data of other engines may, is not compared.

  Args:
    path: the run's directory.
    own: its manifest.
    data: the manifest of the data.

  Raises:
    types.InputError: names the first field that differs.
  """
  for known, field in zip(own.fields, data.fields, strict=True):
    where = f'{data_dir}: field {field.name!r}'
    for what in ('transform', 'edges', 'mean', 'deviation'):
      before, after = (f.details.get(what) for f in (known, field))
      if before != after and None not in (before, after):
        raise types.InputError(
          f'{where}: {what}: {after!r:.80}, the run has {before!r:.80}{_APART}'
        )
    places = path, data_dir
    if not field.has_vocabulary or not all(
      vocabulary_file.path(place, field).exists() for place in places
    ):
      continue
    before, after = (
      vocabulary_file.read(place, field)['value'].to_pylist()
      for place in places
    )
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
      if old != new:
        raise types.InputError(
          f'{where}: vocabulary row {row}: {new!r:.80}, the run has'
          f' {old!r:.80}{_APART}'
        )
