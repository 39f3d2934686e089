"""Balanced runs: resumed, and as a reader sees them."""

import pytest

import rmtl_jax
from rmtl_jax.config import values as config_values
from rmtl_jax.training import epoch_loop
from tests import paper, signals, tiny

QUIET = rmtl_jax.Progress(quiet=True)


def _settings(name, **changes):
  """Stage 1 balanced, on networks and batches that are tiny."""
  return config_values.from_dict(
    {
      'backbone': 'mmoe',
      'network': {
        'embedding_dim': 4,
        'bottom_units': [4],
        'tower_units': [4],
        'num_experts': 2,
      },
      'pretrain': {
        'learning_rate': 0.05,
        'max_epochs': 2,
        'balancing': {'name': name},
      },
      'critic': {'max_passes': 2, 'min_passes': 1},
      'finetune': {'max_epochs': 2},
      'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 2},
      'checkpoint_minutes': 0.0,
      'evaluation': {'bootstrap': 0},
      **changes,
    },
    paper.PAPER,
  )


@pytest.mark.slow
def test_a_state_resumes_in_the_middle_of_an_epoch(tmp_path):
  config = config_values.with_settings(
    _settings('gradnorm'), {'network.embedding_adam': 'rows'}
  )
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=60)
  given = data, ['pretrain'], QUIET
  record = rmtl_jax.train(config, tmp_path / 'whole', *given)
  with pytest.raises(epoch_loop.Interrupted):
    rmtl_jax.train(
      config, run, *given, options=rmtl_jax.RunOptions(signals.At(3))
    )
  assert rmtl_jax.train(config, run, *given)['stages'] == record['stages']
