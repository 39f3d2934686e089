"""Rows from the JSON bodies of requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import pyarrow as pa

from rmtl_jax import json_files, types
from rmtl_jax.data import parquet
from rmtl_jax.data import tables as tables_lib

JSON = 'application/json'
# What rows are called in errors.
WHERE = 'request'
# Rows times columns. A body of a few MB can name a hundred thousand columns in
# one of its rows, and every other row has them too.
_MOST_CELLS = 2_000_000
# Each takes 10 us, however few rows there are.
_MOST_COLUMNS = 10_000


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
  if kind != JSON:
    raise Refused(
      f'{WHERE}: content-type is {kind!r:.80}, expected {JSON}', 415
    )
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
  if not rows:
    raise types.InputError(f'{WHERE}: has no rows')
  if len(rows) > most:
    raise Refused(f'{WHERE}: more than {most:,} rows', 413)
  names: dict[str, None] = {}
  for number, row in enumerate(rows, 1):
    if not isinstance(row, dict):
      raise Refused(f'{WHERE}: row {number}: expected an object')
    names |= dict.fromkeys(row)
    if len(names) > _MOST_COLUMNS or len(names) * len(rows) > _MOST_CELLS:
      raise Refused(f'{WHERE}: row {number}: too many columns', 413)
  if not names:
    raise types.InputError(f'{WHERE}: row 1: has no columns')
  return pa.table(
    {name: _column(name, [row.get(name) for row in rows]) for name in names}
  )


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
  where, first = f'column {name!r}', ''
  for row, value in enumerate(values, 1):
    kind = _kind(value)
    first = first or kind
    if kind and (kind == 'an object' or kind != first):
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
