"""Prepared data on disk: all of it or nothing.

Everything is written into a directory beside the target and renamed when it
is complete; the manifest is the last file of it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

import duckdb

from rmtl_jax import types
from rmtl_jax.data import encode, partial, sql
from rmtl_jax.data import manifest as manifest_lib

# Rows of a row group. Training that streams reads blocks of neighbouring
# sessions at random, and a row group is the least that can be read: small ones
# keep what is read beside a block small.
ROW_GROUP = 8_192
# Whole numbers as packed differences (V2), which makes up for small row groups;
# dictionaries for few values alone, as building one per row group costs a
# quarter of the writing and is larger than the packed differences; no filters
# for look-ups that nobody does. Of what is left zstd would save another sixth,
# but training reads it every epoch in half as much time again.
_FORMAT = (
  'FORMAT parquet, PARQUET_VERSION V2, COMPRESSION snappy,'
  ' WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 64,'
  f' ROW_GROUP_SIZE {ROW_GROUP}'
)


def check_target(data_dir: pathlib.Path, overwrite: bool) -> None:
  """Refuses a target that would destroy something.

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

  If the block raises, the directory is removed and `data_dir` untouched. What
  a killed process left there is removed first.

  Args:
    data_dir: the target.
    overwrite: replace prepared data that is there.

  Raises:
    types.InputError: as for `check_target`, or the place can't be written to.
  """
  target = pathlib.Path(os.path.realpath(data_dir))
  with partial.beside(target, str(data_dir)) as directory:
    check_target(data_dir, overwrite)
    yield directory
    check_target(data_dir, overwrite)
    partial.publish(directory, target)


def write_parts(
  connection: duckdb.DuckDBPyConnection,
  rows: encode.Encoded,
  directory: pathlib.Path,
  rows_per_file: int,
  on_file: Callable[[float], None] = lambda fraction: None,
) -> dict[str, tuple[str, ...]]:
  """Writes DIRECTORY/<split>/part-*.parquet; no session is in two files.

  Args:
    connection: holds the rows.
    rows: the encoded rows.
    directory: where the split directories are made.
    rows_per_file: a file ends with the session that reaches so many.
    on_file: called with the written fraction of the rows after every file.

  Returns:
    The files of every split, relative to the directory, in order.
  """
  total = sql.one(connection, f'SELECT count(*) FROM {rows.table}')[0]
  starts = connection.execute(
    'SELECT split, min(rowid) FROM ('
    f' SELECT rowid, split, {rows.step} AS step, min(rowid) OVER ('
    f'  PARTITION BY split) AS first FROM {rows.table}) WHERE step = 0'
    f' GROUP BY split, (rowid - first) // {rows_per_file} ORDER BY 2'
  ).fetchall()
  files: dict[str, list[str]] = {name: [] for name in manifest_lib.SPLITS}
  for name in manifest_lib.SPLITS:
    (directory / name).mkdir()
  bounds = [first for _, first in starts] + [total]
  for i, (split, first) in enumerate(starts):
    name = manifest_lib.SPLITS[split]
    file = f'{name}/part-{len(files[name]):05d}.parquet'
    connection.execute(
      f'COPY (SELECT {", ".join(rows.columns)} FROM {rows.table}'
      f' WHERE rowid >= {first} AND rowid < {bounds[i + 1]})'
      f' TO {sql.text(str(directory / file))}'
      f' ({_FORMAT})'
    )
    files[name].append(file)
    on_file(bounds[i + 1] / total)
  return {name: tuple(found) for name, found in files.items()}


def write_vocabularies(
  connection: duckdb.DuckDBPyConnection,
  rows: encode.Encoded,
  directory: pathlib.Path,
) -> None:
  """Writes DIRECTORY/vocabulary/<field>.parquet."""
  (directory / 'vocabulary').mkdir()
  for name, words in rows.vocabularies.items():
    words.write(connection, directory / 'vocabulary' / f'{name}.parquet')
