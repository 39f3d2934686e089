"""What each of the later backbones adds, by hand."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import factory, functional, layers
from rmtl_jax.networks.backbones import (
  adatt,
  cross_stitch,
  home,
  pepnet,
  star,
  stem,
)
from tests.networks import small

FORMS = pytest.mark.parametrize('form', ['separate', 'batched'])


def setup(**changes):
  config = config_lib.NetworkConfig(dropout=0.0, **changes)
  return layers.Setup(config, nnx.Rngs(params=jax.random.key(0)))


def singles(form, *values):
  """Members of one row and one unit each."""
  return layers.stack([jnp.array([[float(v)]]) for v in values], form)


@FORMS
def test_a_stitch_by_hand(form):
  weights = jnp.array([[0.9, 0.1], [0.2, 0.8]])
  first, second = cross_stitch.stitch(weights, singles(form, 10, 100))
  np.testing.assert_allclose(first, [[19.0]], rtol=1e-6)  # 9 + 10
  np.testing.assert_allclose(second, [[82.0]], rtol=1e-6)  # 2 + 80


@pytest.mark.parametrize(('tasks', 'other'), [(1, None), (2, 0.1), (3, 0.05)])
def test_stitches_start_near_a_tasks_own_units(tasks, other):
  start = cross_stitch._start(tasks)
  np.testing.assert_allclose(start.sum(1), 1.0, rtol=1e-6)
  if other is not None:
    np.testing.assert_allclose(start[0, :2], [0.9, other], rtol=1e-6)


@FORMS
def test_fusion_of_adatt_by_hand(form):
  # Two tasks of two experts each; all see all, and their own once more.
  gates = [jnp.full((1, 4), 0.25), jnp.array([[0.1, 0.2, 0.3, 0.4]])]
  native = jnp.array([[0.5, 0.5], [1.0, -1.0]])
  first, second = adatt.fuse(gates, native, singles(form, 1, 2, 4, 8))
  np.testing.assert_allclose(first, [[15 / 4 + 1.5]], rtol=1e-6)
  np.testing.assert_allclose(second, [[4.9 - 4.0]], rtol=1e-6)


def test_units_of_an_expert_are_normalised_by_hand():
  x = jnp.array([[1.0, 3.0], [5.0, -5.0]])
  expected = [[-1.0, 1.0], [1.0, -1.0]]
  np.testing.assert_allclose(layers.normalised(x), expected, rtol=1e-4)
  layer = home.NormalisedSwish(1, 2, setup())
  layer.scale[...] = jnp.array([[2.0, 1.0]])
  layer.shift[...] = jnp.array([[0.0, 1.0]])
  z = np.array([[-2.0, 2.0], [2.0, 0.0]])
  (found,) = layer([x], None)
  np.testing.assert_allclose(found, z / (1 + np.exp(-z)), rtol=1e-4, atol=1e-6)


def test_a_dropped_unit_of_an_expert_is_zero_and_others_are_scaled():
  made = home.NormalisedSwish(
    2,
    50,
    layers.Setup(
      config_lib.NetworkConfig(dropout=0.5), nnx.Rngs(params=jax.random.key(0))
    ),
  )
  x = jax.random.normal(jax.random.key(1), (2, 40, 50))
  plain, dropped = made(x, None), made(x, jax.random.key(2))
  kept = np.asarray(dropped) != 0
  assert 0.4 < kept.mean() < 0.6 and (kept[0] != kept[1]).any()
  np.testing.assert_allclose(
    np.asarray(dropped)[kept], 2 * np.asarray(plain)[kept], rtol=1e-6
  )


@FORMS
def test_a_feature_gate_by_hand(form):
  counts = home.experts.ExpertCounts(1, 1, 1)
  level = home.Level(counts, 1, 1, True, setup(expert_form=form))
  level.down.kernel[...] = jnp.array([[[2.0]], [[0.0]]])
  level.up.kernel[...] = jnp.array([[[0.5]], [[1.0]]])
  open_, plain = level.gated(singles(form, 3, 3))
  # 2 sigmoid(3 * 2 * 0.5) * 3; a gate of 0 leaves what it reads.
  np.testing.assert_allclose(open_, [[6 / (1 + np.exp(-3))]], rtol=1e-6)
  np.testing.assert_allclose(plain, [[3.0]], rtol=1e-6)


def test_a_gate_of_one_expert_can_close():
  np.testing.assert_allclose(home._weights(jnp.array([[0.0]])), [[0.5]])
  np.testing.assert_allclose(
    home._weights(jnp.array([[0.0, 0.0]])), [[0.5, 0.5]]
  )


@FORMS
def test_fewer_inputs_than_members_serve_as_many_each(form):
  linear = layers.StackedLinear(4, 1, 1, 1.0, setup(expert_form=form))
  linear.kernel[...] = jnp.arange(1.0, 5.0).reshape(4, 1, 1)
  found = linear(singles(form, 10, 100))
  np.testing.assert_allclose(
    np.asarray(found)[:, 0, 0], [10, 20, 300, 400], rtol=1e-6
  )


@FORMS
def test_other_tasks_experts_are_seen_and_not_trained(form):
  def read(values):
    x = layers.stack([jnp.array([[v]]) for v in layers.unstack(values)], form)
    found = stem.task_specific(x, np.array([True, False, True]))
    return sum(jnp.sum(member) for member in found)

  value, slopes = jax.value_and_grad(read)(jnp.array([1.0, 10.0, 100.0]))
  assert value == 111.0
  np.testing.assert_array_equal(slopes, [1.0, 0.0, 1.0])


def test_a_task_trains_its_own_and_the_shared_embeddings_alone():
  spec = small.spec()
  network = factory.make_actor(spec, 'stem', small.CONFIG)
  params, inputs = small.params(network), small.inputs(spec)

  @small.jit
  def slopes(params):
    return jax.jacobian(
      lambda p: functional.apply(network, p, inputs).sum((0, 1))
    )(params)

  found = slopes(params)
  tables = [found[f'task_{k}']['first']['table'] for k in range(2)]
  reached = [
    [bool(np.any(table[k])) for k in range(2)]
    for table in (*tables, found['first']['table'])
  ]
  assert reached == [[True, False], [False, True], [True, True]]


def test_a_gate_unit_by_hand():
  linear = layers.Linear(2, 1, 1.0, nnx.Rngs(params=jax.random.key(0)))
  linear.kernel[...] = jnp.array([[1.0], [5.0]])
  found = pepnet.gate_unit(jnp.array([[3.0, -9.0], [-1.0, -1.0]]), linear)
  # The negative units are off; a gate that hears nothing scales by 1.
  np.testing.assert_allclose(found, [[2 / (1 + np.exp(-3))], [1.0]], rtol=1e-6)


def test_gates_of_pepnet_train_the_domain_and_not_other_embeddings():
  """With a kernel of zeros, embeddings get a gradient by the gates alone."""
  spec = dataclasses.replace(small.spec(multi_valued=False), item_side=())
  network = factory.make_actor(spec, 'pepnet', small.CONFIG)
  params, inputs = small.params(network), small.inputs(spec)
  params['first']['kernel'] *= 0
  slopes = small.jit(
    jax.grad(lambda p: functional.apply(network, p, inputs).sum())
  )(params)['first']['table']
  size = spec.categorical[0]  # the domain's rows; PPNet reads it here too
  assert np.any(slopes[:size]) and not np.any(slopes[size:])


@FORMS
def test_a_layer_of_star_by_hand(form):
  made = star.StarLinear(2, 2, 1, 1, 1.0, setup(expert_form=form))
  made.kernel[...] = jnp.array([[[2.0]], [[3.0]]])
  made.bias[...] = jnp.array([[1.0], [0.0]])
  made.domain_kernel[...] = jnp.array([[[[1.0]], [[5.0]]], [[[1.0]], [[-1.0]]]])
  made.domain_bias[...] = jnp.array([[[0.0], [10.0]], [[0.0], [0.0]]])
  rows = jax.nn.one_hot(jnp.array([0, 1]), 2)
  x = layers.stack([jnp.array([[1.0], [1.0]])] * 2, form)
  first, second = made.of_rows(x, rows)
  # Domain 0: 2 + 1 and 3. Domain 1: 2 * 5 + 1 + 10 and 3 * -1.
  np.testing.assert_allclose(first, [[3.0], [21.0]])
  np.testing.assert_allclose(second, [[3.0], [-3.0]])


def test_the_first_kernel_of_every_domain_by_hand():
  shared = jnp.array([[[2.0, 3.0, 7.0]]])
  own = jnp.array([[[[1.0, 1.0]]], [[[10.0, 100.0]]]])
  found = layers.per_domain(shared, own)
  np.testing.assert_array_equal(found, [[[2, 3, 20, 300, 7]]])
  both = layers.per_domain(jnp.stack([shared, -shared]), jnp.stack([own, own]))
  np.testing.assert_array_equal(both, jnp.stack([found, -found]))


def test_rows_of_one_domain_do_not_train_anothers_layers():
  spec = small.spec()
  network = factory.make_actor(spec, 'star', small.CONFIG)
  params, inputs = small.params(network), small.inputs(spec)
  inputs.categorical[..., spec.domain] = 2
  slopes = small.jit(
    jax.grad(lambda p: functional.apply(network, p, inputs).sum())
  )(params)
  for path, leaf in jax.tree_util.tree_leaves_with_path(slopes):
    name = path[-1].key
    if name.startswith('domain'):
      axis = 1 if path[0].key.startswith(('bottom', 'tower')) else 0
      others = np.delete(np.asarray(leaf), 2, axis)
      assert not others.any() and np.any(leaf), path


@pytest.mark.parametrize('backbone', ['pepnet', 'star'])
def test_a_domain_is_needed(backbone):
  for config, domain in (('', None), ('a', 0)):
    spec = dataclasses.replace(
      small.spec(), domain=domain, names=('a', 'b', 'c', 'd')
    )
    with pytest.raises(types.InputError, match='names a domain_field'):
      factory.make_actor(
        spec, backbone, dataclasses.replace(small.CONFIG, ignore=config)
      )


def test_star_has_a_layer_for_every_domain_up_to_a_number():
  spec = dataclasses.replace(small.spec(), categorical=(65, 6))
  with pytest.raises(types.InputError, match='at most 64; found 65'):
    factory.make_actor(spec, 'star', small.CONFIG)
