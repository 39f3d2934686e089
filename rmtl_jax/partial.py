"""Temporary directories next to a target, and the removal of abandoned ones.

A killed process leaves `.NAME.partial-TOKEN` next to its target. The system
releases its lock, so the next process that writes there can remove it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator

from rmtl_jax import durable, types

_MAKING, _OLD = '.partial-', '.old-'
_HIDDEN = re.compile(
  r'(?<![^/\s"\'(])\.((?:(?!\s\.)[^/])+?)' + re.escape(_MAKING) + '[0-9a-f]{8}'
)


@contextlib.contextmanager
def make_directory(
  target: pathlib.Path, mode: int = 0o777
) -> Iterator[pathlib.Path]:
  """Makes a locked directory next to the target, which no process sweeps.

  Args:
    target: the future name; its parent exists.
    mode: its permissions, before the umask.

  Raises:
    OSError: it can't be made.
  """
  while True:
    path = target.with_name(f'.{target.name}{_MAKING}{secrets.token_hex(4)}')
    try:
      path.mkdir(mode)
      descriptor = _lock(path, wait=True)
      # Another process may have swept it between mkdir and lock: try again.
      if path.exists():
        break
    except BaseException:  # a signal too
      shutil.rmtree(path, ignore_errors=True)
      raise
    if descriptor is not None:
      os.close(descriptor)
  try:
    yield path
  finally:
    if descriptor is not None:
      os.close(descriptor)


@contextlib.contextmanager
def staging_directory(
  target: pathlib.Path, name: str, mode: int = 0o777
) -> Iterator[pathlib.Path]:
  """Sweeps, then gives a directory that is removed when the block ends.

  If the block raises, the parents that were made for it are removed too.

  Args:
    target: the future name; missing parents are made.
    name: of the target, for the error.
    mode: of `make_directory`.

  Raises:
    types.InputError: it can't be written, or is a mount point, which no rename
      can replace.
    OSError: the disk is full or broken.
  """
  if os.path.ismount(target):
    raise types.InputError(
      f'{name}: is a mount point, which cannot be replaced; name a place'
      ' inside it'
    )
  sweep(target)
  made: list[pathlib.Path] = []
  with contextlib.ExitStack() as stack:
    try:
      made = _make_parents(target.parent)
      # Before the work, so that an unwritable place is reported at once.
      path = stack.enter_context(make_directory(target, mode))
    except OSError as error:
      _remove_parents(made)
      what = f'cannot be written: {error.strerror}'
      if error.errno in durable.OF_DISK:
        raise OSError(error.errno, what, name) from None
      raise types.InputError(f'{name}: {what}') from None
    try:
      yield path
    except BaseException:
      shutil.rmtree(path, ignore_errors=True)
      _remove_parents(made)
      raise
    shutil.rmtree(path, ignore_errors=True)


def with_targets(text: str) -> str:
  """A text with the targets in place of the directories that become these.

  >>> with_targets('/data/.mine.partial-0a1b2c3d/train: no room')
  '/data/mine/train: no room'
  >>> with_targets('can not write ".my log.partial-0a1b2c3d/train"')
  'can not write "my log/train"'
  """
  return _HIDDEN.sub(r'\1', text)


def _make_parents(parent: pathlib.Path) -> list[pathlib.Path]:
  """Makes missing parents; returns those that it made, outermost first."""
  missing = []
  while not parent.exists():
    missing.append(parent)
    parent = parent.parent
  made: list[pathlib.Path] = []
  try:
    for path in reversed(missing):
      path.mkdir()
      made.append(path)
  except OSError:
    _remove_parents(made)
    raise
  return made


def _remove_parents(made: list[pathlib.Path]) -> None:
  """Removes those directories of `_make_parents` that are empty."""
  for parent in reversed(made):
    with contextlib.suppress(OSError):
      parent.rmdir()


def move(path: pathlib.Path, target: pathlib.Path) -> None:
  """Renames a finished directory to a target that is empty or not there.

  Raises:
    types.InputError: another process has written the target meanwhile.
  """
  try:
    durable.replace(path, target)
  except OSError as error:
    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
      raise
    raise types.InputError(
      f'{target}: was written by another process meanwhile, and stays as that'
      ' one wrote it'
    ) from None


def publish(path: pathlib.Path, target: pathlib.Path) -> None:
  """Renames a finished directory to the target, over older data."""
  if target.exists() and any(target.iterdir()):
    durable.sync_tree(path)  # which may fail, while the target is there
    old = path.with_name(path.name.replace(_MAKING, _OLD))
    target.rename(old)
    try:
      move(path, target)
    except BaseException:  # a signal too
      _put_back(old, target)
      raise
    shutil.rmtree(old, ignore_errors=True)
  else:
    move(path, target)


def sweep(target: pathlib.Path) -> None:
  """Removes left-overs of killed processes next to the target.

  If a process was killed between the two renames of `publish`, the old data are
  put back. Directories of living processes stay, and so does everything on file
  systems without locks.
  """
  for path in _siblings(target, _MAKING):
    descriptor = _lock(path, wait=False)
    if descriptor is None:
      continue
    old = path.with_name(path.name.replace(_MAKING, _OLD))
    _put_back(old, target)
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)
  for old in _siblings(target, _OLD):
    if not old.with_name(old.name.replace(_OLD, _MAKING)).exists():
      _put_back(old, target)
      shutil.rmtree(old, ignore_errors=True)


def _put_back(old: pathlib.Path, target: pathlib.Path) -> None:
  if old.is_dir() and not target.exists():
    old.rename(target)


def _siblings(target: pathlib.Path, kind: str) -> list[pathlib.Path]:
  """Directories next to the target with a name of this module."""
  prefix = f'.{target.name}{kind}'
  try:
    entries = list(target.parent.iterdir())
  except OSError:
    return []
  return sorted(
    path
    for path in entries
    if path.name.startswith(prefix) and path.is_dir() and not path.is_symlink()
  )


def _lock(path: pathlib.Path, wait: bool) -> int | None:
  """A locked descriptor of a directory, or None where it can't be locked."""
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
  except OSError:
    return None
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except OSError:
    os.close(descriptor)
    return None
  return descriptor
