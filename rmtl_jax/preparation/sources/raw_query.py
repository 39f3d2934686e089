"""The rows of a log that a schema makes of raw files by a SQL statement."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import load
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.schema import raw_tables

# Of SQL, those that read no files.
_TABLE_FUNCTIONS = ('unnest', 'range', 'generate_series')


@dataclasses.dataclass(frozen=True)
class RawQuery:
  """A query for a log's rows, and what it reads.

  Attributes:
    sql: selects the statement's columns, `row_id` and raw.ROW_HASH.
    columns: the types of what it selects.
    log: the raw table that `row_id` counts.
    files: of all tables.
    missing: optional columns and tables that are not there.
    has_split: whether there is a column `split`.
    warnings: lines for the report.
  """

  sql: str
  columns: pa.Schema
  log: raw.RawTable
  files: tuple[pathlib.Path, ...]
  missing: set[str]
  has_split: bool
  warnings: tuple[str, ...]


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  tables: Sequence[raw_tables.TableFiles],
  statement: str | None,
) -> RawQuery:
  """Loads the raw tables.

  Args:
    raw_dir: the files' directory, or the log's only file.
    tables: the log first.
    statement: SQL over them; None for the log itself.

  Raises:
    types.InputError: files that are missing or faulty.
  """
  statement = statement or f'FROM {sql.quote(tables[0].name)}'
  _check_sql(connection, statement, {table.name for table in tables})
  loaded: list[raw.RawTable] = []
  files: list[pathlib.Path] = []
  missing: set[str] = set()
  warnings: list[str] = []
  named = []
  for table in tables:
    is_log = table is tables[0]
    paths, splits, lines = _find(raw_dir, table, is_log)
    warnings += lines
    columns = ['rowid AS row_id']
    if paths:
      header = raw_csv.read_schema(paths[0], table.form.of(paths[0])).names
      lacks = [name for name in table.may_lack if name not in header]
      kinds = {c: k for c, k in table.columns.items() if c not in lacks}
      loaded.append(
        load.load(connection, paths, load.Columns(kinds), table.form)
      )
      rows = loaded[-1].name
      if '' not in table.patterns:
        split = loaded[-1].split_sql(splits) if splits else 'NULL::TINYINT'
        columns.append(f'{split} AS split')
    else:
      lacks, rows = list(table.columns), '(SELECT 0 AS rowid WHERE false)'
      missing.add(table.name)
    missing |= {*lacks}
    columns += [
      f'CAST(NULL AS {kind}) AS {sql.quote(name)}'
      if name in lacks
      else sql.quote(name)
      for name, kind in table.columns.items()
    ]
    named.append(
      f'{sql.quote(table.name)} AS (SELECT {", ".join(columns)} FROM {rows})'
    )
    files += paths
  log = loaded[0]
  query = (
    f'WITH {", ".join(named)} SELECT q.*, h.{raw.ROW_HASH} FROM ({statement}) q'
    f' JOIN (SELECT rowid AS row_of_log, {log.row_hash} AS {raw.ROW_HASH}'
    f' FROM {log.name}) h ON q.row_id = h.row_of_log'
  )
  with sql.name_errors(log.place, 'the SQL over it fails'):
    found = connection.sql(f'FROM ({query}) LIMIT 0').to_arrow_table()
  return RawQuery(
    query,
    found.schema,
    log,
    tuple(files),
    missing,
    len(tables[0].patterns) > 1 and not warnings,
    tuple(warnings),
  )


def _check_sql(connection: sql.Connection, text: str, tables: set[str]) -> None:
  """Refuses SQL that is not one SELECT over the raw tables.

  `rmtl prepare --extend` runs the statement that the data's manifest.json has,
  which must not write files, or read others than those of the log.

  Raises:
    types.InputError: it is something else.
  """
  found = json.loads(
    sql.fetch_value(
      connection, f'SELECT json_serialize_sql({sql.literal(text)}::VARCHAR)'
    )
  )
  if found['error']:
    raise types.InputError(
      f'schema: sql: {types.first_line(found["error_message"])}'
    )
  nodes = list(_nodes(found))
  named = {
    one['key']
    for node in nodes
    if 'cte_map' in node
    for one in node['cte_map']['map']
  }
  for node in nodes:
    if node.get('type') == 'BASE_TABLE':
      name = node['table_name']
      is_known = name in tables | named and not node['schema_name']
    elif node.get('type') == 'TABLE_FUNCTION':
      name = node['function']['function_name']
      is_known = name in _TABLE_FUNCTIONS
    else:
      continue
    if not is_known:
      raise types.InputError(
        f'schema: sql: reads {name!r:.80}, expected only the tables of "raw":'
        f' {", ".join(sorted(tables))}'
      )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
  """All objects of a decoded JSON."""
  if isinstance(tree, dict):
    yield tree
  if isinstance(tree, dict | list):
    for one in tree.values() if isinstance(tree, dict) else tree:
      yield from _nodes(one)


def without(
  connection: sql.Connection, made: RawQuery, record: dict[str, Any]
) -> dict[str, Any]:
  """A schema's JSON without the fields that have no value in the log."""
  names = [name for name in made.columns.names if name != raw.ROW_HASH]
  counts = ', '.join(
    f'count({column}) FILTER (len({column}) > 0)'
    if pa.types.is_list(made.columns.field(name).type)
    else f'count({column})'
    for name in names
    for column in [sql.quote(name)]
  )
  found = sql.fetch_row(connection, f'SELECT {counts} FROM ({made.sql})')
  empty = {name for name, count in zip(names, found, strict=True) if not count}
  record = raw_tables.without(record, made.missing)
  for kind in manifest_lib.KINDS:
    record[kind] = [
      entry
      for entry in record.get(kind, [])
      if (entry['column'] if isinstance(entry, dict) else entry) not in empty
    ]
  return record


def _find(
  raw_dir: pathlib.Path, table: raw_tables.TableFiles, is_log: bool
) -> tuple[list[pathlib.Path], list[int], list[str]]:
  """A table's files, the split of each if there is one, and warnings."""
  if raw_dir.is_file():
    if is_log and len(table.patterns) == 1:
      return [raw_dir], [], []
    raw_dir = raw_dir.parent
  listed = ', '.join(p for some in table.patterns.values() for p in some)
  there = raw.find_files(raw_dir, ['*'], f'a directory with {listed}')
  found = {
    split: [path for path in there if _matches(path.name, patterns)]
    for split, patterns in table.patterns.items()
  }
  paths = [path for some in found.values() for path in some]
  if not paths and not table.is_optional:
    raise types.InputError(f'{raw_dir}: no {listed}')
  if any(len(some) > 1 for some in found.values()) and table.is_one:
    raise types.InputError(
      f'{raw_dir}: has {", ".join(path.name for path in paths)}; name one of'
      ' the files with raw_dir'
    )
  lacks = [s for s in found if s and not found[s]] if paths else []
  if '' in found or lacks:
    warnings = [
      f'no {", ".join(table.patterns[split])}: rows of'
      f' {", ".join(path.name for path in paths)} alone are split, at random,'
      ' so results are not those of the official split'
      for split in lacks
    ]
    return paths, [], warnings
  splits = [
    manifest_lib.SPLITS.index(split) for split in found for _ in found[split]
  ]
  return paths, splits, []


def _matches(name: str, patterns: Sequence[str]) -> bool:
  """Whether a file, compressed or not, has one of the names."""
  return any(
    fnmatch.fnmatch(name.lower(), pattern + end)
    for pattern in patterns
    for end in ('', '.gz', '.zst')
  )
