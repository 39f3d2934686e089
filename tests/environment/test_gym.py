"""The Gymnasium environment: its checker, and the functions behind it."""

import warnings

import numpy as np
import pytest

from rmtl_jax import environment
from rmtl_jax.data import columns
from rmtl_jax.ops import rewards
from tests import tiny

gymnasium = pytest.importorskip('gymnasium')


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  path = tmp_path_factory.mktemp('gym')
  manifest = tiny.write_prepared(path, sessions=40)
  return path, manifest, columns.read_split(path, manifest, 'train')


@pytest.mark.parametrize('encoded', [False, True])
def test_gymnasium_finds_nothing_wrong(made, encoded):
  from gymnasium.utils import env_checker

  path, manifest, _ = made
  spec = manifest.feature_spec()
  encode = environment.one_hot(spec) if encoded else None
  env = environment.make_gymnasium(path, encode=encode)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    # Features without a bound are what the checker warns of.
    warnings.filterwarnings('ignore', message='.*infinity.*')
    env_checker.check_env(env, skip_render_check=True)


def test_a_session_has_its_rows_and_rewards(made):
  path, _, rows = made
  env = environment.make_gymnasium(path)
  length = np.diff(rows.starts)
  session = int(np.argmax(length == 3))
  seen, info = env.reset(options={'session': session})
  assert info == {'session': session}
  at = rows.starts[session]
  action, ends = np.array([0.25, 0.75]), []
  for row in range(at, at + 3):
    np.testing.assert_array_equal(seen['categorical'], rows.categorical[row])
    seen, reward, terminated, truncated, info = env.step(action)
    expected = rewards.log_likelihood(action, rows.labels[row])
    np.testing.assert_allclose(info['rewards'], expected)
    assert reward == pytest.approx(float(np.sum(expected)))
    assert info['row'] == row and not truncated
    ends.append(terminated)
  assert ends == [False, False, True]
  with pytest.raises(ValueError, match='session: found 40, expected 0 to 39'):
    env.reset(options={'session': 40})
