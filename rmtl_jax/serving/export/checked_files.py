"""Reads files of an exported model: regular, inside its directory, unchanged.

Digests find damage, not forgery: a forger can change the record too.
"""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from rmtl_jax import json_files, types

_BLOCK = 2**20


def read_record(path: pathlib.Path, missing: str) -> Any:
  """Reads the record itself, which has no digest.

  Raises:
    types.InputError: not there (`missing` says more), not a regular file, or
      not JSON.
  """
  if path.exists():
    _open(path, path.parent).close()
  return json_files.read(path, missing)


class Files:
  """The files of a directory, checked against their record."""

  def __init__(self, directory: pathlib.Path, listed: dict[str, Any]):
    """Checks the record, and no file yet.

    Args:
      directory: of the files.
      listed: {name: {'bytes': size, 'sha256': hex}}, names relative.

    Raises:
      types.InputError: a malformed entry, or a name that leads out of the
        directory.
    """
    self._directory, self._listed = directory, listed
    for name, entry in listed.items():
      _check_name(directory, name)
      sound = (
        isinstance(entry, dict)
        and type(entry.get('bytes')) is int
        and type(entry.get('sha256')) is str
      )
      if not sound:
        raise types.InputError(
          f'{directory}: files: {name!r:.80} is {entry!r:.80}, expected bytes'
          ' and sha256'
        )

  def check(self) -> None:
    """Compares every file with its record.

    Raises:
      types.InputError: a file that is missing, not a regular one, outside of
        the directory or another than was recorded.
    """
    for name in self._listed:
      for _ in self._blocks(name):
        pass

  def require(self, name: str) -> None:
    """Refuses a record that lacks a file.

    Raises:
      types.InputError: the file has no digest.
    """
    if name not in self._listed:
      raise types.InputError(
        f'{self._directory}: files lacks {name!r:.80}, which the model needs'
      )

  def read(self, name: str) -> bytes:
    """Reads and checks a file; raises as `require` and `check`."""
    self.require(name)
    return b''.join(self._blocks(name))

  def read_array(
    self, name: str, shape: tuple[int, ...], dtype: str
  ) -> np.ndarray:
    """Reads an array that `np.save` wrote; raises as `read`."""
    file, where = io.BytesIO(self.read(name)), self._directory / name
    try:
      found = np.load(file, allow_pickle=False)
    except Exception as error:  # of a header that others wrote
      first = types.first_line(error)[:200]
      raise types.InputError(f'{where}: not readable: {first}') from None
    if (found.shape, found.dtype.name) != (shape, dtype):
      raise types.InputError(
        f'{where}: is {found.dtype.name}{list(found.shape)}, export.json says'
        f' {dtype}{list(shape)}'
      )
    return found

  def _blocks(self, name: str) -> Iterator[bytes]:
    """The file's bytes; raises after the last if the digest differs."""
    path, entry = self._directory / name, self._listed[name]
    with _open(path, self._directory) as file:
      size = os.fstat(file.fileno()).st_size
      if size != entry['bytes']:
        raise types.InputError(
          f'{path}: is not what was exported ({size} bytes, expected'
          f' {entry["bytes"]!r:.80})'
        )
      digest, left = hashlib.sha256(), size
      # At most the recorded size: the file may grow meanwhile.
      while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
        yield block
    if digest.hexdigest() != entry['sha256']:
      raise types.InputError(
        f'{path}: is not what was exported (SHA-256 differs)'
      )


def _check_name(directory: pathlib.Path, name: Any) -> None:
  """Refuses a name that is not a plain relative path."""
  plain = (
    isinstance(name, str)
    and name.isprintable()
    and not any(c in name for c in ':\\')
    and all(part not in ('', '.', '..') for part in name.split('/'))
  )
  if not plain:
    raise types.InputError(
      f'{directory}: files: {name!r:.80} is no path inside the directory'
    )


def _open(path: pathlib.Path, directory: pathlib.Path) -> IO[bytes]:
  """Opens a regular file of a directory for reading.

  Links may lead to other files of the directory. Non-blocking, as opening a
  pipe would wait for a writer; what is not a regular file is closed again.
  """
  inside = pathlib.Path(os.path.realpath(directory))
  real = pathlib.Path(os.path.realpath(path))
  if not real.is_relative_to(inside):
    raise types.InputError(f'{path}: leads out of the directory')
  try:
    handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK)
  except OSError as error:
    raise types.InputError(f'{path}: {error.strerror}') from None
  if not stat.S_ISREG(os.fstat(handle).st_mode):
    os.close(handle)
    raise types.InputError(f'{path}: is not a regular file')
  return os.fdopen(handle, 'rb')
