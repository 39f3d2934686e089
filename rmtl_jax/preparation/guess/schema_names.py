"""Names that a schema has for columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtl_jax.preparation.schema import part

# In bytes; a task of high values has a longer one.
_LONGEST = 80


def unique(columns: Iterable[str]) -> dict[str, str]:
  """Names that a schema takes for columns, different whatever their case.

  >>> unique(['price', 'Price (EUR)', 'price?'])
  {'price': 'price', 'Price (EUR)': 'Price_EUR', 'price?': 'price_2'}
  >>> unique(['用户 (id)', 'Größe'])
  {'用户 (id)': '用户_id', 'Größe': 'Größe'}
  """
  found: dict[str, str] = {}
  for column in columns:
    plain = part.spaced(column)
    if plain != column or ' ' in plain or plain.startswith(('.', '-')):
      plain = '_'.join(plain.split()).strip('_.-')
    name = part.shortened(plain, _LONGEST) or 'field'
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
