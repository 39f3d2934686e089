"""Checkpoints by Orbax, with a digest of every file.

Orbax writes atomically and in the background, but it loads flipped bits
silently. So every checkpoint gets a file of SHA-256 digests once it is on disk.
Restoring compares them, names a damaged checkpoint and falls back to the newest
sound one. Values that are not finite are never saved.

Every process of a job saves and restores its own shards. All processes call
the same methods in the same order and see the same directory.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from rmtl_jax import durable, json_files, types
from rmtl_jax.runtime import collectives

FORMAT_VERSION = 6
# In the directory of a step: {file: its SHA-256}. A step without it was not
# finished.
DIGESTS = 'digests.json'
_ARRAYS, _RECORD = 'arrays', 'record'
# Suffix of Orbax's temporary directories.
_PARTIAL = '.orbax-checkpoint-tmp'


class Damaged(types.InputError):
  """A checkpoint that differs from the saved one."""


class Restored(NamedTuple):
  """A restored checkpoint.

  Attributes:
    step: its number.
    arrays: the tree of arrays.
    record: its JSON object, and `digest`, the checkpoint's.
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
    check_finite(arrays)
    # One save at a time: an error of the one before would else be lost, and its
    # checkpoint be deleted as an old one before it is durable.
    self.wait()
    record = {
      **record,
      'format_version': FORMAT_VERSION,
      'forms': layouts(arrays),
    }
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
    if not self._has_saved and collectives.is_first():
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
    if collectives.is_first():
      shutil.rmtree(self.directory / str(step), ignore_errors=True)
    # No process may save into the directory while the first one removes it.
    collectives.barrier(f'deleted {step}')

  def clear(self) -> None:
    """Deletes every checkpoint."""
    for step in self._steps():
      self._delete(step)

  def _steps(self) -> list[int]:
    """Steps of all checkpoints, newest first, damaged ones included."""
    return collectives.broadcast(lambda: _steps_in(self.directory))

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
      if collectives.is_first() and saved.is_dir():
        text = json.dumps(_digests(saved), indent=1)
        durable.sync_tree(saved)
        durable.write_text(saved / DIGESTS, text)
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
      if not collectives.broadcast((self._path(step) / DIGESTS).exists):
        continue  # a process was killed before it was finished
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
    path = self._path(step)
    collectives.on_first(lambda: _check_files(path), Damaged)
    as_json = {_RECORD: ocp.args.JsonRestore()}
    record = collectives.all_or_raise(
      lambda: self._read(step, **as_json)[_RECORD], Damaged
    )
    version = record.get('format_version')
    if version != FORMAT_VERSION:
      raise types.InputError(
        f'{path}: checkpoint format {version}, this program reads'
        f' {FORMAT_VERSION}: another version has written it'
      )
    record['digest'] = collectives.broadcast(lambda: _sha256(path / DIGESTS))
    template = abstract(record)
    if template is None:
      return Restored(step, None, record)
    # Checked before the arrays are read: Orbax's own error names no leaf.
    check_layout(path, record, template)
    expected = jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      template,
      self._shardings(template),
    )
    as_arrays = {_ARRAYS: ocp.args.StandardRestore(expected)}
    arrays = collectives.all_or_raise(
      lambda: self._read(step, **as_arrays)[_ARRAYS], Damaged
    )
    return Restored(step, arrays, record)

  def _path(self, step: int) -> pathlib.Path:
    return self.directory / str(step)

  def _read(self, step: int, **parts: Any) -> Any:
    """Reads items of a checkpoint, by name."""
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**parts))
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise damaged(self.directory / str(step), error) from None


def exists(directory: pathlib.Path) -> bool:
  """Whether a directory has a finished checkpoint."""
  return directory.is_dir() and any(
    (directory / str(step) / DIGESTS).exists() for step in _steps_in(directory)
  )


def _steps_in(directory: pathlib.Path) -> list[int]:
  names = [path.name for path in directory.iterdir()]
  return sorted((int(n) for n in names if n.isdigit()), reverse=True)


def _digests(path: pathlib.Path) -> dict[str, str]:
  """SHA-256 of every file of a checkpoint, by its path in it."""
  files = sorted(file for file in path.rglob('*') if file.is_file())
  return {
    str(file.relative_to(path)): _sha256(file)
    for file in files
    if file.name != DIGESTS
  }


def _sha256(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _check_files(path: pathlib.Path) -> None:
  """Refuses a checkpoint with a file that is not as it was saved.

  Raises:
    Damaged: names the first one.
  """
  try:
    saved, found = json_files.read(path / DIGESTS), _digests(path)
  except (types.InputError, OSError) as error:
    raise damaged(path, error) from None
  if not isinstance(saved, dict):
    raise Damaged(f'{path}: damaged: {DIGESTS} has no digests')
  for file in sorted({*saved, *found}):
    if saved.get(file) != found.get(file):
      raise Damaged(f'{path}: damaged: {file} is not what was saved')


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
      np.isfinite(part).all() for part in _own_parts(leaf)
    ):
      bad = len(leaves) - i
      break
  bad = collectives.all_max(bad)
  if bad:
    path, _ = leaves[len(leaves) - bad]
    raise FloatingPointError(
      f'{jax.tree_util.keystr(path)} is not finite and was not saved'
    )


def _own_parts(leaf: Any) -> list[np.ndarray]:
  """This process's parts of a leaf, as arrays of the host."""
  if not isinstance(leaf, jax.Array):
    return [np.asarray(leaf)]
  return [
    np.asarray(shard.data)
    for shard in leaf.addressable_shards
    if shard.replica_id == 0
  ]


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


def one_device() -> jax.sharding.Sharding:
  """Where arrays are restored, if there is one device."""
  return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _on_one_device(tree: Any) -> Any:
  here = one_device()
  return jax.tree.map(lambda _: here, tree)


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
