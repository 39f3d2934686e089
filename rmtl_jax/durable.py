"""Atomic and durable renames of files and directories.

A rename is atomic, but without a sync it may reach the disk before the file's
contents: after a power loss the name would belong to an empty file. So every
rename goes through here, which syncs the contents first and the directory
afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

# Errors of a write that has no room left.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Those of a disk, which are not the fault of what is read or named.
OF_DISK = (*FULL, errno.EIO)
# Errors of file systems that can't sync such an object, and needn't.
_UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)


def replace(path: pathlib.Path, target: pathlib.Path) -> None:
  """Renames a file or a directory to a target, durably.

  Args:
    path: complete, on the target's file system.
    target: a file, an empty directory, or nothing yet.

  Raises:
    OSError: it could not be synced (a full disk) or renamed; the target is as
      it was, unless only its directory could not be synced.
  """
  sync_tree(path)
  os.replace(path, target)
  sync(target.parent)


def remove_tree(path: pathlib.Path) -> None:
  """Removes a directory so that no part of it is left under its name.

  It is first renamed to a hidden name in the same directory; one that a killed
  process left there is removed too. A link is no directory, and stays.

  Raises:
    OSError: it can't be renamed or removed.
  """
  hidden = path.with_name(f'.{path.name}.removed')
  if hidden.is_dir():
    shutil.rmtree(hidden)
  if path.is_dir() and not path.is_symlink():
    os.replace(path, hidden)
    sync(path.parent)
    shutil.rmtree(hidden)


def write_text(path: pathlib.Path, text: str) -> None:
  """`write_bytes` of text in UTF-8."""
  write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes a file atomically and durably.

  Several processes may write the same file: one after the other does.

  Raises:
    OSError: it could not be written; an older file stays as it was.
  """
  write_all({path: data})


def write_all(contents: Mapping[pathlib.Path, bytes]) -> None:
  """As `write_bytes`, of files that belong together.

  Raises:
    OSError: one of them had no room; the older ones stay as they were.
  """
  partials = {path: path.with_name(path.name + '.partial') for path in contents}
  with contextlib.ExitStack() as locks:
    try:
      for path, partial in partials.items():
        with name_errors(path):
          locks.enter_context(_alone(partial))
          partial.write_bytes(contents[path])
          sync_tree(partial)
      for path, partial in partials.items():
        with name_errors(path):
          os.replace(partial, path)
          sync(path.parent)
    except OSError:
      for partial in partials.values():
        with contextlib.suppress(OSError):
          partial.unlink()
      raise


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
  """Makes a file and locks it, so that no other process writes to it."""
  while True:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
      with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
      # Another process may have renamed or removed it before that.
      if _is_at(descriptor, path):
        yield
        return
    finally:
      os.close(descriptor)


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def tells_of_disk(error: Exception) -> bool:
  """Whether an exception without an error number means a full or broken disk.

  Such are those of DuckDB and of Arrow.
  """
  return any(os.strerror(number) in str(error) for number in OF_DISK)


@contextlib.contextmanager
def name_errors(path: str | os.PathLike[str]) -> Iterator[None]:
  """Adds the file's name to errors of the system (a full disk)."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or str(error)
    raise OSError(error.errno or 0, reason, os.fspath(path)) from None


def copy_file(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies a file's content.

  Raises:
    OSError: names the target if its disk is full, as shutil's does not.
  """
  try:
    shutil.copyfile(source, target)
  except OSError as error:
    if error.errno in FULL:
      raise OSError(error.errno, error.strerror, str(target)) from None
    raise


def copy_tree(
  source: pathlib.Path,
  target: pathlib.Path,
  leave: Callable[[str, list[str]], list[str]] = lambda directory, names: [],
) -> None:
  """Copies the files of a directory and those below it.

  Args:
    target: made if it is not there.
    leave: a directory and the names in it -> those that are not copied.

  Raises:
    OSError: as for `copy_file`; of the first file or directory that fails.
  """

  def fail(error: OSError) -> None:
    raise error

  # Else a directory that can't be read would look like an empty one.
  for place, folders, names in os.walk(source, onerror=fail, followlinks=True):
    left = leave(place, [*folders, *names])
    folders[:] = [name for name in folders if name not in left]
    directory = target / pathlib.Path(place).relative_to(source)
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
      if name not in left:
        copy_file(pathlib.Path(place, name), directory / name)


def sync_tree(path: pathlib.Path) -> None:
  """Syncs a file, or all files and directories in a directory and itself."""
  if path.is_dir():
    for directory, _, names in os.walk(path, topdown=False):
      for name in names:
        sync(pathlib.Path(directory, name))
      sync(pathlib.Path(directory))
  else:
    sync(path)


def sync(path: pathlib.Path) -> None:
  """Waits until a file or the entries of a directory are on disk."""
  with name_errors(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
      os.fsync(descriptor)
    except OSError as error:
      if error.errno not in _UNKNOWN:
        raise
    finally:
      os.close(descriptor)
