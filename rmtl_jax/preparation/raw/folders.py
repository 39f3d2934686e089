"""The files of a log in folders, and values in folders' names."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Iterable, Mapping

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import raw_files as raw

CSV = tuple(
  kind + packed for kind in ('.csv', '.tsv') for packed in ('', '.gz', '.zst')
)
PARQUET = ('.parquet',)
ENDINGS = PARQUET + CSV
# Where it stands how other files become such, and what lines say of it.
FORMS = 'docs/your_data.md#the-schema'
OTHERS = f'; {FORMS} makes one of other forms'
# How Hive names the folder of rows without a value.
_NOTHING = '__HIVE_DEFAULT_PARTITION__'


def find(place: pathlib.Path) -> list[pathlib.Path]:
  """Finds the CSV or Parquet files of a place, in the order of their rows.

  Args:
    place: a file, or a folder; files of folders in it count too, unless a
      folder's name begins with `.` or `_`, or it holds prepared data or a run.

  Raises:
    types.InputError: no such place, no such files, or both kinds.
  """
  if place.is_file():
    if not place.name.lower().endswith(ENDINGS):
      raise types.InputError(
        f'{place}: expected a file that ends in {", ".join(CSV + PARQUET)}'
        f'{OTHERS}'
      )
    return [place]
  what = 'a CSV or Parquet file, or a directory of such'
  found = [
    path
    for path in raw.find_files(place, ['**/*'], what)
    if not any(map(_is_apart, _folders(place, path)))
  ]
  csv = [path for path in found if path.name.lower().endswith(CSV)]
  parquet = [path for path in found if path.name.lower().endswith(PARQUET)]
  if csv and parquet:
    raise types.InputError(
      f'{place}: has CSV and Parquet files, expected one kind; name the file'
    )
  if not csv and not parquet:
    raise types.InputError(f'{place}: no CSV or Parquet files{OTHERS}')
  return csv or parquet


def _folders(place: pathlib.Path, path: pathlib.Path) -> list[pathlib.Path]:
  """The folders between a place and a file in it."""
  found = list(path.parents)
  return found[: found.index(place)]


def _is_apart(folder: pathlib.Path) -> bool:
  """Whether a folder is skipped, though its files may look like raw files."""
  made = (folder / 'manifest.json').is_file()
  return made or folder.name.startswith(('.', '_'))


def values(
  path: pathlib.Path,
  wanted: Iterable[str] | None,
  found: Iterable[str],
  missing: Iterable[str] = (),
) -> dict[str, str | None]:
  """Columns that a file lacks and the folders above it name (`day=2024-05-01`).

  Args:
    wanted: names of columns; None for all that folders name.
    found: the file's own columns.
    missing: texts that mean a missing value.

  Returns:
    The text of each, None where it means a missing value. Folders count
    from the file up to the first that is not named so.
  """
  # Case does not count in SQL.
  own = {name.lower() for name in found}
  nothing = {'', _NOTHING, *missing}
  lacking = None if wanted is None else {*wanted}
  named: dict[str, str | None] = {}
  for part in reversed(path.absolute().parts[:-1]):
    name, equals, value = part.partition('=')
    if not (name and equals):
      break
    name, value = (urllib.parse.unquote(text) for text in (name, value))
    if name.lower() not in own and (lacking is None or name in lacking):
      named.setdefault(name, None if value in nothing else value)
  return named


def with_values(rows: str, named: Mapping[str, str | None]) -> str:
  """SQL of a file's rows with the columns of its folders, from `values`."""
  if not named:
    return rows
  columns = ', '.join(
    f'CAST({"NULL" if text is None else sql.literal(text)} AS VARCHAR)'
    f' AS {sql.quote(name)}'
    for name, text in named.items()
  )
  return f'(SELECT *, {columns} FROM {rows})'
