"""The features of a schema."""

from __future__ import annotations

from typing import Any

from rmtl_jax.preparation import source
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema import vocabularies


def parse_fields(part: part_lib.Part, kind: str) -> list[source.SourceField]:
  """The fields of one kind, in their order.

  Args:
    part: the schema.
    kind: one of manifest.KINDS, and the key that lists them.

  Raises:
    types.InputError: a key of a field that is missing, unknown or wrong.
  """
  fields = []
  for entry in part.entries(kind):
    column = entry.text('column')
    details: dict[str, Any] = {}
    transform, bins = '', 0
    lists: dict[str, Any] = {}
    if kind == 'categorical':
      entry.known(('column', 'name', *vocabularies.CATEGORICAL))
      details |= vocabularies.categorical_details(entry)
    elif kind == 'multi_valued':
      entry.known(('column', 'name', 'separator', *vocabularies.MULTI_VALUED))
      lists = vocabularies.multi_valued(entry)
      details['separator'] = entry.text('separator', ',')
      details |= lists.pop('details', {})
    else:
      entry.known(('column', 'name', 'transform', 'bins'))
      transform = entry.text('transform', 'standard', source.TRANSFORMS)
      bins = entry.count('bins', 10) if transform == 'bins' else 0
    fields.append(
      source.SourceField(
        entry.name(column), kind, column, transform, bins, details, **lists
      )
    )
  return fields
