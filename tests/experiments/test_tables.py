"""Every config under experiments/tables loads, and names methods that exist."""

from __future__ import annotations

import pathlib

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from rmtl_jax.studies.comparison import methods

TABLES = pathlib.Path(__file__).parents[2] / 'experiments' / 'tables'
NAMES = ('overall', 'transfer', 'ablation', 'sensitivity', 'critics')
# Those of other papers, without a size to choose.
BENCHMARKS = ('aliexpress', 'census_income')
# What `FILE.py:small` changes, and nothing else.
SMALL = {
  'network.embedding_dim': 16,
  'network.bottom_units': (128, 64),
  'network.tower_units': (64, 32),
  'network.num_experts': 4,
}
every_table = pytest.mark.parametrize('name', NAMES)


def load(name: str, size: str = '') -> config_lib.Config:
  return config_flags.load(f'{TABLES / name}.py{size}')


def judged(config: config_lib.Config) -> set[str]:
  return {m.name for m in methods.expand(config) if m.has_verdict}


def test_no_config_is_left_out():
  assert {path.stem for path in TABLES.glob('*.py')} == {
    'sizes',
    *NAMES,
    *BENCHMARKS,
  }


@every_table
def test_a_table_has_the_papers_sizes(name):
  assert load(name).network == config_lib.NetworkConfig()
  assert load(name) == load(name, ':paper')


@every_table
def test_small_table_differs_in_the_network_alone(name):
  table = config_values.flatten(load(name))
  assert config_values.flatten(load(name, ':small')) == table | SMALL


def test_sizes_are_settings_of_their_own():
  default = config_lib.Config()
  assert load('sizes') == default
  small = config_values.flatten(load('sizes', ':small'))
  assert small == config_values.flatten(default) | SMALL


@pytest.mark.parametrize('size', ['', 'Small', 'tiny'])
@every_table
def test_another_size_is_refused_in_one_line(name, size):
  with pytest.raises(types.InputError) as error:
    load(name, f':{size}')
  assert str(error.value) == (
    f'--config=FILE.py:SIZE: {size!r} is not one of paper, small'
  )


@pytest.mark.parametrize(
  'table',
  [f'{name}.py{size}' for name in NAMES for size in ('', ':small')]
  + [f'{name}.py' for name in BENCHMARKS],
)
def test_file_opens_with_its_own_commands(table):
  text = (TABLES / table.partition(':')[0]).read_text(encoding='utf-8')
  assert f'rmtl compare --config=experiments/tables/{table} \\' in text


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
    if m.has_verdict
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
  found = [m for m in methods.expand(config) if m.has_verdict]
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


def test_aliexpress_has_the_settings_of_mtreclib():
  config = load('aliexpress')
  network, batch = config.network, config.batch
  assert (network.embedding_dim, network.dropout) == (128, 0.2)
  assert (network.bottom_units, network.tower_units) == ((512, 256), (128, 64))
  assert network.num_experts == 8
  assert batch.lanes * batch.lane_length == 2048
  stage = config.pretrain
  assert (stage.learning_rate, stage.l2, stage.max_epochs) == (1e-3, 1e-6, 50)
  assert len(config.compare.seeds) == 5
  assert not judged(config)


def test_census_income_has_the_sizes_of_its_paper():
  config = load('census_income')
  assert config.network.embedding_dim == 4
  assert config.network.bottom_units == (512, 256)
  assert config.batch.lanes * config.batch.lane_length == 256
  assert not judged(config)
