"""Tables as a newcomer brings them."""

import pytest

from benchmarks import plain_tables
from rmtl_jax.preparation.guess import guess
from tests.benchmarks import raw_tables

PLAYERS, YEARS = 60, 6

_INPUTS = {
  # Every third player stops after three years; the last year has no next one.
  'baseball': (
    'rownames,id,year,team,lg,h\n',
    [
      f'{p},player{p:02},{1990 + t},t{p % 7},{"AN"[p % 2]}L,{(p * 7 + t) % 90}'
      for t in range(YEARS)
      for p in range(PLAYERS)
      if t < 3 or p % 3
    ],
  ),
  'birds': (
    'rownames,operator,effect,remarks\n',
    ['1,AAL,Other,a', '2,USA,NA,b', '3,AAL,NA,c'],
  ),
  'dragrace': (
    'rownames,season,rank,missc,contestant,episode,outcome,eliminated,'
    'participant\n',
    ['1,S01,1,0,A,1,WIN,0,1', '2,S01,2,0,B,1,BTM,1,1', '3,S01,3,0,C,1,,NA,0'],
  ),
}


def _written(name, directory):
  return raw_tables.written(plain_tables.LOGS, _INPUTS, name, directory)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('birds', [('AAL', '1'), ('USA', '0'), ('AAL', '0')]),
    ('dragrace', [('S01', 'A', '1', '0'), ('S01', 'B', '1', '1')]),
  ],
)
def test_labels_by_hand(tmp_path, name, expected):
  path, count = _written(name, tmp_path)
  rows = raw_tables.read(
    path, "SELECT * FROM read_csv('{path}', header=true, all_varchar=true)"
  )
  assert (rows, count) == (expected, len(expected))
  assert not (path.parent / 'schema.json').exists()


def test_a_panel_is_found_without_a_schema(tmp_path):
  path, _ = _written('baseball', tmp_path)
  (last,) = raw_tables.read(path, "SELECT max(year) FROM '{path}'")
  assert last == (1990 + YEARS - 2,)
  # Of those who stop no year but the last has no next one.
  found = raw_tables.read(
    path, "SELECT year, returns FROM '{path}' WHERE id = 'player03' ORDER BY 1"
  )
  assert found == [(1990, 1), (1991, 1), (1992, 0)]
  schema = guess.guess(path).schema
  assert (schema['user'], schema['time']['column']) == ('id', 'year')
  assert [task['name'] for task in schema['tasks']] == ['returns']
