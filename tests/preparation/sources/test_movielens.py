from __future__ import annotations

import importlib.util
import pathlib

import pytest

from tests.preparation import raw_files

# 1997-12-04.
START = 881_250_949
FLAGS = '|'.join('1' if i in (3, 5) else '0' for i in range(19))


def write_100k(tmp_path, ratings):
  raw_dir = tmp_path / 'raw'
  raw_files.write(raw_dir / 'u.data', ['\t'.join(map(str, r)) for r in ratings])
  # Latin-1, as the real file is.
  (raw_dir / 'u.item').write_bytes(
    f'5|Misérables, Les (1995)|01-Jan-1995||http://x|{FLAGS}\n'.encode(
      'latin-1'
    )
  )
  raw_files.write(raw_dir / 'u.user', ['1|24|M|technician|85711'])
  return raw_dir


def write_1m(tmp_path, ratings):
  raw_dir = tmp_path / 'raw'
  raw_files.write(
    raw_dir / 'ratings.dat', ['::'.join(map(str, r)) for r in ratings]
  )
  (raw_dir / 'movies.dat').write_bytes(
    '5::Misérables, Les (1995)::Animation|Comedy\n'.encode('latin-1')
  )
  raw_files.write(raw_dir / 'users.dat', ['1::M::24::technician::85711'])
  return raw_dir


def write_25m(tmp_path, ratings):
  raw_dir = tmp_path / 'raw'
  lines = [','.join(map(str, r)) for r in ratings]
  raw_files.write(
    raw_dir / 'ratings.csv', ['userId,movieId,rating,timestamp', *lines]
  )
  raw_files.write(
    raw_dir / 'movies.csv',
    [
      'movieId,title,genres',
      '5,"Misérables, Les (1995)",Animation|Comedy',
      '6,Untitled,(no genres listed)',
    ],
  )
  return raw_dir


def write_recbole(tmp_path, ratings):
  raw_dir = tmp_path / 'raw'
  header = 'user_id:token\titem_id:token\trating:float\ttimestamp:float'
  raw_files.write(
    raw_dir / 'ml-100k.inter',
    [header, *('\t'.join(map(str, r)) for r in ratings)],
  )
  raw_files.write(
    raw_dir / 'ml-100k.item',
    [
      'item_id:token\tmovie_title:token_seq\trelease_year:token\t'
      'class:token_seq',
      '5\tMisérables, Les\t1995\tAnimation Comedy',
    ],
  )
  raw_files.write(
    raw_dir / 'ml-100k.user',
    [
      'user_id:token\tage:token\tgender:token\toccupation:token\t'
      'zip_code:token',
      '1\t24\tM\ttechnician\t85711',
    ],
  )
  return raw_dir


def log(count=20):
  """A rating an hour."""
  return [(i % 3 + 1, 5, i % 5 + 1, START + 3600 * i) for i in range(count)]


FORMS = (write_100k, write_1m, write_25m, write_recbole)


def read(raw_dir, **options):
  return raw_files.read_source('movielens', raw_dir, **options)


@pytest.mark.parametrize('write', FORMS)
def test_forms(tmp_path, write):
  ratings = [(1, 5, 5, START), (1, 6, 4, START + 9), (2, 5, 3, START)]
  table, rows = read(write(tmp_path, ratings))
  assert [row['y_like'] for row in rows] == [1, 1, 0]
  assert [row['y_love'] for row in rows] == [1, 0, 0]
  assert [row['timestamp'] for row in rows][:2] == [
    START * 1000,
    (START + 9) * 1000,
  ]
  assert (rows[0]['x_year'], rows[0]['m_genres']) == (
    1995,
    ['Animation', 'Comedy'],
  )
  assert (rows[1]['x_year'], rows[1]['m_genres'] or []) == (None, [])
  if write is not write_25m:
    assert [row['f_occupation'] for row in rows] == [
      'technician',
      'technician',
      None,
    ]
    assert rows[0]['f_age'] == '24'
  assert table.warnings == ()
  assert [task.after for task in table.tasks] == [None, 'like']


def test_without_movies_and_users(tmp_path):
  raw_dir = write_100k(tmp_path, [(1, 5, 5, START)])
  for name in ('u.item', 'u.user'):
    (raw_dir / name).unlink()
  table, rows = read(raw_dir)
  assert table.warnings == (
    'no u.item: its fields are left out',
    'no u.user: its fields are left out',
  )
  assert {n for n in rows[0] if n[:2] == 'f_'} == {'f_user_id', 'f_movie_id'}


@pytest.mark.parametrize('write', FORMS)
@pytest.mark.parametrize(
  'rating, words',
  [
    ((1, 5, 6, START), ('stars from 0.5 to 5',)),
    ((1, 5, 2.2, START), ('stars from 0.5 to 5',)),
    (('', 5, 2, START), ('a whole number',)),
    ((1, 5, 2, 'noon'), ("'noon', expected a whole number",)),
    ((1, 5, 2), ('3 values, expected 4',)),
  ],
)
def test_faults_are_named(tmp_path, write, rating, words):
  raw_dir = write(tmp_path, [(1, 5, 5, START), rating])
  row = 'row 3' if write in (write_25m, write_recbole) else 'row 2'
  line = raw_files.fails(tmp_path, lambda: read(raw_dir), row, *words)
  assert any(name in line for name in ('u.data', 'ratings.', 'ml-100k.inter'))


def test_the_log_that_recbole_brings():
  found = importlib.util.find_spec('recbole')
  if found is None or found.origin is None:
    pytest.skip('recbole, which brings MovieLens 100K, is not installed')
  raw_dir = pathlib.Path(found.origin).parent / 'dataset_example' / 'ml-100k'
  _, rows = read(raw_dir)
  assert len(rows) == 100_000
  assert len({row['user'] for row in rows}) == 943
  assert len({row['f_movie_id'] for row in rows}) == 1682
  assert sum(row['y_like'] for row in rows) == 55_375
  assert sum(row['y_love'] for row in rows) == 21_201
