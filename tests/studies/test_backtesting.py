"""The days of a backtest, and a whole one of two days, interrupted."""

import itertools
import json
import shutil
import signal

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.studies import backtesting
from rmtl_jax.training import epoch_loop
from tests import paper

pytestmark = pytest.mark.slow

DAY = 86_400_000
QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 2, 'bottom_units': [4], 'tower_units': [2]},
    'batch': {'lanes': 4, 'lane_length': 16},
    'pretrain': {'max_epochs': 1},
    'evaluation': {'bootstrap': 0},
  },
  paper.PAPER,
)
SOURCE = prepare_settings.PrepareConfig(
  source='simulated', simulated_rows=3000, as_of=('none',)
)
OPTIONS = backtesting.Options(
  2, '1d', continued={'pretrain.max_epochs': 2}, stages=('pretrain',)
)


def run(path, options=OPTIONS, interrupted=lambda: 0):
  return backtesting.backtest(
    backtesting.Backtest(
      path, SOURCE, lambda manifest: CONFIG, options, QUIET, interrupted
    )
  )


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  path = tmp_path_factory.mktemp('backtest')

  class Stop:
    """A signal in every model of the second day."""

    calls = 0

    def __call__(self):
      self.calls += 1
      return signal.SIGTERM if self.calls == 5 else 0

  with pytest.raises(epoch_loop.Interrupted):
    run(path, interrupted=Stop())
  return path, run(path)


def test_every_day_has_both_arms_on_the_same_rows(done):
  path, record = done
  assert record == json.loads((path / 'backtest.json').read_text())
  assert [day['number'] for day in record['days']] == [0, 1, 2]
  for day in record['days'][1:]:
    (one,) = day['runs']
    beside = {'baseline', 'oracle'}  # of simulated sessions
    assert set(one) == {'seed', 'continued', 'scratch', *beside}
    assert day['rows'] > 0 and day['train_rows'] > 0
  assert set(record['summary']) == {'click', 'conversion'}


def test_a_chain_goes_on_from_the_day_before(done):
  path, _ = done

  def config(day, arm):
    return json.loads((path / f'runs/0/{day}/{arm}/config.json').read_text())

  assert config(1, 'continued')['started_from']['run'].endswith('0/0/scratch')
  second = config(2, 'continued')
  assert second['started_from']['run'].endswith('0/1/continued')
  assert second['config']['pretrain']['max_epochs'] == 2
  assert 'started_from' not in config(2, 'scratch')


def test_what_is_done_is_not_done_again(done, tmp_path):
  path, record = done
  shutil.copytree(path, tmp_path / 'copy')
  shutil.rmtree(tmp_path / 'copy' / 'runs')
  assert run(tmp_path / 'copy') == record


def test_another_backtest_in_the_same_place_is_refused(done):
  for name, value in (('days', 3), ('continued', {'pretrain.max_epochs': 3})):
    with pytest.raises(types.InputError, match=f'has other {name}; choose'):
      run(done[0], OPTIONS._replace(**{name: value}))


@pytest.mark.parametrize(
  ('continued', 'expected'),
  [
    ({'pretrain.max_epochs': -1}, '--continued: .*max_epochs: -1 is not'),
    (
      {'network.bottom_units': (8,)},
      '--continued: .*bottom_units: a run keeps',
    ),
    ({'ensemble': 2}, '--continued: ensemble: a run keeps the networks'),
  ],
)
def test_settings_with_which_no_run_goes_on_are_refused_at_once(
  tmp_path, continued, expected
):
  with pytest.raises(types.InputError, match=expected):
    run(tmp_path / 'new', OPTIONS._replace(continued=continued))
  assert not (tmp_path / 'new').exists()


def test_steps():
  for text, expected in (('1d', DAY), ('12h', DAY // 2), ('30m', 1_800_000)):
    assert backtesting.parse_step(text) == expected


def test_days_follow_each_other_and_end_behind_the_last_row():
  found = backtesting.plan(100 * DAY - 1, 3, DAY)
  assert [one.number for one in found] == [0, 1, 2, 3]
  assert all(a.until == b.since for a, b in itertools.pairwise(found))
  assert found[-1].until == 100 * DAY
  # A row at midnight is the first of a day of its own.
  assert backtesting.plan(100 * DAY, 3, DAY)[-1].until == 101 * DAY
  # Hours end right behind it.
  assert backtesting.plan(100 * DAY, 1, DAY // 2)[-1].until == 100 * DAY + 1


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
    backtesting.check_room(*log, count, step)
    return
  with pytest.raises(types.InputError, match=f'^--days: .*{expected}$'):
    backtesting.check_room(*log, count, step)


def arm(auc, seconds, epochs):
  return {
    'stage': 'pretrain',
    'metrics': {
      'click': {'auc': auc, 'logloss': 0.3, 'predicted_over_actual': 1.1}
    },
    'epochs': {'pretrain': epochs},
    'passes': 2.0 * seconds,
    'seconds': seconds,
  }


def day(number, continued, scratch):
  runs = [
    {
      'seed': seed,
      'continued': arm(continued + seed / 100, 2.0, 0),
      'scratch': arm(scratch + seed / 100, 4.0, [3, 5]),
      'baseline': {'metrics': {'click': {'auc': 0.5, 'logloss': 0.4}}},
    }
    for seed in (0, 1)
  ]
  return {
    'number': number,
    'since': f'2024-05-0{number + 1}T00:00:00.000',
    'until': f'2024-05-0{number + 2}T00:00:00.000',
    'train_rows': 1000,
    'rows': 100,
    'runs': runs,
  }


def test_means_are_over_seeds_then_over_days():
  days = [day(1, 0.7, 0.6), day(2, 0.8, 0.6), day(3, 0.6, 0.6)]
  found = backtesting.summarise(days, 'click', 'auc')
  assert found['continued'] == pytest.approx(0.705)
  assert found['scratch'] == pytest.approx(0.605)
  assert found['baseline'] == pytest.approx(0.5)
  one = found['difference']
  # Differences 0.1, 0.2, 0: mean 0.1, deviation 0.1, t(2) 4.3027 at 95 %.
  assert one['mean'] == pytest.approx(0.1)
  assert one['high'] == pytest.approx(0.1 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
  assert (one['days'], one['seeds'], one['better']) == (3, 2, 2)
  found = backtesting.summarise(days, 'click', 'predicted_over_actual')
  assert found['difference']['better'] is None
