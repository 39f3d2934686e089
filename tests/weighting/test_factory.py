"""One table of hand-made weights runs every weighting through every check."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.weighting import factory
from tests.weighting import example

EVERY = pytest.mark.parametrize('name', config_lib.WEIGHTINGS)
BY_LAMBDA = pytest.mark.parametrize(
  'name', ['critic', 'label_times_q', 'q_shuffled']
)


def test_the_table_has_every_weighting():
  assert set(example.WEIGHTS) == set(config_lib.WEIGHTINGS)


@EVERY
@pytest.mark.parametrize('jit', [False, True], ids=['eager', 'jit'])
def test_weights_by_hand(name, jit):
  weighting, state = example.make(name)
  update = jax.jit(weighting.update) if jit else weighting.update
  weighted, _ = update(jnp.asarray(example.COTANGENT), state, **example.extra())
  example.assert_weighted(name, weighted, example.WEIGHTS[name])


@EVERY
def test_weights_have_no_gradient(name):
  weighting, state = example.make(name)

  def total(q_values):
    extra = example.extra(q_values)
    weighted, _ = weighting.update(
      jnp.asarray(example.COTANGENT), state, **extra
    )
    return jnp.sum(weighted)

  gradient = jax.grad(total)(jnp.asarray(example.Q_VALUES))
  np.testing.assert_array_equal(gradient, np.zeros((1, 4, 2)))


@EVERY
def test_links_of_a_chain(name):
  weighting, _ = example.make(name)
  chain = optax.chain(weighting, optax.scale(2.0))
  weighted, _ = chain.update(
    jnp.asarray(example.COTANGENT), chain.init(jnp.zeros(())), **example.extra()
  )
  weights = 2 * np.asarray(example.WEIGHTS[name])
  example.assert_weighted(name, weighted, weights)


@EVERY
def test_two_weightings_multiply(name):
  first, _ = example.make(name)
  second, _ = example.make('critic')
  chain = optax.chain(first, second)
  weighted, _ = chain.update(
    jnp.ones((1, 4, 2)), chain.init(jnp.zeros(())), **example.extra()
  )
  alone, _ = first.update(
    jnp.ones((1, 4, 2)), first.init(jnp.zeros(())), **example.extra()
  )
  expected = np.asarray(alone) * example.WEIGHTS['critic']
  np.testing.assert_allclose(weighted, expected, rtol=1e-6)


@EVERY
@pytest.mark.parametrize('warmup', [0, 3])
@pytest.mark.parametrize('max_weight', [0.0, 1.5])
def test_steps_do_not_compile_again(name, warmup, max_weight):
  weighting, state = example.make(
    name, lambda_warmup_steps=warmup, max_weight=max_weight
  )
  traces = []

  @jax.jit
  def update(state, seed):
    traces.append(seed)
    extra = {**example.extra(), 'key': jax.random.key(seed)}
    return weighting.update(jnp.asarray(example.COTANGENT), state, **extra)

  for seed in range(4):
    _, state = update(state, seed)
  assert len(traces) == 1


@EVERY
def test_max_weight_bounds_the_weights(name):
  weighting, state = example.make(name, max_weight=1.5)
  weighted, _ = weighting.update(
    jnp.asarray(example.COTANGENT), state, **example.extra()
  )
  weights = np.minimum(example.WEIGHTS[name], 1.5)
  example.assert_weighted(name, weighted, weights)


@BY_LAMBDA
@pytest.mark.parametrize('max_weight', [0.0, 1.2])
def test_lambda_rises_linearly_from_zero(name, max_weight):
  weighting, state = example.make(
    name, lambda_warmup_steps=4, max_weight=max_weight
  )
  update = jax.jit(weighting.update)
  full = np.asarray(example.WEIGHTS[name])
  for share in (0.0, 0.25, 0.5, 0.75, 1.0, 1.0):
    weighted, state = update(
      jnp.asarray(example.COTANGENT), state, **example.extra()
    )
    weights = 1 + share * (full - 1)
    if max_weight:
      weights = np.minimum(weights, max_weight)
    example.assert_weighted(name, weighted, weights)


@pytest.mark.parametrize('name', ['negative_q', 'constant_mean', 'constant'])
def test_warmup_leaves_weights_without_lambda_alone(name):
  weighting, state = example.make(name, lambda_warmup_steps=4)
  weighted, _ = weighting.update(
    jnp.asarray(example.COTANGENT), state, **example.extra()
  )
  example.assert_weighted(name, weighted, example.WEIGHTS[name])


@BY_LAMBDA
def test_lambda_zero_is_no_weighting(name):
  weighting, state = example.make(name, lambda_=0.0)
  weighted, _ = weighting.update(
    jnp.asarray(example.COTANGENT), state, **example.extra()
  )
  np.testing.assert_array_equal(weighted, example.COTANGENT)


@EVERY
def test_needs_critic_tells_what_reads_q_values(name):
  weighting, state = example.make(name)
  extra = example.extra()
  extra.pop('q_values')
  update = functools.partial(
    weighting.update, jnp.asarray(example.COTANGENT), state, **extra
  )
  if factory.needs_critic(name):
    with pytest.raises(TypeError, match='q_values'):
      update()
  else:
    example.assert_weighted(name, update()[0], example.WEIGHTS[name])


def test_constant_mean_needs_the_means():
  config = config_lib.WeightingConfig(name='constant_mean')
  with pytest.raises(types.InputError, match='constant_mean: needs the mean'):
    factory.make_weighting(config)


def test_an_unknown_weighting_is_named():
  config = config_lib.WeightingConfig(name='critics')
  with pytest.raises(types.InputError, match=r"'critics' is not one of critic"):
    factory.make_weighting(config)
