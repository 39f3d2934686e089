"""Values that mean a missing one, as a schema declares them by column."""

from __future__ import annotations

from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.schema import part as part_lib

# A missing label is not a negative; it is refused without this.
NOT_OBSERVED = 'not_observed'
ROLES = ('session', 'user', 'item')


def parse_role(part: part_lib.Part, role: str) -> str | None:
  """The column of a key, which is given as a name or as an object.

  Raises:
    types.InputError: neither of the two, or an unknown key.
  """
  entry = _role(part, role)
  return None if entry is None else entry.text('column')


def parse_nulls(part: part_lib.Part) -> dict[str, tuple[str, ...]]:
  """Values that mean a missing one, by column.

  Args:
    part: the schema; its keys, fields and tasks may have `null`.

  Raises:
    types.InputError: no list of texts, or two lists for one column.
  """
  entries = [entry for role in ROLES if (entry := _role(part, role))]
  for key in manifest_lib.KINDS:
    entries += part.entries(key)
  for task in part.entries('tasks'):
    # `time_column` has a column and missing values of its own.
    timed = isinstance(task.record.get('time_column'), dict)
    entries.append(task.group('time_column') if timed else task)
  found: dict[str, tuple[str, ...]] = {}
  for entry in entries:
    if entry.record.get('null', NOT_OBSERVED) == NOT_OBSERVED:
      continue
    column = entry.text('column')
    # An empty value is always missing.
    values = tuple(v for v in entry.texts('null', empty=True) if v)
    if found.setdefault(column, values) != values:
      entry.fail(f'null: column {column!r} has another list elsewhere')
  return {column: values for column, values in found.items() if values}


def is_nullable(task: part_lib.Part) -> bool:
  """Whether labels of a task may be missing.

  Raises:
    types.InputError: neither a list nor NOT_OBSERVED.
  """
  if isinstance(task.record.get('null'), list):
    return True
  allowed = ('refused', NOT_OBSERVED)
  return task.text('null', allowed[0], allowed) == NOT_OBSERVED


def null_entry(
  nulls: dict[str, tuple[str, ...]], column: str
) -> dict[str, Any]:
  """The key of an entry of a column."""
  return {'null': list(nulls[column])} if column in nulls else {}


def _role(part: part_lib.Part, role: str) -> part_lib.Part | None:
  if not isinstance(part.record.get(role), dict):
    column = part.optional(role)
    return None if column is None else part.child(role, {'column': column})
  entry = part.group(role)
  entry.known(('column', 'null'))
  return entry
