"""Scales, quantiles and sides of fields, fitted on train rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  lists,
  numbers,
  sides,
  source,
  sql,
  vocabulary,
)


def fit_fields(
  connection: sql.Connection,
  table: str,
  rows: source.SourceTable,
  config: prepare_settings.PrepareConfig,
  edges: Mapping[str, Sequence[float]],
  vocabularies: Mapping[str, vocabulary.Vocabulary],
  encoded_lists: Mapping[str, lists.ListEncoding],
) -> tuple[manifest_lib.Field, ...]:
  """The fields as the manifest records them.

  As-of features that are not asked for and tell nothing are left out.

  Args:
    table: of the encoded rows.
    rows: of a reader, with as-of features.
    config: `min_count` and `as_of`.
    edges: of bins, by field name.
    vocabularies: by column.
    encoded_lists: of lists but histories, by column.
  """
  # Normalisation is fitted on the written table, a sorted one: sums over a
  # view would depend on the order in which threads deliver rows.
  scaled = [f.source_column for f in rows.fields if f.is_scaled]
  scales = numbers.fit_normalisations(connection, table, scaled)
  quantiles = numbers.fit_quantiles(
    connection,
    table,
    {name: scale.apply(sql.quote(name)) for name, scale in scales.items()},
  )
  of_past = {
    field.name: sql.quote(field.encoded_column)
    for field in rows.fields
    if 'as_of' in field.details
    and prepare_settings.is_auto(config, field.details['as_of'])
  }
  left_out, found = constant(connection, table, of_past), []
  for field in rows.fields:
    if field.name in left_out:
      continue
    column, kind = field.source_column, field.kind
    details = {'column': field.column or field.name, **field.details}
    size, width = 0, 0
    if field.vocabulary_owner:
      size, width = vocabularies[field.owner_column].size, field.width
      if column in encoded_lists:
        width = encoded_lists[column].width
    elif kind == 'multi_valued':
      own = encoded_lists[column]
      size, width = own.values.size, own.width
      details['min_count'] = config.min_count
    elif kind == 'categorical':
      size = vocabularies[column].size
      details['min_count'] = config.min_count
    elif field.is_binned:
      kind, size = 'categorical', len(edges[field.name]) + 2
      details |= {'transform': 'bins', 'edges': edges[field.name]}
    else:
      details |= {'transform': field.transform, **scales[column].details()}
      if quantiles[column]:
        details['quantiles'] = quantiles[column]
    owner = field.vocabulary_owner or None
    found.append(
      manifest_lib.Field(field.name, kind, size, width, details, owner)
    )
  return sides.infer_sides(
    connection, table, found, rows.item_field, rows.user_field, rows.has_user
  )


def constant(
  connection: sql.Connection, table: str, values: dict[str, str]
) -> tuple[str, ...]:
  """Names of the values (SQL) that are the same in all train rows."""
  if not values:
    return ()
  differ = ', '.join(f'min({v}) <> max({v})' for v in values.values())
  found = sql.fetch_row(
    connection, f'SELECT {differ} FROM {table} WHERE split = 0'
  )
  return tuple(
    name for name, differs in zip(values, found, strict=True) if not differs
  )
