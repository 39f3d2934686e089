"""Every config under experiments/tables loads, and names methods that exist."""

from __future__ import annotations

import pathlib

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from rmtl_jax.studies import methods
from tests import paper

TABLES = pathlib.Path(__file__).parents[2] / 'experiments' / 'tables'
# Those of other papers, without a size to choose.
BENCHMARKS = ('census_income',)
NAMES = sorted({p.stem for p in TABLES.glob('*.py')} - {'sizes', *BENCHMARKS})
# What `FILE.py:small` changes, and nothing else.
SMALL = {
  'network.embedding_dim': 16,
  'network.bottom_units': (128, 64),
  'network.tower_units': (64, 32),
  'network.num_experts': 4,
}


def load(name: str, size: str = '') -> config_lib.Config:
  return config_flags.load(f'{TABLES / name}.py{size}')


@pytest.mark.parametrize('name', NAMES)
def test_tables_have_the_papers_sizes_and_smaller_ones(name):
  table = load(name)
  assert table.network == paper.network()
  assert table == load(name, ':paper')
  found = config_values.flatten(load(name, ':small'))
  assert found == config_values.flatten(table) | SMALL
  assert any(method.has_verdict for method in methods.expand(table))
  with pytest.raises(types.InputError, match="'tiny' is not one of paper,"):
    load(name, ':tiny')


@pytest.mark.parametrize('name', BENCHMARKS)
def test_benchmarks_judge_nothing(name):
  assert not any(m.has_verdict for m in methods.expand(load(name)))
