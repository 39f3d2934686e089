"""DATA/manifest.json: written last, read and checked.

A directory without one is not prepared data.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rmtl_jax import decoding, durable, json_files, types
from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib

# In bytes; what a file's name may have beside it fits too.
_LONGEST_NAME = 200
# Files that tell what has a copy of its data's manifest.
_COPY_HOLDERS = {
  'config.json': 'a run or a study',
  'export.json': 'an exported model',
}
# Attributes that have another key in the file.
_KEYS = {'vocabulary_owner': 'shares'}
# Attributes of tasks that are not binary.
_OF_KIND = ('kind', 'loss', 'settings', 'levels', 'statistics')
# Attributes that are in the file only where they say something.
_SPARSE = (
  *('weighted', 'only_after', 'negatives_kept', 'within_seconds'),
  *('observed', 'digests'),
)
# Entries that are in the file only where they are false.
_USUAL = ('has_time', 'split_by_time')
# How many quantiles a numeric field has (`details`), and their largest size.
_QUANTILES = (2, 1025)
_LARGEST_QUANTILE = 1e30
# Of the years that a calendar has.
_TIMES_MS = -62_135_596_800_000, 253_402_300_799_999
# Vocabulary rows are int32.
_LARGEST_SIZE = 2**31 - 1


def to_dict(manifest: manifest_lib.Manifest) -> dict[str, Any]:
  """The JSON object that `parse` reads."""
  record = dataclasses.asdict(
    manifest,
    dict_factory=lambda pairs: {
      _KEYS.get(k, k): v for k, v in pairs if k not in _SPARSE or v
    },
  )
  for entry in _USUAL:
    if record[entry]:
      del record[entry]
  # A binary task has none of `_OF_KIND`.
  record['tasks'] = [
    {
      name: value
      for name, value in task.items()
      if name not in _OF_KIND or not one.is_binary
    }
    for task, one in zip(record['tasks'], manifest.tasks, strict=True)
  ]
  return record


def write(
  manifest: manifest_lib.Manifest, data_dir: str | os.PathLike[str]
) -> None:
  """Writes DATA/manifest.json atomically."""
  text = json.dumps(to_dict(manifest), indent=2, allow_nan=False)
  durable.write_text(pathlib.Path(data_dir) / 'manifest.json', text + '\n')


def read(data_dir: str | os.PathLike[str]) -> manifest_lib.Manifest:
  """Reads DATA/manifest.json and checks its form.

  Raises:
    types.InputError: no prepared data, not JSON, another format version, or a
      field that is missing or of the wrong form.
  """
  directory = pathlib.Path(data_dir)
  if holder := copy_holder(directory):
    data = _data_of(directory)
    raise types.InputError(
      f'{data_dir}: is {holder}, expected prepared data'
      f'{f", such as its own: {data}" if data else ""}'
    )
  missing = f'{data_dir} is not prepared data (make it with rmtl prepare)'
  return read_copy(directory, missing)


def read_copy(
  directory: pathlib.Path, missing: str = ''
) -> manifest_lib.Manifest:
  """As `read`, of a run, a study or an exported model, which have a copy."""
  path = directory / 'manifest.json'
  return parse(json_files.read(path, missing), str(path))


def copy_holder(directory: pathlib.Path) -> str:
  """Kind of a directory with a copy of its data's manifest; '' if none.

  Data have rows, whatever other files are beside them.
  """
  if (directory / 'train').is_dir():
    return ''
  for name, holder in _COPY_HOLDERS.items():
    if (directory / name).is_file():
      return holder
  return ''


def _data_of(directory: pathlib.Path) -> str:
  """The prepared data that a run or a study names; '' if none."""
  try:
    return str(json_files.read(directory / 'config.json')['data_dir'])
  except (types.InputError, LookupError, TypeError):
    return ''


def parse(record: Any, path: str = 'manifest.json') -> manifest_lib.Manifest:
  """Turns the decoded JSON into a Manifest.

  Raises:
    types.InputError: as for `read`.
  """
  if not isinstance(record, dict):
    raise types.InputError(f'{path}: expected a JSON object')
  version = record.get('format_version')
  if type(version) is not int or version != manifest_lib.FORMAT_VERSION:
    raise types.InputError(
      f'{path}: format_version is {version!r:.80}, this program reads'
      f' {manifest_lib.FORMAT_VERSION}'
    )
  # What a later program adds without a new version is not read.
  known = {field.name for field in dataclasses.fields(manifest_lib.Manifest)}
  record = {name: value for name, value in record.items() if name in known}
  manifest = decoding.decode(manifest_lib.Manifest, record, path, _KEYS)
  for name in manifest.digests:
    _check_inside(name, f'{path}: digests')
  _check_names(manifest.fields, f'{path}: fields')
  _check_names(manifest.tasks, f'{path}: tasks')
  manifest = dataclasses.replace(
    manifest, splits=_all_splits(manifest.splits, f'{path}: splits')
  )
  _check_fields(manifest, path)
  _check_tasks(manifest, path)
  for name, split in manifest.splits.items():
    _check_split(split, manifest, f'{path}: splits: {name!r}')
  return manifest


def _at_least(value: Any, what: str, low: int = 0) -> None:
  if decoding.expect(value, int, what) < low:
    raise types.InputError(f'{what} is {value!r:.80}, expected at least {low}')


def _check_names(parts: Sequence[Any], what: str) -> None:
  """Refuses equal names, and those that can't be part of a file's name."""
  names = [part.name for part in parts]
  for i, name in enumerate(names):
    if (
      not name.isprintable()
      or set(name) & set('/\\')
      or name in ('', '.', '..')
      or len(name.encode()) > _LONGEST_NAME
    ):
      raise types.InputError(
        f'{what}: entry {i + 1}: name is {name!r:.80}, which can name no file'
      )
    if name in names[:i]:
      raise types.InputError(f'{what}: {name!r} occurs twice')


def _all_splits(
  splits: dict[str, manifest_lib.Split], what: str
) -> dict[str, manifest_lib.Split]:
  """The splits in their order, if they are those of SPLITS."""
  for name in splits:
    if name not in manifest_lib.SPLITS:
      raise types.InputError(f'{what}: no such split: {name!r:.80}')
  for name in manifest_lib.SPLITS:
    if name not in splits:
      raise types.InputError(f'{what} lacks {name!r}')
  return {name: splits[name] for name in manifest_lib.SPLITS}


def _check_fields(manifest: manifest_lib.Manifest, path: str) -> None:
  """Refuses fields that no network could have."""
  for field in manifest.fields:
    what = f'{path}: fields: {field.name!r}'
    if field.kind not in manifest_lib.KINDS:
      raise types.InputError(
        f'{what} has kind {field.kind!r:.80}, expected one of'
        f' {", ".join(manifest_lib.KINDS)}'
      )
    _at_least(field.size, f'{what}: size', int(field.kind != 'numeric'))
    _at_least(field.width, f'{what}: width', int(field.kind == 'multi_valued'))
    if field.size > _LARGEST_SIZE or field.width > _LARGEST_SIZE:
      raise types.InputError(
        f'{what} has more than {_LARGEST_SIZE} vocabulary rows or slots'
      )
    if 'vectors' in field.details:
      _check_vectors(field, what)
    if field.is_binned:
      _check_edges(field, what)
    if field.kind == 'numeric':
      missing = field.details.get('missing', False)
      decoding.expect(missing, bool, f'{what}: details: missing')
    if field.kind == 'numeric' and 'quantiles' in field.details:
      _check_quantiles(field.details['quantiles'], what)
    if field.vocabulary_owner is not None:
      _check_shares(field, manifest, what)
  categorical = [field.name for field in manifest.of_kind('categorical')]
  for role in ('user_field', 'item_field'):
    name = getattr(manifest, role)
    if name is not None and name not in categorical:
      raise types.InputError(
        f'{path}: {role} is {name!r:.80}, expected a categorical field'
      )


def _check_vectors(field: manifest_lib.Field, what: str) -> None:
  """Refuses what can't describe vectors of a vocabulary."""
  what = f'{what}: details: vectors'
  found = decoding.expect(field.details['vectors'], dict, what)
  if field.kind != 'categorical':
    raise types.InputError(f'{what}: only a categorical field has vectors')
  _at_least(found.get('width'), f'{what}: width', 1)
  decoding.expect(found.get('trained'), bool, f'{what}: trained')


def _check_quantiles(found: Any, what: str) -> None:
  """Refuses what can't be the edges of bins."""
  what = f'{what}: details: quantiles'
  numbers = decoding.decode(tuple[float, ...], found, what)
  least, most = _QUANTILES
  if not (
    least <= len(numbers) <= most
    and all(abs(q) <= _LARGEST_QUANTILE for q in numbers)
    and all(a < b for a, b in itertools.pairwise(numbers))
  ):
    raise types.InputError(
      f'{what} are {found!r:.80}, expected a list of {least} to {most}'
      f' increasing numbers of at most {_LARGEST_QUANTILE:.0e}'
    )


def _check_edges(field: manifest_lib.Field, what: str) -> None:
  """Refuses what can't be the edges of bins."""
  details = f'{what}: details'
  edges = decoding.decode(
    tuple[float, ...], field.details['edges'], f'{details}: edges'
  )
  rate = field.details.get('train_rate', 0.0)
  decoding.expect(rate, float, f'{details}: train_rate')
  for number in (*edges, rate):
    if not abs(number) <= sys.float_info.max:
      raise types.InputError(f'{details}: {number!r:.80} is no float')
  if sorted(edges) != list(edges):
    raise types.InputError(f'{details}: edges: expected rising numbers')
  if field.kind != 'categorical' or field.size != len(edges) + 2:
    raise types.InputError(
      f'{what}: is {field.kind} of {field.size} rows, expected a categorical'
      f' field of {len(edges) + 2}, as it has {len(edges)} edges'
    )


def _check_shares(
  field: manifest_lib.Field, manifest: manifest_lib.Manifest, what: str
) -> None:
  """Refuses an owner that is missing or has another vocabulary size."""
  sizes = {f.name: f.size for f in manifest.of_kind('categorical')}
  if field.kind != 'multi_valued':
    raise types.InputError(f'{what} shares, expected that of multi_valued only')
  if (
    type(field.vocabulary_owner) is not str
    or field.vocabulary_owner not in sizes
  ):
    raise types.InputError(
      f'{what} shares {field.vocabulary_owner!r:.80}, expected a categorical'
      ' field'
    )
  if field.size != sizes[field.vocabulary_owner]:
    raise types.InputError(
      f'{what} has {field.size} vocabulary rows and shares those of'
      f' {field.vocabulary_owner!r}, which has {sizes[field.vocabulary_owner]}'
    )


def _check_tasks(manifest: manifest_lib.Manifest, path: str) -> None:
  """Refuses tasks that form no funnel."""
  if not manifest.tasks:
    raise types.InputError(f'{path}: tasks is empty')
  for i, task in enumerate(manifest.tasks):
    if task.after is not None and task.after not in manifest.task_names[:i]:
      raise types.InputError(
        f'{path}: tasks: {task.name!r} comes after {task.after!r:.80},'
        ' expected a task listed before'
      )
    _check_kind(task, f'{path}: tasks: {task.name!r}')
    _check_task_rows(task, f'{path}: tasks: {task.name!r}')
  if sum(t.negatives_kept is not None for t in manifest.tasks) > 1:
    raise types.InputError(
      f'{path}: tasks: several have negatives_kept, expected one at most'
    )


def _check_kind(task: manifest_lib.Task, what: str) -> None:
  """Refuses a kind, a loss or statistics that no network could use."""
  possible = kinds.losses_of(task.kind) if task.kind in kinds.KINDS else ()
  if task.loss not in possible:
    raise types.InputError(
      f'{what} has kind {task.kind!r:.80} and loss {task.loss!r:.80}, expected'
      f' a loss of {", ".join(kinds.KINDS)}'
    )
  if task.is_binary:
    return
  levels = list(task.levels)
  if task.kind == kinds.ORDINAL and not (
    2 <= len(levels) <= kinds.MOST_LEVELS and sorted(set(levels)) == levels
  ):
    raise types.InputError(
      f'{what}: levels are {task.levels!r:.80}, expected 2 to'
      f' {kinds.MOST_LEVELS} increasing whole numbers'
    )
  numbers = {**task.settings, **task.statistics}
  shares = numbers.pop('shares', [])
  wanted = kinds.STATISTICS[task.kind]
  for name in wanted:
    if name not in task.statistics:
      raise types.InputError(f'{what}: statistics lacks {name!r}')
  shares = shares if type(shares) in (list, tuple) else [None]
  if 'shares' in wanted and len(shares) != len(levels):
    raise types.InputError(
      f'{what}: statistics: shares are {shares!r:.80}, expected one per level'
    )
  for name, value in [*numbers.items(), *(('shares', s) for s in shares)]:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_QUANTILE:
      raise types.InputError(
        f'{what}: {name} is {value!r:.80}, expected a number'
      )


def _check_task_rows(task: manifest_lib.Task, what: str) -> None:
  """Refuses tasks without a way to count rows."""
  if task.only_after and not (task.weighted and task.after is not None):
    raise types.InputError(
      f'{what}: only_after is true, expected after and weighted with it'
    )
  rate = task.negatives_kept
  if rate is not None and not 0 < rate <= 1:
    raise types.InputError(
      f'{what}: negatives_kept is {rate!r:.80}, expected a rate in (0, 1]'
    )
  within = task.within_seconds
  if within is not None and not (task.weighted and within > 0):
    raise types.InputError(
      f'{what}: within_seconds is {within!r:.80}, expected a number above 0 and'
      ' weighted with it'
    )


def _check_split(
  split: manifest_lib.Split, manifest: manifest_lib.Manifest, what: str
) -> None:
  """Refuses counts that are none, and files outside of the directory."""
  _at_least(split.rows, f'{what}: rows')
  _at_least(split.sessions, f'{what}: sessions')
  for name in manifest.task_names:
    if name not in split.positives:
      raise types.InputError(f'{what}: positives lacks {name!r}')
  for name, count in split.positives.items():
    _at_least(count, f'{what}: positives: {name!r:.80}')
  for task in manifest.tasks:
    if task.weighted:
      found = split.observed.get(task.name)
      _at_least(found, f'{what}: observed: {task.name!r:.80}')
  for entry in ('start_ms', 'end_ms'):
    value, (earliest, latest) = getattr(split, entry), _TIMES_MS
    if value is not None and not earliest <= value <= latest:
      raise types.InputError(
        f'{what}: {entry} is {value!r:.80}, expected ms of the years 1 to 9999'
      )
  for name in split.files:
    _check_inside(name, what)


def _check_inside(name: str, what: str) -> None:
  inside = pathlib.PurePosixPath(name)
  if inside.is_absolute() or '..' in inside.parts or '\0' in name:
    raise types.InputError(f'{what}: file {name!r:.80} leaves the directory')
