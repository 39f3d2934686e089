"""Numbers of raw rows compared with their slate, in memory.

What rmtl_jax.preparation.as_of.slates computes of a log. A slate is made of the
rows at hand with one session and one time, so rows that are shown together are
sent together. Exact repeats, which `rmtl prepare` drops, count here.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, sql, value_checks
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.serving import log_columns, lookup, raw_fields, raw_rows

# Rows that are read at a time.
_CHUNK = 65_536
_NO_TIME = np.iinfo(np.int64).min
# Larger numbers are none (checks.LARGEST); a difference may be.
_LARGEST = value_checks.LARGEST


class _Feature(NamedTuple):
  """A column to add: the number that it compares ('': none), and how."""

  column: str
  number: str
  kind: str


class _Number(NamedTuple):
  """A number of the raw rows, and values that mean missing in it."""

  field: source.SourceField
  missing: readings.Missing

  def values(self, table: pa.Table) -> np.ndarray:
    """The numbers, f64[R]; NaN where missing, or where there is none.

    Those that are at fault are told of by whoever encodes the field.
    """
    column = table[self.field.column].combine_chunks()
    with contextlib.suppress(lookup.Undecided):
      return lookup.numbers(column, self.missing)
    given = readings.given('number', column.type, self.missing)
    number = f'TRY_CAST({given} AS DOUBLE)'
    found = _queried(column, 'number', number, 'DOUBLE')
    return found.fill_null(math.nan).to_numpy()


class Slates:
  """Computes the features of raw rows for one model; threads may share it."""

  def __init__(
    self, manifest: manifest_lib.Manifest, fields: Sequence[source.SourceField]
  ):
    """Reads nothing yet.

    Args:
      fields: as-of features of the group `slate`, as raw columns.

    Raises:
      types.InputError: the manifest does not say what a feature compares.
    """
    self._log_schema = log_columns.make_log_schema(manifest)
    schema = schema_lib.schema_of_manifest(manifest)
    numbers = {
      number.name: number
      for field in manifest.fields
      if 'as_of' not in field.details
      and (number := raw_fields.source_field(field, manifest)).kind == 'numeric'
    }
    made = [
      f for f in manifest.fields if f.name in {one.name for one in fields}
    ]
    asof_groups.check_slates(made, numbers)
    if made and not (self._log_schema.session or self._log_schema.user):
      raise types.InputError(
        'manifest.json: options: schema: no session or user, which features of'
        ' slates need'
      )
    self._features = [
      _Feature(
        field.column,
        str(field.details.get(asof_slates.NUMBER, '')),
        str(field.details.get(asof_slates.KIND, '')),
      )
      for field in fields
    ]
    self._numbers: dict[str, _Number] = {}
    for feature in self._features:
      if feature.number:
        field = numbers[feature.number]
        missing = readings.Missing()
        if schema is not None:
          missing = schema.missing_in(field.column)
        self._numbers[feature.number] = _Number(field, missing)

  @property
  def columns(self) -> tuple[str, ...]:
    """The columns to add."""
    return tuple(feature.column for feature in self._features)

  def added(self, schema: pa.Schema) -> tuple[str, ...]:
    """The columns to add to rows: none where they have some of them."""
    return () if {*self.columns} & {*schema.names} else self.columns

  def of_rows(self, rows: raw_rows.Rows) -> raw_rows.RowReader | None:
    """The columns of rows, in their order.

    Args:
      rows: that can be read again.

    Returns:
      None where there is nothing to compute, or the rows have the columns.

    Raises:
      types.InputError: a column that is missing or of another type.
    """
    if not self.added(rows.schema):
      return None
    read = self._read(rows.schema, rows.path)
    parts = [c.table.select(read) for c in rows.chunks(_CHUNK)]
    whole = pa.concat_tables(parts) if parts else rows.schema.empty_table()
    return raw_rows.RowReader(self._compute(whole, rows.path).to_reader())

  def of_table(self, table: pa.Table, path: str) -> pa.Table | None:
    """As `of_rows`, of rows that are shown together and no others."""
    if not self.added(table.schema):
      return None
    return self._compute(table.select(self._read(table.schema, path)), path)

  def _read(self, schema: pa.Schema, path: str) -> list[str]:
    """The columns to read, checked."""
    of, place = self._log_schema, pathlib.Path(path)
    keys = list(of.keys(schema).values())
    if not of.optional:
      # Rows without a session's id are told apart by their user, if they can.
      keys = list(dict.fromkeys([str(of.session or of.user), *keys]))
    elif not keys:
      raise types.InputError(
        f'{path}: no column {of.session!r} or {of.user!r}, to tell what was'
        ' shown together'
      )
    numbers = [one.field.column for one in self._numbers.values()]
    clock = [] if of.time is None else [of.time]
    read = list(dict.fromkeys([*keys, *clock, *numbers]))
    raw.check_columns(place, schema.names, read)
    for column in read:
      kind = 'DOUBLE' if column in numbers else ''
      if column in clock:
        kind = of.clock.column_type
      found = schema.field(column).type
      readings.check_type(place, column, found, kind)
    return read

  def _compute(self, table: pa.Table, path: str) -> pa.Table:
    """The columns to add, DOUBLE; missing where the number is."""
    table = raw_fields.to_duckdb_types(table, path)
    slate = self._slates(table, path)
    counts = np.bincount(slate)[slate].astype(np.float64)
    found = {}
    # One number after the other: rows may be many.
    for number in dict.fromkeys(one.number for one in self._features):
      compared = {'': counts}
      if number:
        compared = _compare(slate, self._numbers[number].values(table))
      for feature in self._features:
        if feature.number == number:
          column = compared[feature.kind]
          found[feature.column] = pa.array(column, mask=np.isnan(column))
    return pa.table({name: found[name] for name in self.columns})

  def _slates(self, table: pa.Table, path: str) -> np.ndarray:
    """Numbers of the rows' slates, from 0, i64[R].

    As sessions.number_sessions: a session overrides the user, and a row without
    a session belongs to one of its user only where there is a time.
    """
    of = self._log_schema
    alone = -1 - np.arange(table.num_rows)
    owner = np.full(table.num_rows, -1)
    if of.session is not None and of.session in table.column_names:
      owner = _codes(table[of.session], of.missing_in(of.session))
    lacks = owner < 0
    if of.time is not None and of.user is not None and lacks.any():
      if of.user not in table.column_names:
        raise types.InputError(
          f'{path}: no column {of.user!r}: rows without {of.session!r} are told'
          ' apart by it'
        )
      user = _codes(table[of.user], of.missing_in(of.user))
      owner = np.where(lacks & (user >= 0), user + owner.max() + 1, owner)
    time = np.zeros(table.num_rows, np.int64)
    if of.time is not None:
      time = _times(table[of.time], of.clock, of.missing_in(of.time))
    owner = np.where((owner < 0) | (time == _NO_TIME), alone, owner)
    pairs = np.stack([owner, time], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def _codes(column: pa.ChunkedArray, missing: readings.Missing) -> np.ndarray:
  """Equal whole numbers for equal values, i64[R]; -1 where there is none."""
  values = column.combine_chunks()
  if pa.types.is_dictionary(values.type):
    values = values.cast(values.type.value_type)
  try:
    encoded = values.dictionary_encode()
  except pa.ArrowNotImplementedError:
    encoded = values.cast(pa.string()).dictionary_encode()
  codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
  # Of a type that only a query writes as text nothing else is missing.
  with contextlib.suppress(lookup.Undecided):
    texts = lookup.texts(encoded.dictionary, missing)
    lost = [i for i, text in enumerate(texts) if text in (None, '', 'nan')]
    codes[np.isin(codes, lost)] = -1
  return codes


def _times(
  column: pa.ChunkedArray, clock: times.Time, missing: readings.Missing
) -> np.ndarray:
  """Times in ms, or in s where all are whole, i64[R]; _NO_TIME for none."""
  values = column.combine_chunks()
  is_whole = pa.types.is_integer(values.type) and clock.unit in ('ms', 's')
  if is_whole and clock.is_plain and not missing.values:
    return values.cast(pa.int64()).fill_null(_NO_TIME).to_numpy()
  given = readings.given('time', values.type, missing)
  found = _queried(values, 'time', clock.ms(given, values.type), 'BIGINT')
  return found.fill_null(_NO_TIME).to_numpy()


def _queried(values: pa.Array, name: str, value: str, kind: str) -> pa.Array:
  """A column as SQL reads it, in its order."""
  with sql.connect() as connection:
    connection.register('raw', pa.table({name: values}))
    found = connection.sql(f'SELECT CAST({value} AS {kind}) AS found FROM raw')
    return found.to_arrow_table()['found'].combine_chunks()


def _compare(slate: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
  """Each comparison of a number within its slate, f64[R]; NaN if missing."""
  found = {asof_slates.OVER_MEAN: _over_mean(slate, values)}
  for kind, sign in (
    (asof_slates.OVER_LEAST, 1.0),
    (asof_slates.OVER_LARGEST, -1.0),
  ):
    # NaN comes last in both orders.
    order = np.lexsort((sign * values, slate))
    ordered, of = values[order], slate[order]
    begins = np.diff(of, prepend=-1) > 0
    first = np.maximum.accumulate(np.where(begins, np.arange(len(of)), 0))
    follows = np.append(~begins[1:], False)
    second = np.where(follows, np.append(ordered[1:], np.nan), np.nan)
    found[kind] = np.empty_like(values)
    less = np.where(begins, second, ordered[first])
    found[kind][order] = ordered - less
  return {k: np.clip(v, -_LARGEST, _LARGEST) for k, v in found.items()}


def _over_mean(slate: np.ndarray, values: np.ndarray) -> np.ndarray:
  """As the SQL rounds it."""
  short = _rounded(values)
  given = ~np.isnan(short)
  sums = np.bincount(slate, np.where(given, short, 0.0))
  counts = np.bincount(slate, given)
  with np.errstate(invalid='ignore'):
    return _rounded(short - (sums / counts)[slate])


def _rounded(values: np.ndarray) -> np.ndarray:
  return values.astype(np.float32).astype(np.float64)
