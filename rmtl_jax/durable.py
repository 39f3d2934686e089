"""Files and directories that take their place whole, and stay after a crash.

A rename is atomic, but without a sync the system may write it to disk before
what it names: after a power loss the name would stand for an empty file. So
every rename that promises something goes through here: first what is renamed
is synced, then its directory once the name has changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

# A file system that knows no sync of such an object has nothing to sync.
_UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)


def replace(path: pathlib.Path, target: pathlib.Path) -> None:
  """Puts a file, or a directory and all in it, in the place of a target.

  Args:
    path: what is complete; on the target's file system.
    target: a file, or an empty directory, or nothing yet.

  Raises:
    OSError: it could not be synced (a full disk) or renamed; the target is as
      it was, unless only its directory could not be synced.
  """
  sync_tree(path)
  os.replace(path, target)
  sync(target.parent)


def write_text(path: pathlib.Path, text: str) -> None:
  """As `write_bytes`, in UTF-8."""
  write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes a file that is whole whenever the process or the machine stops.

  Raises:
    OSError: it could not be written; what stood there is as it was.
  """
  partial = path.with_name(path.name + '.partial')
  with name_errors(path):
    try:
      partial.write_bytes(data)
      replace(partial, path)
    except OSError:
      with contextlib.suppress(OSError):
        partial.unlink()
      raise


@contextlib.contextmanager
def name_errors(path: str | os.PathLike[str]) -> Iterator[None]:
  """Gives errors of the system (a full disk) the file that they lack."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or str(error)
    raise OSError(error.errno or 0, reason, os.fspath(path)) from None


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
    held = os.open(path, os.O_RDONLY)
    try:
      os.fsync(held)
    except OSError as error:
      if error.errno not in _UNKNOWN:
        raise
    finally:
      os.close(held)
