"""One table of hand-made weights runs every weighting through every check."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.weighting import (
  chain,
  relative,
  scale_by_q,
  weighting_registry,
)
from tests import paper, registries
from tests.weighting import example

EVERY = pytest.mark.parametrize('name', list(weighting_registry.RECORDS))
BUILT_ALONE = {
  'critic': scale_by_q.scale_by_critic,
  'label_times_q': scale_by_q.scale_by_label_times_q,
  'advantage': relative.scale_by_advantage,
  'q_shuffled': lambda lambda_: scale_by_q.shuffle_weights(
    scale_by_q.scale_by_critic(lambda_)
  ),
}
BY_LAMBDA = pytest.mark.parametrize('name', list(BUILT_ALONE))


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


def compiled(weighting):
  """The update, jitted, from the state and the random seed."""

  @jax.jit
  def update(state, seed):
    return weighting.update(
      jnp.asarray(example.COTANGENT), state, **example.extra(seed=seed)
    )

  return update


@BY_LAMBDA
def test_one_compiled_step_serves_every_lambda(name):
  weighting, _ = example.make(name, lambda_=0.0)
  update = compiled(weighting)
  for lambda_ in (0.3, 0.9):
    _, state = example.make(name, lambda_=lambda_)
    constant = BUILT_ALONE[name](lambda_=float(lambda_))
    for seed in range(2):
      weighted, state = update(state, seed)
      expected, _ = constant.update(
        jnp.asarray(example.COTANGENT),
        constant.init(jnp.zeros(())),
        **example.extra(seed=seed),
      )
      np.testing.assert_allclose(weighted, expected, rtol=1e-6)
  assert update._cache_size() == 1


@BY_LAMBDA
def test_lambda_zero_is_no_weighting(name):
  weighting, state = example.make(name, lambda_=0.0)
  weighted, _ = weighting.update(
    jnp.asarray(example.COTANGENT), state, **example.extra()
  )
  np.testing.assert_array_equal(weighted, example.COTANGENT)


@EVERY
def test_a_record_tells_what_asks_critics(name):
  weighting, state = example.make(name)
  extra = example.extra()
  extra.pop('q_values')
  update = functools.partial(
    weighting.update, jnp.asarray(example.COTANGENT), state, **extra
  )
  if weighting_registry.find(name).ascends_q:  # which asks, not the weights
    assert weighting_registry.find(name).asks_every_step
    example.assert_weighted(name, update()[0], example.WEIGHTS[name])
  elif weighting_registry.find(name).asks_every_step:
    with pytest.raises(TypeError, match='q_values'):
      update()
  else:
    example.assert_weighted(name, update()[0], example.WEIGHTS[name])


@pytest.mark.parametrize('form', weighting_registry.FORMS)
def test_a_shuffle_permutes_the_weights_of_its_form(form):
  """Over the valid rows, all tasks of a row together."""
  weighting, state = example.make('q_shuffled', form=form)
  update = compiled(weighting)
  found = [update(state, seed)[0] for seed in range(6)]
  for weighted in found:
    rows = np.asarray(weighted)[0, :3] / example.COTANGENT[0, :3]
    expected = np.asarray(example.WEIGHTS[form])[:3]
    np.testing.assert_allclose(
      rows[np.lexsort(rows.T.round(3))],
      expected[np.lexsort(expected.T.round(3))],
      rtol=1e-6,
    )
    np.testing.assert_array_equal(np.asarray(weighted)[0, 3], [0.0, 0.0])
  assert np.std([np.asarray(w) for w in found], axis=0).max() > 0.01


def _scale_by_worst(lambda_):
  return scale_by_q.stateless(
    lambda updates, q_values, **_: updates * (q_values < -lambda_)
  )


@pytest.fixture
def worst():
  """A weighting of one's own, `worst`, for one test."""
  kept = registries.Registries()
  weighting_registry.register_weighting('worst', _scale_by_worst)
  yield
  kept.undo()


@pytest.mark.usefixtures('worst')
@pytest.mark.parametrize(
  ('settings', 'weights'),
  [
    ({}, [[1, 1], [0, 0], [1, 1]]),
    ({'lambda_': 1.5}, [[0, 1], [0, 0], [1, 0]]),
  ],
)
def test_a_registered_weighting_is_one_like_others(settings, weights):
  config = config_lib.WeightingConfig(
    name='worst', **{'lambda_': example.LAMBDA, **settings}
  )
  config_values.validate(paper.config(weighting=config))
  weighting = chain.make_weighting(config)
  state = weighting.init(jnp.zeros(()))
  weighted, _ = weighting.update(
    jnp.asarray(example.COTANGENT), state, **example.extra()
  )
  example.assert_weighted('worst', weighted, weights)
