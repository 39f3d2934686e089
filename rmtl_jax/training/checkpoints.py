"""Checkpoints by Orbax, with our own digests: the one module that saves.

Orbax writes atomically and in the background, but it loads flipped bits
without a word. So every checkpoint carries a digest per leaf, checked on
restore; one that is damaged is named, and the newest sound one is used.
"""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from rmtl_jax import types

FORMAT_VERSION = 1
_ARRAYS, _RECORD = 'arrays', 'record'


class Restored(NamedTuple):
  """What a checkpoint held.

  Attributes:
    step: its number.
    arrays: the tree of arrays.
    record: the JSON beside them.
  """

  step: int
  arrays: Any
  record: dict[str, Any]


class Store:
  """Checkpoints of one kind in one directory, the newest few kept."""

  def __init__(self, directory: pathlib.Path, keep: int = 2):
    """Opens (or creates) the directory.

    Args:
      directory: its checkpoints are DIRECTORY/<step>.
      keep: how many of the newest are kept.
    """
    self.directory = directory.resolve()
    self._manager = ocp.CheckpointManager(
      epath.Path(self.directory),
      options=ocp.CheckpointManagerOptions(max_to_keep=keep),
    )

  def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
    """Saves in the background; the arrays may be donated right after.

    Args:
      step: a number above every earlier one.
      arrays: a tree of arrays.
      record: what JSON can hold.
    """
    record = {
      **record,
      'format_version': FORMAT_VERSION,
      'digests': digests(arrays),
    }
    self._manager.save(
      step,
      args=ocp.args.Composite(
        **{
          _ARRAYS: ocp.args.StandardSave(arrays),
          _RECORD: ocp.args.JsonSave(record),
        }
      ),
    )

  def wait(self) -> None:
    """Returns when everything saved is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then lets go of the directory."""
    self._manager.close()

  def restore(
    self, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored | None:
    """The newest sound checkpoint, or None where there is none at all.

    Args:
      abstract: from the JSON record to a tree of arrays or of
        `jax.ShapeDtypeStruct` with the form of what was saved, or to None
        where the record is all that is wanted.

    Raises:
      types.InputError: there are checkpoints, but each of them is damaged or
        has another form.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    errors = []
    for step in steps:
      try:
        return self._restore(step, abstract)
      except types.InputError as error:
        errors.append(str(error))
        logging.warning('%s', error)
    if errors:
      raise types.InputError(errors[0])
    return None

  def _restore(
    self, step: int, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored:
    path = self.directory / str(step)
    try:
      record = self._manager.restore(
        step, args=ocp.args.Composite(**{_RECORD: ocp.args.JsonRestore()})
      )[_RECORD]
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise damaged(path, error) from None
    version = record.get('format_version')
    if version != FORMAT_VERSION:
      raise types.InputError(
        f'{path}: checkpoint format {version!r}, this program reads'
        f' {FORMAT_VERSION}'
      )
    form = abstract(record)
    if form is None:
      return Restored(step, None, record)
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    expected = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), form
    )
    try:
      arrays = self._manager.restore(
        step,
        args=ocp.args.Composite(
          **{_ARRAYS: ocp.args.StandardRestore(expected)}
        ),
      )[_ARRAYS]
    except Exception as error:
      raise damaged(path, error) from None
    for leaf, digest in digests(arrays).items():
      if record['digests'].get(leaf) != digest:
        raise types.InputError(f'{path}: damaged: {leaf} is not what was saved')
    return Restored(step, arrays, record)


class LateStore:
  """A Store that waits: for work that is mostly over before it need be saved.

  The directory appears with the first checkpoint, `period` seconds after the
  start or after the checkpoint before.
  """

  def __init__(self, directory: pathlib.Path, period: float):
    """Opens what is there.

    Args:
      directory: as for Store.
      period: seconds.
    """
    self._directory, self._period = directory, period
    self._store = Store(directory) if directory.is_dir() else None
    self._last = time.monotonic()

  def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
    """Saves before it returns, or does nothing if the last one is recent."""
    if time.monotonic() - self._last < self._period:
      return
    if self._store is None:
      self._store = Store(self._directory)
    self._store.save(step, arrays, record)
    self._store.wait()
    self._last = time.monotonic()

  def restore(
    self, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored | None:
    """As Store.restore."""
    return None if self._store is None else self._store.restore(abstract)

  def close(self) -> None:
    """Waits, then lets go of the directory."""
    if self._store is not None:
      self._store.close()

  def remove(self) -> None:
    """Closes, and deletes what the finished work no longer needs."""
    self.close()
    shutil.rmtree(self._directory, ignore_errors=True)


def digests(arrays: Any) -> dict[str, str]:
  """One digest per leaf, by its path in the tree; bytes, shape and type."""
  result = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
    host = np.ascontiguousarray(leaf)
    digest = hashlib.blake2b(host.data, digest_size=16)
    digest.update(f'{host.shape}{host.dtype}'.encode())
    result[jax.tree_util.keystr(path)] = digest.hexdigest()
  return result


def damaged(path: pathlib.Path, error: Exception) -> types.InputError:
  """The one line for a checkpoint that Orbax can't read."""
  first = (str(error).strip() or type(error).__name__).splitlines()[0]
  return types.InputError(
    f'{path}: checkpoint is damaged or of another form: {first[:200]}'
  )
