"""What a checkpoint says of itself: versions, digests, forms.

The record is the JSON beside the arrays. It has a digest of every leaf and one
of itself, so that nothing but what was saved is ever restored.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from rmtl_jax import types

FORMAT_VERSION = 2


class Damaged(types.InputError):
  """A checkpoint that is not what was saved."""


def digests(arrays: Any) -> dict[str, str]:
  """One digest per leaf, by its path in the tree; bytes, shape and type."""
  result = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
    host = np.ascontiguousarray(leaf)
    digest = hashlib.blake2b(host.data, digest_size=16)
    digest.update(f'{host.shape}{host.dtype}'.encode())
    result[jax.tree_util.keystr(path)] = digest.hexdigest()
  return result


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
  for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
    host = np.asarray(leaf)
    if host.dtype.kind == 'f' and not np.isfinite(host).all():
      raise FloatingPointError(
        f'{jax.tree_util.keystr(path)} is not finite and was not saved'
      )


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
  """The record as JSON gives it back, with a digest of itself."""
  plain = json.loads(json.dumps(record))
  return {**plain, 'record_digest': _record_digest(plain)}


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
  if version > 1 and record.get('record_digest') != _record_digest(record):
    raise Damaged(f'{path}: damaged: its record is not what was saved')
  for old in range(version, FORMAT_VERSION):
    record = MIGRATIONS[old](record)
  return record


def _from_version_1(record: dict[str, Any]) -> dict[str, Any]:
  """Version 1 had no digest of the record, no forms and no histories.

  Its finished stages say `epochs` for ensembles alone.
  """
  new = {**record, 'format_version': 2, 'forms': {}}
  if 'history' not in record:
    new |= {
      'epochs': record.get('epochs', [record.get('epoch', 0)]),
      'histories': [],
    }
  return new


# Of a record of each older version: what makes it one of the next.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
  1: _from_version_1
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
