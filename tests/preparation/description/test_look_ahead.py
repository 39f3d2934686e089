"""What the shown item adds to what is known of the rest of a session."""

import numpy as np
import pytest

from rmtl_jax import prepare
from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation.description import overview


@pytest.mark.parametrize('by', ['item', 'user'])
def test_what_decides_the_later_rows(tmp_path, by):
  """Of two rows in a session, a user's kind or the first item decides.

  Later clicks of a first row are 1 with a probability of 0.1 or 0.9, by kind;
  those of a second row are 0. So the variance is 1/4 - 1/16 = 3/16, of which
  the position explains 1/16 and the kind, of half the rows, 0.2^2.
  """
  rng = np.random.default_rng(0)
  sessions = 4000
  user, item = rng.integers(0, 20, sessions), rng.integers(0, 20, (sessions, 2))
  decides = item[:, 0] if by == 'item' else user
  second = rng.random(sessions) < np.where(decides % 2, 0.9, 0.1)
  start = 10**12 + 10**7 * np.arange(sessions)
  table = {
    'visit': np.repeat(np.arange(sessions), 2),
    'user': np.repeat(user, 2),
    'item': item.ravel(),
    'at': np.stack([start, start + 1000], 1).ravel(),
    'click': np.stack([np.zeros(sessions), second], 1).ravel().astype(int),
  }
  schema = {
    'session': 'visit',
    'user': 'user',
    'item': 'item',
    'time': {'column': 'at', 'unit': 'ms'},
    'categorical': ['user', 'item'],
    'tasks': [{'column': 'click'}],
  }
  settings = prepare_settings.PrepareConfig(
    source='table', data_dir=str(tmp_path / 'data'), as_of=('position',)
  )
  prepare(settings, table=table, schema=schema)
  (found,) = overview.describe(tmp_path / 'data')['look_ahead']
  position, kind = 1 / 3, 0.04 / (3 / 16)
  assert found['row'] == pytest.approx(position + kind, abs=0.03)
  state = position + kind if by == 'user' else position
  assert found['state'] == pytest.approx(state, abs=0.03)
