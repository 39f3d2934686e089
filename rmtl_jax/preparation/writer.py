"""Writes prepared data atomically.

Files are written into a directory beside the target, the manifest last; then
the directory is renamed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from rmtl_jax import partial, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.preparation import encode, sql

# Rows of a row group, the least that can be read. Streaming reads blocks of
# neighbouring sessions at random, so small groups waste little beside a block.
ROW_GROUP = 8_192
# V2 packs differences of whole numbers, which makes up for small row groups.
# Dictionaries only for few values: one per row group takes a quarter of the
# writing time and mostly more room. No Bloom filters, as nobody looks values
# up. zstd would save another sixth of the size, but reading, which every epoch
# does, would take half as long again.
_FORMAT = (
  'FORMAT parquet, PARQUET_VERSION V2, COMPRESSION snappy,'
  ' WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 64,'
  f' ROW_GROUP_SIZE {ROW_GROUP}'
)


def check_target(data_dir: pathlib.Path, overwrite: bool) -> None:
  """Refuses a target with anything but replaceable prepared data.

  Raises:
    types.InputError: the target is a file, a directory with other contents
      than prepared data, or prepared data without `overwrite`.
  """
  if not data_dir.exists():
    return
  if not data_dir.is_dir():
    raise types.InputError(f'{data_dir}: is a file, expected a directory')
  if not any(data_dir.iterdir()):
    return
  if holder := manifest_file.copy_holder(data_dir):
    raise types.InputError(f'{data_dir}: is {holder}; name a new directory')
  if not (data_dir / 'manifest.json').is_file():
    raise types.InputError(
      f'{data_dir}: is not empty and not prepared data; name a new directory'
    )
  if not overwrite:
    raise types.InputError(
      f'{data_dir}: has prepared data already; --overwrite replaces it'
    )


@contextlib.contextmanager
def new_directory(
  data_dir: pathlib.Path, overwrite: bool
) -> Iterator[pathlib.Path]:
  """Gives a directory to write into, which then becomes `data_dir`.

  If the block raises, the directory is removed and `data_dir` stays as it was.
  Left-overs of killed processes are removed first.

  Args:
    overwrite: replace prepared data that is there.

  Raises:
    types.InputError: as for `check_target`, somebody reads the data that is
      there, or the place can't be written to.
  """
  target = pathlib.Path(os.path.realpath(data_dir))
  with partial.staging_directory(target, str(data_dir)) as directory:
    check_target(data_dir, overwrite)
    with reading.exclusive_lock(data_dir):
      yield directory
      check_target(data_dir, overwrite)
      (partial.publish if overwrite else partial.move)(directory, target)


def write_parts(
  connection: sql.Connection,
  rows: encode.Encoded,
  directory: pathlib.Path,
  rows_per_file: int,
  on_file: Callable[[float], None] = lambda fraction: None,
) -> dict[str, tuple[str, ...]]:
  """Writes DIRECTORY/<split>/part-*.parquet; no session is in two files.

  Args:
    directory: where the split directories are made.
    rows_per_file: a file ends with the session that reaches so many.
    on_file: called with the written fraction of the rows after every file.

  Returns:
    The files of every split, relative to the directory, in order.
  """
  if engine := sql.engine_of(connection):
    query = f'SELECT {", ".join(rows.columns)}, split FROM {rows.table}'
    return engine.write_parts(query, directory, rows_per_file)
  found = connection.execute(
    f'SELECT split, min(rowid) AS first, count(*) FROM {rows.table}'
    ' GROUP BY split ORDER BY first'
  ).fetchall()
  total = sum(count for *_, count in found)
  begins = [(split, first) for split, first, _ in found]
  starts = begins
  if any(count > rows_per_file for *_, count in found):
    begin = ' '.join(f'WHEN {split} THEN {row}' for split, row in begins)
    starts = connection.execute(
      f'SELECT split, min(rowid) FROM {rows.table} WHERE step = 0'
      f' GROUP BY split, (rowid - CASE split {begin} END) // {rows_per_file}'
      ' ORDER BY 2'
    ).fetchall()
  files: dict[str, list[str]] = {name: [] for name in manifest_lib.SPLITS}
  for name in files:
    (directory / name).mkdir()
  ends = [first for _, first in starts[1:]] + [total]
  for (split, first), end in zip(starts, ends, strict=True):
    name = manifest_lib.SPLITS[split]
    file = f'{name}/part-{len(files[name]):05d}.parquet'
    connection.execute(
      f'COPY (SELECT {", ".join(rows.columns)} FROM {rows.table}'
      f' WHERE rowid >= {first} AND rowid < {end})'
      f' TO {sql.literal(str(directory / file))} ({_FORMAT})'
    )
    files[name].append(file)
    on_file(end / total)
  return {name: tuple(found) for name, found in files.items()}


def digests(directory: pathlib.Path) -> dict[str, str]:
  """SHA-256 of vocabularies and of what new days need, by their names.

  Nothing else tells damage of these files: what is read of them is text, ids
  and times, which stay such.
  """
  return {
    path.relative_to(directory).as_posix(): reading.sha256(path)
    for folder in ('vocabulary', 'past')
    for path in sorted((directory / folder).glob('*'))
  }
