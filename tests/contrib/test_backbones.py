"""What each of the later backbones adds, by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax.contrib import adatt, cross_stitch, home
from rmtl_jax.networks import layers
from tests.networks import small

pytestmark = pytest.mark.slow


@pytest.fixture(params=['separate', 'batched'])
def form(request, monkeypatch):
  small.run_stacks(monkeypatch, request.param)


FORMS = pytest.mark.usefixtures('form')


def setup(**changes):
  config = config_lib.NetworkConfig(dropout=0.0, **changes)
  return layers.Setup(config, nnx.Rngs(params=jax.random.key(0)))


def singles(*values):
  """Members of one row and one unit each."""
  return layers.stack([jnp.array([[float(v)]]) for v in values])


@FORMS
def test_a_stitch_by_hand():
  weights = jnp.array([[0.9, 0.1], [0.2, 0.8]])
  first, second = cross_stitch.stitch(weights, singles(10, 100))
  np.testing.assert_allclose(first, [[19.0]], rtol=1e-6)  # 9 + 10
  np.testing.assert_allclose(second, [[82.0]], rtol=1e-6)  # 2 + 80


@pytest.mark.parametrize(('tasks', 'other'), [(1, None), (2, 0.1), (3, 0.05)])
def test_stitches_start_near_a_tasks_own_units(tasks, other):
  start = cross_stitch._start(tasks)
  np.testing.assert_allclose(start.sum(1), 1.0, rtol=1e-6)
  if other is not None:
    np.testing.assert_allclose(start[0, :2], [0.9, other], rtol=1e-6)


@FORMS
def test_fusion_of_adatt_by_hand():
  # Two tasks of two experts each; all see all, and their own once more.
  gates = [jnp.full((1, 4), 0.25), jnp.array([[0.1, 0.2, 0.3, 0.4]])]
  native = jnp.array([[0.5, 0.5], [1.0, -1.0]])
  first, second = adatt.fuse(gates, native, singles(1, 2, 4, 8))
  np.testing.assert_allclose(first, [[15 / 4 + 1.5]], rtol=1e-6)
  np.testing.assert_allclose(second, [[4.9 - 4.0]], rtol=1e-6)


def test_units_of_an_expert_are_normalised_by_hand():
  x = jnp.array([[1.0, 3.0], [5.0, -5.0]])
  expected = [[-1.0, 1.0], [1.0, -1.0]]
  np.testing.assert_allclose(home.normalised(x), expected, rtol=1e-4)
  layer = home.NormalisedSwish(1, 2, setup())
  layer.scale[...] = jnp.array([[2.0, 1.0]])
  layer.shift[...] = jnp.array([[0.0, 1.0]])
  z = np.array([[-2.0, 2.0], [2.0, 0.0]])
  (found,) = layer([x], None)
  np.testing.assert_allclose(found, z / (1 + np.exp(-z)), rtol=1e-4, atol=1e-6)


@FORMS
def test_a_feature_gate_by_hand():
  counts = home.experts.ExpertCounts(1, 1, 1)
  level = home.Level(counts, 1, 1, True, setup())
  level.down.kernel[...] = jnp.array([[[2.0]], [[0.0]]])
  level.up.kernel[...] = jnp.array([[[0.5]], [[1.0]]])
  open_, plain = level.gated(singles(3, 3))
  # 2 sigmoid(3 * 2 * 0.5) * 3; a gate of 0 leaves what it reads.
  np.testing.assert_allclose(open_, [[6 / (1 + np.exp(-3))]], rtol=1e-6)
  np.testing.assert_allclose(plain, [[3.0]], rtol=1e-6)
