"""The files of MovieLens, in each of the forms in which they are published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rmtl_jax.preparation import sql

# The order of the columns in u.item.
_GENRES = (
  *('unknown', 'Action', 'Adventure', 'Animation', "Children's", 'Comedy'),
  *('Crime', 'Documentary', 'Drama', 'Fantasy', 'Film-Noir', 'Horror'),
  *('Musical', 'Mystery', 'Romance', 'Sci-Fi', 'Thriller', 'War', 'Western'),
)


@dataclasses.dataclass(frozen=True)
class File:
  """One file.

  Attributes:
    name: of the file; a pattern.
    kinds: DuckDB types of the columns to read, by raw name; without a header,
      of all columns in order.
    columns: SQL of columns of the view, by name; none of ratings, where `kinds`
      are those of user, movie, rating and time.
    delimiter: between values.
    has_header: whether the first line names the columns.
    quote: around values that hold a delimiter; empty: none do.
    encoding: as for raw_csv.load.
  """

  name: str
  kinds: Mapping[str, str]
  columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
  delimiter: str = ','
  has_header: bool = False
  quote: str = ''
  encoding: str = 'utf-8'

  @property
  def key(self) -> str:
    """The raw column of the movie, of the user, or of a rating's user."""
    return next(iter(self.kinds))


@dataclasses.dataclass(frozen=True)
class Form:
  """The files of one form of publication.

  Attributes:
    ratings: the log.
    movies: what it says of movies.
    users: what it says of users; None if nothing.
  """

  ratings: File
  movies: File
  users: File | None = None


def _ratings(
  name: str,
  delimiter: str,
  header: Sequence[str] = ('user', 'movie', 'rating', 'time'),
  has_header: bool = False,
  quote: str = '',
) -> File:
  kinds = ('BIGINT', 'BIGINT', 'DOUBLE', 'BIGINT')
  return File(
    name,
    dict(zip(header, kinds, strict=True)),
    delimiter=delimiter,
    has_header=has_header,
    quote=quote,
  )


def _year(title: str) -> str:
  """SQL of the year that a title ends with: `Heat (1995)`."""
  year = f"regexp_extract({title}, '\\((\\d{{4}})\\)\\s*$', 1)"
  return f'TRY_CAST({year} AS DOUBLE)'


def _genres(value: str, separator: str) -> str:
  """SQL of the list of genres in a text."""
  split = f'string_split({value}, {sql.literal(separator)})'
  return f"list_filter({split}, lambda genre: genre <> '')"


def _flags() -> str:
  """SQL of the list of genres with a flag of 1."""
  named = ', '.join(
    f'CASE WHEN genre_{i} = 1 THEN {sql.literal(name)} END'
    for i, name in enumerate(_GENRES)
  )
  return f'list_filter([{named}], lambda genre: genre IS NOT NULL)'


def _texts(*names: str) -> dict[str, str]:
  return dict.fromkeys(names, 'VARCHAR')


_OF_USER = {
  'f_gender': 'gender',
  'f_age': 'age',
  'f_occupation': 'occupation',
  'f_zip_code': 'zip',
}
FORMS = (
  # 100K.
  Form(
    _ratings('u.data', '\t'),
    File(
      'u.item',
      {'movie': 'BIGINT'}
      | _texts('title', 'released', 'video_released', 'url')
      | {f'genre_{i}': 'BIGINT' for i in range(len(_GENRES))},
      {'x_year': _year('title'), 'm_genres': _flags()},
      '|',
      encoding='latin-1',
    ),
    File(
      'u.user',
      {'user': 'BIGINT'} | _texts('age', 'gender', 'occupation', 'zip'),
      _OF_USER,
      '|',
    ),
  ),
  # 1M, and 10M without users.
  Form(
    _ratings('ratings.dat', '::'),
    File(
      'movies.dat',
      {'movie': 'BIGINT'} | _texts('title', 'genres'),
      {'x_year': _year('title'), 'm_genres': _genres('genres', '|')},
      '::',
      encoding='latin-1',
    ),
    File(
      'users.dat',
      {'user': 'BIGINT'} | _texts('gender', 'age', 'occupation', 'zip'),
      _OF_USER,
      '::',
    ),
  ),
  # 20M, 25M, 32M and the small ones.
  Form(
    _ratings(
      'ratings.csv',
      ',',
      ('userId', 'movieId', 'rating', 'timestamp'),
      has_header=True,
      quote='"',
    ),
    File(
      'movies.csv',
      {'movieId': 'BIGINT'} | _texts('title', 'genres'),
      {
        'x_year': _year('title'),
        'm_genres': _genres("nullif(genres, '(no genres listed)')", '|'),
      },
      has_header=True,
      quote='"',
    ),
  ),
  # RecBole's copies.
  Form(
    _ratings(
      '*.inter',
      '\t',
      ('user_id:token', 'item_id:token', 'rating:float', 'timestamp:float'),
      has_header=True,
    ),
    File(
      '*.item',
      {'item_id:token': 'BIGINT'}
      | _texts('release_year:token', 'class:token_seq'),
      {
        'x_year': 'TRY_CAST("release_year:token" AS DOUBLE)',
        'm_genres': _genres('"class:token_seq"', ' '),
      },
      '\t',
      has_header=True,
    ),
    File(
      '*.user',
      {'user_id:token': 'BIGINT'}
      | _texts('age:token', 'gender:token')
      | _texts('occupation:token', 'zip_code:token'),
      {
        'f_gender': '"gender:token"',
        'f_age': '"age:token"',
        'f_occupation': '"occupation:token"',
        'f_zip_code': '"zip_code:token"',
      },
      '\t',
      has_header=True,
    ),
  ),
)
