"""Fields of encoded rows, as the manifest records them."""

from __future__ import annotations

import dataclasses

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import lists, numbers, source, vocabulary
from rmtl_jax.preparation.as_of import history


@dataclasses.dataclass(frozen=True)
class Fitted:
  """Statistics fitted on train rows.

  Attributes:
    vocabularies: of categorical fields, by column.
    lists: of the log's own lists, by column.
    edges: of bins, by field name.
    scales: of numbers, by column.
    quantiles: of normalised numbers, by column.
    min_count: least count of a value with its own row.
  """

  vocabularies: dict[str, vocabulary.Vocabulary]
  lists: dict[str, lists.ListEncoding]
  edges: dict[str, list[float]]
  scales: dict[str, numbers.Normalisation]
  quantiles: dict[str, list[float]]
  min_count: int


def record(field: source.SourceField, fitted: Fitted) -> manifest_lib.Field:
  """The field as the manifest records it, without a side that is inferred."""
  details = {'column': field.column or field.name, **field.details}
  size, width, kind = 0, 0, field.kind
  if field.vocabulary_owner:
    size, width = fitted.vocabularies[field.owner_column].size, field.width
    if not history.is_history(field):
      width = fitted.lists[field.source_column].width
  elif field.kind == 'multi_valued':
    found = fitted.lists[field.source_column]
    size, width = found.values.size, found.width
    details['min_count'] = fitted.min_count
  elif field.kind == 'categorical':
    size = fitted.vocabularies[field.source_column].size
    details['min_count'] = fitted.min_count
  elif field.is_binned:
    kind, edges = 'categorical', fitted.edges[field.name]
    size = len(edges) + 2
    details |= {'transform': 'bins', 'edges': edges}
  else:
    scale = fitted.scales[field.source_column]
    details |= {'transform': field.transform, **scale.details()}
    if quantiles := fitted.quantiles[field.source_column]:
      details['quantiles'] = quantiles
  return manifest_lib.Field(
    field.name, kind, size, width, details, field.vocabulary_owner or None
  )
