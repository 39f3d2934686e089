"""Files of rows that move between splits: linked, never written again."""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib

from rmtl_jax import durable, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.extending import past as past_lib

# Errors of systems without hard links, or without one for this file.
_NO_LINK = (
  errno.EXDEV,
  errno.EPERM,
  errno.EOPNOTSUPP,
  errno.ENOSYS,
  errno.EMLINK,
)
# The earlier splits with which each split of extended data begins.
ROLLING = {'train': ('train', 'validation'), 'validation': ('test',)}


def roll(
  data_dir: pathlib.Path, manifest: manifest_lib.Manifest, target: pathlib.Path
) -> dict[str, tuple[str, ...]]:
  """Links the files of prepared data into the splits that they move to.

  Returns:
    The files of train and validation, relative to the target, in order.
  """
  found = {}
  for split in ROLLING:
    (target / split).mkdir(exist_ok=True)
    old = rolling(data_dir, manifest, split)
    found[split] = tuple(
      f'{split}/part-{i:05d}.parquet' for i in range(len(old))
    )
    for path, new in zip(old, found[split], strict=True):
      link(path, target / new)
  return found


def rolling(
  data_dir: pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> list[pathlib.Path]:
  """The files of prepared data that move to a split of extended data."""
  return [
    data_dir / name
    for origin in ROLLING[split]
    for name in manifest.splits[origin].files
  ]


def link_past(data_dir: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
  """Links the files of past rows; returns the place of the next one."""
  folder = target / past_lib.FOLDER
  folder.mkdir()
  old = past_lib.files(data_dir)
  for path in old:
    link(path, folder / path.name)
  return folder / past_lib.rows_file(len(old))


def link(path: pathlib.Path, new: pathlib.Path) -> None:
  """Makes a hard link, or a copy where there can be none.

  Raises:
    types.InputError: the file is not there.
    OSError: names the copy if its disk is full.
  """
  # Not to a symbolic link itself, which another directory would not resolve.
  real = os.path.realpath(path)
  try:
    os.link(real, new)
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except OSError as error:
    if error.errno not in _NO_LINK:
      raise
    durable.copy_file(pathlib.Path(real), new)


def merge(
  manifest: manifest_lib.Manifest, files: dict[str, tuple[str, ...]], seam: int
) -> dict[str, manifest_lib.Split]:
  """The records of train and validation of extended data.

  Args:
    manifest: of the data before.
    files: of `roll`.
    seam: end of validation, ms.
  """
  ends = {
    'train': manifest.splits['validation'].end_ms,
    'validation': seam,
  }
  return {
    split: dataclasses.replace(
      manifest_lib.together(*(manifest.splits[origin] for origin in origins)),
      files=files[split],
      end_ms=ends[split],
    )
    for split, origins in ROLLING.items()
  }
