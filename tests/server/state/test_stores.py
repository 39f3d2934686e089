"""Writers at once, odd names and long values in a state."""

from __future__ import annotations

import contextlib
import itertools
from concurrent import futures

import pytest

import rmtl_jax
from rmtl_jax.server.state import (
  changes,
  row_types,
  store,
)
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.server.state import look as look_lib
from rmtl_jax.serving import raw_rows
from tests.serving import past_run

LABELS = ['clicked', 'bought']


@pytest.fixture(scope='module')
def scorer(past_model):
  return rmtl_jax.load(past_model, warm_up=0)


@pytest.fixture(scope='module')
def raw():
  return past_run.log(700, seed=3).slice(0, 690).sort_by('time')


@contextlib.contextmanager
def keeping(scorer, place):
  keeper = keeper_lib.Keeper(scorer, place)
  with contextlib.closing(keeper):
    yield keeper


def looked_up(keeper, raw):
  rows = raw.drop_columns(LABELS)
  return keeper.look_up(raw_rows.rows_of_table(rows)).to_pylist()


def test_writers_at_once_lose_nothing(scorer, place, raw, tmp_path):
  """Each with connections of its own, as processes have."""
  parts = [raw.slice(start, 20) for start in range(0, 400, 20)]

  def write(mine):
    with keeping(scorer, place) as keeper:
      return [keeper.append(part) for part in mine]

  with futures.ThreadPoolExecutor(4) as pool:
    found = list(pool.map(write, [parts[n::4] for n in range(4)]))
  assert found == [[{'added': 20}] * 5] * 4
  with (
    keeping(scorer, place) as keeper,
    keeping(scorer, str(tmp_path / 'other')) as other,
  ):
    # All at once: the order matters to nothing but rows after a split's end.
    other.append(raw.slice(0, 400))
    assert keeper.size() == other.size()
    asked = raw.slice(400, 40)
    assert looked_up(keeper, asked) == looked_up(other, asked)


def test_only_its_owner_can_read_a_state(tmp_path):
  tmp_path.chmod(0o755)
  kept = store.Store(tmp_path, 1, {'n': False})
  with kept.writing() as change:
    change.put_fact('mine', 1)
  files = list(tmp_path.glob('state.sqlite*'))
  assert len(files) == 3
  assert not any(file.stat().st_mode & 0o077 for file in files)
  kept.close()


def test_odd_names_are_kept_apart(scorer, place):
  """Names that keys, JSON or order might spoil."""
  names = [
    'a',
    'a:b',
    'b',
    '1:a',
    'é',
    '😀',
    'a"\\\\',
    'a\0',
    'a\0' + '1',
    '0' * 99,
  ]
  rows = [
    row_types.Row(None, user, item, 10**12 + at % 3, ((1, None), (0, None)), at)
    for at, (user, item) in enumerate(itertools.product(names, names))
  ]
  later = [row._replace(time=10**12 + 60_000) for row in rows]
  with keeping(scorer, place) as keeper:
    with keeper._writes.writing() as change:
      changes.append(change, keeper._shape, rows, 7.0)
    with keeper._reads.reading() as reads:
      look = look_lib.Look(reads, keeper._shape, later)
      for user in names:
        mine = sorted(
          ((row.time, row.item.encode()) for row in rows if row.user == user),
          reverse=True,
        )
        assert list(look.shown(user, later[0].time)) == [
          item.decode() for _, item in mine
        ]
      for row, before in zip(later, rows, strict=True):
        assert look.rows(row, 'user') == look.rows(row, 'item') == len(names)
        assert look.pair(row) == (1, before.time)
        assert look.rate(row, 'item', 0) == (0, 0)
        assert look.session(row).count == len(names)
