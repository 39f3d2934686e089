"""The comparison of balancers: its methods, and the table it prints."""

import json

import numpy as np
import pytest

from experiments import balancers
from rmtl_jax.balancing import registry
from rmtl_jax.config import flags as config_flags
from rmtl_jax.studies.comparison import methods
from tests import tiny


def test_the_config_has_every_balancer_of_its_backbones(tmp_path):
  tiny.write_prepared(tmp_path / 'data', sessions=60)
  config = config_flags.load(
    f'{balancers.__file__}:{tmp_path / "data"},ple,mmoe'
  )
  assert config.preset == 'recommended' and config.ensemble == 1
  names = {method.name for method in methods.expand(config)}
  for backbone in ('ple', 'mmoe'):
    assert names >= {
      f'{backbone}/{one.name}'
      for one in registry.RECORDS.values()
      if not one.is_static
    }
    assert f'{backbone}/static:pretrain.balancing.weights=0.25+1' in names
  assert 'esmm/pcgrad' not in names


def test_of_three_tasks_each_has_a_grid():
  found = [m for m in balancers.methods_of('ple', 3) if '/static:' in m]
  assert len(found) == 3 * len(balancers.GRID)
  assert 'ple/static:pretrain.balancing.weights=1+4+1' in found


def _run(method, seed, auc, validation):
  return {
    'method': method,
    'seed': seed,
    'metrics': {'click': {'auc': auc}, 'buy': {'auc': auc + 0.1}},
    'validation_logloss': [1.0, validation, 0.99],
  }


def test_differences_are_paired_and_static_is_chosen_on_validation(tmp_path):
  first, second = (
    f'ple/static:pretrain.balancing.weights={w}+1' for w in ('0.5', '2')
  )
  results = {
    'data': {'source': 'made up'},
    'runs': [
      _run('ple', 0, 0.70, 0.9),
      _run('ple', 1, 0.72, 0.9),
      _run('ple/pcgrad', 0, 0.71, 0.8),
      _run('ple/pcgrad', 1, 0.75, 0.8),
      _run(first, 0, 0.8, 0.95),
      _run(first, 1, 0.8, 0.95),
      _run(second, 0, 0.69, 0.85),
      _run(second, 1, 0.72, 0.85),
    ],
  }
  found = balancers.differences(results)
  assert set(found) == {'ple/pcgrad', 'ple/static'}
  # Gains 0.01 and 0.03; -0.01 and 0.
  np.testing.assert_allclose(found['ple/pcgrad'], (0.02, 0.01), atol=1e-9)
  np.testing.assert_allclose(found['ple/static'], (-0.005, 0.005), atol=1e-9)
  path = tmp_path / 'results.json'
  path.write_text(json.dumps(results))
  lines = balancers.markdown([str(path)]).splitlines()
  assert lines[0] == '| balancer | made up, ple |'
  assert lines[2:] == ['| `static` | -50 ± 50 |', '| `pcgrad` | +200 ± 100 |']


def test_costs_stand_in_the_same_table(tmp_path):
  measured = {
    'balancer': 'mgda',
    'cpu_to_equal': 2.0,
    'mebibytes': 30.0,
    'equal_mebibytes': 24.0,
  }
  runs = [_run('ple', 0, 0.7, 0.8), _run('ple', 1, 0.7, 0.8)]
  runs += [_run('ple/mgda', 0, 0.71, 0.8), _run('ple/mgda', 1, 0.71, 0.8)]
  files = {
    'results.json': {'data': {'source': 'made up'}, 'runs': runs},
    'cost.json': {
      'benchmark': 'balancers',
      'backbone': 'mmoe',
      'tasks': 3,
      'figures': [measured],
    },
  }
  for name, content in files.items():
    (tmp_path / name).write_text(json.dumps(content))
  lines = balancers.markdown([str(tmp_path / name) for name in files])
  assert lines.splitlines() == [
    '| balancer | made up, ple | rows/s of CPU over those of equal (mmoe, K ='
    ' 3) | memory over that of equal (mmoe, K = 3) |',
    '|---|---|---|---|',
    '| `mgda` | +100 ± 0 | 0.50 | 1.25 |',
  ]


def test_equal_weights_may_be_the_best_static_ones():
  results = {
    'data': {'source': 'made up'},
    'runs': [
      _run('ple', 0, 0.7, 0.8),
      _run('ple', 1, 0.7, 0.8),
      _run('ple/static:pretrain.balancing.weights=2+1', 0, 0.9, 0.9),
      _run('ple/static:pretrain.balancing.weights=2+1', 1, 0.9, 0.9),
    ],
  }
  assert balancers.differences(results) == {
    'ple/static': pytest.approx((0.0, 0.0))
  }
