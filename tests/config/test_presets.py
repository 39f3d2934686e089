import dataclasses
import types as python_types

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import presets
from rmtl_jax.config import values as config_values
from rmtl_jax.studies import methods

RECIPES = ('kuairand', 'rees46', 'retailrocket', 'simulated')


def test_the_paper_preset_is_a_config_without_changes():
  """method.md, sections 1 to 3."""
  config = config_lib.preset('paper')
  assert config == config_lib.Config()
  assert config.network == config_lib.NetworkConfig(
    embedding_dim=128,
    bottom_units=(512, 256),
    tower_units=(128, 64),
    num_experts=8,
    dropout=0.2,
    official=False,
  )
  first = config.pretrain
  assert (first.learning_rate, first.l2, first.patience) == (1e-3, 1e-6, 2)
  assert config.finetune.learning_rate == 1e-3
  critic = config.critic
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


@pytest.mark.parametrize('only_after', [False, True])
def test_the_papers_model_beside_a_run(only_after):
  """ESMM can't be judged on the positives of another task."""
  task = python_types.SimpleNamespace(only_after=only_after)
  network = config_lib.NetworkConfig(embedding_dim=8, table_multiple=4)
  own = config_lib.Config(
    seed=3, backbone='ple', preset='recommended', network=network
  )
  found = presets.paper_model(python_types.SimpleNamespace(tasks=[task]), own)
  assert found == dataclasses.replace(
    config_lib.preset('paper'),
    seed=3,
    backbone='shared_bottom' if only_after else 'esmm',
    network=config_lib.NetworkConfig(ignore='asof', table_multiple=4),
  )


def test_the_official_preset_is_the_released_code():
  """method.md, end of section 3; all else is as in the paper."""
  found = config_values.flatten(config_lib.preset('official'))
  paper = config_values.flatten(config_lib.preset('paper'))
  assert {name: v for name, v in found.items() if v != paper[name]} == {
    'preset': 'official',
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


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_is_a_method_over_the_plain_preset(name):
  """So that `rmtl compare` can judge it by the plain model of its size."""
  recipe = config_lib.preset(name)
  plain = config_lib.preset('plain')
  before, after = (config_values.flatten(c) for c in (plain, recipe))
  changed = {k: v for k, v in after.items() if v != before[k]}
  assert changed.pop('preset') == name
  backbone = changed.pop('backbone', 'ple')
  text = backbone + ''.join(f':{k}={v}' for k, v in changed.items())
  method = methods.parse(text, plain)
  assert dataclasses.replace(method.config(plain), preset=name) == recipe
  assert [m.name for m in method.controls()] == [backbone]
  # The width of every layer is the plain model's.
  for setting in ('embedding_dim', 'bottom_units', 'tower_units'):
    assert getattr(recipe.network, setting) == getattr(plain.network, setting)
