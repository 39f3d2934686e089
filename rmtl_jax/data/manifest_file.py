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

# In bytes; names of files are a little longer than those of fields and tasks.
_LONGEST_NAME = 200
# Files of runs and exports, which have a copy of their data's manifest.
_COPY_HOLDERS = {
  'config.json': 'a run or a study',
  'export.json': 'an exported model',
}
# Attributes that have another key in the file.
_KEYS = {'vocabulary_owner': 'shares'}
# How many quantiles a numeric field has (`details`).
_QUANTILES = (2, 1025)
# Of quantiles, statistics and settings of losses.
_LARGEST_NUMBER = 1e30
# Of the years that a calendar has.
_TIMES_MS = -62_135_596_800_000, 253_402_300_799_999
# Vocabulary rows are int32.
_LARGEST_SIZE = 2**31 - 1


def to_dict(manifest: manifest_lib.Manifest) -> dict[str, Any]:
  """The JSON object that `parse` reads."""
  return dataclasses.asdict(
    manifest, dict_factory=lambda pairs: {_KEYS.get(k, k): v for k, v in pairs}
  )


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
    raise types.InputError(f'{data_dir}: is {holder}, expected prepared data')
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

  Data have rows, whatever other files are in the directory.
  """
  if (directory / 'train').is_dir():
    return ''
  for name, holder in _COPY_HOLDERS.items():
    if (directory / name).is_file():
      return holder
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
  _check_names(manifest.fields, f'{path}: fields')
  _check_names(manifest.tasks, f'{path}: tasks')
  _check_files(tuple(manifest.digests), f'{path}: digests')
  if {*manifest.splits} != {*manifest_lib.SPLITS}:
    raise types.InputError(
      f'{path}: splits are {", ".join(manifest.splits)!r:.80}, expected'
      f' {", ".join(manifest_lib.SPLITS)}'
    )
  in_order = {name: manifest.splits[name] for name in manifest_lib.SPLITS}
  manifest = dataclasses.replace(manifest, splits=in_order)
  sizes = {f.name: f.size for f in manifest.of_kind('categorical')}
  for field in manifest.fields:
    _check_field(field, sizes, f'{path}: fields: {field.name!r}')
  for role in ('user_field', 'item_field'):
    name = getattr(manifest, role)
    right = name is None or name in sizes
    _expect(right, f'{path}: {role}', name, 'a categorical field')
  _expect(bool(manifest.tasks), f'{path}: tasks', [], 'at least one')
  for i, task in enumerate(manifest.tasks):
    what = f'{path}: tasks: {task.name!r}'
    right = task.after is None or task.after in manifest.task_names[:i]
    _expect(right, f'{what}: after', task.after, 'a task listed before')
    _check_kind(task, what)
    _check_rows(task, what)
  rates = [t.negatives_kept for t in manifest.tasks if t.negatives_kept]
  what = f'{path}: tasks: negatives_kept'
  _expect(len(rates) < 2, what, rates, 'one at most')
  for name, split in manifest.splits.items():
    _check_split(split, manifest, f'{path}: splits: {name!r}')
  return manifest


def _expect(right: bool, what: str, found: Any, expected: str) -> None:
  if not right:
    raise types.InputError(f'{what} is {found!r:.80}, expected {expected}')


def _whole(value: Any, what: str, low: int = 0) -> None:
  """Refuses all but whole numbers from `low` to the largest int32."""
  decoding.expect(value, int, what)
  expected = f'{low} to {_LARGEST_SIZE}'
  _expect(low <= value <= _LARGEST_SIZE, what, value, expected)


def _check_names(parts: Sequence[Any], what: str) -> None:
  """Refuses equal names, and those that can't be part of a file's name."""
  names = [part.name for part in parts]
  for i, name in enumerate(names):
    right = (
      name.isprintable()
      and not set(name) & set('/\\')
      and name not in ('', '.', '..')
      and len(name.encode()) <= _LONGEST_NAME
    )
    where = f'{what}: entry {i + 1}: name'
    _expect(right, where, name, 'one that can be in the name of a file')
    _expect(name not in names[:i], where, name, 'another than before')


def _check_files(names: Sequence[str], what: str) -> None:
  for name in names:
    inside = pathlib.PurePosixPath(name)
    if inside.is_absolute() or '..' in inside.parts or '\0' in name:
      raise types.InputError(f'{what}: file {name!r:.80} leaves the directory')


def _check_field(
  field: manifest_lib.Field, sizes: dict[str, int], what: str
) -> None:
  """Refuses a field that no network could have.

  Args:
    sizes: of the categorical fields, by name.
  """
  is_list, owner = field.kind == 'multi_valued', field.vocabulary_owner
  expected = f'one of {", ".join(manifest_lib.KINDS)}'
  _expect(
    field.kind in manifest_lib.KINDS, f'{what}: kind', field.kind, expected
  )
  _whole(field.size, f'{what}: size', int(field.kind != 'numeric'))
  _whole(field.width, f'{what}: width', int(is_list))
  if owner is not None:
    right = is_list and sizes.get(owner) == field.size
    expected = f'a categorical field of {field.size} rows, of a list'
    _expect(right, f'{what}: shares', owner, expected)
  details, what = field.details, f'{what}: details'
  if 'vectors' in details:
    vectors = decoding.expect(details['vectors'], dict, f'{what}: vectors')
    _expect(field.kind == 'categorical', what, vectors, 'no vectors')
    _whole(vectors.get('width'), f'{what}: vectors: width', 1)
    decoding.expect(vectors.get('trained'), bool, f'{what}: vectors: trained')
  if field.is_binned:
    edges = _numbers(details['edges'], f'{what}: edges', sys.float_info.max)
    rate = details.get('train_rate', 0.0)
    _numbers([rate], f'{what}: train_rate')
    right = field.kind == 'categorical' and field.size == len(edges) + 2
    right &= sorted(edges) == list(edges)
    expected = 'rising numbers, two fewer than a categorical field has rows'
    _expect(right, f'{what}: edges', edges, expected)
  if field.kind == 'numeric':
    decoding.expect(details.get('missing', False), bool, f'{what}: missing')
  if field.kind == 'numeric' and 'quantiles' in details:
    quantiles = _numbers(details['quantiles'], f'{what}: quantiles')
    least, most = _QUANTILES
    right = least <= len(quantiles) <= most
    right &= all(a < b for a, b in itertools.pairwise(quantiles))
    expected = f'{least} to {most} increasing numbers'
    _expect(right, f'{what}: quantiles', quantiles, expected)


def _numbers(
  value: Any, what: str, largest: float = _LARGEST_NUMBER
) -> tuple[float, ...]:
  found = decoding.decode(tuple[float, ...], value, what)
  for number in found:
    _expect(abs(number) <= largest, what, number, f'at most {largest:.0e}')
  return found


def _check_kind(task: manifest_lib.Task, what: str) -> None:
  """Refuses a kind, a loss or statistics that no network could use."""
  _expect(
    task.kind in kinds.KINDS, f'{what}: kind', task.kind, ', '.join(kinds.KINDS)
  )
  possible = kinds.losses_of(task.kind)
  expected = ', '.join(possible)
  _expect(task.loss in possible, f'{what}: loss', task.loss, expected)
  if task.is_binary:
    return
  levels = list(task.levels)
  if task.kind == kinds.ORDINAL:
    right = 2 <= len(levels) <= kinds.MOST_LEVELS
    right &= sorted(set(levels)) == levels
    expected = f'2 to {kinds.MOST_LEVELS} increasing whole numbers'
    _expect(right, f'{what}: levels', levels, expected)
  given = {**task.settings, **task.statistics}
  shares = _numbers(given.pop('shares', []), f'{what}: statistics: shares')
  _numbers(list(given.values()), f'{what}: statistics')
  for name in kinds.STATISTICS[task.kind]:
    right = name in task.statistics
    _expect(right, f'{what}: statistics', task.statistics, f'{name!r} in them')
  if 'shares' in kinds.STATISTICS[task.kind]:
    right = len(shares) == len(levels)
    _expect(right, f'{what}: statistics: shares', shares, 'one per level')


def _check_rows(task: manifest_lib.Task, what: str) -> None:
  """Refuses tasks without a way to count rows."""
  right = task.weighted and task.after is not None
  expected = 'false, unless there are "after" and "weighted"'
  _expect(right or not task.only_after, f'{what}: only_after', True, expected)
  rate, within = task.negatives_kept, task.within_seconds
  right = rate is None or 0 < rate <= 1
  _expect(right, f'{what}: negatives_kept', rate, 'a rate in (0, 1]')
  right = within is None or (task.weighted and within > 0)
  expected = 'a number above 0, and "weighted"'
  _expect(right, f'{what}: within_seconds', within, expected)


def _check_split(
  split: manifest_lib.Split, manifest: manifest_lib.Manifest, what: str
) -> None:
  """Refuses wrong counts, and files outside of the directory."""
  counts: dict[str, int | None] = {
    'rows': split.rows,
    'sessions': split.sessions,
  }
  counts |= {f'positives: {n!r:.80}': c for n, c in split.positives.items()}
  for task in manifest.tasks:
    name = f'positives: {task.name!r:.80}'
    counts.setdefault(name, split.positives.get(task.name))
    if task.weighted:
      observed = split.observed.get(task.name)
      counts[f'observed: {task.name!r:.80}'] = observed
  for name, count in counts.items():
    count = decoding.expect(count, int, f'{what}: {name}')
    _expect(count >= 0, f'{what}: {name}', count, '0 or more')
  for name in ('start_ms', 'end_ms'):
    value, (earliest, latest) = getattr(split, name), _TIMES_MS
    right = value is None or earliest <= value <= latest
    _expect(right, f'{what}: {name}', value, 'ms of the years 1 to 9999')
  _check_files(split.files, what)
