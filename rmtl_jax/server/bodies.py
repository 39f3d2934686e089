"""Rows from the bodies of requests: JSON or an Arrow stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import pyarrow as pa
from flatbuffers import encode, number_types, packer
from flatbuffers import table as tables

from rmtl_jax import json_files, types
from rmtl_jax.data import parquet
from rmtl_jax.data import tables as tables_lib

JSON = 'application/json'
ARROW = 'application/vnd.apache.arrow.stream'
# What rows are called in errors.
WHERE = 'request'
# Rows times columns. A body of a few MB can name a hundred thousand columns in
# one of its rows, and every other row has them too.
_MOST_CELLS = 2_000_000
# Each takes 10 us, however few rows there are.
_MOST_COLUMNS = 10_000
# Numbers of fields in Arrow's Message.fbs, and the version of today's messages.
_VERSION, _HEADER, _REMARKS, _COMPRESSION = 0, 2, 4, 3
_V5 = 4


class Refused(types.InputError):
  """A request that gets an error.

  Attributes:
    status: of HTTP.
  """

  def __init__(self, message: str, status: int = 400):
    """Keeps both."""
    super().__init__(message)
    self.status = status


def read(body: bytes, content_type: str, most: int) -> pa.Table:
  """The rows of a body, at least one.

  Args:
    most: rows.

  Raises:
    Refused: another type, a body that can't be read, or too many rows.
    types.InputError: a value that no column can have; names column and row.
  """
  # No default: a web page may send a body of no type anywhere, and would have
  # to ask before it sends one of these.
  kind = content_type.partition(';')[0].strip().lower()
  if kind == JSON:
    table = _of_json(body, most)
  elif kind == ARROW:
    table = _of_arrow(body, most)
  else:
    raise Refused(
      f'{WHERE}: content-type is {kind!r:.80}, expected {JSON} or {ARROW}', 415
    )
  if not table.num_rows:
    raise types.InputError(f'{WHERE}: has no rows')
  return table


def _of_json(body: bytes, most: int) -> pa.Table:
  try:
    given = json.loads(
      body,
      parse_constant=_refuse_constant,
      object_pairs_hook=json_files.unique,
    )
  except RecursionError:
    raise Refused(f'{WHERE}: is nested too deeply') from None
  except ValueError as error:
    first = types.first_line(error)
    raise Refused(f'{WHERE}: not readable as JSON: {first}') from None
  rows = given.get('rows') if isinstance(given, dict) else given
  if not isinstance(rows, list):
    raise Refused(f'{WHERE}: expected a list of rows, or {{"rows": [...]}}')
  _check_count(len(rows), most)
  names: dict[str, None] = {}
  for number, row in enumerate(rows, 1):
    if not isinstance(row, dict):
      raise Refused(f'{WHERE}: row {number}: expected an object')
    names |= dict.fromkeys(row)
    _check_width(len(names), len(rows), f'{WHERE}: row {number}')
  if rows and not names:
    raise types.InputError(f'{WHERE}: row 1: has no columns')
  columns = {
    name: _column(name, [row.get(name) for row in rows]) for name in names
  }
  return pa.table(columns)


def _check_width(columns: int, rows: int, where: str = WHERE) -> None:
  if columns > _MOST_COLUMNS or columns * rows > _MOST_CELLS:
    raise Refused(f'{where}: too many columns', 413)


def _refuse_constant(name: str) -> NoReturn:
  raise ValueError(f'{name} is no JSON; write null')


def _column(name: str, values: Sequence[Any]) -> pa.Array:
  try:
    name.encode()
    column = tables_lib.to_array(values)
  except UnicodeError:
    raise Refused(f'{WHERE}: text is not valid UTF-8') from None
  except (pa.ArrowException, TypeError, ValueError, OverflowError):
    _raise_fault(name, values)
  if _is_plain(column.type) or (
    pa.types.is_list(column.type) and _is_plain(column.type.value_type)
  ):
    return column
  _raise_fault(name, values)


def _is_plain(kind: pa.DataType) -> bool:
  return (
    parquet.is_text(kind)
    or pa.types.is_null(kind)
    or pa.types.is_boolean(kind)
    or pa.types.is_integer(kind)
    or pa.types.is_floating(kind)
  )


def _raise_fault(name: str, values: Sequence[Any]) -> NoReturn:
  """Raises for the first row with a value of another kind, or a bad one."""
  where = f'column {name!r}'
  first = ''
  for row, value in enumerate(values, 1):
    kind = _kind(value)
    if not kind:
      continue
    first = first or kind
    if kind == 'an object' or kind != first:
      is_object = kind == 'an object'
      expected = 'no object' if is_object else f'{first}, as above'
      found = kind if is_object else repr(value)[:40]
      raise types.InputError(
        f'{WHERE}: row {row}, {where}: {found}, expected {expected}'
      )
    try:
      column = tables_lib.to_array([value])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
      column = None
    inner = column is not None and pa.types.is_nested(column.type)
    if column is None or (inner and not _is_plain(column.type.value_type)):
      raise types.InputError(
        f'{WHERE}: row {row}, {where}: {str(value)[:40]!r}, expected a number'
        ' of 64 bits, text, true, false, or a list of one of these'
      )
  raise types.InputError(f'{WHERE}: {where}: values of several types')


def _kind(value: Any) -> str:
  if value is None:
    return ''
  if isinstance(value, bool):
    return 'true or false'
  if isinstance(value, int | float):
    return 'a number'
  if isinstance(value, str):
    return 'text'
  return 'a list' if isinstance(value, list) else 'an object'


def _of_arrow(body: bytes, most: int) -> pa.Table:
  batches, count = [], 0
  try:
    with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
      schema = stream.schema
      _check_schema(schema)
      for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
        if message.type == 'record batch' and _is_compressed(message):
          # A small body may contain gigabytes.
          raise Refused(f'{WHERE}: is compressed; send it as it is', 415)
      for batch in stream:
        count += batch.num_rows
        _check_count(count, most)
        _check_width(len(schema), count)
        # Offsets are taken as they are given until this has looked at them.
        batch.validate(full=True)
        batches.append(batch)
      return pa.Table.from_batches(batches, schema)
  except (pa.ArrowException, OSError, UnicodeError, _Damaged) as error:
    first = types.first_line(error)
    raise Refused(
      f'{WHERE}: not readable as an Arrow stream: {first}'
    ) from None


class _Damaged(Exception):
  """A message that lacks what it must have."""


def _check_schema(schema: pa.Schema) -> None:
  """Refuses types with which a small body may expand to any size.

  Of dictionaries and views, rows share their text; lists of nothing may be of
  any length.
  """
  _check_width(len(schema), 1)
  for field in schema:
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
      of = kind.value_type
      is_known = _is_plain(of) and not pa.types.is_null(of)
    else:
      is_known = _is_plain(kind) or _is_single(kind)
    if not is_known or 'view' in str(kind) or 'dictionary' in str(kind):
      raise types.InputError(
        f'{WHERE}: column {field.name!r} is of type {str(kind)!r:.200},'
        ' expected numbers, text, true, false, times, or lists of text or'
        ' numbers; cast it'
      )


def _is_single(kind: pa.DataType) -> bool:
  return (
    pa.types.is_decimal(kind)
    or pa.types.is_timestamp(kind)
    or pa.types.is_date(kind)
    or pa.types.is_time(kind)
    or pa.types.is_duration(kind)
    or pa.types.is_binary(kind)
    or pa.types.is_large_binary(kind)
  )


def _is_compressed(message: pa.Message) -> bool:
  """Whether buffers of a record batch are compressed.

  Raises:
    _Damaged: it has no such header; all else Arrow has verified.
  """
  data = bytes(message.metadata)
  found = tables.Table(data, encode.Get(packer.uoffset, data, 0))
  place = found.Offset(4 + 2 * _VERSION)
  version = place and found.Get(number_types.Int16Flags, place + found.Pos)
  # Arrow 0.17 named the codec in a message's remarks, and is read still.
  if version < _V5 and found.Offset(4 + 2 * _REMARKS):
    return True
  place = found.Offset(4 + 2 * _HEADER)
  if not place:
    raise _Damaged('a record batch without data')
  header = tables.Table(data, found.Indirect(place + found.Pos))
  return bool(header.Offset(4 + 2 * _COMPRESSION))


def _check_count(count: int, most: int) -> None:
  if count > most:
    raise Refused(f'{WHERE}: more than {most:,} rows', 413)


def alike(tables: Sequence[pa.Table]) -> list[list[int]]:
  """Numbers of tables with the same columns, which can be read together."""
  groups: dict[bytes, list[int]] = {}
  for number, table in enumerate(tables):
    # Not as text: names may hold what separates them there.
    key = table.schema.serialize().to_pybytes()
    groups.setdefault(key, []).append(number)
  return list(groups.values())


def work_together(
  tables: Sequence[pa.Table], work: Callable[[list[int]], Any]
) -> tuple[list[tuple[list[int], Any]], dict[int, Exception]]:
  """Works on tables with the same columns in one call, as long as on one table.

  Returns:
    Numbers of tables and the result of each call; and for the tables at fault
    what is wrong with them.
  """
  done: list[tuple[list[int], Any]] = []
  faults: dict[int, Exception] = {}
  waiting = alike(tables)
  while waiting:
    numbers = waiting.pop()
    try:
      done.append((numbers, work(numbers)))
    # What is not there now would take as long for each of them.
    except Refused as error:
      faults |= dict.fromkeys(numbers, error)
    # Even what nobody expects is the fault of one request, and of no other.
    except Exception as error:
      if len(numbers) == 1:
        faults[numbers[0]] = error
      else:  # whose fault it is, and in which of its rows
        middle = len(numbers) // 2
        waiting += [numbers[:middle], numbers[middle:]]
  return done, faults


def of_predictions(table: pa.Table) -> bytes:
  """A table as an Arrow stream."""
  sink = pa.BufferOutputStream()
  with pa.ipc.new_stream(sink, table.schema) as stream:
    stream.write_table(table)
  return sink.getvalue().to_pybytes()
