"""What a checkpoint says of itself: versions, digests, forms.

The record is the JSON beside the arrays. It has a digest of every leaf and one
of itself, so that nothing but what was saved is ever restored. An embedding
table may be split over devices and processes, by rows: its digest is a sum
over fixed blocks of rows, to which each process adds those that it holds, so
that it is the same on every mesh.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from rmtl_jax import types
from rmtl_jax.runtime import processes
from rmtl_jax.updates import state

FORMAT_VERSION = 4
# How leaves are digested: tables by blocks of rows, or (up to version 2) whole.
BLOCKS, WHOLE = 'blocks', 'whole'
# At most so many blocks, 2^8 * 3^2 * 5 * 7: their ends are those of parts too
# wherever that is a multiple of the number of parts.
MOST_BLOCKS = 80640
# Beyond what a float of 64 bits can hold.
_LARGE = 1e308


# Entries that are used, where a record has them.
_KINDS = {
  'digests': dict,
  'forms': dict,
  'digest_form': str,
  'stage': str,
  'epoch': int,
  'epochs': dict,
  'history': list,
  'errors': list,
  'stopping': dict,
}


class Damaged(types.InputError):
  """A checkpoint that is not what was saved."""


class Record(dict[str, Any]):
  """The JSON of a checkpoint; an error for a missing entry names the file."""

  def __init__(self, record: Mapping[str, Any], path: pathlib.Path):
    super().__init__(record)
    self._path = path

  def __missing__(self, name: str) -> Any:
    raise Damaged(f'{self._path}: damaged: its record lacks {name!r}')


def digests(arrays: Any, form: str = BLOCKS) -> dict[str, str]:
  """One digest per leaf, by its path in the tree; bytes, shape and type.

  Args:
    arrays: a tree; embedding tables may be split over processes.
    form: BLOCKS or WHOLE.
  """
  result, sums = {}, {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
    name = jax.tree_util.keystr(path)
    if form == BLOCKS and state.is_embedding(path):
      sums[name] = (leaf, _own_blocks(leaf))
      continue
    host = np.ascontiguousarray(_whole(leaf))
    result[name] = _digest(host.data, f'{host.shape}{host.dtype}').hex()
  if sums:
    words = np.array([_words(own) for _, own in sums.values()], np.uint32)
    totals = processes.all_gather(words).astype(object).sum(0)
    for (name, (leaf, _)), total in zip(sums.items(), totals, strict=True):
      number = sum(word << 32 * i for i, word in enumerate(total)) % 2**128
      form_of = f'{tuple(leaf.shape)}{leaf.dtype}'
      result[name] = _digest(number.to_bytes(16, 'little'), form_of).hex()
  return result


def _digest(content: Any, more: str) -> bytes:
  digest = hashlib.blake2b(content, digest_size=16)
  digest.update(more.encode())
  return digest.digest()


def _words(number: int) -> list[int]:
  """An integer of 128 bits in four of 32, the lowest first."""
  return [number >> 32 * i & 0xFFFFFFFF for i in range(4)]


def _whole(leaf: Any) -> np.ndarray:
  """A leaf on the host; of one that is split over processes all parts."""
  if isinstance(leaf, jax.Array) and not (
    leaf.is_fully_addressable or leaf.is_fully_replicated
  ):
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
  return np.asarray(leaf)


def _own_parts(leaf: Any) -> Iterator[tuple[int, np.ndarray]]:
  """(first row, rows) of a leaf's parts here, each in one process alone."""
  if not isinstance(leaf, jax.Array):
    yield 0, np.asarray(leaf)
    return
  for shard in leaf.addressable_shards:
    if shard.replica_id == 0:
      start = shard.index[-2].start if leaf.ndim > 1 else 0
      yield start or 0, np.asarray(shard.data)


def _own_blocks(table: Any) -> int:
  """The sum of the digests of the blocks of rows that are here.

  Args:
    table: [..., rows, D], split by rows at most.
  """
  rows = table.shape[-2]
  size = rows // math.gcd(rows, MOST_BLOCKS)
  total = 0
  for first, part in _own_parts(table):
    if first % size or part.shape[-2] % size:
      raise ValueError(
        f'{rows} rows in parts of {part.shape[-2]}: expected multiples of'
        f' {size}'
      )
    for begin in range(0, part.shape[-2], size):
      block = np.ascontiguousarray(part[..., begin : begin + size, :])
      number = (first + begin) // size
      total += int.from_bytes(_digest(block.data, str(number)), 'little')
  return total % 2**128


def forms(arrays: Any) -> dict[str, str]:
  """Type and shape of every leaf, by its path in the tree.

  >>> forms({'w': np.zeros((2, 3), np.float32)})
  {"['w']": 'float32[2,3]'}
  """
  return {
    jax.tree_util.keystr(
      path
    ): f'{leaf.dtype}[{",".join(map(str, leaf.shape))}]'
    for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)
  }


def check_finite(arrays: Any) -> None:
  """Refuses NaN and infinity.

  Raises:
    FloatingPointError: names the first leaf that holds one.
  """
  leaves = jax.tree_util.tree_leaves_with_path(arrays)
  bad = 0  # how many leaves there are from the first bad one on
  for i, (_, leaf) in enumerate(leaves):
    if leaf.dtype.kind == 'f' and not all(
      np.isfinite(part).all() for _, part in _own_parts(leaf)
    ):
      bad = len(leaves) - i
      break
  bad = processes.all_max(bad)
  if bad:
    path, _ = leaves[len(leaves) - bad]
    raise FloatingPointError(
      f'{jax.tree_util.keystr(path)} is not finite and was not saved'
    )


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
  """The record as JSON gives it back, with a digest of itself."""
  plain = json.loads(json.dumps(record))
  return {**plain, 'record_digest': _record_digest(plain)}


def is_whole(record: Any) -> bool:
  """Whether a record of `sealed` is what it was."""
  return isinstance(record, dict) and (
    record.get('record_digest') == _record_digest(record)
  )


def _record_digest(record: Mapping[str, Any]) -> str:
  content = {k: v for k, v in record.items() if k != 'record_digest'}
  text = json.dumps(content, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def current(record: Any, path: pathlib.Path) -> dict[str, Any]:
  """A record as this version writes it, whichever version has written it.

  Args:
    record: what the checkpoint's JSON says.
    path: of the checkpoint, for errors.

  Raises:
    Damaged: the record is not what was saved.
    types.InputError: a newer program has written it.
  """
  version = record.get('format_version') if isinstance(record, dict) else None
  if type(version) is not int or version < 1:
    raise Damaged(f'{path}: damaged: its record has no format_version')
  if version > FORMAT_VERSION:
    raise types.InputError(
      f'{path}: checkpoint format {version}, this program reads formats up to'
      f' {FORMAT_VERSION}: a newer one has written it'
    )
  if version > 1 and not is_whole(record):
    raise Damaged(f'{path}: damaged: its record is not what was saved')
  for old in range(version, FORMAT_VERSION):
    record = MIGRATIONS[old](record)
  _check(record, path)
  return Record(record, path)


def _check(record: Mapping[str, Any], path: pathlib.Path) -> None:
  """Refuses entries of another form: a digest can be forged with the rest."""
  for name, kind in _KINDS.items():
    if name in record and not isinstance(record[name], kind):
      raise Damaged(
        f'{path}: damaged: its record: {name} is {record[name]!r:.80}'
      )
  if not all(map(_is_entry, record.get('history', []))):
    raise Damaged(f'{path}: damaged: its record: history is none')


def _is_entry(entry: Any) -> bool:
  """Whether a value is what a history holds of an epoch: numbers by name."""
  return (
    isinstance(entry, dict)
    and isinstance(entry.get('stage'), str)
    and type(entry.get('epoch')) is int
    and type(entry.get('member', 0)) is int
    and all(
      value is None or (isinstance(value, int | float) and abs(value) < _LARGE)
      for name, value in entry.items()
      if name != 'stage'
    )
    and entry.get('seconds', 0.0) is not None
  )


def _from_version_1(record: dict[str, Any]) -> dict[str, Any]:
  """Version 1 had no digest of the record and no forms."""
  return {**record, 'format_version': 2, 'forms': {}}


def _from_version_2(record: dict[str, Any]) -> dict[str, Any]:
  """Version 2 digested embedding tables whole."""
  return {**record, 'format_version': 3, 'digest_form': WHOLE}


def _from_version_3(record: dict[str, Any]) -> dict[str, Any]:
  """Version 3 had lists in finished stages' records: one entry per member.

  Version 1 had no histories in them. A run is one model now; ensembles of
  then are refused by their directory (workdir.py).
  """
  new = {**record, 'format_version': 4}
  if 'history' not in record:
    new.pop('epochs', None)
    histories = new.pop('histories', [])
    is_list = isinstance(histories, list) and histories
    new['history'] = histories[0] if is_list else []
  return new


# Of a record of each older version: what makes it one of the next.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
  1: _from_version_1,
  2: _from_version_2,
  3: _from_version_3,
}


def check_form(
  path: pathlib.Path, record: Mapping[str, Any], form: Any
) -> None:
  """Refuses a checkpoint of another backbone, vocabulary or task set.

  Args:
    path: of the checkpoint, for errors.
    record: of this version.
    form: the tree that is expected.

  Raises:
    types.InputError: names the first leaf that differs.
  """
  # Records of version 1 know the leaves' names alone.
  saved = dict(record['forms']) or dict.fromkeys(record['digests'])
  for leaf, wanted in forms(form).items():
    found = saved.pop(leaf, 'missing')
    if found not in (None, wanted):
      raise types.InputError(
        f'{path}: checkpoint is of another form: {leaf} is {found}, expected'
        f' {wanted}'
      )
  if saved:
    raise types.InputError(
      f'{path}: checkpoint is of another form: {next(iter(saved))} is not'
      ' expected'
    )
