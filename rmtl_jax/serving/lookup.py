"""Computes the fields' values of few rows in memory, without a query.

Plain values (numbers, text, lists of text) become what the query makes of them,
bit by bit. Everything else is left to the query: other types, text that may be
no number, and values at fault, so that there is one place that words errors.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet
from rmtl_jax.preparation import source, sql, value_checks
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import fields as fields_lib

# What DuckDB's trim takes away: Unicode's space separators.
_SPACES = ' \u00a0\u1680\u202f\u205f\u3000' + ''.join(
  map(chr, range(0x2000, 0x200B))
)
# Of a unit: numerator and denominator of ms.
_MS = {'s': (1000, 1), 'ms': (1, 1), 'us': (1, 1000), 'ns': (1, 1_000_000)}
_HOUR_MS = 3_600_000
_LATEST_MS = 1_000_000 * _HOUR_MS  # in 2084; from 2099 zones are not known
# Times that Python and DuckDB read alike.
_ISO = re.compile(
  r'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?'
  r'(Z|[+-](0\d|1[0-4]):[0-5]\d)?',
  re.ASCII,
)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_ONE_MS = datetime.timedelta(milliseconds=1)
_WHOLE = re.compile(sql.WHOLE, re.ASCII)
_NOTHING_ELSE = readings.Missing()
# Text that every reader of numbers takes for the same number.
_PLAIN_NUMBER = re.compile(r'-?[0-9]{1,17}(\.[0-9]{1,17})?(e[+-]?[0-9]{1,2})?')


class Undecided(Exception):
  """A type or a value that only the query can read."""


class Lookup:
  """Computes values of the fields, before their vocabularies are looked up."""

  def __init__(
    self,
    fields: Sequence[manifest_lib.Field],
    raw_fields: Sequence[source.SourceField],
    missing: Mapping[str, readings.Missing],
    clock: times.Time,
  ):
    """Computes nothing yet.

    Args:
      fields: as the manifest has them; `raw_fields.value_sql` has taken them.
      raw_fields: the same, by their raw columns.
      missing: values that mean missing, by raw column.
      clock: the form of the time; some fields are parts of it.
    """
    self._makers = [
      (field.column, raw.column, _maker(field, raw, missing[raw.column], clock))
      for field, raw in zip(fields, raw_fields, strict=True)
    ]

  def values(self, table: pa.Table) -> pa.Table | None:
    """The fields' values as `raw_fields.value_sql` computes them.

    Args:
      table: R > 0 raw rows, types as `raw_fields.to_duckdb_types` gives them.

    Returns:
      A column per field; None if only a query can decide, which may then raise.
    """
    try:
      made = {
        name: make(table.column(raw).combine_chunks())
        for name, raw, make in self._makers
      }
    except Undecided:
      return None
    return pa.table(made)


def _maker(
  field: manifest_lib.Field,
  raw: source.SourceField,
  missing: readings.Missing,
  clock: times.Time,
) -> Callable[[pa.Array], pa.Array]:
  """Makes the function of a raw column that gives the field's values."""
  if fields_lib.FROM_TIME in field.details:
    part = str(field.details[fields_lib.FROM_TIME])
    return lambda column: _time_parts(column, clock, part, missing)
  if raw.kind == 'categorical':
    return lambda column: pa.array(texts(column, missing), pa.string())
  if raw.kind == 'multi_valued':
    return lambda column: _lists(column, field, missing)
  if raw.transform == 'bins':
    edges = np.array(field.details['edges'], np.float64)
    return lambda column: _bins(_numbers(column, raw, missing), edges)
  mean = float(field.details['mean'])
  deviation = float(field.details['deviation'])
  usable = math.isfinite(mean) and math.isfinite(deviation) and deviation
  nothing = math.nan if field.details.get('missing') else 0.0

  def normalised(column: pa.Array) -> pa.Array:
    if not usable:
      raise Undecided
    values = _numbers(column, raw, missing)
    return _normalised(values, raw.transform, mean, deviation, nothing)

  return normalised


def milliseconds(column: pa.Array, clock: times.Time) -> list[int | None]:
  """As `times.Time.ms`, of times from 1970 to 2084.

  Args:
    column: whole numbers, Arrow's own times, or text as 2024-05-01T12:00:00Z.

  Raises:
    Undecided: only a query can decide.
  """
  kind, unit = column.type, clock.unit
  if clock.format:
    raise Undecided
  has_zone = True
  if unit == 'iso' and parquet.is_text(kind):
    found = [
      None if v is None else _of_iso(v, clock) for v in column.to_pylist()
    ]
  else:
    if unit == 'iso' and pa.types.is_timestamp(kind):
      has_zone, unit = kind.tz is not None, kind.unit
      column = column.cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
      raise Undecided
    if unit not in _MS:
      raise Undecided
    factor, per = _MS[unit]
    found = [
      None if value is None else value * factor // per
      for value in column.to_pylist()
    ]
  if any(ms is not None and not 0 <= ms < _LATEST_MS for ms in found):
    raise Undecided
  if has_zone or clock.zone == times.UTC:
    return found
  return [None if ms is None else ms - _offset_ms(clock, ms) for ms in found]


def _of_iso(text: str, clock: times.Time) -> int:
  match = _ISO.fullmatch(text)
  if not match:
    raise Undecided
  try:
    moment = datetime.datetime.fromisoformat(text)
  except ValueError:
    raise Undecided from None
  if match[2]:
    return (moment - _EPOCH) // _ONE_MS
  ms = (moment.replace(tzinfo=datetime.UTC) - _EPOCH) // _ONE_MS
  return ms - _offset_ms(clock, ms)


def _offset_ms(clock: times.Time, ms: int) -> int:
  offset = times.offset_ms(clock.zone, ms)
  if offset is None:
    raise Undecided
  return offset


def _time_parts(
  column: pa.Array, clock: times.Time, part: str, missing: readings.Missing
) -> pa.Array:
  """As `times.Time.part`."""
  if missing.values:
    raise Undecided

  def text(ms: int) -> str:
    hours = (ms + _offset_ms(clock, ms)) // _HOUR_MS
    return str(hours % 24 if part == 'hour' else (hours // 24 + 3) % 7)

  found = milliseconds(column, clock)
  return pa.array(
    [None if ms is None else text(ms) for ms in found], pa.string()
  )


def texts(
  column: pa.Array, missing: readings.Missing = _NOTHING_ELSE
) -> list[str | None]:
  """As `readings.text`: whole floats without a fraction.

  Args:
    column: types as `raw_fields.to_duckdb_types` gives them.

  Raises:
    Undecided: only a query can decide.
  """
  found = _written(column)
  if parquet.is_text(column.type):
    found = [None if text in missing.texts else text for text in found]
    if missing.values:
      found = [None if _is_in(text, missing.values) else text for text in found]
  elif missing.values:
    is_number = not pa.types.is_boolean(column.type)
    found = [
      None
      if text in missing.values or (is_number and number in missing.numbers)
      else text
      for text, number in zip(found, column.to_pylist(), strict=True)
    ]
  return found


def _is_in(text: str | None, values: Sequence[str]) -> bool:
  """As `sql.is_in`."""
  if text is None:
    return False
  whole = _WHOLE.fullmatch(text)
  return text in values or bool(
    whole and whole.expand(sql.WHOLE_TEXT) in values
  )


def _written(column: pa.Array) -> list[str | None]:
  """As `sql.value_text`."""
  kind = column.type
  if parquet.is_text(kind):
    return column.to_pylist()
  if pa.types.is_null(kind):
    return [None] * len(column)
  if pa.types.is_integer(kind):
    return [None if v is None else str(v) for v in column.to_pylist()]
  if pa.types.is_boolean(kind):
    written = {None: None, False: 'false', True: 'true'}
    return [written[v] for v in column.to_pylist()]
  if pa.types.is_float64(kind):
    return _float_texts(column, float, sql.EXACT['DOUBLE'])
  if pa.types.is_float32(kind):
    return _float_texts(column, np.float32, sql.EXACT['FLOAT'])
  raise Undecided


def _float_texts(column: pa.Array, kind: type, exact: int) -> list[str | None]:
  """Shortest text of floats, as DuckDB's cast and `sql.value_text` write it.

  Args:
    kind: their type in Python.
    exact: from here on neighbouring whole numbers are one float.
  """

  def text(value: float | None) -> str | None:
    if value is None or math.isnan(value):
      return None
    if abs(value) < exact and value == int(value):
      return str(int(value))
    return str(kind(value))

  return [text(value) for value in column.to_pylist()]


def _lists(
  column: pa.Array, field: manifest_lib.Field, missing: readings.Missing
) -> pa.Array:
  """As `lists.split_values` and the cut to the field's width."""
  # A history contains values of a categorical field, spaces included; unknown
  # ones are dropped before it is cut.
  if field.vocabulary_owner is not None:
    found = _listed(column)
  else:
    separator = str(field.details.get('separator', ','))
    found = [
      values and values[: field.width]
      for values in list_texts(column, separator, missing)
    ]
  return pa.array(found, pa.list_(pa.string()))


def list_texts(
  column: pa.Array, separator: str, missing: readings.Missing
) -> list[list[str] | None]:
  """As `raw_fields.list_sql` of a field with its own vocabulary.

  Args:
    column: types as `raw_fields.to_duckdb_types` gives them.

  Raises:
    Undecided: only a query can decide.
  """
  if not parquet.is_text(column.type):
    found = _listed(column)
  elif separator:
    found = [
      None if text is None else text.split(separator)
      for text in texts(column, missing)
    ]
  else:
    raise Undecided
  nothing = frozenset({'', *missing.texts, *missing.values})

  def kept(values: Sequence[str | None]) -> list[str]:
    trimmed = (v.strip(_SPACES) for v in values if v is not None)
    return [v for v in trimmed if v not in nothing]

  return [None if values is None else kept(values) for values in found]


def _listed(column: pa.Array) -> list[list[str | None] | None]:
  """Text of the values of a column of lists."""
  kind = column.type
  if pa.types.is_null(kind):
    return [None] * len(column)
  if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
    raise Undecided
  flat = iter(texts(column.flatten()))
  return [
    None if n is None else [next(flat) for _ in range(n)]
    for n in column.value_lengths().to_pylist()
  ]


def _numbers(
  column: pa.Array, raw: source.SourceField, missing: readings.Missing
) -> np.ndarray:
  """`numbers` of a field."""
  found = numbers(column, missing)
  if raw.transform == 'log1p' and np.any(found <= -1.0):
    raise Undecided
  return found


def numbers(column: pa.Array, missing: readings.Missing) -> np.ndarray:
  """As `readings.given` and its cast, f64[R]; NaN where missing.

  Args:
    column: types as `raw_fields.to_duckdb_types` gives them.

  Raises:
    Undecided: a value that is at fault (checks.field_faults), among others.
  """
  kind = column.type
  if parquet.is_text(kind):
    found = np.array([_number(v, missing) for v in column.to_pylist()])
  elif pa.types.is_null(kind):
    found = np.full(len(column), np.nan)
  elif (
    pa.types.is_integer(kind)
    or pa.types.is_boolean(kind)
    or pa.types.is_float32(kind)
    or pa.types.is_float64(kind)
  ):
    found = pc.cast(column, pa.float64(), safe=False).to_numpy(
      zero_copy_only=False
    )
  else:
    raise Undecided
  if missing.values:
    # Their text is not that of the same number in 64 bits.
    if pa.types.is_boolean(kind) or pa.types.is_float32(kind):
      raise Undecided
    found = np.where(np.isin(found, missing.numbers), np.nan, found)
  if np.any(np.abs(found) > value_checks.LARGEST):
    raise Undecided
  return found


def _number(text: str | None, missing: readings.Missing) -> float:
  text = '' if text in missing.texts else (text or '').strip(_SPACES)
  if not text or text in missing.values:
    return math.nan
  if not _PLAIN_NUMBER.fullmatch(text):
    raise Undecided
  number = float(text)
  return math.nan if number in missing.numbers else number


def _bins(values: np.ndarray, edges: np.ndarray) -> pa.Array:
  """As `numbers.bin_id`."""
  found = np.searchsorted(edges, values, side='right') + 1
  return pa.array(np.where(np.isnan(values), 0, found), pa.int32())


def _normalised(
  values: np.ndarray,
  transform: str,
  mean: float,
  deviation: float,
  nothing: float,
) -> pa.Array:
  """As `numbers.Normalisation.apply` of `numbers.transformed`.

  Args:
    nothing: the value in place of a missing one.
  """
  if transform == 'log1p':
    # Of the C library, as DuckDB's; numpy's own may differ in the last bit.
    values = np.array([math.log(1.0 + v) for v in values])
  with np.errstate(over='raise'):
    try:
      scaled = (values - mean) / deviation
    except FloatingPointError:
      raise Undecided from None
  bounded = np.clip(scaled, -1e30, 1e30)
  found = np.where(np.isnan(values), nothing, bounded).astype(np.float32)
  return pa.array(found, pa.float32())
