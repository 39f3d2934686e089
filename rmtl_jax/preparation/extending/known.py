"""Encodes new rows as the data that they extend has encoded its own."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  field_vectors,
  fit,
  lists,
  sessionize,
  source,
  sql,
  users,
  vocabulary,
)
from rmtl_jax.preparation.extending import past as past_lib


class Known(fit.Fit):
  """Bins, scales and vocabularies of prepared data; the last ones grow.

  Attributes:
    grown: vocabularies by field name, of the fields that have one.
  """

  def __init__(
    self,
    rows: source.SourceTable,
    places: sessionize.RowPlaces,
    past: past_lib.Past,
  ):
    """Reads nothing yet.

    Args:
      rows: of `Past.before`, with as-of features; fields are the data's.
      places: of all of them.
    """
    super().__init__(past.connection, rows, places, past.base.config)
    self._base, self._past = past.base, past
    self._known = {field.name: field for field in past.base.manifest.fields}
    self.first_row = past.first_row
    self.grown: dict[str, vocabulary.Grown] = {}

  def placed(self, table: str) -> str:
    """The new rows; a table, as every field reads them again."""
    return sql.create_table(
      self.connection, f'FROM {super().placed(table)} WHERE split = 2'
    )

  def edges(
    self, binned: Sequence[source.SourceField]
  ) -> dict[str, list[float]]:
    """Those of the data."""
    return {f.name: self._known[f.name].details['edges'] for f in binned}

  def vocabularies(self, featured: str) -> dict[str, vocabulary.Vocabulary]:
    """Those of the data, with new values."""
    return {
      field.source_column: self._grow(field, self._counts(field, featured))
      for field in self.rows.fields
      if field.kind == 'categorical'
    }

  def _grow(
    self, field: source.SourceField, counts: str
  ) -> vocabulary.Vocabulary:
    grown = vocabulary.grow(
      self.connection,
      self._base.directory / 'vocabulary' / f'{field.name}.parquet',
      self._known[field.name].size,
      counts,
      self.options.min_count,
    )
    self.grown[field.name] = grown
    return grown.values

  def _counts(self, field: source.SourceField, featured: str) -> str:
    """SQL of the values of a field and how many rows have them."""
    column = sql.quote(field.source_column)
    counts = f'SELECT {column} AS key, 1 AS one FROM {featured}'
    manifest = self._base.manifest
    if field.name in (manifest.item_field, manifest.user_field):
      # A user or an item that comes once a day is not rare: its past rows
      # count. Other items are looked up, for histories, and add nothing.
      counts += (
        f' UNION ALL SELECT {column}, CAST({column} IN'
        f' (SELECT {column} FROM {featured}) AS INT) FROM {self._past.rows}'
      )
    return f'SELECT key, sum(one)::BIGINT AS count FROM ({counts}) GROUP BY key'

  def own_lists(
    self, featured: str, field: source.SourceField
  ) -> lists.ListEncoding:
    """Lists as wide as those of the data."""
    return lists.encode_lists_by(
      self.connection,
      featured,
      field.source_column,
      self._known[field.name].width,
      lambda counts: self._grow(field, counts),
    )

  def sequences(
    self,
    featured: str,
    field: source.SourceField,
    owner: vocabulary.Vocabulary,
  ) -> lists.ListEncoding:
    """Lists as wide as those of the data."""
    # Of every id: lists have values that no new row has.
    everything = self.grown[field.vocabulary_owner].everything
    width = self._known[field.name].width
    return lists.encode_sequences(
      self.connection,
      featured,
      field.source_column,
      dataclasses.replace(owner, table=f'(FROM {everything})'),
      width,
      width,
    )

  def users(self, featured: str) -> users.UserNumbers:
    """Numbers of users: those that the data has given, and further ones."""
    connection, known = self.connection, self._past.users
    if known and self.rows.has_user:
      # New ones count on from the largest number, in the order of their names.
      last = f'(SELECT max(number) FROM {known})'
      count = 'sum(CAST(k.number IS NULL AS INT)) OVER (ORDER BY name)'
      numbered = sql.create_table(
        connection,
        'SELECT u.key, name, CAST(coalesce(k.number,'
        f' {last} + {count}) AS BIGINT) AS number'
        f' FROM {users.names(connection, featured)} u'
        f' LEFT JOIN {known} k USING (name)',
      )
      return users.by_table(numbered, are_names=True)
    found = users.number(connection, featured, self.rows)
    if found.table:
      # 07 is not 7, so both as one number would be one user.
      wrong = sql.fetch_value(
        connection,
        f'SELECT min(name) FROM {found.table} WHERE'
        ' CAST(TRY_CAST(name AS BIGINT) AS VARCHAR) IS DISTINCT FROM name',
      )
      raise types.InputError(
        f'{self.rows.table.place}: user {wrong!r:.80} is not written as a whole'
        f' number, as all users of {self._base.directory} are'
      )
    return found

  def fields(
    self,
    table: str,
    edges: dict[str, list[float]],
    vocabularies: dict[str, vocabulary.Vocabulary],
    encoded_lists: dict[str, lists.ListEncoding],
  ) -> tuple[manifest_lib.Field, ...]:
    """Those of the data, with the sizes of vocabularies that have grown."""
    del table, edges, vocabularies, encoded_lists
    found = []
    for field in self._known.values():
      grown = self.grown.get(field.vocabulary_owner or field.name)
      size = grown.values.size if grown else field.size
      found.append(dataclasses.replace(field, size=size))
    return tuple(found)

  def write(
    self,
    fields: tuple[manifest_lib.Field, ...],
    vocabularies: dict[str, vocabulary.Vocabulary],
    directory: pathlib.Path,
  ) -> tuple[tuple[manifest_lib.Field, ...], tuple[str, ...]]:
    """As `fit.Fit.write`, with counts of rows that joined train."""
    del vocabularies
    (directory / 'vocabulary').mkdir()
    manifest, data_dir = self._base.manifest, self._base.directory
    joined = [data_dir / name for name in manifest.splits['validation'].files]
    with (
      sql.name_errors(joined[0], 'not readable'),
      sql.scan_files(joined, 'parquet') as scan,
    ):
      for name, grown in self.grown.items():
        field = self._known[name]
        column = sql.quote(field.column)
        ids = f'SELECT {column} AS id FROM {scan}'
        if field.kind == 'multi_valued':
          # A list without values has row 0 alone, which stands for no value.
          ids = (
            f'SELECT unnest({column}) AS id FROM {scan} WHERE {column} <> [0]'
          )
        path = directory / 'vocabulary' / f'{name}.parquet'
        grown.write(self.connection, path, ids)
    field_vectors.extend(data_dir, manifest, fields, directory)
    return fields, ()
