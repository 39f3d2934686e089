"""Keys of CSV that are whole numbers are kept as such, and nobody can tell."""

from __future__ import annotations

import random

import pytest

from rmtl_jax.preparation.sources import table
from tests import tiers
from tests.preparation import raw_files

HEADER = 'visit,user,item,shop,ts,price,clicked,bought'
SCHEMA = raw_files.SCHEMA | {
  'session': 'visit',
  'categorical': ['user', 'item', 'shop'],
}


def lines(visit=str, user=str, item=str, step=500, seed=0):
  """Rows of 120 sessions, several of one start; ids by `visit`, ..."""
  draw, found = random.Random(seed), [HEADER]
  for i in range(120):
    for place in range(draw.randrange(1, 5)):
      ids = visit(i), user(draw.randrange(9)), item(draw.randrange(12))
      click = draw.randrange(2)
      time = i // 4 * 60_000 + place * step
      found.append(f'{",".join(ids)},{draw.randrange(3)},{time},{i},{click},0')
  return found


def files(directory):
  """What every file of prepared data holds, by its place."""
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in directory.rglob('*')
    if path.is_file()
  }


def late(number, text):
  """Ids that are text from `number` on."""
  return lambda i: str(i) if i < number else text(i)


LOGS = {
  'numbers': {},
  'numbers and signs': {'visit': lambda i: str(60 - i)},
  'nothing at all': {'user': lambda i: '' if i == 3 else str(i)},
  'leading zeros': {'visit': late(100, '{:05d}'.format)},
  'floats': {'user': late(8, '{}.0'.format), 'visit': late(110, '{}.0'.format)},
  'exponents': {'item': lambda i: '1e2' if i == 11 else str(100 * i)},
  'words': {'visit': late(119, 'v{}'.format), 'item': late(11, 'i{}'.format)},
  'beyond 64 bits': {'item': lambda i: str(i + 2**63 - 6)},
  'spaces': {'item': late(11, ' {}'.format)},
  'duplicates': {'step': 0, 'item': lambda i: str(i % 2)},
}


@pytest.mark.parametrize(
  'name', tiers.some(LOGS, ('leading zeros', 'words', 'duplicates'))
)
@pytest.mark.parametrize(
  'as_of', [pytest.param((), marks=pytest.mark.slow), ('auto',)]
)
def test_prepared_data_is_that_of_text(tmp_path, monkeypatch, name, as_of):
  schema = raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)

  def prepared(place):
    raw_files.run_table(
      tmp_path / place, lines(**LOGS[name]), schema=schema, as_of=as_of
    )
    return files(tmp_path / place / 'out')

  found = prepared('numbers')
  monkeypatch.setattr(table, '_number', lambda *_: frozenset())
  assert found == prepared('text')
  assert 'past/rows-00000.parquet' in found
