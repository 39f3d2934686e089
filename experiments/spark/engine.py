"""Spark as the connection that preparation's SQL runs on.

An `Engine` takes DuckDB's statements and keeps what they promise: a table made
with ORDER BY has its rows in that order, `rowid` counts them from 0, and a sum
over the rows before needs no task that sees them all.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import errors, sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types
from sqlglot import exp

from experiments.spark import dialect
from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql as duckdb_sql
from rmtl_jax.preparation import writer

# Of a view with `rowid`: its name, and which file a row stands in.
_NUMBERED, _FILE = '{}_numbered', 'rowfile'
# What DuckDB calls types that Spark calls otherwise.
_TYPES = {
  'tinyint': 'TINYINT',
  'int': 'INTEGER',
  'string': 'VARCHAR',
  'array<string>': 'VARCHAR[]',
}
# Columns of the records that DuckDB can't read.
_REJECTS = (
  'line long, column_idx long, column_name string, error_type string,'
  ' csv_line string, error_message string'
)
Rows = list[tuple[Any, ...]]


@dataclasses.dataclass
class Table:
  """A table on disk.

  Attributes:
    parts: directories of Parquet files, in the order of their rows.
  """

  parts: list[pathlib.Path]

  def files(self) -> list[pathlib.Path]:
    """Its files, in the order of their rows."""
    # Spark names files by the place of their part.
    return [f for part in self.parts for f in sorted(part.glob('*.parquet'))]


class Engine:
  """Runs preparation's statements, as a DuckDB connection would.

  Attributes:
    spark: the session.
    directory: of tables, on storage that driver and executors share.
  """

  def __init__(self, spark: sql.SparkSession, directory: pathlib.Path):
    """Starts without tables."""
    self.spark, self.directory = spark, directory
    self._tables: dict[str, Table] = {}
    self._numbers = itertools.count()
    self._fetch: Callable[[], Rows] = list

  def execute(self, text: str) -> Engine:
    """Runs a statement.

    Raises:
      duckdb.Error: Spark can't run it, or a value stops it.
    """
    if text.startswith('SET ') or 'current_setting(' in text:
      self._fetch = lambda: [('',)]  # of DuckDB itself
      return self
    try:
      self._fetch = self._run(dialect.parse(text))
    except errors.PySparkException as error:
      raise duckdb.Error(types.first_line(error)) from error
    return self

  def fetchall(self) -> Rows:
    """The rows of the last statement."""
    return self._fetch()

  def frame(self, query: str | exp.Expression) -> sql.DataFrame:
    """The rows of a query."""
    tree = dialect.parse(query) if isinstance(query, str) else query
    for select in list(tree.find_all(exp.Select)):
      self._number(select)
    for table in list(tree.find_all(exp.Table)):
      if isinstance(table.this, exp.Func):
        table.set('this', exp.to_identifier(self._read(table.this)))
    found = self.spark.sql(dialect.spark_sql(tree))
    # No file has a column without a type.
    return found.select(
      *(
        F.lit(None).cast('int').alias(field.name)
        if isinstance(field.dataType, spark_types.NullType)
        else F.col(dialect.quote(field.name))
        for field in found.schema
      )
    )

  def quantiles(
    self, rows: str, value: str, shares: Sequence[float], between: bool
  ) -> list[float]:
    """Quantiles of a column, in no task that sees it whole.

    Args:
      rows: a relation.
      value: SQL of a number; NULL and NaN are left out.
      shares: of the values, in order.
      between: take what lies between two values, and not the next value.
    """
    counts = duckdb_sql.create_table(
      self,
      f'SELECT v, count(*) AS n FROM (SELECT {value} AS v FROM {rows})'
      ' WHERE v IS NOT NULL AND NOT isnan(v) GROUP BY v ORDER BY v',
    )
    before = duckdb_sql.create_table(
      self,
      'SELECT v, n, sum(n) OVER (ROWS UNBOUNDED PRECEDING) - n AS before'
      f' FROM {counts}',
    )
    total = duckdb_sql.fetch_value(self, f'SELECT sum(n) FROM {counts}')
    if not total:
      return []
    if between:
      places = [(total - 1) * share for share in shares]
    else:
      places = [max(1, math.ceil(total * share)) - 1 for share in shares]
    wanted = sorted({f(at) for at in places for f in (math.floor, math.ceil)})
    near = ' OR '.join(
      f'before <= {rank} AND {rank} < before + n' for rank in wanted
    )
    found: dict[int, float] = {}
    for v, n, first in self.execute(
      f'SELECT v, n, before FROM {before} WHERE {near}'
    ).fetchall():
      found |= {rank: v for rank in wanted if first <= rank < first + n}
    duckdb_sql.drop_tables(self, counts, before)
    if not between:
      return [found[math.floor(at)] for at in places]
    with duckdb_sql.connect() as connection:
      return [
        _between(
          connection, found[math.floor(at)], found[math.ceil(at)], at % 1
        )
        for at in places
      ]

  def write_parts(
    self, query: str, directory: pathlib.Path, rows_per_file: int
  ) -> dict[str, tuple[str, ...]]:
    """Writes the splits, sorted, every session in one file.

    Args:
      query: of the columns to write, and `split`.
      directory: where the splits' directories are made.
      rows_per_file: about how many rows a file has.

    Returns:
      The files of every split, relative to the directory, in order.
    """
    rows = self.frame(query)
    counts = dict(rows.groupBy('split').count().collect())
    found = {}
    for i, name in enumerate(manifest_lib.SPLITS):
      path = directory / name
      # Rows of one session are equal in the key, so they share a part.
      (
        rows.where(F.col('split') == i)
        .drop('split')
        .repartitionByRange(-(-counts[i] // rows_per_file), 'session_id')
        .sortWithinPartitions('session_id', 'step')
        .write.option('compression', 'zstd')
        .option('parquet.block.row.count.limit', writer.ROW_GROUP)
        .parquet(str(path))
      )
      for other in [*path.glob('_*'), *path.glob('.*')]:
        other.unlink()
      files = sorted(path.glob('*.parquet'))
      found[name] = tuple(f'{name}/{file.name}' for file in files)
    return found

  def _run(self, tree: exp.Expression) -> Callable[[], Rows]:
    name = tree.this.name if isinstance(tree.this, exp.Table) else ''
    if isinstance(tree, exp.Create) and tree.kind == 'VIEW':
      self.frame(tree.expression).createOrReplaceTempView(name)
    elif isinstance(tree, exp.Create | exp.Insert):
      return self._append(name, self.frame(tree.expression))
    elif isinstance(tree, exp.Update):
      self._update(name, tree)
    elif isinstance(tree, exp.Drop):
      self._drop(tree.args['tables'][0].name)
    elif isinstance(tree, exp.Copy):
      self._copy(tree)
    elif isinstance(tree, exp.Describe):
      found = self.frame(tree.this).schema
      kinds = [(f.name, f.dataType.simpleString()) for f in found]
      rows = [(name, _TYPES.get(kind, kind.upper())) for name, kind in kinds]
      return lambda: rows
    else:
      # Now, as it may read what is dropped before its rows are asked for.
      rows = [tuple(row) for row in self.frame(tree).collect()]
      return lambda: rows
    return list

  def _append(self, name: str, rows: sql.DataFrame) -> Callable[[], Rows]:
    """Writes rows at the end of a table, which may be new."""
    path = self.directory / f'{name}-{next(self._numbers)}'
    rows.write.parquet(str(path))
    self._tables.setdefault(name, Table([])).parts.append(path)
    files = map(str, self._tables[name].files())
    self.spark.read.parquet(*files).createOrReplaceTempView(name)
    self.spark.catalog.dropTempView(_NUMBERED.format(name))
    return lambda: [(sum(map(_rows_of, Table([path]).files())),)]

  def _update(self, name: str, tree: exp.Update) -> None:
    """Writes a table again, its rows in their order."""
    where = tree.args['where'].this
    values = [
      exp.alias_(
        exp.case().when(where.copy(), one.expression).else_(one.this.copy()),
        one.this.name,
        quoted=True,
      )
      for one in tree.expressions
    ]
    query = exp.select(exp.Star(replace=values)).from_(name).order_by('rowid')
    rows = self.frame(query)
    old = self._tables.pop(name)
    self._append(name, rows)
    for part in old.parts:
      shutil.rmtree(part)

  def _drop(self, name: str) -> None:
    self.spark.catalog.dropTempView(name)
    self.spark.catalog.dropTempView(_NUMBERED.format(name))
    for part in self._tables.pop(name, Table([])).parts:
      shutil.rmtree(part)

  def _copy(self, tree: exp.Copy) -> None:
    """Writes one file, of rows that the driver can hold."""
    made = self.directory / f'copy-{next(self._numbers)}'
    self.frame(tree.this.this).write.parquet(str(made))
    rows = pa.concat_tables(map(pq.read_table, Table([made]).files()))
    pq.write_table(rows, tree.args['files'][0].name, compression='zstd')
    shutil.rmtree(made)

  def _read(self, call: exp.ReadCSV | exp.ReadParquet) -> str:
    """A view of a raw file's rows, by the call that reads it in DuckDB."""
    view = f'read_{next(self._numbers)}'
    given = [one for one in call.expressions if isinstance(one, exp.EQ)]
    options = {one.this.name: one.expression for one in given}
    if isinstance(call, exp.ReadParquet):
      rows = self.spark.read.parquet(call.expressions[0].name)
    else:
      names = [one.this.name for one in options['columns'].expressions]
      rows = self.spark.read.csv(
        call.this.name,
        schema=', '.join(f'{dialect.quote(name)} STRING' for name in names),
        header=options['header'].this,
        sep=options['delim'].name,
        quote=options['quote'].name,
        escape=options['escape'].name,
        encoding=options['encoding'].name,
        mode='FAILFAST',
      )
      # A faulty record raises, so none is ever left out.
      nothing = self.spark.createDataFrame([], _REJECTS)
      nothing.createOrReplaceTempView(options['rejects_table'].name)
    rows.createOrReplaceTempView(view)
    return view

  def _number(self, select: exp.Select) -> None:
    """Gives a query `rowid` where it names it, and sums over rows before."""
    own = [
      node
      for node in select.find_all(exp.Column, exp.Window, exp.Star)
      if node.find_ancestor(exp.Select) is select
    ]
    windows = [
      node
      for node in own
      if isinstance(node, exp.Window)
      and not node.args.get('partition_by')
      and not node.args.get('order')
      and node.args.get('spec')
    ]
    names = {
      node.table
      for node in own
      if isinstance(node, exp.Column) and node.name == 'rowid'
    }
    if not names and not windows:
      return
    numbered = False
    for table in _sources(select):
      wanted = table.alias_or_name in names or '' in names or windows
      if table.name in self._tables and wanted:
        for window in windows:
          self._running(table.name, window)
        self._view(table.name)
        name = table.alias_or_name
        table.set('this', exp.to_identifier(_NUMBERED.format(table.name)))
        table.set('alias', exp.TableAlias(this=exp.to_identifier(name)))
        numbered = True
    if numbered:
      for one in select.expressions:
        star = one.this if isinstance(one, exp.Column) else one
        if isinstance(star, exp.Star):
          left = star.args.get('except_') or []
          star.set('except_', [*left, *map(exp.column, ('rowid', _FILE))])

  def _running(self, name: str, window: exp.Window) -> None:
    """A sum over the rows before: within a file, and of the files before."""
    value = window.this.this.sql(dialect='duckdb')
    self._view(name)
    sums = self.frame(
      f'SELECT {_FILE}, sum({value}) FROM {_NUMBERED.format(name)}'
      f' GROUP BY {_FILE} ORDER BY {_FILE}'
    ).collect()
    total, cases = 0, ['WHEN -1 THEN 0']  # of an empty table there are none
    for file, of_file in sums:
      cases.append(f'WHEN {file} THEN {total}')
      total += of_file or 0
    earlier = f'CASE {_FILE} {" ".join(cases)} ELSE 0 END'
    text = (
      f'(sum({value}) OVER (PARTITION BY {_FILE} ORDER BY rowid'
      f' ROWS UNBOUNDED PRECEDING) + {earlier})'
    )
    window.replace(dialect.parse(f'SELECT {text}').expressions[0])

  def _view(self, name: str) -> None:
    """Makes the view of a table with `rowid` and `rowfile`."""
    view = _NUMBERED.format(name)
    if self.spark.catalog.tableExists(view):
      return
    firsts: dict[str, tuple[int, int]] = {}
    rows = 0
    files = self._tables[name].files()
    for number, file in enumerate(files):
      firsts[file.name] = number, rows
      rows += _rows_of(file)
    of = F.create_map(
      *(
        F.lit(part)
        for name, (number, first) in firsts.items()
        for part in (name, number)
      )
    )
    start = F.create_map(
      *(
        F.lit(part) if isinstance(part, str) else F.lit(part).cast('long')
        for name, (number, first) in firsts.items()
        for part in (name, first)
      )
    )
    file = F.col('_metadata.file_name')
    self.spark.read.parquet(*map(str, files)).select(
      '*',
      (start[file] + F.col('_metadata.row_index')).alias('rowid'),
      of[file].alias(_FILE),
    ).createOrReplaceTempView(view)


def _sources(select: exp.Select) -> Iterator[exp.Table]:
  """The tables that a query names itself."""
  parts = [select.args.get('from_'), *(select.args.get('joins') or [])]
  for part in parts:
    if part is not None and isinstance(part.this, exp.Table):
      yield part.this


def _rows_of(file: pathlib.Path) -> int:
  return pq.read_metadata(file).num_rows


def _between(
  connection: duckdb_sql.Connection, low: float, high: float, share: float
) -> float:
  """The value so far between two, to the bit as preparation has it.

  Compilers round the last bit each in their way, and a bin's edge may be a
  value that rows have: so DuckDB computes it, as a quantile of the two.
  """
  rows = f'(SELECT unnest([{low!r}, {high!r}]::DOUBLE[]) AS v)'
  (value,) = duckdb_sql.quantiles(connection, rows, 'v', [share], between=True)
  return value
