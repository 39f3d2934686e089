from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values


def test_the_paper_preset_is_the_paper():
  """method.md, sections 1 to 3."""
  config = config_lib.preset('paper')
  network = config.network
  assert network.embedding_dim == 128
  assert (network.bottom_units, network.tower_units) == ((512, 256), (128, 64))
  assert (network.num_experts, network.dropout) == (8, 0.2)
  assert not network.official and not network.crosses
  first = config.pretrain
  assert (first.learning_rate, first.l2, first.patience) == (1e-3, 1e-6, 2)
  assert config.finetune.learning_rate == 1e-3
  critic = config.critic
  assert (critic.td_lambda, critic.stopping) == (0.0, 'td_error')
  assert (critic.form, critic.head) == ('shared', 'neg_softplus')
  assert critic.discount == 0.95
  assert (critic.behaviour, critic.official_targets) == ('policy', False)
  assert (critic.soft_update, critic.update_period) == (0.2, 1)
  assert (critic.learning_rate, critic.l2) == (1e-3, 0.0)
  assert critic.max_passes == 20
  assert critic.in_finetune == 'frozen'
  assert config.weighting == config_lib.WeightingConfig('critic', 0.7)
  assert config.batch.lanes * config.batch.lane_length == 2048
  assert config.control


def test_the_official_preset_is_the_released_code():
  """method.md, end of section 3; all else is as in the paper."""
  found = config_values.flatten(config_lib.preset('official'))
  paper = config_values.flatten(config_lib.preset('paper'))
  assert {name: v for name, v in found.items() if v != paper[name]} == {
    'network.official': True,
    'critic.form': 'separate',
    'critic.head': 'neg_relu',
    'critic.discount': 0.9,
    'critic.behaviour': 'uniform',
    'critic.official_targets': True,
    'critic.update_period': 2,
    'weighting.lambda_': 1.0,
  }
  assert found['critic.in_finetune'] == 'frozen'
  assert (found['critic.soft_update'], found['critic.l2']) == (0.2, 0.0)
