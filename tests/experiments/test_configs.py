"""Every recipe loads, says what it gained, and can be compared by its name."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from rmtl_jax.preparation import sources
from rmtl_jax.studies.comparison import methods

CONFIGS = pathlib.Path(__file__).parents[2] / 'experiments' / 'configs'
NAMES = ('kuairand', 'rees46', 'retailrocket', 'simulated')


def load(name: str) -> config_lib.Config:
  return config_flags.load(str(CONFIGS / f'{name}.py'))


def test_every_source_of_rows_has_a_recipe():
  """All but `table`, whose rows are the user's own."""
  assert set(NAMES) == set(sources.RECORDS) - {'table'}
  expected = {'plain', *(f'{name}_best' for name in NAMES)}
  assert {path.stem for path in CONFIGS.glob('*.py')} == expected


@pytest.mark.parametrize('name', NAMES)
def test_a_recipe_opens_with_its_commands(name):
  text = (CONFIGS / f'{name}_best.py').read_text(encoding='utf-8')
  assert f'rmtl prepare --source={name}' in text
  assert f'rmtl train --config=experiments/configs/{name}_best.py' in text
  assert 'easured' in text
  assert 'MEASURED' not in text


@pytest.mark.parametrize('name', NAMES)
def test_a_recipe_is_a_method_over_the_plain_config(name):
  """So that `rmtl compare` can judge it by the plain model of its size."""
  best = load(f'{name}_best')
  # Batches are the whole comparison's: no method has its own.
  plain = dataclasses.replace(load('plain'), batch=best.batch)
  before, after = (config_values.flatten(c) for c in (plain, best))
  changed = {k: v for k, v in after.items() if v != before[k]}
  backbone = changed.pop('backbone', 'ple')
  text = backbone + ''.join(f':{k}={v}' for k, v in changed.items())
  method = methods.parse(text, plain)
  assert method.config(plain) == best
  assert [m.name for m in method.controls()] == [backbone]
  # The width of every layer is the plain model's.
  for setting in ('embedding_dim', 'bottom_units', 'tower_units'):
    assert getattr(best.network, setting) == getattr(plain.network, setting)
