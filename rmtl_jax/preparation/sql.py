"""Helpers for SQL in DuckDB."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import duckdb
import pyarrow as pa

from rmtl_jax import durable, types

# What a `connection` is, everywhere.
Connection = duckdb.DuckDBPyConnection


class Engine(Protocol):
  """What stands in a connection's place where another engine does the work.

  It runs the same statements. A table that is made with ORDER BY has its rows
  in that order, and `rowid` counts them; no other rows have an order.
  """

  def quantiles(
    self, rows: str, value: str, shares: Sequence[float], between: bool
  ) -> list[float]:
    """See `quantiles`."""
    ...

  def write_parts(
    self, query: str, directory: pathlib.Path, rows_per_file: int
  ) -> dict[str, tuple[str, ...]]:
    """Writes the splits' files; see writer.write_parts."""
    ...


def engine_of(connection: Connection) -> Engine | None:
  """The engine in a connection's place; None for DuckDB itself."""
  if isinstance(connection, duckdb.DuckDBPyConnection):
    return None
  return cast(Engine, connection)


# Integer types that fit a BIGINT.
INTEGERS = (
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
)

# Text that DuckDB writes for a number.
NUMBER = r'^(?:-?\d+(?:\.\d+)?(?:e[+-]\d+)?|nan|-?inf)$'
# Text of a whole float or decimal, and its replacement: 118.0 is 118. In RE2,
# which DuckDB and Arrow share.
WHOLE = r'^(?:-?(0)|(-?[1-9]\d{0,15}))\.0+$'
WHOLE_TEXT = r'\1\2'
# From here on neighbouring whole numbers are one float, by DuckDB's type.
EXACT = {'DOUBLE': 2**53, 'FLOAT': 2**24}

_SIZE = re.compile(r'\d+(\.\d+)?\s*([KMGT]i?B|%)', re.IGNORECASE)
# File names that DuckDB takes neither for a pattern nor for a URL.
_PLAIN = re.compile(r'/[A-Za-z0-9_/.,=+@ -]*')
_numbers = itertools.count()


def quote(name: str) -> str:
  """A name as an SQL identifier."""
  return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
  """A string as an SQL literal."""
  return "'" + value.replace("'", "''") + "'"


def null_if_empty(value: str) -> str:
  """SQL of a key; NULL for empty text and NaN."""
  # DuckDB plans by `typeof`: integers, which can't be empty, cost nothing.
  kept = (
    f"typeof({value}) IN {INTEGERS} OR CAST({value} AS VARCHAR) <> '' AND"
    f' NOT {_is_nan_of_any_type(value)}'
  )
  return f'CASE WHEN {kept} THEN {value} END'


def is_nan(value: str) -> str:
  """SQL of whether a float is NaN.

  Of a column of a Parquet file DuckDB takes `isnan` for false: it concludes so
  from the least and the largest value of the file, which leave NaN out.
  """
  return f'(NOT isfinite({value}) AND NOT isinf({value}))'


def _is_nan_of_any_type(value: str) -> str:
  """`is_nan` of a value that may be no float; NaN can have a sign as text."""
  written = f'CAST({value} AS VARCHAR)'
  return f"(typeof({value}) IN {(*EXACT,)} AND suffix({written}, 'nan'))"


def null_if_in(value: str, texts: Iterable[str]) -> str:
  """SQL of a text; NULL if it is one of `texts`."""
  listed = ', '.join(map(literal, texts))
  return (
    f'CASE WHEN {value} NOT IN ({listed}) THEN {value} END' if listed else value
  )


def in_list(numbers: Iterable[int]) -> str:
  """SQL of a list of numbers, for IN."""
  return f'({", ".join(map(str, numbers))})'


def is_in(written: str, texts: Iterable[str]) -> str:
  """SQL of whether a text is one of `texts`; 118.0 is 118. '' for no texts."""
  listed = ', '.join(map(literal, texts))
  if not listed:
    return ''
  return (
    f'{written} IN ({listed}) OR {strip_zero_fraction(written)} IN ({listed})'
  )


def strip_zero_fraction(written: str) -> str:
  """SQL of text with 118 for 118.0."""
  return f'regexp_replace({written}, {literal(WHOLE)}, {literal(WHOLE_TEXT)})'


def value_text(value: str) -> str:
  """SQL of a value as text, for look-ups in vocabularies.

  Pandas turns integers into floats if a value is missing, so whole floats are
  written as integers: 118.0 is '118'. Floats beyond EXACT keep their text, as
  one float may stand for two neighbouring ids. NaN has none.
  """
  written = f'CAST({value} AS VARCHAR)'
  whole = strip_zero_fraction(written)
  size = f'abs(TRY_CAST({written} AS DOUBLE))'
  # `typeof` is known when the query is planned: other types cost nothing.
  cases = ' '.join(
    f"WHEN typeof({value}) = '{of}' AND {size} < {limit} THEN {whole}"
    for of, limit in EXACT.items()
  )
  decimal = f"WHEN typeof({value}) LIKE 'DECIMAL%' THEN {whole}"
  nothing = f'WHEN {_is_nan_of_any_type(value)} THEN NULL'
  return f'CASE {nothing} {cases} {decimal} ELSE {written} END'


def value_texts(value: str) -> str:
  """SQL of a list with `value_text` of each value."""
  return f'list_transform({value}, lambda one: {value_text("one")})'


def float_literal(value: float) -> str:
  """A float as an SQL literal, exactly; a bare one would be a DECIMAL."""
  return f"'{value!r}'::DOUBLE"


def quote_all(columns: Iterable[str]) -> str:
  """Quoted names, separated by commas."""
  return ', '.join(map(quote, columns))


def unique_name(prefix: str) -> str:
  """A table name that nothing else uses."""
  return f'{prefix}_{next(_numbers)}'


def create_table(connection: Connection, query: str) -> str:
  """Makes a table of a query's rows; returns its name."""
  table = unique_name('table')
  connection.execute(f'CREATE TABLE {table} AS {query}')
  return table


def create_view(connection: Connection, query: str) -> str:
  """Makes a view of a query; returns its name."""
  view = unique_name('view')
  connection.execute(f'CREATE VIEW {view} AS {query}')
  return view


def drop_tables(connection: Connection, *tables: str) -> None:
  """Drops tables."""
  for table in tables:
    connection.execute(f'DROP TABLE {table}')


def fetch_value(connection: Connection, query: str) -> Any:
  """The first value of a query's single row."""
  return fetch_row(connection, query)[0]


def fetch_row(connection: Connection, query: str) -> tuple[Any, ...]:
  """The single row of a query."""
  # fetchall, not fetchone: an unread result blocks the connection.
  rows = connection.execute(query).fetchall()
  assert len(rows) == 1, query
  return rows[0]


def quantiles(
  connection: Connection,
  rows: str,
  value: str,
  shares: Sequence[float],
  between: bool = False,
) -> list[float]:
  """Quantiles of a column; none of one without values.

  Args:
    rows: a relation.
    value: SQL of a number; NULL and NaN are left out.
    between: take what lies between two values, and not the next value.
  """
  if engine := engine_of(connection):
    return engine.quantiles(rows, value, shares, between)
  kind = 'cont' if between else 'disc'
  query = f"SELECT quantile_{kind}(nullif({value}, 'NaN'), {[*shares]})"
  return fetch_value(connection, f'{query} FROM {rows}') or []


def insert(connection: Connection, table: str, rows: pa.Table) -> None:
  """Inserts rows into a table, by the names of its columns."""
  connection.register('inserted', rows)
  connection.execute(f'INSERT INTO {table} BY NAME FROM inserted')
  connection.unregister('inserted')


@contextlib.contextmanager
def scan_file(
  path: pathlib.Path, kind: str, options: str = ''
) -> Iterator[str]:
  """SQL of the rows of one file, with the file's own columns.

  DuckDB expands patterns and URLs (`log[1].csv` means `log1.csv`,
  `file:/log.csv` is absolute) and adds columns for folders `name=value`. Every
  raw file is read through here, so that none of this happens.

  Args:
    kind: `csv` or `parquet`.
    options: further arguments of DuckDB's reader.

  Raises:
    OSError: the file can't be opened.
  """
  with scan_files([path], kind, options) as rows:
    yield rows


@contextlib.contextmanager
def scan_files(
  paths: Iterable[pathlib.Path], kind: str, options: str = ''
) -> Iterator[str]:
  """`scan_file` of several files, their rows one after the other."""
  if options:
    options = f', {options}'
  with contextlib.ExitStack() as stack:
    names = []
    for path in paths:
      name = os.path.realpath(path)
      if not _PLAIN.fullmatch(name):
        # No escape works for every name, so DuckDB gets that of a descriptor.
        file = stack.enter_context(open(name, 'rb'))
        name = f'/proc/self/fd/{file.fileno()}'
      names.append(literal(name))
    listed = names[0] if len(names) == 1 else f'[{", ".join(names)}]'
    yield f'read_{kind}({listed}, hive_partitioning = false{options})'


def any_row(connection: Connection, rows: str, condition: str) -> bool:
  """Whether a condition is true of any row of a table or subquery."""
  found = f'SELECT 1 FROM {rows} WHERE {condition} LIMIT 1'
  return fetch_row(connection, f'SELECT count(*) FROM ({found})')[0] > 0


def count_rows(
  connection: Connection, rows: str, condition: str = 'true'
) -> int:
  """The number of rows of a table or subquery of which a condition is true."""
  return fetch_value(
    connection, f'SELECT count(*) FROM {rows} WHERE {condition}'
  )


def has_table(connection: Connection, name: str) -> bool:
  """Whether there is a table or view of that name."""
  found = 'FROM information_schema.tables WHERE table_name'
  return any_row(connection, f'(SELECT 1 {found} = {literal(name)})', 'true')


def column_types(connection: Connection, relation: str) -> dict[str, str]:
  """DuckDB types of a relation's columns."""
  found = connection.execute(f'DESCRIBE SELECT * FROM {relation}').fetchall()
  return {name: kind for name, kind, *_ in found}


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
  """Translates errors that can end DuckDB's work at any time.

  Raises:
    types.InputError: the memory limit is too small.
    MemoryError: the system has less than the limit.
    KeyboardInterrupt: Ctrl-C arrived while DuckDB worked.
  """
  try:
    yield
  except duckdb.OutOfMemoryException as error:
    first = types.first_line(error)
    if 'bad allocation' in first:  # of the system, which has no more
      raise MemoryError(first) from None
    raise types.InputError(f'memory_limit: too small: {first}') from None
  except (duckdb.InterruptException, RuntimeError) as error:
    # DuckDB raises an error of its own for Ctrl-C.
    if 'interrupt' in str(error).lower():
      raise KeyboardInterrupt from None
    raise


@contextlib.contextmanager
def name_errors(path: str | pathlib.Path, what: str) -> Iterator[None]:
  """Names the file in DuckDB's errors about its rows.

  Raises:
    types.InputError: the rows can't be used; `what` says so.
  """
  try:
    yield
  # Not the file's fault; `translate_errors` around the work has words for it.
  except duckdb.OutOfMemoryException:
    raise
  except duckdb.InterruptException:
    raise KeyboardInterrupt from None
  except duckdb.Error as error:
    if durable.tells_of_disk(error):
      raise  # perhaps of what is written meanwhile
    first = types.first_line(error)
    raise types.InputError(f'{path}: {what}: {first}') from None


def connect(
  memory_limit: str = '', threads: int = 0, temp_dir: str = ''
) -> Connection:
  """An in-memory database that spills to `temp_dir`; times are UTC.

  Args:
    memory_limit: as `4GB` or `50%`; empty for DuckDB's default.
    threads: 0 for one per core.
    temp_dir: empty for DuckDB's default, `.tmp` in the working directory.

  Raises:
    types.InputError: a memory limit that is none.
  """
  if memory_limit and not _SIZE.fullmatch(memory_limit):
    raise types.InputError(
      f'memory_limit: {memory_limit!r} is not a size such as 4GB or 50%'
    )
  connection = duckdb.connect()
  # Of its cursors too.
  connection.execute("SET GLOBAL TimeZone = 'UTC'")
  # Setting it, even to what it is, fails in a notebook without widgets.
  if fetch_row(connection, "SELECT current_setting('enable_progress_bar')")[0]:
    connection.execute('SET enable_progress_bar = false')
  if memory_limit:
    connection.execute(f'SET memory_limit = {literal(memory_limit)}')
  if threads:
    connection.execute(f'SET threads = {threads}')
  if temp_dir:
    place = literal(os.path.abspath(temp_dir))
    connection.execute(f'SET temp_directory = {place}')
  return connection
