"""Raw rows to a network's inputs, as the run's own data was encoded.

The numbers come from the run alone: its manifest's bin edges and
normalisation, its vocabularies. The SQL is that of `rmtl prepare`, so a raw row
gets the inputs that its prepared row has.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.data import (
  checks,
  lists,
  parquet,
  raw,
  raw_parquet,
  source,
  sql,
)
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.serving import faults as faults_lib
from rmtl_jax.serving import raw_fields
from rmtl_jax.serving import rows as rows_lib

# How a raw column may be typed, in the words of raw_parquet.load.
_WANTED = {'categorical': '', 'numeric': 'DOUBLE'}


class Encoder:
  """Encodes raw rows for one run.

  Attributes:
    manifest: the run's.
    fields: the features that are read, as their raw columns hold them; for
      the source `table` a field's column is the one that the schema names, for
      every other source it has the field's own name.
    columns: the raw columns that are read.
    as_of: those of the features that tell of the past.
    rows: how many rows have been encoded.
  """

  def __init__(
    self,
    run_dir: pathlib.Path,
    manifest: manifest_lib.Manifest,
    ignored: Collection[str] = (),
  ):
    """Reads the vocabularies.

    Args:
      run_dir: RUN, for its `vocabulary/`.
      manifest: RUN/manifest.json.
      ignored: fields that the run's networks don't see: their columns are not
        read, and their inputs are zeros.

    Raises:
      types.InputError: a vocabulary is missing or not the manifest's, or the
        manifest does not say how a number was normalised.
    """
    self.manifest = manifest
    self._read = tuple(f for f in manifest.fields if f.name not in ignored)
    self.fields = tuple(
      raw_fields.source_field(f, manifest) for f in self._read
    )
    self.columns = tuple(dict.fromkeys(f.column for f in self.fields))
    self.as_of = tuple(f for f in self.fields if 'as_of' in f.details)
    self.rows = 0
    self._missing = raw_fields.missing(manifest)
    self._known = dict.fromkeys(
      (
        f.name
        for f in self._read
        # Of a past in which nothing has happened yet nothing is known.
        if f.kind == 'categorical' and 'as_of' not in f.details
      ),
      0,
    )
    self._vocabularies = {
      f.name: _read_vocabulary(run_dir, f)
      for f in self._read
      if f.kind != 'numeric' and f.shares is None
    }
    where = f'{run_dir / "manifest.json"}: fields'
    self._values = [raw_fields.value_sql(f, s, where) for f, s in self._pairs()]
    self._connection = sql.connect()

  def check(
    self, schema: pa.Schema, path: str, computed: Collection[str] = ()
  ) -> None:
    """Refuses columns that can't be encoded, before any row is read.

    Args:
      schema: of the raw rows.
      path: for errors.
      computed: columns that will be added.

    Raises:
      types.InputError: a column of a field is missing, stands twice or has a
        type that its field can't have.
    """
    wanted = [name for name in self.columns if name not in computed]
    raw.columns_present(pathlib.Path(path), schema.names, wanted)
    for field in self.fields:
      if field.column in computed:
        continue
      found = schema.field(field.column).type
      wanted = _WANTED.get(field.kind)
      if wanted is None:
        wanted = 'VARCHAR[]' if pa.types.is_nested(found) else 'VARCHAR'
      # A column of nulls alone has no type; a boolean is a number.
      if not pa.types.is_null(found):
        raw_parquet.check_type(pathlib.Path(path), field.column, found, wanted)

  def encode(self, chunk: rows_lib.Chunk) -> types.Inputs:
    """The inputs of rows.

    Args:
      chunk: R rows whose columns have passed `check`.

    Returns:
      i32[R, F], i32[R, M] and f32[R, N] in numpy. A category that the run's
      train rows did not have is row 0.

    Raises:
      types.InputError: a value that its field can't have; names file, column
        and row.
    """
    table = _widened(chunk.table.select(list(self.columns)).combine_chunks())
    try:
      self._connection.register('chunk', table)
      raw_values = self._raw_values(table.schema)
      self._check_numbers(chunk, raw_values)
      found = self._connection.sql(
        f'SELECT {", ".join(self._values)} FROM ({raw_values})'
      ).to_arrow_table()
    except duckdb.Error as error:
      first = str(error).partition('\n')[0]
      raise types.InputError(f'{chunk.path}: not usable: {first}') from None
    finally:
      self._connection.unregister('chunk')
    rows = table.num_rows
    self.rows += rows
    return types.Inputs(
      self._stack('categorical', found, rows, np.int32),
      np.concatenate(
        [
          self._slots(f, found, rows)
          for f in self.manifest.of_kind('multi_valued')
        ]
        or [np.zeros((rows, 0), np.int32)],
        axis=1,
      ),
      self._stack('numeric', found, rows, np.float32),
    )

  def words(self, field: str) -> pa.Array:
    """The vocabulary of a categorical field from its row 1 on, text[size-1]."""
    return self._vocabularies[field]

  def unknown_fields(self) -> list[str]:
    """Warnings: fields of which no row so far had a value that is known."""
    columns = {f.name: s.column for f, s in self._pairs()}
    return [
      f'field {name!r}: not one of {self.rows} values of column'
      f" {columns[name]!r} is in the run's vocabulary"
      for name, known in self._known.items()
      if self.rows and not known and len(self._vocabularies[name])
    ]

  def _pairs(self) -> list[tuple[manifest_lib.Field, source.SourceField]]:
    return list(zip(self._read, self.fields, strict=True))

  def _raw_values(self, schema: pa.Schema) -> str:
    """SQL of the fields as a reader's view has them (rmtl_jax.data.source)."""
    columns = ['row_number() OVER () - 1 AS position']
    missing = self._missing
    for field in self.fields:
      value = sql.quote(field.column)
      kind = schema.field(field.column).type
      if field.kind == 'numeric':
        given = raw_fields.number_text(value, kind, missing)
        value = f'TRY_CAST({given} AS DOUBLE)'
        columns.append(f'{given} IS NOT NULL AS {raw_fields.given(field)}')
      elif field.kind == 'categorical':
        value = raw_fields.text(value, kind, missing)
      elif pa.types.is_nested(kind):
        value = f'CAST({value} AS VARCHAR[])'
        # A history holds values of a categorical field, spaces and all.
        if not field.shares:
          value = lists.values(value, missing=missing)
      else:
        separator = field.details.get('separator', ',')
        value = raw_fields.text(value, kind, missing)
        value = lists.values(value, separator, missing)
      columns.append(f'{value} AS {sql.quote(field.source_column)}')
    return f'SELECT {", ".join(columns)} FROM chunk'

  def _check_numbers(self, chunk: rows_lib.Chunk, raw_values: str) -> None:
    """Raises for the first value that is no number that the field can have."""
    faults: list[tuple[str, str, str]] = []
    for field in self.fields:
      if field.kind == 'numeric':
        number = sql.quote(field.source_column)
        fault = f'{raw_fields.given(field)} AND {number} IS NULL'
        faults.append((field.column, fault, 'a number'))
        faults += checks.field_faults(field)
    faults_lib.check(self._connection, chunk, raw_values, faults)

  def _stack(
    self, kind: str, found: pa.Table, rows: int, dtype: type
  ) -> np.ndarray:
    fields = self.manifest.of_kind(kind)
    stacked = np.zeros((rows, len(fields)), dtype)
    for i, field in enumerate(fields):
      if field not in self._read:
        continue
      if kind == 'numeric':
        stacked[:, i] = found[field.column].to_numpy()
      else:
        ids = self._ids(field, found[field.column])
        if field.name in self._known:
          self._known[field.name] += int(np.count_nonzero(ids))
        stacked[:, i] = ids
    return stacked

  def _ids(
    self, field: manifest_lib.Field, values: pa.ChunkedArray | pa.Array
  ) -> np.ndarray:
    """Rows of the vocabulary; 0 for what it lacks."""
    words = self._vocabularies[field.shares or field.name]
    # Row 0 is not among the words.
    options = pc.SetLookupOptions(value_set=words)
    at = pc.call_function('index_in', [values.cast(words.type)], options)
    return at.fill_null(-1).to_numpy() + 1

  def _slots(
    self, field: manifest_lib.Field, found: pa.Table, rows: int
  ) -> np.ndarray:
    """i32[R, width], -1 in unused slots; a row without values has row 0."""
    if field not in self._read:
      return np.zeros((rows, field.width), np.int32)
    column = found[field.column]
    slots = np.full((rows, field.width), -1, np.int32)
    joined = pa.concat_arrays(column.chunks) if column.num_chunks else None
    if joined is not None:
      counts = joined.value_lengths().fill_null(0).to_numpy()
      ids = self._ids(field, joined.flatten())
      owner = np.repeat(np.arange(rows), counts)
      if field.shares is not None:
        owner, ids = _recent(owner, ids, field.width)
        counts = np.bincount(owner, minlength=rows)
      slot = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
      slots[owner, slot] = ids
      slots[counts == 0, 0] = 0
    return slots


def _widened(table: pa.Table) -> pa.Table:
  """The table without numbers of 16 bits, which DuckDB takes from no Arrow."""
  for i, field in enumerate(table.schema):
    if pa.types.is_float16(field.type):
      column = table.column(i).cast(pa.float32())
      table = table.set_column(i, field.name, column)
  return table


def _recent(
  owner: np.ndarray, ids: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """A history's last `width` known items, as `rmtl prepare` keeps them.

  Args:
    owner: the row of each item, in order, i64[items].
    ids: rows of the vocabulary, i64[items].
    width: most items of a row.

  Returns:
    Owners and ids of those that stay.
  """
  owner, ids = owner[ids > 0], ids[ids > 0]
  ends = np.searchsorted(owner, owner, side='right')
  stays = ends - np.arange(len(owner)) <= width
  return owner[stays], ids[stays]


def _read_vocabulary(
  run_dir: pathlib.Path, field: manifest_lib.Field
) -> pa.Array:
  """The words of a field in the order of their rows, from row 1."""
  path = run_dir / 'vocabulary' / f'{field.name}.parquet'
  try:
    with parquet.open_file(path) as file:
      column = file.read(['value'])['value']
  except FileNotFoundError:
    raise types.InputError(
      f'{path}: not found: predictions need the vocabularies of the run'
    ) from None
  except (OSError, pa.ArrowException, KeyError) as error:
    first = str(error).partition('\n')[0]
    raise types.InputError(f'{path}: not readable: {first}') from None
  if len(column) != field.size:
    raise types.InputError(
      f"{path}: has {len(column)} rows, the run's manifest.json says"
      f' {field.size}'
    )
  if not raw_parquet.is_text(column.type):
    raise types.InputError(
      f"{path}: column 'value' is of type {column.type}, expected text"
    )
  return column.cast(pa.string()).combine_chunks()[1:]
