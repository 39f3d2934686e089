"""Encodes new rows as prepared data has encoded its own."""

from __future__ import annotations

import dataclasses
import pathlib

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  encode,
  lists,
  numbers,
  sessions,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation import users as users_lib
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.extending import settings, vocabularies


@dataclasses.dataclass(frozen=True)
class Encoding:
  """New rows, encoded.

  Attributes:
    rows: the encoded rows; their fields have the grown sizes.
    grown: vocabularies by field name, of the fields that have one.
  """

  rows: encode.Encoded
  grown: dict[str, vocabularies.Grown]


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


def apply(
  new: settings.Extension, places: sessions.RowPlaces, shown: str
) -> Encoding:
  """Encodes new rows with the vocabularies, bins and scales of the data.

  Args:
    new: rows with as-of features; fields are those of the data.
    places: of the rows in test.
    shown: table of what users were shown before; empty without histories.
  """
  connection, rows = new.connection, new.rows
  featured = _with_bins(new, places)
  grown, encoded_lists = {}, {}
  for field in rows.fields:
    if field.kind == 'categorical':
      grown[field.name] = _grow(new, field, featured, shown)
    elif field.has_own_lists:
      encoded = _lists(new, field, featured)
      grown[field.name], encoded_lists[field.source_column] = encoded
  found = {
    field.source_column: grown[field.name].values
    for field in rows.fields
    if field.kind == 'categorical'
  }
  encoded_lists |= _sequences(new, featured, grown)
  histories = _histories(new, places, found, shown)
  users = _users(new, featured)
  tables = encode.Tables(found, encoded_lists, histories, users)
  table = encode.apply(connection, featured, rows, places, tables)
  fields = tuple(_sized(field, grown) for field in new.base.manifest.fields)
  scales = {
    f.column: numbers.Normalisation.of(f.details)
    for f in fields
    if f.kind == 'numeric'
  }
  return Encoding(
    encode.Encoded(
      table=table,
      step=places.step,
      columns=encode.columns(rows, fields, scales, places.step),
      fields=fields,
      vocabularies={name: one.values for name, one in grown.items()},
      cut_values={
        f.name: encoded_lists[f.source_column].cut
        for f in rows.fields
        if f.source_column in encoded_lists
      },
      constant=(),
      users=users.table,
    ),
    grown,
  )


def _with_bins(new: settings.Extension, places: sessions.RowPlaces) -> str:
  """Makes a table of the rows in test with their places and bins."""
  known = {field.name: field.details for field in new.base.manifest.fields}
  binned = [f for f in new.rows.fields if f.is_binned]
  view = encode.add_bins(
    new.connection,
    encode.with_places(new.connection, new.rows, places, places.table),
    binned,
    {f.name: known[f.name]['edges'] for f in binned},
  )
  return sql.create_table(new.connection, f'FROM {view}')


def _grow(
  new: settings.Extension, field: source.SourceField, featured: str, shown: str
) -> vocabularies.Grown:
  """Grows the vocabulary of a categorical field."""
  column = sql.quote(field.encoded_column)
  counts = f'SELECT {column} AS key, 1 AS one FROM {featured}'
  if shown and field.name == new.base.manifest.item_field:
    # Items of the past are looked up, for histories, and add nothing.
    counts += f' UNION ALL SELECT {column}, 0 FROM {shown}'
  counts += _past_counts(new, field, featured)
  counts = f'SELECT key, sum(one)::BIGINT AS count FROM ({counts}) GROUP BY key'
  return vocabularies.grow(
    new.connection,
    *_vocabulary(new, field),
    counts,
    new.base.config.min_count,
  )


def _vocabulary(
  new: settings.Extension, field: source.SourceField
) -> tuple[pathlib.Path, manifest_lib.Field]:
  """The file of the data's vocabulary of a field, and the data's field."""
  path = new.base.directory / 'vocabulary' / f'{field.name}.parquet'
  fields = new.base.manifest.fields
  return path, next(f for f in fields if f.name == field.name)


def _past_counts(
  new: settings.Extension, field: source.SourceField, featured: str
) -> str:
  """SQL that adds past rows of new rows' values, where they are known.

  A user or an item that comes once a day is not rare.
  """
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


def _lists(
  new: settings.Extension, field: source.SourceField, featured: str
) -> tuple[vocabularies.Grown, lists.ListEncoding]:
  """Grows the vocabulary of a multi-valued field and encodes its lists."""
  path, known = _vocabulary(new, field)
  found: list[vocabularies.Grown] = []

  def build(counts: str) -> vocabulary.Vocabulary:
    least = new.base.config.min_count
    found.append(vocabularies.grow(new.connection, path, known, counts, least))
    return found[0].values

  encoded = lists.encode_lists_by(
    new.connection, featured, field.source_column, known.width, build
  )
  return found[0], encoded


def _sequences(
  new: settings.Extension, featured: str, grown: dict[str, vocabularies.Grown]
) -> dict[str, lists.ListEncoding]:
  """Encodes the log's own lists that share a vocabulary, by column."""
  widths = {field.name: field.width for field in new.base.manifest.fields}
  found = {}
  for field in new.rows.fields:
    if field.vocabulary_owner and not history.is_history(field):
      owner = grown[field.vocabulary_owner]
      # Of every id: lists have values that no new row has.
      found[field.source_column] = lists.encode_sequences(
        new.connection,
        featured,
        field.source_column,
        dataclasses.replace(owner.values, table=f'(FROM {owner.everything})'),
        widths[field.name],
        widths[field.name],
      )
  return found


def _histories(
  new: settings.Extension,
  places: sessions.RowPlaces,
  found: dict[str, vocabulary.Vocabulary],
  shown: str,
) -> dict[str, str]:
  """Makes the tables of histories, by column."""
  histories = {}
  for field in new.rows.fields:
    if not history.is_history(field):
      continue
    item = field.owner_column
    seen = encode.with_places(
      new.connection, new.rows, places, places.past or places.table
    )
    view = sql.create_view(
      new.connection,
      f'SELECT session_id, "user", timestamp, {sql.quote(item)} FROM {seen}'
      f' UNION ALL BY NAME FROM {shown}',
    )
    histories[field.source_column] = history.encode_histories(
      new.connection, view, item, found[item].table, field.width, seen
    )
  return histories


def _users(new: settings.Extension, featured: str) -> users_lib.UserNumbers:
  """Numbers of users: those that the data has given, and further ones."""
  connection, known = new.connection, new.past.users
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


def _sized(
  field: manifest_lib.Field, grown: dict[str, vocabularies.Grown]
) -> manifest_lib.Field:
  """The field with the size of its vocabulary."""
  own = grown.get(field.vocabulary_owner or field.name)
  return dataclasses.replace(field, size=own.values.size) if own else field
