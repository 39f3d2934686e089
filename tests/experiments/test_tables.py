"""Every config under experiments/tables loads, and names methods that exist."""

from __future__ import annotations

import pathlib

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags, config_values
from rmtl_jax.training import methods

TABLES = pathlib.Path(__file__).parents[2] / 'experiments' / 'tables'
NAMES = ('overall', 'transfer', 'ablation', 'sensitivity', 'critics')


def load(name: str) -> config_lib.Config:
  return config_flags.load(str(TABLES / f'{name}.py'))


def judged(config: config_lib.Config) -> set[str]:
  return {m.name for m in methods.expand(config) if m.is_judged}


def test_no_config_is_left_out():
  expected = {'small', *NAMES, *(f'{name}_small' for name in NAMES)}
  assert {path.stem for path in TABLES.glob('*.py')} == expected


@pytest.mark.parametrize('name', NAMES)
def test_small_table_differs_in_the_network_alone(name):
  table, small = load(name), load(f'{name}_small')
  differing = {
    setting
    for setting, value in config_values.flatten(small).items()
    if config_values.flatten(table)[setting] != value
  }
  assert differing == {
    'network.embedding_dim',
    'network.bottom_units',
    'network.tower_units',
    'network.num_experts',
  }
  assert table.network == config_lib.NetworkConfig()


@pytest.mark.parametrize('name', [*NAMES, *(f'{name}_small' for name in NAMES)])
def test_file_opens_with_its_own_command(name):
  text = (TABLES / f'{name}.py').read_text(encoding='utf-8')
  assert f'rmtl compare --config=experiments/tables/{name}.py \\' in text


def test_overall_has_every_backbone_of_the_paper_and_its_methods():
  config = load('overall')
  names = {m.name for m in methods.expand(config)}
  assert names >= {
    'single_task',
    'shared_bottom',
    'esmm',
    'mmoe',
    'ple',
    'omoe',
    'aitm',
  }
  assert judged(config) == {
    'ple+ddpg',
    'esmm+critic',
    'mmoe+critic',
    'ple+critic',
  }


def test_transfer_has_all_nine_pairs_and_frozen_critics():
  config = load('transfer')
  pairs = {
    (m.backbone, m.critics.backbone)
    for m in methods.expand(config)
    if m.is_judged
  }
  every = ('esmm', 'mmoe', 'ple')
  assert pairs == {(a, b) for a in every for b in every}
  assert config.critic.in_finetune == 'frozen'


def test_ablation_has_the_variants_of_the_paper_and_enough_seeds():
  config = load('ablation')
  assert {m.name for m in methods.expand(config)} == {
    'ple',
    'ple+constant',
    'ple+constant_mean',
    'ple+q_shuffled',
    'ple+label_times_q',
    'ple+negative_q',
    'ple+critic',
  }
  assert len(config.compare.seeds) == 16


def test_sensitivity_changes_one_setting_at_a_time():
  config = load('sensitivity')
  found = [m for m in methods.expand(config) if m.is_judged]
  assert len(found) == 16
  changes = set()
  for method in found:
    assert len(method.settings) == (method.name != 'ple+critic')
    default = config_values.flatten(config)
    changes |= {
      name for name, value in method.settings if value != default[name]
    }
  assert changes == {
    'weighting.lambda_',
    'critic.discount',
    'critic.soft_update',
    'critic.behaviour',
    'critic.head',
    'critic.in_finetune',
  }
