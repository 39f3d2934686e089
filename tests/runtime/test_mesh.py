"""Meshes: what they refuse, and that their losses are those of one device."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import factory
from rmtl_jax.networks import registry as networks_registry
from rmtl_jax.runtime import mesh
from tests.updates import problem

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
  ('text', 'shape'),
  [
    ('data:4,model:2', (4, 2)),
    ('model:8', (1, 8)),
    ('data:8', (8, 1)),
    ('model:2,data:1', (1, 2)),
  ],
)
def test_a_shape_by_its_axes(text, shape):
  assert mesh.parse(text) == shape
  assert mesh.parse(str(mesh.parse(text))) == shape


@pytest.mark.slow
@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('', r"--mesh: '' is not data:N"),
    ('batch:4', r"--mesh: 'batch:4' is not data:N or model:N"),
    ('data:2,data:4', 'names data twice'),
    ('data', "'data': expected a number of devices after data:"),
    ('data:0', 'expected a number'),
    ('data:-1', 'expected a number'),
    ('data:4.0', 'expected a number'),
    ('data:٤', 'expected a number'),
    ('data:' + '9' * 5000, 'expected a number'),
  ],
)
def test_what_is_no_shape_is_said_in_one_line(text, said):
  with pytest.raises(types.InputError, match=said) as caught:
    mesh.parse(text)
  assert len(str(caught.value)) < 200


def _layout(data: int, model: int) -> mesh.Layout:
  """Of devices that do not exist."""
  abstract = jax.sharding.AbstractMesh((data, model), ('data', 'model'))
  return mesh.Layout(abstract)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_settings_that_can_not_be_split():
  config = config_lib.Config(batch=config_lib.BatchConfig(lanes=30))
  _layout(2, 8).check(config, table_rows=64)
  with pytest.raises(types.InputError, match='data:4 does not divide the 30'):
    _layout(4, 1).check(config, table_rows=64)
  with pytest.raises(types.InputError, match='table_multiple=64') as caught:
    _layout(1, 8).check(config, table_rows=63)
  assert 'model:8 does not divide the 63 rows' in str(caught.value)


@pytest.mark.slow
def test_tables_are_split_and_nothing_else():
  spec = types.FeatureSpec((10, 6), (), 0, 2)
  network = factory.make_actor(spec, 'single_task', problem.NETWORK)
  form = jax.eval_shape(network.init, jax.random.key(0))
  specs = {
    jax.tree_util.keystr(path): sharding.spec
    for path, sharding in jax.tree.leaves_with_path(
      _layout(2, 4).shardings(form)
    )
  }
  table = specs.pop("['first']['table']")
  assert tuple(table) == (None, 'model')
  assert specs and all(tuple(s) == () for s in specs.values())
  whole = _layout(8, 1).shardings(form)['first']['table']
  assert tuple(whole.spec) == ()


@pytest.mark.slow
@pytest.mark.parametrize('backbone', ['mmoe', 'single_task'])
def test_padding_changes_no_number(backbone):
  """The rows are those of unpadded tables; what follows them is zero."""
  spec = types.FeatureSpec((10, 6), ((9, 2),), 1, 2)
  padded = dataclasses.replace(problem.NETWORK, table_multiple=16)
  table, longer = (
    factory.make_actor(spec, backbone, config).init(jax.random.key(3))['first'][
      'table'
    ]
    for config in (problem.NETWORK, padded)
  )
  assert longer.shape[-2:] == (32, 3)
  np.testing.assert_array_equal(longer[..., :25, :], table)
  assert not np.any(longer[..., 25:, :])


def _losses(shape: str, backbones: str, adams: str) -> dict:
  """What tests/runtime/mesh_steps.py prints."""
  flags = os.environ.get('XLA_FLAGS', '')
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'tests.runtime.mesh_steps',
      shape,
      backbones,
      adams,
    ],
    env={
      **os.environ,
      'PYTHONPATH': str(ROOT),
      'XLA_FLAGS': f'{flags} --xla_force_host_platform_device_count=8',
    },
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def _assert_equal(found: dict, expected: dict, share: float) -> None:
  assert found.keys() == expected.keys()
  for name, stages in expected.items():
    assert stages.keys() == {'pretrain', 'critic', 'finetune'}
    for stage, one in stages.items():
      other = found[name][stage]
      assert other['shares'] == [share], (name, stage)
      assert other['compiled'] == 1, (name, stage)
      for metrics, wanted in zip(other['metrics'], one['metrics'], strict=True):
        # Sums over some hundred rows; their means differ by less.
        assert metrics == pytest.approx(wanted, rel=1e-5, abs=1e-5)
      np.testing.assert_allclose(other['sums'], one['sums'], rtol=1e-4)


@pytest.mark.slow
def test_losses_of_a_mesh_are_those_of_one_device():
  """A short form of what follows, which does all backbones and meshes."""
  expected = _losses('one', 'aitm', 'rows')
  _assert_equal(_losses('data:4,model:2', 'aitm', 'rows'), expected, 0.5)


@pytest.mark.long
@pytest.mark.parametrize('adam', ['rows', 'dense'])
def test_losses_of_every_backbone_and_mesh(adam):
  names = ','.join(networks_registry.trained())
  expected = _losses('one', names, adam)
  for shape, tables in (
    ('data:8', 1.0),
    ('model:8', 1 / 8),
    ('data:4,model:2', 0.5),
  ):
    _assert_equal(_losses(shape, names, adam), expected, tables)
