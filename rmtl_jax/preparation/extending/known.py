"""Encodes new rows as the data that they extend has encoded its own."""

from __future__ import annotations

import dataclasses
import pathlib

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  field_vectors,
  source,
  sql,
  users,
  vocabulary,
)
from rmtl_jax.preparation.extending import past as past_lib


class Known:
  """Bins, scales and vocabularies of prepared data; the last ones grow.

  Attributes:
    fields: those of the data, by name.
    first_row: `row_id` of the first new row in prepared data.
    grown: vocabularies by field name, of the fields that have one.
  """

  def __init__(self, past: past_lib.Past):
    """Reads nothing yet."""
    self._base, self._past = past.base, past
    self._connection = past.connection
    self.fields = {field.name: field for field in past.base.manifest.fields}
    self.first_row = past.first_row
    self.grown: dict[str, vocabulary.Grown] = {}

  def vocabularies(
    self, rows: source.SourceTable, featured: str
  ) -> dict[str, vocabulary.Vocabulary]:
    """Those of categorical fields with the new rows' values, by column.

    Args:
      featured: the new rows.
    """
    found = {}
    manifest = self._base.manifest
    for field in rows.fields:
      if field.kind != 'categorical':
        continue
      column = sql.quote(field.source_column)
      values = f'SELECT {column} AS key, 1 AS one FROM {featured}'
      if field.name in (manifest.item_field, manifest.user_field):
        # A user or an item that comes once a day is not rare: its past rows
        # count. Other items are looked up, for histories, and add nothing.
        values += (
          f' UNION ALL SELECT {column}, CAST({column} IN'
          f' (SELECT {column} FROM {featured}) AS INT) FROM {self._past.rows}'
        )
      found[field.source_column] = self.grow(
        field.name,
        f'SELECT key, sum(one)::BIGINT AS count FROM ({values}) GROUP BY key',
      )
    return found

  def grow(self, name: str, counts: str) -> vocabulary.Vocabulary:
    """The vocabulary of a field with the values of a query; see `grow`."""
    self.grown[name] = vocabulary.grow(
      self._connection,
      self._base.directory / 'vocabulary' / f'{name}.parquet',
      self.fields[name].size,
      counts,
      self._base.config.min_count,
    )
    return self.grown[name].values

  def users(self, rows: source.SourceTable, featured: str) -> users.UserNumbers:
    """Numbers of users: those that the data has given, and further ones."""
    connection, known = self._connection, self._past.users
    if known and rows.has_user:
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
    found = users.number(connection, featured, rows)
    if found.table:
      # 07 is not 7, so both as one number would be one user.
      wrong = sql.fetch_value(
        connection,
        f'SELECT min(name) FROM {found.table} WHERE'
        ' CAST(TRY_CAST(name AS BIGINT) AS VARCHAR) IS DISTINCT FROM name',
      )
      raise types.InputError(
        f'{rows.table.place}: user {wrong!r:.80} is not written as a whole'
        f' number, as all users of {self._base.directory} are'
      )
    return found

  def grown_fields(self) -> tuple[manifest_lib.Field, ...]:
    """Those of the data, with the sizes of vocabularies that have grown."""
    found = []
    for field in self.fields.values():
      grown = self.grown.get(field.vocabulary_owner or field.name)
      size = grown.values.size if grown else field.size
      found.append(dataclasses.replace(field, size=size))
    return tuple(found)

  def write_vocabularies(self, directory: pathlib.Path) -> None:
    """Writes them with the counts of rows that joined train, and vectors."""
    (directory / 'vocabulary').mkdir()
    manifest, data_dir = self._base.manifest, self._base.directory
    joined = [data_dir / name for name in manifest.splits['validation'].files]
    with (
      sql.name_errors(joined[0], 'not readable'),
      sql.scan_files(joined, 'parquet') as scan,
    ):
      for name, grown in self.grown.items():
        column = sql.quote(self.fields[name].column)
        ids = f'SELECT {column} AS id FROM {scan}'
        if self.fields[name].kind == 'multi_valued':
          # A list without values has row 0 alone, which stands for no value.
          ids = (
            f'SELECT unnest({column}) AS id FROM {scan} WHERE {column} <> [0]'
          )
        path = directory / 'vocabulary' / f'{name}.parquet'
        grown.write(self._connection, path, ids)
    field_vectors.extend(data_dir, manifest, self.grown_fields(), directory)
