from __future__ import annotations

import dataclasses

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config


@pytest.mark.parametrize(
  'changes, expected',
  [
    ({'split': (6, 2)}, 'split: '),
    ({'split': (6, 0, 4)}, 'split: '),
    ({'split': (6.0, 2, 2)}, 'split: '),
    ({'idle_minutes': float('nan')}, 'idle_minutes: nan is not between'),
    ({'idle_minutes': 0.0}, 'idle_minutes: 0.0 is not between'),
    ({'min_count': 0}, 'min_count: 0 is not between 1 and'),
    ({'history_items': 0}, 'history_items: 0 is not between 1 and 1000'),
    ({'max_values': 2**11}, 'max_values: 2048 is not between 1 and 1024'),
    ({'rows_per_file': 0}, 'rows_per_file: 0 is not between'),
    ({'threads': -1}, 'threads: -1 is not between 0 and'),
    ({'simulated_rows': 0}, 'simulated_rows: 0 is not between'),
    ({'simulated_seed': -1}, 'simulated_seed: -1 is not between'),
    ({'variant': '2k'}, "variant: '2k' is not one of auto, pure, 1k, 27k"),
  ],
)
def test_settings_of_prepare_have_bounds(changes, expected):
  config = prepare_config.PrepareConfig()
  assert prepare_config.validate(config) == config
  with pytest.raises(types.InputError) as error:
    prepare_config.validate(dataclasses.replace(config, **changes))
  assert str(error.value).startswith(expected)
