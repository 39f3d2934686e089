"""Meshes: what they refuse, and that their losses are those of one device."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import from_settings
from rmtl_jax.runtime import mesh
from tests import paper
from tests.updates import problem


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
  config = paper.config(batch=paper.batch(lanes=30))
  _layout(2, 8).check(config, table_rows=64)
  with pytest.raises(types.InputError, match='data:4 does not divide the 30'):
    _layout(4, 1).check(config, table_rows=64)
  with pytest.raises(types.InputError, match='table_multiple=64') as caught:
    _layout(1, 8).check(config, table_rows=63)
  assert 'model:8 does not divide the 63 rows' in str(caught.value)


@pytest.mark.slow
def test_tables_are_split_and_nothing_else():
  spec = types.FeatureSpec((10, 6), (), 0, 2)
  network = from_settings.make_actor(spec, 'single_task', problem.NETWORK)
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
    from_settings.make_actor(spec, backbone, config).init(jax.random.key(3))[
      'first'
    ]['table']
    for config in (problem.NETWORK, padded)
  )
  assert longer.shape[-2:] == (32, 3)
  np.testing.assert_array_equal(longer[..., :25, :], table)
  assert not np.any(longer[..., 25:, :])
