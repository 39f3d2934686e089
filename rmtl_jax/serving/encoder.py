"""Encodes raw rows as a network's inputs.

Bin edges, normalisation and vocabularies come from the run, and the SQL is that
of `rmtl prepare`, so a raw row gets the inputs of its prepared row.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet, reading, vocabulary_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, sql, value_checks
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.serving import lookup, raw_fields, raw_rows, vocabulary_lookup
from rmtl_jax.serving import notes as notes_lib

# Rows of a chunk that is encoded without a query: from some thousands on that
# takes longer.
_FEW_ROWS = 2048
# Type of a raw column by the field's kind, as for readings.check_type.
_COLUMN_TYPES = {'categorical': '', 'numeric': 'DOUBLE'}


class Encoder:
  """Encodes raw rows for one run; threads may share it.

  Attributes:
    manifest: the run's.
    read: the fields that are read.
    fields: the same as raw columns: for source `table` the
      column that the schema names, else one with the field's name.
    columns: the raw columns that are read.
    as_of: the as-of features among `fields`.
    tastes: vocabularies of the fields that some of those are by, by name.
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
      ignored: fields that the networks don't see; their columns are not read
        and their inputs are zeros.

    Raises:
      types.InputError: a vocabulary is missing or not the manifest's, or the
        manifest lacks how a number was normalised.
    """
    self.manifest = manifest
    self.read = tuple(f for f in manifest.fields if f.name not in ignored)
    self.fields = tuple(raw_fields.source_field(f, manifest) for f in self.read)
    self.columns = tuple(dict.fromkeys(f.column for f in self.fields))
    names = (field.name for field in self.read)
    self._raw_of = dict(zip(names, self.fields, strict=True))
    self.as_of = tuple(f for f in self.fields if 'as_of' in f.details)
    schema = schema_lib.schema_of_manifest(manifest)
    self._clock = schema.clock if schema else times.Time()
    self._missing = {
      column: schema.missing_in(column) if schema else readings.Missing()
      for column in self.columns
    }
    self._vocabularies = {
      f.name: _read_vocabulary(run_dir, f)
      for f in self.read
      if f.has_vocabulary
    }
    reading.check_recorded(run_dir, manifest, 'vocabulary/')
    tasted = asof_tastes.recorded(manifest.fields)
    used = [f.details.get('by') for f in self.as_of]
    self.tastes = {
      f.name: self._vocabularies.get(f.name) or _read_vocabulary(run_dir, f)
      for f in manifest.fields
      if f.name in tasted and f.name in used
    }
    where = f'{run_dir / "manifest.json"}: fields'
    self._values = [
      raw_fields.value_sql(f, s, where)
      for f, s in zip(self.read, self.fields, strict=True)
    ]
    # DuckDB plans a query for ten milliseconds, however few its rows are.
    self._lookup = lookup.Lookup(
      self.read, self.fields, self._missing, self._clock
    )
    self._connection = sql.connect()

  def warm_up(self) -> None:
    """Builds the indices that the first rows would wait for."""
    for vocabulary in self._vocabularies.values():
      vocabulary.warm_up()
    times.offset_ms(self._clock.zone, 0)

  def check(
    self, schema: pa.Schema, path: str, computed: Collection[str] = ()
  ) -> None:
    """Refuses columns that can't be encoded, before any row is read.

    Raises:
      types.InputError: a column of a field is missing, occurs twice or has a
        type that its field can't have.
    """
    wanted = [name for name in self.columns if name not in computed]
    place = pathlib.Path(path)
    raw.check_columns(place, schema.names, wanted)
    for field in self.fields:
      if field.column in computed:
        continue
      found = schema.field(field.column).type
      wanted = _COLUMN_TYPES.get(field.kind)
      if fields_lib.FROM_TIME in field.details:
        wanted = self._clock.column_type
      if wanted is None:
        wanted = 'VARCHAR[]' if pa.types.is_nested(found) else 'VARCHAR'
      readings.check_type(place, field.column, found, wanted)

  def encode(
    self, chunk: raw_rows.Chunk, notes: notes_lib.Notes | None = None
  ) -> types.Inputs:
    """Encodes rows.

    Args:
      chunk: R rows whose columns have passed `check`.
      notes: counts values that the run's vocabularies lack.

    Returns:
      i32[R, F], i32[R, M] and f32[R, N] in numpy. A category that the run's
      train rows did not have is row 0.

    Raises:
      types.InputError: a value that its field can't have; names file, column
        and row.
    """
    table = raw_fields.to_duckdb_types(
      chunk.table.select(list(self.columns)).combine_chunks(), chunk.path
    )
    found = None
    if 0 < table.num_rows <= _FEW_ROWS:
      found = self._lookup.values(table)
    if found is None:
      found = self._queried(chunk, table)
    texts = {
      field.column
      for field in self.fields
      if _holds_text(table.schema.field(field.column).type)
    }
    values = _ColumnValues(
      found, table.num_rows, texts, notes or notes_lib.Notes()
    )
    return types.Inputs(
      self._stack('categorical', values, np.int32),
      np.concatenate(
        [self._slots(f, values) for f in self.manifest.of_kind('multi_valued')]
        or [np.zeros((values.rows, 0), np.int32)],
        axis=1,
      ),
      self._stack('numeric', values, np.float32),
    )

  def _queried(self, chunk: raw_rows.Chunk, table: pa.Table) -> pa.Table:
    """Computes the fields' values; vocabularies are looked up later."""
    # A cursor per call: threads share the connection, and `chunk` is the
    # cursor's own name for the table.
    with (
      self._connection.cursor() as connection,
      sql.name_errors(chunk.path, 'not usable'),
    ):
      connection.register('chunk', table)
      raw_values = self._raw_values(table.schema)
      self._check_values(connection, chunk, raw_values)
      return connection.sql(
        f'SELECT {", ".join(self._values)} FROM ({raw_values})'
      ).to_arrow_table()

  def missing_in(self, column: str) -> readings.Missing:
    """Values that mean missing in a raw column that is read."""
    return self._missing[column]

  def vocabulary(self, field: str) -> vocabulary_lookup.Vocabulary | None:
    """The vocabulary of a categorical field; None if it is ignored."""
    return self._vocabularies.get(field)

  def _raw_values(self, schema: pa.Schema) -> str:
    """SQL of the fields' columns, as in a reader's view."""
    columns = ['row_number() OVER () - 1 AS position']
    for field in self.fields:
      kind = schema.field(field.column).type
      if _is_checked(field):
        given = readings.given(
          sql.quote(field.column), kind, self._missing[field.column]
        )
        value = self._checked_value(field, given, kind)
        columns.append(
          f'{given} IS NOT NULL AS {raw_fields.given_column(field)}'
        )
      else:
        value = self._plain_value(field, schema)
      columns.append(f'{value} AS {sql.quote(field.source_column)}')
    return f'SELECT {", ".join(columns)} FROM chunk'

  def _checked_value(
    self, field: source.SourceField, given: str, kind: pa.DataType
  ) -> str:
    """SQL of a number or a part of the time; NULL where it is at fault."""
    if fields_lib.FROM_TIME in field.details:
      part = str(field.details[fields_lib.FROM_TIME])
      value = self._clock.part(part, self._clock.ms(given, kind))
      return f'CAST({value} AS VARCHAR)'
    return f'TRY_CAST({given} AS DOUBLE)'

  def _plain_value(self, field: source.SourceField, schema: pa.Schema) -> str:
    """SQL of a category or a list, which can be any."""
    if field.kind == 'categorical':
      return self._category(field, schema)
    value, kind = sql.quote(field.column), schema.field(field.column).type
    missing = self._missing[field.column]
    return raw_fields.list_sql(field, value, kind, missing)

  def _category(self, field: source.SourceField, schema: pa.Schema) -> str:
    """SQL of the text of a categorical field."""
    value, kind = sql.quote(field.column), schema.field(field.column).type
    missing = self._missing[field.column]
    if fields_lib.FROM_TIME not in field.details:
      return readings.text(value, kind, missing)
    given = readings.given(value, kind, missing)
    return self._checked_value(field, given, kind)

  def _check_values(
    self,
    connection: sql.Connection,
    chunk: raw_rows.Chunk,
    raw_values: str,
  ) -> None:
    """Raises for the first value that is not a number or a time."""
    faults: list[raw.Fault] = []
    for field in self.fields:
      if _is_checked(field):
        is_time = fields_lib.FROM_TIME in field.details
        value = sql.quote(field.source_column)
        fault = f'{raw_fields.given_column(field)} AND {value} IS NULL'
        expected = (
          'a time, as in training' if is_time else raw.EXPECTED['DOUBLE']
        )
        faults.append((field.column, fault, expected))
        faults += value_checks.field_faults(field)
    raw_fields.check_faults(connection, chunk, raw_values, faults)

  def _stack(self, kind: str, values: _ColumnValues, dtype: type) -> np.ndarray:
    fields = self.manifest.of_kind(kind)
    stacked = np.zeros((values.rows, len(fields)), dtype)
    for i, field in enumerate(fields):
      if field.name not in self._raw_of:
        continue
      column = values.table[field.column]
      if kind == 'numeric':
        stacked[:, i] = column.to_numpy()
      else:
        stacked[:, i] = self._ids(field, column.combine_chunks(), values)
    return stacked

  def _ids(
    self, field: manifest_lib.Field, column: pa.Array, values: _ColumnValues
  ) -> np.ndarray:
    """Looks values up; 0 means unknown ones."""
    if field.is_binned:
      return column.to_numpy()
    raw_field = self._raw_of[field.name]
    vocabulary = self._vocabularies[field.vocabulary_owner or field.name]
    is_text = raw_field.column in values.texts
    ids = vocabulary.rows(column, is_text)
    # As-of features don't count as unseen: without a past they are missing; nor
    # do sequences, which may hold more than the log.
    is_own = 'as_of' not in field.details and field.vocabulary_owner is None
    if is_own and field.size > 1:
      given = _is_given(column)
      counts = values.notes.fields.setdefault(
        field.name, notes_lib.FieldCounts(raw_field.column, vocabulary.rest)
      )
      counts.add(values.rows, given.sum(), (given & (ids == 0)).sum())
    return ids

  def _slots(
    self, field: manifest_lib.Field, values: _ColumnValues
  ) -> np.ndarray:
    """Looks lists up, i32[R, width]; -1 in unused slots, 0 if empty."""
    rows = values.rows
    if field.name not in self._raw_of:
      return np.zeros((rows, field.width), np.int32)
    column = values.table[field.column].combine_chunks()
    if pa.types.is_null(column.type):
      column = column.cast(pa.list_(pa.string()))
    slots = np.full((rows, field.width), -1, np.int32)
    counts = column.value_lengths().fill_null(0).to_numpy()
    ids = self._ids(field, column.flatten(), values)
    owner = np.repeat(np.arange(rows), counts)
    # Unknown items are dropped before a history is cut, so that known ones
    # fill it; other lists were cut by the SQL.
    if field.vocabulary_owner is not None:
      owner, ids = _recent(owner, ids, field.width)
      counts = np.bincount(owner, minlength=rows)
    slot = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
    slots[owner, slot] = ids
    slots[counts == 0, 0] = 0
    return slots


@dataclasses.dataclass(frozen=True)
class _ColumnValues:
  """Values of R rows before the look-up.

  Attributes:
    table: a column per field, from raw_fields.value_sql.
    rows: R.
    texts: raw columns of text.
    notes: of the call.
  """

  table: pa.Table
  rows: int
  texts: set[str]
  notes: notes_lib.Notes


def _is_checked(field: source.SourceField) -> bool:
  """Whether a value of the field can be at fault."""
  return field.kind == 'numeric' or fields_lib.FROM_TIME in field.details


def _holds_text(found: pa.DataType) -> bool:
  """Whether a column contains text or lists of text."""
  if pa.types.is_nested(found) and found.num_fields == 1:
    found = found.field(0).type
  return parquet.is_text(found)


def _is_given(values: pa.Array) -> np.ndarray:
  """Which texts are not missing, bool[len(values)]."""
  options = pc.SetLookupOptions(value_set=pa.array([None, '']))
  found = pc.call_function('is_in', [values], options)
  return ~found.to_numpy(zero_copy_only=False)


def _recent(
  owner: np.ndarray, ids: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """Keeps the last `width` known items of each history, as `rmtl prepare`.

  `owner` is the row of each item, in order, i64[items].
  """
  owner, ids = owner[ids > 0], ids[ids > 0]
  ends = np.searchsorted(owner, owner, side='right')
  stays = ends - np.arange(len(owner)) <= width
  return owner[stays], ids[stays]


def _read_vocabulary(
  run_dir: pathlib.Path, field: manifest_lib.Field
) -> vocabulary_lookup.Vocabulary:
  """Reads the values of a field's vocabulary from row 1 on."""
  table = vocabulary_file.read(run_dir, field)
  values = table['value'].cast(pa.string()).combine_chunks()
  return vocabulary_lookup.Vocabulary(values[1:], _rest(table))


def _rest(vocabulary: pa.Table) -> float:
  """The fraction of train values that are row 0; 0 if unknown."""
  if 'count' not in vocabulary.column_names or not len(vocabulary):
    return 0.0
  counts = (
    vocabulary['count'].cast(pa.float64(), safe=False).fill_null(0.0).to_numpy()
  )
  total = counts.sum()
  return min(max(counts[0] / total, 0.0), 1.0) if total > 0 else 0.0
