"""Integrity of checkpoints: format versions, digests, shapes and types.

A checkpoint's record is the JSON object beside its arrays. It has a digest of
every leaf and of itself, so that a restored checkpoint equals the saved one. An
embedding table may be sharded by rows over devices and processes. Its digest is
a sum over fixed blocks of rows, to which each process adds its own blocks, so
it is the same on every mesh.
"""

from __future__ import annotations

import hashlib
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from rmtl_jax import json_files, types
from rmtl_jax.runtime import processes, writers
from rmtl_jax.updates import state

FORMAT_VERSION = 5
# Most blocks of a table, 2^8 * 3^2 * 5 * 7: shards end where blocks do if the
# number of shards divides it, so it has many divisors.
MOST_BLOCKS = 80640
# Numbers of a history stay below this: larger ones are infinite as f64.
_LARGE = 1e308


# Types of the entries of a record.
_KINDS = {
  'digests': dict,
  'forms': dict,
  'stage': str,
  'epoch': int,
  'epochs': dict,
  'history': list,
  'errors': list,
  'stopping': dict,
}


class Damaged(types.InputError):
  """A checkpoint that differs from the saved one."""


class Record(dict[str, Any]):
  """The record of a checkpoint; the error of a missing entry names the file."""

  def __init__(self, record: Mapping[str, Any], path: pathlib.Path):
    super().__init__(record)
    self._path = path

  def __missing__(self, name: str) -> Any:
    raise Damaged(f'{self._path}: damaged: its record lacks {name!r}')


def digests(arrays: Any) -> dict[str, str]:
  """Digests bytes, shape and type of every leaf, by its path in the tree.

  Args:
    arrays: a tree; embedding tables, which are digested by blocks of rows, may
      be sharded over processes.
  """
  result, sums = {}, {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
    name = jax.tree_util.keystr(path)
    if state.is_embedding(path):
      sums[name] = (leaf, _own_blocks(leaf))
      continue
    host = np.ascontiguousarray(_whole(leaf))
    result[name] = _digest(host.data, f'{host.shape}{host.dtype}').hex()
  if sums:
    # Sums modulo 2^128 commute, so the order and number of processes do not
    # matter. They travel as four words, because devices have no 128-bit types.
    words = np.array([_words(own) for _, own in sums.values()], np.uint32)
    totals = processes.all_gather(words).astype(object).sum(0)
    for (name, (leaf, _)), total in zip(sums.items(), totals, strict=True):
      number = sum(word << 32 * i for i, word in enumerate(total)) % 2**128
      suffix = f'{tuple(leaf.shape)}{leaf.dtype}'
      result[name] = _digest(number.to_bytes(16, 'little'), suffix).hex()
  return result


def _digest(content: Any, suffix: str) -> bytes:
  digest = hashlib.blake2b(content, digest_size=16)
  digest.update(suffix.encode())
  return digest.digest()


def _words(number: int) -> list[int]:
  """Splits a 128-bit integer into four of 32 bits, the lowest first."""
  return [number >> 32 * i & 0xFFFFFFFF for i in range(4)]


def _whole(leaf: Any) -> np.ndarray:
  """Copies a leaf to the host, gathering it if processes share it."""
  if isinstance(leaf, jax.Array) and not (
    leaf.is_fully_addressable or leaf.is_fully_replicated
  ):
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
  return np.asarray(leaf)


def _own_shards(leaf: Any) -> Iterator[tuple[int, np.ndarray]]:
  """Yields (first row, rows) of the shards that this process answers for.

  Of replicas only the first counts: else a replicated block would be added once
  per device.
  """
  if not isinstance(leaf, jax.Array):
    yield 0, np.asarray(leaf)
    return
  for shard in leaf.addressable_shards:
    if shard.replica_id == 0:
      start = shard.index[-2].start if leaf.ndim > 1 else 0
      yield start or 0, np.asarray(shard.data)


def _own_blocks(table: Any) -> int:
  """Sums the digests of this process's blocks of rows, modulo 2^128.

  Args:
    table: [..., rows, D], sharded by rows or not at all.
  """
  rows = table.shape[-2]
  size = rows // math.gcd(rows, MOST_BLOCKS)
  total = 0
  for first, part in _own_shards(table):
    if first % size or part.shape[-2] % size:
      raise ValueError(
        f'{rows} rows in parts of {part.shape[-2]}: expected multiples of'
        f' {size}'
      )
    for begin in range(0, part.shape[-2], size):
      block = np.ascontiguousarray(part[..., begin : begin + size, :])
      # The block's number is part of its digest: else blocks could be swapped.
      number = (first + begin) // size
      total += int.from_bytes(_digest(block.data, str(number)), 'little')
  return total % 2**128


def layouts(arrays: Any) -> dict[str, str]:
  """Type and shape of every leaf, by its path in the tree.

  >>> layouts({'w': np.zeros((2, 3), np.float32)})
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
    FloatingPointError: names the first leaf with one.
  """
  leaves = jax.tree_util.tree_leaves_with_path(arrays)
  # Number of leaves from the first bad one on. Its maximum over the processes
  # is the first bad leaf of all: every process then raises the same error.
  bad = 0
  for i, (_, leaf) in enumerate(leaves):
    if leaf.dtype.kind == 'f' and not all(
      np.isfinite(part).all() for _, part in _own_shards(leaf)
    ):
      bad = len(leaves) - i
      break
  bad = processes.all_max(bad)
  if bad:
    path, _ = leaves[len(leaves) - bad]
    raise FloatingPointError(
      f'{jax.tree_util.keystr(path)} is not finite and was not saved'
    )


def write_sealed(path: pathlib.Path, record: Mapping[str, Any]) -> None:
  """Writes a JSON file atomically, with a digest of its record."""
  writers.write_json(path, json_files.sealed(record))


def read_sealed(path: pathlib.Path, remedy: str) -> dict[str, Any]:
  """Reads a JSON file that `write_sealed` wrote.

  Args:
    remedy: how the error ends.

  Raises:
    types.InputError: it is damaged, or an earlier version wrote it.
  """
  try:
    record = json_files.read(path)
  except types.InputError as error:
    raise types.InputError(f'{error}: {remedy}') from None
  if not isinstance(record, dict) or json_files.DIGEST not in record:
    raise types.InputError(
      f'{path}: has no digest, as files of an earlier version: {remedy}'
    )
  del record[json_files.DIGEST]
  return record


def checked(record: Any, path: pathlib.Path) -> Record:
  """The record, if it is whole and of this version.

  Raises:
    Damaged: the record differs from the saved one.
    types.InputError: a program of another version wrote it.
  """
  version = record.get('format_version') if isinstance(record, dict) else None
  if type(version) is not int or version < 1:
    raise Damaged(f'{path}: damaged: its record has no format_version')
  # What a newer version writes beside the record is not known.
  if version <= FORMAT_VERSION and not json_files.is_whole(record):
    raise Damaged(f'{path}: damaged: its record is not what was saved')
  if version != FORMAT_VERSION:
    raise types.InputError(
      f'{path}: checkpoint format {version}, this program reads'
      f' {FORMAT_VERSION}: another version has written it'
    )
  _check(record, path)
  return Record(record, path)


def _check(record: Mapping[str, Any], path: pathlib.Path) -> None:
  """Refuses entries of other types: a forged record has a right digest."""
  for name, kind in _KINDS.items():
    if name in record and not isinstance(record[name], kind):
      raise Damaged(
        f'{path}: damaged: its record: {name} is {record[name]!r:.80}'
      )
  if not all(map(_is_entry, record.get('history', []))):
    raise Damaged(f'{path}: damaged: its record: history is none')


def _is_entry(entry: Any) -> bool:
  """Whether a value is an epoch of a history: numbers by name."""
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


def check_layout(
  path: pathlib.Path, record: Mapping[str, Any], template: Any
) -> None:
  """Refuses a checkpoint of another backbone, vocabulary or task set.

  Raises:
    types.InputError: names the first leaf that differs.
  """
  saved = dict(record['forms'])
  for leaf, expected in layouts(template).items():
    found = saved.pop(leaf, 'missing')
    if found != expected:
      raise types.InputError(
        f'{path}: checkpoint is of another form: {leaf} is {found}, expected'
        f' {expected}'
      )
  if saved:
    raise types.InputError(
      f'{path}: checkpoint is of another form: {next(iter(saved))} is not'
      ' expected'
    )
