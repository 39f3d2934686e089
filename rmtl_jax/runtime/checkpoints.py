"""Checkpoints by Orbax, with our own digests: the one module that saves.

Orbax writes atomically and in the background, but it loads flipped bits
without a word. So every checkpoint carries a digest per leaf and one of its
record, checked on restore; one that is damaged is named, and the newest sound
one is used. Nothing that is not finite is ever saved.

Of several processes each saves and restores its own parts. All of them call
the same methods in the same order, and see the same directory.
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

from rmtl_jax import durable, types
from rmtl_jax.runtime import integrity as records
from rmtl_jax.runtime import processes

# For those who open stores.
Damaged = records.Damaged
_ARRAYS, _RECORD = 'arrays', 'record'
# Orbax names what is not whole yet after the checkpoint that it will be.
_PARTIAL = '.orbax-checkpoint-tmp'


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

  def __init__(
    self,
    directory: pathlib.Path,
    keep: int = 2,
    shardings: Callable[[Any], Any] | None = None,
  ):
    """Opens (or creates) the directory.

    Args:
      directory: its checkpoints are DIRECTORY/<step>.
      keep: how many of the newest are kept.
      shardings: from a tree to where its leaves are restored; one device if
        None.
    """
    self.directory = directory.resolve()
    self._shardings = shardings or _on_one_device
    self._saves = False
    self._saved: int | None = None  # and not synced yet
    self._manager = ocp.CheckpointManager(
      epath.Path(self.directory),
      options=ocp.CheckpointManagerOptions(max_to_keep=keep),
    )

  def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
    """Saves in the background; the arrays may be donated right after.

    What the directory holds from `step` on is replaced: after a restore these
    are the damaged ones.

    Args:
      step: a number.
      arrays: a tree of arrays.
      record: what JSON can hold.

    Raises:
      FloatingPointError: an array is not finite; nothing is saved.
      OSError: this or the save before could not be written.
    """
    records.check_finite(arrays)
    self.wait()
    record = records.sealed(
      {
        **record,
        'format_version': records.FORMAT_VERSION,
        'digest_form': records.BLOCKS,
        'digests': records.digests(arrays),
        'forms': records.forms(arrays),
      }
    )
    try:
      self._make_way(step)
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
    self._saved = step

  def _make_way(self, step: int) -> None:
    """Deletes what Orbax would leave in the way: it skips such saves silently.

    The first save also deletes what a killed process had not finished.
    """
    if not self._saves and processes.is_first():
      for path in self.directory.glob(f'*{_PARTIAL}*'):
        shutil.rmtree(path, ignore_errors=True)
    self._saves = True
    for old in self._steps():
      if old >= step:
        self._delete(old)

  def _delete(self, step: int) -> None:
    self._manager.wait_until_finished()
    if step in self._manager.all_steps():
      self._manager.delete(step)
    if processes.is_first():
      shutil.rmtree(self.directory / str(step), ignore_errors=True)
    processes.barrier(f'deleted {step}')

  def clear(self) -> None:
    """Deletes every checkpoint."""
    for step in self._steps():
      self._delete(step)

  def _steps(self) -> list[int]:
    """Newest first; damaged ones that Orbax does not count too."""

    def found():
      names = [path.name for path in self.directory.iterdir()]
      return sorted((int(n) for n in names if n.isdigit()), reverse=True)

    return processes.broadcast(found)

  def wait(self) -> None:
    """Returns when everything saved is on disk.

    Raises:
      OSError: it could not be written.
    """
    try:
      self._manager.wait_until_finished()
      saved = self.directory / str(self._saved)
      # Orbax renames, and leaves it to the system when that is written.
      if processes.is_first() and saved.is_dir():
        durable.sync_tree(saved)
        durable.sync(self.directory)
    except Exception as error:
      raise unsaved(self.directory, error) from None
    self._saved = None

  def close(self) -> None:
    """Waits, then lets go of the directory.

    Raises:
      OSError: what was saved could not be written.
    """
    try:
      self.wait()
    finally:
      try:
        self._manager.close()
      except Exception as error:  # what `wait` has met, once more
        raise unsaved(self.directory, error) from None

  def restore(
    self, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored | None:
    """The newest sound checkpoint, or None where there is none at all.

    Args:
      abstract: from the JSON record to a tree of arrays or of
        `jax.ShapeDtypeStruct` with the form of what was saved, or to None
        where the record is all that is wanted.

    Raises:
      Damaged: there are checkpoints, but each of them is damaged.
      types.InputError: the newest sound one has another form, or was written
        by a newer program.
    """
    damaged_ones = []
    for step in self._steps():
      try:
        restored = self._restore(step, abstract)
      except Damaged as error:
        damaged_ones.append(error)
        continue
      for error in damaged_ones:
        logging.warning('%s; the checkpoint before it is used', error)
      return restored
    if damaged_ones:
      raise damaged_ones[0]
    return None

  def _restore(
    self, step: int, abstract: Callable[[dict[str, Any]], Any]
  ) -> Restored:
    path = self.directory / str(step)
    as_json = {_RECORD: ocp.args.JsonRestore()}
    record = processes.all_or_raise(
      lambda: records.current(self._read(step, **as_json)[_RECORD], path),
      Damaged,
    )
    form = abstract(record)
    if form is None:
      return Restored(step, None, record)
    records.check_form(path, record, form)
    expected = jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      form,
      self._shardings(form),
    )
    as_arrays = {_ARRAYS: ocp.args.StandardRestore(expected)}
    arrays = processes.all_or_raise(
      lambda: self._read(step, **as_arrays)[_ARRAYS], Damaged
    )
    found = records.digests(arrays, record['digest_form'])
    for leaf, digest in found.items():
      if record['digests'].get(leaf) != digest:
        raise Damaged(f'{path}: damaged: {leaf} is not what was saved')
    return Restored(step, arrays, record)

  def _read(self, step: int, **parts: Any) -> Any:
    """Parts of a checkpoint, by name."""
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**parts))
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise damaged(self.directory / str(step), error) from None


def _on_one_device(tree: Any) -> Any:
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(lambda _: here, tree)


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

  def clear(self) -> None:
    """As Store.clear."""
    if self._store is not None:
      self._store.clear()

  def close(self) -> None:
    """Waits, then lets go of the directory."""
    if self._store is not None:
      self._store.close()

  def remove(self) -> None:
    """Closes, and deletes what the finished work no longer needs."""
    self.close()
    shutil.rmtree(self._directory, ignore_errors=True)


def damaged(path: pathlib.Path, error: Exception) -> Damaged:
  """The one line for a checkpoint that Orbax can't read."""
  first = types.first_line(error)
  return Damaged(f'{path}: checkpoint is damaged: {first[:200]}')


def unsaved(directory: pathlib.Path, error: Exception) -> OSError:
  """The error for a checkpoint that could not be written.

  Orbax and TensorStore raise ValueErrors that hold the system's number.
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
