"""Locks prepared data while it is read, and detects files that changed.

Readers share a lock on DATA/manifest.json, which keeps `rmtl prepare
--overwrite` out. A read-only descriptor suffices for it, so read-only data can
be locked too. On file systems without locks the second guard remains: sizes,
times and digests of the files are compared with those at the start.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet, vectors

# Files that are hashed at once.
_AT_ONCE = 4


@contextlib.contextmanager
def shared_lock(data_dir: str | os.PathLike[str]) -> Iterator[None]:
  """Keeps prepared data in place; others may read it too.

  Raises:
    types.InputError: another process is about to replace it.
  """
  with _locked(
    pathlib.Path(data_dir),
    os.O_RDONLY,
    fcntl.LOCK_SH,
    'is being replaced by another process; wait for it to end',
  ):
    yield


@contextlib.contextmanager
def exclusive_lock(data_dir: str | os.PathLike[str]) -> Iterator[None]:
  """Keeps readers and other writers out.

  Raises:
    types.InputError: another process reads the data, or replaces it.
  """
  with _locked(
    pathlib.Path(data_dir),
    os.O_RDWR,  # NFS gives no exclusive lock to those who only read
    fcntl.LOCK_EX,
    'is in use by another process, so it is not replaced',
  ):
    yield


@contextlib.contextmanager
def _locked(
  data_dir: pathlib.Path, flags: int, kind: int, refusal: str
) -> Iterator[None]:
  """Holds a lock on the manifest, if the file system can lock it.

  Args:
    flags: how the manifest is opened, if that is allowed.
    kind: of the lock.
    refusal: the error if another process has it.
  """
  path = data_dir / 'manifest.json'
  while True:
    file = _open(path, flags)
    if file is None:  # whoever reads it says why
      yield
      return
    try:
      fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
      os.close(file)
      raise types.InputError(f'{data_dir}: {refusal}') from None
    except OSError:  # no locks here
      break
    # The data may have been replaced between the two calls.
    if _is_at(file, path):
      break
    os.close(file)
  try:
    yield
  finally:
    os.close(file)


def _open(path: pathlib.Path, flags: int) -> int | None:
  for mode in dict.fromkeys((flags, os.O_RDONLY)):
    with contextlib.suppress(OSError, ValueError):
      return os.open(path, mode)
  return None


def _is_at(file: int, path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file), os.stat(path))
  except OSError:
    return False


class Snapshot:
  """The files of prepared data as they were at the start."""

  def __init__(
    self,
    data_dir: str | os.PathLike[str],
    manifest: manifest_lib.Manifest,
    splits: Sequence[str] = (),
  ):
    """Looks at the files; reads nothing.

    Args:
      splits: what will be read of it; () for all.

    Raises:
      types.InputError: a file is missing.
    """
    self._dir = pathlib.Path(data_dir)
    splits = splits or tuple(manifest.splits)
    self._rows = [
      name for split in splits for name in manifest.file_names(split)
    ]
    if 'train' in splits:
      fields = manifest.feature_spec().pretrained
      self._rows += [vectors.file_name(field) for field in fields]
    self._stamps = {
      name: _stamp(self._dir / name) for name in ('manifest.json', *self._rows)
    }

  def check(self) -> None:
    """Refuses data if a file is not what it was.

    Raises:
      types.InputError: names the first such file.
    """
    for name, stamp in self._stamps.items():
      try:
        found = _stamp(self._dir / name)
      except types.InputError:
        found = None
      if found != stamp:
        raise types.InputError(
          f'{self._dir / name}: the data were replaced while they were read:'
          ' the file is not what it was at the start'
        )

  def digests(
    self, progress: Callable[[str, float], None] = lambda stage, fraction: None
  ) -> dict[str, str]:
    """SHA-256 of the files of rows and of vectors, by their names in DATA.

    Args:
      progress: called with the stage's name and the fraction done, 0 to 1.

    Raises:
      types.InputError: a file can't be read, or is not what it was.
    """
    self.check()
    found, done = {}, 0
    paths = [self._dir / name for name in self._rows]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
      for name, value in zip(self._rows, pool.map(sha256, paths), strict=True):
        found[name] = value
        done += 1
        progress('comparing the data', done / len(paths))
    self.check()
    return found


def _stamp(path: pathlib.Path) -> tuple[int, int]:
  """Size and time of the last change, ns; a replaced file differs in them."""
  with parquet.one_line_errors(path):
    found = path.stat()
  return found.st_size, found.st_mtime_ns


def compare_digests(
  data_dir: pathlib.Path,
  old: Mapping[str, str],
  new: Mapping[str, str],
  reader: str,
  remedy: str = '',
) -> None:
  """Refuses data if a file is not what it was when something began.

  Args:
    old: digests of then; a name that is missing is not compared.
    new: those of now.
    reader: what began then.
    remedy: how the error ends.

  Raises:
    types.InputError: names the first file that differs.
  """
  for name, value in new.items():
    if old.get(name, value) != value:
      raise types.InputError(
        f'{data_dir / name}: the data were replaced since {reader} began: the'
        f' file is not what it was then{remedy}'
      )


def check_recorded(
  directory: pathlib.Path, manifest: manifest_lib.Manifest, folder: str = ''
) -> None:
  """Refuses files that are not those that the manifest has digests of.

  Args:
    directory: DATA, or a run or an exported model, which have copies.
    manifest: of the data; without digests nothing is checked.
    folder: the one to look at; '' for all.

  Raises:
    types.InputError: names the first file that differs or is missing.
  """
  for name, digest in manifest.digests.items():
    if name.startswith(folder) and sha256(directory / name) != digest:
      raise types.InputError(
        f'{directory / name}: damaged, or changed since rmtl prepare wrote it:'
        ' manifest.json has another digest'
      )


def sha256(path: pathlib.Path) -> str:
  """SHA-256 of a file, in hexadecimal.

  Raises:
    types.InputError: it can't be read.
  """
  with parquet.one_line_errors(path), path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
