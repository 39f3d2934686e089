"""Rows from the JSON bodies of requests."""

from __future__ import annotations

import json
from typing import NoReturn

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
  table = tables_lib.to_arrow(
    {name: [row.get(name) for row in rows] for name in names}, WHERE
  )
  for field in table.schema:
    kind = field.type
    if not _is_plain(kind.value_type if tables_lib.is_list(kind) else kind):
      raise types.InputError(
        f'{WHERE}: column {field.name!r}: {kind}, expected numbers, text, true,'
        ' false, or lists of one of these'
      )
  return table


def _refuse_constant(name: str) -> NoReturn:
  raise ValueError(f'{name} is no JSON; write null')


def _is_plain(kind: pa.DataType) -> bool:
  return (
    parquet.is_text(kind)
    or pa.types.is_null(kind)
    or pa.types.is_boolean(kind)
    or pa.types.is_integer(kind)
    or pa.types.is_floating(kind)
  )
