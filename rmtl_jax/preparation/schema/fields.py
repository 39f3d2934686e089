"""The features of a schema."""

from __future__ import annotations

from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema import vocabularies

# Key of the parts of the time that are fields, and of a field's part in its
# details.
FROM_TIME = 'from_time'


def parse_fields(
  part: part_lib.Part, time: str | None
) -> tuple[source.SourceField, ...]:
  """The fields by kind, in their order.

  Raises:
    types.InputError: a key of a field that is missing, unknown or wrong.
  """
  found: list[source.SourceField] = []
  for kind in manifest_lib.KINDS:
    found += _of_kind(part, kind)
    if kind == 'categorical':
      found += _from_time(part, time)
  return tuple(found)


def _from_time(
  part: part_lib.Part, time: str | None
) -> list[source.SourceField]:
  """Categories of the local time, which describe neither user nor item."""
  fields = []
  for name in part.texts(FROM_TIME):
    if name not in times.PARTS:
      part.fail(f'{FROM_TIME}: {name!r} is not one of {", ".join(times.PARTS)}')
    if time is None:
      part.fail(f'{FROM_TIME}: needs "time" in the schema')
    details = {'side': source.NO_SIDE, FROM_TIME: name}
    fields.append(
      source.SourceField(name, 'categorical', time or '', details=details)
    )
  return fields


def is_of_time(field: manifest_lib.Field | source.SourceField) -> bool:
  """Whether a field is a part of the time, of which a log has few values."""
  is_part = field.name in times.PARTS
  has_no_side = field.details.get('side') == source.NO_SIDE
  return FROM_TIME in field.details or (is_part and has_no_side)


def _of_kind(part: part_lib.Part, kind: str) -> list[source.SourceField]:
  fields = []
  for entry in part.entries(kind):
    column = entry.text('column')
    details: dict[str, Any] = {}
    transform, bins = '', 0
    lists: dict[str, Any] = {}
    if kind == 'categorical':
      entry.known(('column', 'name', 'null', vocabularies.VECTORS))
      details |= vocabularies.categorical_details(entry)
    elif kind == 'multi_valued':
      entry.known(
        ('column', 'name', 'null', 'separator', *vocabularies.MULTI_VALUED)
      )
      lists = vocabularies.multi_valued(entry)
      details['separator'] = entry.text('separator', ',')
      details |= lists.pop('details', {})
    else:
      entry.known(('column', 'name', 'null', 'transform', 'bins'))
      transform = entry.text('transform', 'standard', source.TRANSFORMS)
      bins = entry.count('bins', 10) if transform == 'bins' else 0
    fields.append(
      source.SourceField(
        entry.name(column), kind, column, transform, bins, details, **lists
      )
    )
  return fields
