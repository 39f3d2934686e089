"""Checkpoints by Orbax, with digests of their own.

Orbax writes atomically and in the background, but it loads flipped bits
silently. So every checkpoint has a digest per leaf and one of its record.
Restoring checks them, names a damaged checkpoint and falls back to the newest
sound one. Values that are not finite are never saved.

Every process of a job saves and restores its own shards. All processes call
the same methods in the same order and see the same directory.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from rmtl_jax import durable, json_files, types
from rmtl_jax.runtime import integrity, processes

Damaged = integrity.Damaged
_ARRAYS, _RECORD = 'arrays', 'record'
# Suffix of Orbax's temporary directories.
_PARTIAL = '.orbax-checkpoint-tmp'


class Restored(NamedTuple):
  """A restored checkpoint.

  Attributes:
    step: its number.
    arrays: the tree of arrays.
    record: the JSON object beside them.
  """

  step: int
  arrays: Any
  record: dict[str, Any]


class Store:
  """The newest checkpoints of one stage, in one directory."""

  def __init__(
    self,
    directory: pathlib.Path,
    keep: int = 2,
    shardings: Callable[[Any], Any] | None = None,
  ):
    """Opens or creates the directory.

    Args:
      directory: has checkpoints DIRECTORY/<step>.
      keep: number of newest checkpoints that are kept.
      shardings: maps a tree to the shardings of its leaves on restore; None:
        one device.
    """
    self.directory = directory.resolve()
    self._shardings = shardings or _on_one_device
    self._has_saved = False
    self._unsynced: int | None = None  # the step that is being written
    self._manager = ocp.CheckpointManager(
      epath.Path(self.directory),
      options=ocp.CheckpointManagerOptions(max_to_keep=keep),
    )

  def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
    """Saves in the background; the arrays may be donated right after.

    Checkpoints from `step` on are replaced: after a restore these are the
    damaged ones.

    Raises:
      FloatingPointError: an array is not finite; nothing is saved.
      OSError: this or the save before could not be written.
    """
    integrity.check_finite(arrays)
    # One save at a time: an error of the one before would else be lost, and its
    # checkpoint be deleted as an old one before it is durable.
    self.wait()
    record = json_files.sealed(
      {
        **record,
        'format_version': integrity.FORMAT_VERSION,
        'digests': integrity.digests(arrays),
        'forms': integrity.layouts(arrays),
      }
    )
    try:
      self._delete_from(step)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          **{
            _ARRAYS: ocp.args.StandardSave(arrays),
            _RECORD: ocp.args.JsonSave(record),
          }
        ),
      )
    except Exception as error:  # Orbax raises many kinds, a ValueError too.
      raise unsaved(self.directory, error) from None
    self._unsynced = step

  def _delete_from(self, step: int) -> None:
    """Deletes checkpoints from `step` on: Orbax skips such saves silently.

    The first save also deletes temporary directories of a killed process.
    """
    if not self._has_saved and processes.is_first():
      remove_partial(self.directory)
    self._has_saved = True
    for old in self._steps():
      if old >= step:
        self._delete(old)

  def _delete(self, step: int) -> None:
    self._manager.wait_until_finished()
    if step in self._manager.all_steps():
      self._manager.delete(step)
    # Orbax does not list a damaged checkpoint, so it would stay.
    if processes.is_first():
      shutil.rmtree(self.directory / str(step), ignore_errors=True)
    # No process may save into the directory while the first one removes it.
    processes.barrier(f'deleted {step}')

  def clear(self) -> None:
    """Deletes every checkpoint."""
    for step in self._steps():
      self._delete(step)

  def _steps(self) -> list[int]:
    """Steps of all checkpoints, newest first, damaged ones included."""

    def read():
      names = [path.name for path in self.directory.iterdir()]
      return sorted((int(n) for n in names if n.isdigit()), reverse=True)

    return processes.broadcast(read)

  def wait(self) -> None:
    """Returns when every save is on disk.

    Raises:
      OSError: it could not be written.
    """
    try:
      self._manager.wait_until_finished()
      saved = self.directory / str(self._unsynced)
      # Orbax renames without fsync: after a power failure the checkpoint could
      # be empty while the ones before it are already deleted.
      if processes.is_first() and saved.is_dir():
        durable.sync_tree(saved)
        durable.sync(self.directory)
    except Exception as error:
      raise unsaved(self.directory, error) from None
    self._unsynced = None

  def close(self) -> None:
    """Waits, then closes Orbax's manager.

    Raises:
      OSError: a save could not be written.
    """
    try:
      self.wait()
    finally:
      try:
        self._manager.close()
      except Exception as error:  # Orbax raises the error of `wait` again
        raise unsaved(self.directory, error) from None

  def restore(
    self, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored | None:
    """Restores the newest sound checkpoint; None if there is no checkpoint.

    Args:
      abstract: maps the JSON record to a tree of arrays or
        `jax.ShapeDtypeStruct` with the saved shapes and types, or to None to
        restore the record alone.

    Raises:
      Damaged: every checkpoint is damaged.
      types.InputError: the newest sound one has other shapes or types, or a
        program of another version wrote it.
    """
    failures = []
    for step in self._steps():
      try:
        restored = self._restore(step, abstract)
      except Damaged as error:
        failures.append(error)
        continue
      for error in failures:
        logging.warning('%s; the checkpoint before it is used', error)
      return restored
    if failures:
      raise failures[0]
    return None

  def _restore(
    self, step: int, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored:
    path = self.directory / str(step)
    # The record comes first: it says how the arrays are laid out, and another
    # format is refused before anything of it is read.
    as_json = {_RECORD: ocp.args.JsonRestore()}
    record = processes.all_or_raise(
      lambda: integrity.checked(self._read(step, **as_json)[_RECORD], path),
      Damaged,
    )
    template = abstract(record)
    if template is None:
      return Restored(step, None, record)
    # Checked before the arrays are read: Orbax's own error names no leaf.
    integrity.check_layout(path, record, template)
    expected = jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      template,
      self._shardings(template),
    )
    as_arrays = {_ARRAYS: ocp.args.StandardRestore(expected)}
    arrays = processes.all_or_raise(
      lambda: self._read(step, **as_arrays)[_ARRAYS], Damaged
    )
    digests = integrity.digests(arrays)
    for leaf, digest in digests.items():
      if record['digests'].get(leaf) != digest:
        raise Damaged(f'{path}: damaged: {leaf} is not what was saved')
    return Restored(step, arrays, record)

  def _read(self, step: int, **parts: Any) -> Any:
    """Reads items of a checkpoint, by name."""
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**parts))
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise damaged(self.directory / str(step), error) from None


def one_device() -> jax.sharding.Sharding:
  """Where arrays are restored, if there is one device."""
  return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _on_one_device(tree: Any) -> Any:
  here = one_device()
  return jax.tree.map(lambda _: here, tree)


class LateStore:
  """A Store that saves at most once per period.

  Most runs of a study end before their first save. The directory appears with
  the first checkpoint, a period after the start.
  """

  def __init__(self, directory: pathlib.Path, period: float):
    """Opens the directory if it exists.

    Args:
      directory: as for Store.
      period: least seconds between saves.
    """
    self._directory, self._period = directory, period
    self._store = Store(directory) if directory.is_dir() else None
    self._last = time.monotonic()

  def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
    """Saves and waits, or does nothing within the period."""
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

  def clear(self) -> None:
    """As Store.clear."""
    if self._store is not None:
      self._store.clear()

  def close(self) -> None:
    """As Store.close."""
    if self._store is not None:
      self._store.close()

  def remove(self) -> None:
    """Closes, and deletes the directory."""
    self.close()
    shutil.rmtree(self._directory, ignore_errors=True)


def remove_partial(directory: pathlib.Path) -> None:
  """Deletes the temporary directories that a killed process left of saves."""
  for path in directory.glob(f'*{_PARTIAL}*'):
    shutil.rmtree(path, ignore_errors=True)


def damaged(path: pathlib.Path, error: Exception) -> Damaged:
  """The error of a checkpoint that Orbax can't read."""
  first = types.first_line(error)
  return Damaged(f'{path}: checkpoint is damaged: {first[:200]}')


def unsaved(directory: pathlib.Path, error: Exception) -> OSError:
  """The error of a checkpoint that can't be written.

  Orbax and TensorStore raise ValueErrors with the system's error number in
  their text.
  """
  code = re.search(r"os_error_code='(\d+)'", str(error))
  number = int(code[1]) if code else getattr(error, 'errno', None) or errno.EIO
  reason = os.strerror(number)
  if number == errno.EIO:
    reason = types.first_line(error)[:200]
  return OSError(
    number,
    f'the checkpoint could not be saved ({reason}); earlier ones are intact',
    str(directory),
  )
