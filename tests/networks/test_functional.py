from __future__ import annotations

import jax
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.networks import factory, functional
from rmtl_jax.networks import registry as networks_registry
from tests import tiers
from tests.networks import small

NAMES = (*networks_registry.trained(), 'shared', 'separate')
BATCHED = ('mmoe', 'ple', 'single_task', 'shared')


@pytest.mark.parametrize('name', tiers.some(NAMES, BATCHED))
def test_batched_equals_separate_even_with_dropout(name):
  inputs = small.inputs(small.spec())
  results = []
  for form in ('separate', 'batched'):
    network, args = small.named(name, expert_form=form, dropout=0.4)
    params = small.params(network)
    key = jax.random.key(3)
    results.append(
      [
        small.run(network, params, inputs, *args),
        small.run(network, params, inputs, *args, dropout_key=key),
      ]
    )
  separate, batched = results
  np.testing.assert_allclose(separate, batched, rtol=1e-5, atol=1e-5)
  # A linear model has no hidden units to drop.
  assert np.abs(separate[0] - separate[1]).max() > 1e-3


@pytest.mark.parametrize('name', tiers.some(NAMES, tiers.NETWORKS))
def test_parameters_have_strong_types(name):
  assert not small.weak(small.named(name)[0])


def test_auto_is_separate_on_cpu():
  if jax.default_backend() != 'cpu':
    pytest.skip('needs the CPU backend')
  network, _ = small.named('mmoe', expert_form='auto')
  separate, _ = small.named('mmoe', expert_form='separate')
  inputs = small.inputs(small.spec())
  params = small.params(network)

  def program(network):
    return str(
      jax.make_jaxpr(lambda p: functional.apply(network, p, inputs))(params)
    )

  assert program(network) == program(separate)


# Gates, a link, and critics of their own.
QUICK = ('mmoe', 'esmm', 'separate')


@pytest.mark.parametrize('name', tiers.some(NAMES, QUICK))
def test_gradients_equal_finite_differences(name):
  network, args = small.named(name, dropout=0.3)
  inputs = small.inputs(small.spec())
  rng = np.random.default_rng(1)
  weights = rng.normal(size=(small.LANES, small.SLOTS, 2))

  params = jax.tree.map(
    lambda p: np.asarray(p, np.float64), small.params(network)
  )

  # In float64 a step can be so small that no unit changes its mind on it.
  with jax.enable_x64(True):
    key = jax.random.key(5)
    direction = jax.tree.map(lambda p: rng.normal(size=p.shape), params)

    @small.jit
    def slopes(params, direction):
      def loss(params):
        out = functional.apply(network, params, inputs, *args, dropout_key=key)
        return (out * weights).sum()

      def along(size):
        return loss(jax.tree.map(lambda p, d: p + size * d, params, direction))

      gradient = jax.grad(loss)(params)
      products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
      difference = (along(1e-6) - along(-1e-6)) / 2e-6
      return sum(jax.tree.leaves(products)), difference

    exact, difference = map(np.asarray, slopes(params, direction))
  assert exact.dtype == np.float64
  assert abs(exact) > 1e-2
  np.testing.assert_allclose(exact, difference, rtol=1e-5)


@pytest.mark.parametrize('form', ['shared', 'separate'])
def test_q_of_a_task_depends_on_its_own_action_only(form):
  critic = config_lib.CriticConfig(form=form, head='linear')
  network = factory.make_critic(small.spec(), small.CONFIG, critic)
  inputs = small.inputs(small.spec())
  params = small.params(network)
  jacobian = small.jit(
    jax.jacobian(lambda a: functional.apply(network, params, inputs, a))
  )(small.actions(2))
  size = small.LANES * small.SLOTS * 2
  jacobian = np.asarray(jacobian).reshape(size, size)
  assert (np.abs(np.diag(jacobian)) > 1e-3).mean() > 0.5
  np.testing.assert_array_equal(jacobian - np.diag(np.diag(jacobian)), 0)


@pytest.mark.parametrize('name', tiers.some(NAMES, tiers.NETWORKS))
def test_nothing_is_compiled_twice(name):
  network, args = small.named(name)
  traces = []

  @small.jit
  def step(params, inputs, key):
    traces.append(1)
    return functional.apply(network, params, inputs, *args, dropout_key=key)

  params = small.params(network)
  for seed in range(3):
    inputs = small.inputs(small.spec(), seed)
    step(params, inputs, jax.random.key(seed))
  assert len(traces) == 1


@pytest.mark.parametrize('name', ['mmoe', 'single_task', 'shared'])
def test_lanes_have_dropout_of_their_own(name):
  network, args = small.named(
    name, dropout=0.5, bottom_units=(16,), tower_units=(16,)
  )
  one = small.inputs(small.spec(), lanes=1)
  inputs = jax.tree.map(lambda x: np.repeat(x, 4, axis=0), one)
  args = tuple(np.repeat(arg[:1], 4, axis=0) for arg in args)
  params = small.params(network)
  function = small.jit(
    lambda key: functional.apply(
      network, params, inputs, *args, dropout_key=key
    )
  )
  key = jax.random.key(0)
  plain = small.run(network, params, inputs, *args)
  np.testing.assert_allclose(plain, np.repeat(plain[:1], 4, axis=0), rtol=1e-5)
  first, again = np.asarray(function(key)), np.asarray(function(key))
  other = np.asarray(function(jax.random.key(1)))
  np.testing.assert_array_equal(first, again)
  assert len(np.unique(first, axis=0)) == 4
  assert (first != other).any()
  # A lane's result is that of its own key, whatever the other lanes are.
  lane = jax.vmap(
    lambda shared, *rest: network.lane(
      params, shared, *rest, dropout_key=jax.random.fold_in(key, 2)
    ),
    in_axes=(network.shared_axes, 0, *(0 for _ in args)),
  )
  alone = small.jit(lane)(
    network.share(params, one), one, *(arg[:1] for arg in args)
  )
  np.testing.assert_allclose(first[2], alone[0], rtol=1e-5, atol=1e-5)


def test_tasks_of_a_stack_have_dropout_of_their_own():
  network, _ = small.named('single_task', dropout=0.5)
  params = small.params(network)
  same = jax.tree.map(lambda p: np.repeat(p[:1], 2, axis=0), params)
  inputs = small.inputs(small.spec())
  plain = small.run(network, same, inputs)
  np.testing.assert_array_equal(plain[..., 0], plain[..., 1])
  dropped = small.run(network, same, inputs, dropout_key=jax.random.key(0))
  assert (dropped[..., 0] != dropped[..., 1]).any()


def test_members_of_a_stack_start_different():
  network, _ = small.named('single_task')
  params = network.init(jax.random.key(0))
  for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
    if path[-1].key != 'bias':
      assert (np.asarray(leaf[0]) != np.asarray(leaf[1])).any()


def test_lane_keys_differ_and_follow_the_key():
  assert functional.lane_keys(None, 3) is None
  keys = functional.lane_keys(jax.random.key(0), 3)
  assert keys is not None and keys.shape == (3,)
  data = jax.random.key_data(keys)
  assert len(np.unique(data, axis=0)) == 3
  np.testing.assert_array_equal(
    data[2], jax.random.key_data(jax.random.fold_in(jax.random.key(0), 2))
  )
