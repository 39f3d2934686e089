from __future__ import annotations

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


FORMS = {
  'movielens_100k': write_100k,
  'movielens_1m': write_1m,
  'movielens': write_25m,
}


@pytest.mark.parametrize('source', FORMS)
def test_forms(tmp_path, source):
  ratings = [(1, 5, 5, START), (1, 6, 4, START + 9), (2, 5, 3, START)]
  raw_dir = FORMS[source](tmp_path, ratings)
  table, rows = raw_files.read_source(source, raw_dir)
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
  if source != 'movielens':
    assert [row['f_occupation'] for row in rows] == [
      'technician',
      'technician',
      None,
    ]
    assert rows[0]['f_age'] == '24'
  assert [task.after for task in table.tasks] == [None, 'like']
