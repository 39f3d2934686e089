import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values


def test_the_paper_preset_is_the_default():
  """method.md, sections 1 to 3."""
  config = config_lib.preset('paper')
  assert config == config_lib.Config()
  assert config.network == config_lib.NetworkConfig(
    embedding_dim=128,
    bottom_units=(512, 256),
    tower_units=(128, 64),
    num_experts=8,
    dropout=0.2,
    expert_input='own',
  )
  for stage in (config.pretrain, config.finetune):
    assert (stage.learning_rate, stage.l2, stage.patience) == (1e-3, 1e-6, 2)
  critic = config.critic
  assert (critic.form, critic.head) == ('shared', 'neg_softplus')
  assert (critic.discount, critic.reward) == (0.95, 'log_likelihood')
  assert (critic.behaviour, critic.estimate) == ('policy', 'target')
  assert (critic.soft_update, critic.update_period) == (0.2, 1)
  assert (critic.learning_rate, critic.l2) == (1e-3, 0.0)
  assert (critic.max_passes, critic.min_improvement) == (20, 0.01)
  assert critic.in_finetune == 'frozen' and not critic.target_dropout
  assert config.weighting == config_lib.WeightingConfig('critic', 0.7)
  assert config.batch.lanes * config.batch.lane_length == 2048
  assert config.control


def test_the_official_preset_is_the_released_code():
  """method.md, end of section 3; all else is as in the paper."""
  found = config_values.flatten(config_lib.preset('official'))
  paper = config_values.flatten(config_lib.preset('paper'))
  assert {name: v for name, v in found.items() if v != paper[name]} == {
    'preset': 'official',
    'network.init': 'torch',
    'network.expert_input': 'gate',
    'network.aitm_transfer': 'linear',
    'critic.form': 'separate',
    'critic.head': 'neg_relu',
    'critic.discount': 0.9,
    'critic.behaviour': 'uniform',
    'critic.estimate': 'minimum',
    'critic.target_noise': 0.4,
    'critic.target_noise_draw': 'batch',
    'critic.update_period': 2,
    'critic.target_dropout': True,
    'weighting.lambda_': 1.0,
  }
  assert found['critic.in_finetune'] == 'frozen'
  assert found['critic.target_noise_clip'] == 3e-3
  assert (found['critic.soft_update'], found['critic.l2']) == (0.2, 0.0)


def test_an_unknown_preset_is_named():
  with pytest.raises(types.InputError, match="'mine' is not one of paper, off"):
    config_lib.preset('mine')
