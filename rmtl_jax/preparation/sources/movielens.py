"""Reads MovieLens (100K, 1M, 10M, 20M, 25M, 32M), as GroupLens publishes it.

`u.data` (100K), `ratings.dat` (1M, 10M) or `ratings.csv` (the others); if they
exist, the movies (`u.item`, `movies.dat`, `movies.csv`) and users (`u.user`,
`users.dat`); RecBole's `.inter`, `.item` and `.user` too.

Tasks: `like`, at least four stars, the usual threshold, and `love`, five. A
rating is known as it is given. A session is a sitting of a user, in which
many movies are rated.
"""

from __future__ import annotations

import pathlib

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.sources import movielens_files, official

_WHAT = 'a directory with u.data, ratings.dat or ratings.csv'

_LIKE, _LOVE = 4, 5


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads ratings and joins movies and users to them."""
  form, path = _find(raw_dir)
  table = _load(connection, form.ratings, path)
  log = _read_log(connection, table, form.ratings)
  files, joins, warnings = [path], '', []
  columns = {'f_user_id': 'g."user"', 'f_movie_id': 'g.movie'}
  for key, what in (('movie', form.movies), ('user', form.users)):
    if what is None:
      continue
    found = official.find_file(raw_dir, what.name.lower(), _WHAT)
    if found is None:
      warnings.append(f'no {what.name}: its fields are left out')
      continue
    files.append(found)
    features = _read_features(connection, what, found)
    joins += f' LEFT JOIN {features} {key}s ON {key}s.key = g."{key}"'
    columns |= {name: f'{key}s.{name}' for name in what.columns}
  keys = {'row_id': 'g.row_id', 'session': 'NULL', 'user': 'g."user"'}
  keys['timestamp'] = 'g.seconds * 1000'
  labels = {
    f'y_{name}': f'(g.rating >= {stars})::DOUBLE'
    for name, stars in (('like', _LIKE), ('love', _LOVE))
  }
  every = keys | columns | labels
  user, _, rating, time = form.ratings.kinds
  return source.SourceTable(
    view=source.make_view(connection, every, f'{log} g{joins}'),
    keys=source.make_view(connection, keys, f'{log} g'),
    fields=tuple(map(source.field_of, columns)),
    tasks=(
      source.SourceTask('like', None, rating, known_after_ms=0),
      source.SourceTask('love', 'like', rating, known_after_ms=0),
    ),
    table=table,
    files=tuple(files),
    any_dates=True,
    time_column=time,
    time_unit='s',
    key_column=user,
    user_field='user_id',
    item_field='movie_id',
    warnings=tuple(warnings),
  )


def _find(raw_dir: pathlib.Path) -> tuple[movielens_files.Form, pathlib.Path]:
  """The form of the log and its file."""
  found = [
    (form, path)
    for form in movielens_files.FORMS
    if (path := official.find_file(raw_dir, form.ratings.name.lower(), _WHAT))
  ]
  names = ', '.join(form.ratings.name for form in movielens_files.FORMS)
  if not found:
    raise types.InputError(f'{raw_dir}: no file of ratings: one of {names}')
  if len(found) > 1:
    listed = ' and '.join(path.name for _, path in found)
    raise types.InputError(f'{raw_dir}: has {listed}, expected one log')
  return found[0]


def _load(
  connection: sql.Connection, file: movielens_files.File, path: pathlib.Path
) -> raw.RawTable:
  return raw_csv.load(
    connection,
    [path],
    file.kinds,
    delimiter=file.delimiter,
    names=() if file.has_header else tuple(file.kinds),
    quote=file.quote,
    encoding=file.encoding,
  )


def _read_log(
  connection: sql.Connection, table: raw.RawTable, file: movielens_files.File
) -> str:
  """Checks ratings; makes a view of them with columns of one name."""
  names = dict(
    zip(('user', 'movie', 'rating', 'seconds'), file.kinds, strict=True)
  )
  columns = {name: sql.quote(column) for name, column in names.items()}
  log = source.make_view(connection, {'row_id': 'rowid'} | columns, table.name)
  whole = raw.EXPECTED['BIGINT']
  faults: list[raw.Fault] = [
    (names['user'], '"user" IS NULL', whole),
    (names['movie'], 'movie IS NULL', whole),
    (
      names['rating'],
      'rating IS NULL OR rating NOT BETWEEN 0.5 AND 5'
      ' OR rating * 2 <> round(rating * 2)',
      'stars from 0.5 to 5, in halves',
    ),
    (
      names['seconds'],
      'seconds IS NULL OR abs(seconds) > 1e11',
      'a time in seconds since 1970',
    ),
  ]
  raw.check(connection, table, faults, log, 'row_id')
  return log


def _read_features(
  connection: sql.Connection, file: movielens_files.File, path: pathlib.Path
) -> str:
  """Makes a table of movies or users, one row each."""
  loaded = _load(connection, file, path)
  raw.require_values(connection, loaded, {file.key: raw.EXPECTED['BIGINT']})
  key = sql.quote(file.key)
  listed = ', '.join(f'{v} AS {name}' for name, v in file.columns.items())
  table = sql.create_table(
    connection,
    f'SELECT DISTINCT ON ({key}) {key} AS key, {listed} FROM {loaded.name}'
    f' ORDER BY {key}, rowid',
  )
  sql.drop_tables(connection, loaded.name)
  return table
