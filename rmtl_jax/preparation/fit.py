"""Vocabularies, bins, scales and sides, fitted on train rows."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  field_vectors,
  lists,
  numbers,
  sessionize,
  sides,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation import users as users_lib
from rmtl_jax.preparation.as_of import history

# Rows in which most columns have more than one value.
_SAMPLE = 2_048


class Fit:
  """What `encode.encode` looks values up in.

  A subclass takes it from prepared data (rmtl_jax.preparation.extending).

  Attributes:
    connection: holds the tables.
    rows: of a reader, with as-of features.
    places: session, step and split of every row that is kept.
    options: `min_count`, `max_values` and `as_of`.
    first_row: `row_id` of the first row in prepared data.
  """

  first_row = 0

  def __init__(
    self,
    connection: sql.Connection,
    rows: source.SourceTable,
    places: sessionize.RowPlaces,
    options: prepare_settings.PrepareConfig,
  ):
    """Fits nothing yet."""
    self.connection, self.rows = connection, rows
    self.places, self.options = places, options
    # Train rows are known by their time alone, so fitting scans the view
    # without the join with the places.
    self._train = sql.create_view(
      connection,
      f'SELECT *, 0 AS split FROM {rows.view} WHERE {places.is_train()}',
    )

  def placed(self, table: str) -> str:
    """Makes a view of the rows that have a place in a table, with it."""
    return sql.create_view(
      self.connection,
      'SELECT r.*, p.session_id, p.split, p.step, p.position'
      f' FROM {self.rows.view} r JOIN {table} p ON r.row_id = p.row_id',
    )

  def edges(
    self, binned: Sequence[source.SourceField]
  ) -> dict[str, list[float]]:
    """Edges of bins, by field name."""
    return numbers.fit_bin_edges(self.connection, self._train, binned)

  def vocabularies(self, featured: str) -> dict[str, vocabulary.Vocabulary]:
    """Vocabularies of categorical fields, by column.

    Args:
      featured: the rows with their places and bins.
    """
    del featured
    return vocabulary.build_categorical(
      self.connection,
      self._train,
      {
        field.source_column: self.options.min_count
        for field in self.rows.fields
        if field.kind == 'categorical'
      },
    )

  def users(self, featured: str) -> users_lib.UserNumbers:
    """Numbers of users."""
    return users_lib.number(self.connection, featured, self.rows)

  def own_lists(
    self, featured: str, field: source.SourceField
  ) -> lists.ListEncoding:
    """Encoded lists of a field, with their vocabulary."""
    return lists.encode_lists(
      self.connection,
      featured,
      field.source_column,
      self.options.min_count,
      field.width or self.options.max_values,
    )

  def sequences(
    self,
    featured: str,
    field: source.SourceField,
    owner: vocabulary.Vocabulary,
  ) -> lists.ListEncoding:
    """Encoded lists of the log that share a vocabulary."""
    return lists.encode_sequences(
      self.connection,
      featured,
      field.source_column,
      owner,
      field.width or self.options.max_values,
    )

  def histories(
    self, field: source.SourceField, owner: vocabulary.Vocabulary
  ) -> str:
    """Makes a table of histories."""
    # They see immature rows too: these were shown, though not trained on.
    return history.encode_histories(
      self.connection,
      Fit.placed(self, self.places.seen),
      field.owner_column,
      owner.table,
      field.width,
    )

  def left_out(self, table: str) -> tuple[str, ...]:
    """Names of as-of features that are not asked for and tell nothing.

    Args:
      table: of the encoded rows.
    """
    of_past = {
      field.name: sql.quote(field.encoded_column)
      for field in self.rows.fields
      if 'as_of' in field.details
      and prepare_settings.is_auto(self.options, field.details['as_of'])
    }
    return constant(self.connection, table, of_past)

  def fields(
    self,
    table: str,
    edges: dict[str, list[float]],
    vocabularies: dict[str, vocabulary.Vocabulary],
    encoded_lists: dict[str, lists.ListEncoding],
  ) -> tuple[manifest_lib.Field, ...]:
    """The fields as the manifest records them, but for those left out.

    Args:
      table: of the encoded rows.
      edges: by field name.
      vocabularies: by column.
      encoded_lists: of lists but histories, by column.
    """
    # Normalisation is fitted on the written table, a sorted one: sums over a
    # view would depend on the order in which threads deliver rows.
    scaled = [f.source_column for f in self.rows.fields if f.is_scaled]
    scales = numbers.fit_normalisations(self.connection, table, scaled)
    quantiles = numbers.fit_quantiles(
      self.connection,
      table,
      {
        column: scale.apply(sql.quote(column))
        for column, scale in scales.items()
      },
    )
    left_out, found = self.left_out(table), []
    for field in self.rows.fields:
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
        details['min_count'] = self.options.min_count
      elif kind == 'categorical':
        size = vocabularies[column].size
        details['min_count'] = self.options.min_count
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
      self.connection,
      table,
      found,
      self.rows.item_field,
      self.rows.user_field,
      self.rows.has_user,
    )

  def write(
    self,
    fields: tuple[manifest_lib.Field, ...],
    vocabularies: dict[str, vocabulary.Vocabulary],
    directory: pathlib.Path,
  ) -> tuple[tuple[manifest_lib.Field, ...], tuple[str, ...]]:
    """Writes DIRECTORY/vocabulary and DIRECTORY/vectors.

    Returns:
      The fields for the manifest, and warnings for the report.
    """
    (directory / 'vocabulary').mkdir()
    for name, one in vocabularies.items():
      one.write(self.connection, directory / 'vocabulary' / f'{name}.parquet')
    return field_vectors.write(self.connection, fields, vocabularies, directory)


def constant(
  connection: sql.Connection, table: str, values: dict[str, str]
) -> tuple[str, ...]:
  """Names of the values (SQL) that are the same in all train rows."""
  if not values:
    return ()
  # Most columns differ within a few rows, which one query tells of all.
  train = f'FROM {table} WHERE split = 0'
  differ = ', '.join(f'min({v}) <> max({v})' for v in values.values())
  found = sql.fetch_row(
    connection, f'SELECT {differ} FROM (SELECT * {train} LIMIT {_SAMPLE})'
  )
  return tuple(
    name
    for (name, value), differs in zip(values.items(), found, strict=True)
    if not differs and not _varies(connection, table, value)
  )


def _varies(connection: sql.Connection, table: str, value: str) -> bool:
  """Whether a value differs between train rows."""
  # Stops at the first row that differs.
  first = f'(SELECT {value} FROM {table} WHERE split = 0 LIMIT 1)'
  differs = f'split = 0 AND {value} IS DISTINCT FROM {first}'
  return sql.any_row(connection, table, differs)
