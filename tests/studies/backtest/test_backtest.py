"""A whole backtest of two days, cut off and gone on with."""

import json
import shutil
import signal

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.studies.backtest import backtest
from rmtl_jax.training import fit

pytestmark = pytest.mark.slow

QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 2, 'bottom_units': [4], 'tower_units': [2]},
    'batch': {'lanes': 4, 'lane_length': 16},
    'pretrain': {'max_epochs': 1},
    'evaluation': {'bootstrap': 0},
  }
)
SOURCE = prepare_config.PrepareConfig(
  source='simulated', simulated_rows=3000, as_of=('none',)
)
OPTIONS = backtest.Options(
  2, '1d', continued={'pretrain.max_epochs': 2}, stages=('pretrain',)
)


def run(path, options=OPTIONS, **more):
  return backtest.backtest(
    path, SOURCE, lambda manifest: CONFIG, options, QUIET, **more
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

  with pytest.raises(fit.Interrupted):
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
    assert day['rows'] > 0 and set(day['seconds']) == {'extend', 'prepare'}
    assert set(day['drift']) == {'field', 'psi', 'unseen'}
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
  with pytest.raises(types.InputError, match='has days=2, not 3; choose'):
    run(done[0], OPTIONS._replace(days=3))
  with pytest.raises(
    types.InputError, match=r'has continued.pretrain.max_epochs=2, not 3;'
  ):
    run(done[0], OPTIONS._replace(continued={'pretrain.max_epochs': 3}))


@pytest.mark.parametrize(
  ('continued', 'expected'),
  [
    ({'pretrain.max_epochs': 0}, '--continued: .*max_epochs: 0 is not'),
    ({'network.bottom_units': (8,)}, '--continued: .*bottom_units: a run goes'),
    ({'ensemble': 2}, '--continued: ensemble: a run goes on with the networks'),
  ],
)
def test_settings_with_which_no_run_goes_on_are_refused_at_once(
  tmp_path, continued, expected
):
  with pytest.raises(types.InputError, match=expected):
    run(tmp_path / 'new', OPTIONS._replace(continued=continued))
  assert not (tmp_path / 'new').exists()
