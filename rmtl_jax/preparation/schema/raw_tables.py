"""The raw files of a log, as its schema declares them.

    "raw": {
      "log": {"one_of": ["*.tsv"], "columns": {"BIGINT": ["uid", "item"]}},
      "items": {"files": ["items_*.csv"], "columns": {...}, "optional": true}
    },
    "sql": "criteo_attribution.sql"

The first table is the log. Each becomes a table of its name, with `row_id`, and
`split` where `files` has an object by split; empty values are NULL. The SQL
statement, a file in the schema's directory, is one SELECT over these tables. It
selects the columns that the rest of the schema names, and the log's `row_id`;
without it they are those of the log. `optional` is true, or lists columns that
files may lack, which are then NULL.
`without` has keys of the schema that replace others where a column is missing.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.schema import part as part_lib

KEYS = ('raw', 'sql', 'without')
_OF_TABLE = (
  *('files', 'one_of', 'columns', 'header', 'delimiter', 'quote', 'encoding'),
  *('optional', 'drop_cut_off'),
)


@dataclasses.dataclass(frozen=True)
class TableFiles:
  """The files of one raw table.

  Attributes:
    name: of the table in SQL.
    patterns: of the files' names, by split; by '' if files have no split.
    is_one: whether exactly one file may match.
    columns: DuckDB types, by column.
    form: of the files.
    may_lack: columns that files may lack.
    is_optional: whether there may be no file.
  """

  name: str
  patterns: dict[str, tuple[str, ...]]
  is_one: bool
  columns: dict[str, str]
  form: raw.Form
  may_lack: tuple[str, ...]
  is_optional: bool


def parse_raw(part: part_lib.Part) -> tuple[TableFiles, ...]:
  """The raw tables, the log first; () if the schema has none.

  Raises:
    types.InputError: a key that is missing, unknown or wrong.
  """
  if 'raw' not in part.record:
    for key in KEYS:
      if key in part.record:
        part.fail(f'{key}: needs "raw"')
    return ()
  group = part.group('raw')
  tables = tuple(_parse(group.group(name), name) for name in group.record)
  if not tables or tables[0].is_optional:
    part.fail('raw: expected the files of the log, first')
  part.optional('sql')
  return tables


def _parse(part: part_lib.Part, name: str) -> TableFiles:
  part.known(_OF_TABLE)
  key = 'one_of' if 'one_of' in part.record else 'files'
  if isinstance(part.record.get(key), dict):
    of_splits = part.group(key)
    of_splits.known(manifest_lib.SPLITS)
    patterns = {n: of_splits.texts(n) for n in of_splits.record}
  else:
    patterns = {'': part.texts(key)}
  if not all(patterns.values()):
    part.fail(f'{key}: expected patterns of the names of files')
  of_types = part.group('columns')
  of_types.known(tuple(raw.EXPECTED))
  is_optional = part.record.get('optional') is True
  quote = part.record.get('quote', '"')
  part.expect(quote in ('', '"'), 'quote', quote, "'\"' or ''")
  return TableFiles(
    name,
    patterns,
    key == 'one_of',
    {c: kind for kind in of_types.record for c in of_types.texts(kind)},
    raw.Form(
      part.optional('delimiter') or '',
      part.texts('header'),
      quote,
      part.text('encoding', 'utf-8', ('utf-8', 'latin-1')),
      part.flag('drop_cut_off'),
    ),
    () if is_optional else part.texts('optional'),
    is_optional,
  )


def with_statement(record: Any, base: pathlib.Path) -> Any:
  """A decoded schema with the text of its SQL file in place of its name.

  Args:
    base: the directory that the file's name starts from.

  Raises:
    types.InputError: no such file.
  """
  name = record.get('sql') if isinstance(record, dict) else None
  if not (isinstance(name, str) and name.endswith('.sql')):
    return record
  try:
    return record | {'sql': (base / name).read_text('utf-8').rstrip(' ;\n')}
  except (OSError, UnicodeError) as error:
    raise types.InputError(
      f'{base / name}: not readable: {types.first_line(error)}'
    ) from None


def without(record: dict[str, Any], missing: set[str]) -> dict[str, Any]:
  """A schema's JSON with the keys for logs without the missing columns."""
  changes = record.get('without', {})
  found = {k: v for k, v in record.items() if k != 'without'}
  for column in changes:
    if column in missing:
      found |= changes[column]
  return found
