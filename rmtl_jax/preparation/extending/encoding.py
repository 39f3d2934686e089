"""Encodes new rows as prepared data has encoded its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  fit,
  lists,
  sessionize,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation import users as users_lib
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.extending import settings, vocabularies


def fields_of(
  rows: source.SourceTable, base: settings.Base
) -> tuple[source.SourceField, ...]:
  """The reader's fields that the data has, in its order.

  Raises:
    types.InputError: the new log lacks a field.
  """
  by_name = {field.name: field for field in rows.fields}
  for field in base.manifest.fields:
    if field.name not in by_name:
      raise types.InputError(
        f'{rows.table.place}: has no field {field.name!r}, which'
        f' {base.directory} has'
      )
  return tuple(by_name[field.name] for field in base.manifest.fields)


class Known(fit.Fit):
  """Bins, scales and vocabularies of prepared data; the last ones grow.

  Attributes:
    grown: vocabularies by field name, of the fields that have one.
  """

  def __init__(
    self, new: settings.Extension, places: sessionize.RowPlaces, shown: str
  ):
    """Reads nothing yet.

    Args:
      new: rows with as-of features; fields are those of the data.
      places: of the rows in test.
      shown: table of what users were shown before; empty without histories.
    """
    super().__init__(new.connection, new.rows, places, new.base.config)
    self._new, self._shown = new, shown
    self._known = {field.name: field for field in new.base.manifest.fields}
    self.grown: dict[str, vocabularies.Grown] = {}

  def placed(self, table: str) -> str:
    """Makes a table of the rows, because every field reads them again."""
    return sql.create_table(self.connection, f'FROM {super().placed(table)}')

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
    grown = vocabularies.grow(
      self.connection,
      self._new.base.directory / 'vocabulary' / f'{field.name}.parquet',
      self._known[field.name],
      counts,
      self.options.min_count,
    )
    self.grown[field.name] = grown
    return grown.values

  def _counts(self, field: source.SourceField, featured: str) -> str:
    """SQL of the values of a field and how many rows have them."""
    column = sql.quote(field.source_column)
    counts = f'SELECT {column} AS key, 1 AS one FROM {featured}'
    if self._shown and field.name == self._new.base.manifest.item_field:
      # Items of the past are looked up, for histories, and add nothing.
      counts += f' UNION ALL SELECT {column}, 0 FROM {self._shown}'
    counts += self._past_counts(field, featured)
    return f'SELECT key, sum(one)::BIGINT AS count FROM ({counts}) GROUP BY key'

  def _past_counts(self, field: source.SourceField, featured: str) -> str:
    """SQL that adds past rows of new rows' values, where they are known.

    A user or an item that comes once a day is not rare.
    """
    new = self._new
    manifest, past = new.base.manifest, new.past.rows
    keys = {manifest.item_field: 'item', manifest.user_field: 'user'}
    key, column = keys.get(field.name), field.encoded_column
    if key not in new.past.kinds or (
      sql.column_types(new.connection, past)[key]
      != sql.column_types(new.connection, featured)[column]
    ):
      return ''
    return (
      f' UNION ALL SELECT key, 1 FROM (SELECT {sql.quote(key)} AS key'
      f' FROM {past}) SEMI JOIN (SELECT {sql.quote(column)} AS key'
      f' FROM {featured}) USING (key)'
    )

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

  def histories(
    self, field: source.SourceField, owner: vocabulary.Vocabulary
  ) -> str:
    """Makes a table of histories, which begin in the data."""
    item = field.owner_column
    seen = self.placed(self.places.past or self.places.table)
    view = sql.create_view(
      self.connection,
      f'SELECT session_id, "user", timestamp, {sql.quote(item)} FROM {seen}'
      f' UNION ALL BY NAME FROM {self._shown}',
    )
    return history.encode_histories(
      self.connection, view, item, owner.table, field.width, seen
    )

  def users(self, featured: str) -> users_lib.UserNumbers:
    """Numbers of users: those that the data has given, and further ones."""
    connection, new = self.connection, self._new
    known = new.past.users
    if not new.rows.has_user:
      return users_lib.NO_USERS
    named = users_lib.names(connection, featured)
    if known:
      # New ones count on from the largest number, in the order of their names.
      last = f'(SELECT max(number) FROM {known})'
      count = 'sum(CAST(k.number IS NULL AS INT)) OVER (ORDER BY name)'
      numbered = sql.create_table(
        connection,
        'SELECT u.key, name, CAST(coalesce(k.number,'
        f' {last} + {count}) AS BIGINT) AS number'
        f' FROM {named} u LEFT JOIN {known} k USING (name)',
      )
      return users_lib.by_table(numbered, are_names=True)
    numbered = sql.create_view(
      connection, f'SELECT *, TRY_CAST(name AS BIGINT) AS number FROM {named}'
    )
    # 07 is not 7, so both as one number would be one user.
    wrong = connection.execute(
      f'SELECT name FROM {numbered} WHERE CAST(number AS VARCHAR)'
      ' IS DISTINCT FROM name ORDER BY name LIMIT 1'
    ).fetchall()
    if wrong:
      raise types.InputError(
        f'{new.rows.table.place}: user {wrong[0][0]!r:.80} is not written as a'
        f' whole number, as all users of {new.base.directory} are'
      )
    return users_lib.by_table(numbered, are_names=False)

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
      if grown:
        field = dataclasses.replace(field, size=grown.values.size)
      found.append(field)
    return tuple(found)
