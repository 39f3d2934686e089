"""Names that a schema has for columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def unique(columns: Iterable[str]) -> dict[str, str]:
  """Names that a schema takes for columns, different whatever their case.

  >>> unique(['price', 'Price (EUR)', 'price?'])
  {'price': 'price', 'Price (EUR)': 'Price_EUR', 'price?': 'price_2'}
  """
  found: dict[str, str] = {}
  for column in columns:
    name = re.sub('[^A-Za-z0-9_.-]+', '_', column).strip('_.-')[:80] or 'field'
    if re.fullmatch('[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}', column):
      name = column
    taken = {other.lower() for other in found.values()}
    number = 2
    base = name
    while name.lower() in taken:
      name, number = f'{base}_{number}', number + 1
    found[column] = name
  return found


def of_tasks(columns: Sequence[str]) -> dict[str, str]:
  """Names of tasks: the columns' without a leading `is_`.

  >>> of_tasks(['is_click', 'long_view'])
  {'is_click': 'click', 'long_view': 'long_view'}
  """
  short = {column.removeprefix('is_') or column: column for column in columns}
  if len(short) < len(columns):
    return unique(columns)
  return {short[name]: given for name, given in unique(short).items()}
