"""The days of a backtest."""

import itertools
import json

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.studies.backtest import days

pytestmark = pytest.mark.slow

DAY = 86_400_000


@pytest.mark.parametrize(
  ('text', 'expected'),
  [('1d', DAY), ('7d', 7 * DAY), ('12h', DAY // 2), ('30m', 1_800_000)],
)
def test_steps(text, expected):
  assert days.parse_step(text) == expected


def test_days_follow_each_other_and_end_behind_the_last_row():
  found = days.plan(100 * DAY - 1, 3, DAY)
  assert [one.number for one in found] == [0, 1, 2, 3]
  assert all(a.until == b.since for a, b in itertools.pairwise(found))
  assert found[-1].until == 100 * DAY
  # A row at midnight is the first of a day of its own.
  assert days.plan(100 * DAY, 3, DAY)[-1].until == 101 * DAY
  # Hours end right behind it.
  assert days.plan(100 * DAY, 1, DAY // 2)[-1].until == 100 * DAY + 1


@pytest.mark.parametrize(
  ('count', 'step', 'expected'),
  [
    (8, DAY, None),
    (9, DAY, 'expected 8 or fewer'),
    (40, DAY, 'expected 8 or fewer'),
    (2, 999_999 * DAY, 'expected a shorter --step'),
    (2, 3 * DAY, 'expected 1 or fewer'),
  ],
)
def test_a_log_is_longer_than_its_days(count, step, expected):
  """Ten days and an hour, the last of which ends at midnight."""
  log = (20_000 * DAY - DAY // 24, 20_010 * DAY - 1)
  if expected is None:
    days.check_room(*log, count, step)
    return
  with pytest.raises(types.InputError, match=f'^--days: .*{expected}$'):
    days.check_room(*log, count, step)


def test_seconds_are_known_after_a_kill(tmp_path):
  """A kill between data that are whole and what is noted of them."""
  source = prepare_config.PrepareConfig(
    source='simulated', simulated_rows=1500, as_of=('none',)
  )

  def progress(stage, fraction):
    del stage, fraction

  _, last = days.first_and_last_row(source, tmp_path / 'whole', progress)
  first, second = days.plan(last, 1, DAY)
  days.prepared(source, first, tmp_path, progress)
  found = days.prepared(source, second, tmp_path, progress)
  assert days.prepared(source, second, tmp_path, progress) == found
  noted = json.loads((tmp_path / '1.json').read_text())
  changed = 'is not as it was written'
  for content, said in (
    (noted | {'rows': 1}, changed),
    ([noted], 'has no digest'),
    (noted | {'seconds': 1}, changed),
  ):
    (tmp_path / '1.json').write_text(json.dumps(content))
    with pytest.raises(types.InputError, match=rf'1\.json: {said}'):
      days.prepared(source, second, tmp_path, progress)
  (tmp_path / '1.json').unlink()
  again = days.prepared(source, second, tmp_path, progress)
  assert set(again.record['seconds']) == {'extend', 'prepare'}
  assert again.record | {'seconds': 0} == found.record | {'seconds': 0}
