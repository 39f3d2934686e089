import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.ops import rewards

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)
ACTIONS = st.floats(0.0, 1.0, width=32)


@VARIANTS
def test_log_likelihood_by_hand(variant):
  value = variant(rewards.log_likelihood)(
    jnp.array([[0.8, 0.8], [0.25, 0.5]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
  )
  expected = [[-0.2231436, -1.6094379], [-0.2876821, -0.6931472]]
  np.testing.assert_allclose(value, expected, atol=1e-6)


@VARIANTS
def test_log_likelihood_is_clipped(variant):
  # log(1e-4) at the wrong end, log(1 - 1e-4) at the right one.
  value = variant(rewards.log_likelihood)(
    jnp.array([0.0, 1.0, 0.0, 1.0]), jnp.array([1.0, 0.0, 0.0, 1.0])
  )
  expected = [-9.2103404, -9.2103404, -1.0000500e-4, -1.0000500e-4]
  np.testing.assert_allclose(value[:2], expected[:2], rtol=2e-5)
  np.testing.assert_allclose(value[2:], expected[2:], atol=1e-7)


@settings(deadline=None, max_examples=50)
@given(ACTIONS, st.sampled_from([0.0, 1.0]))
def test_log_likelihood_is_negative_and_bounded(action, label):
  value = rewards.log_likelihood(jnp.float32(action), jnp.float32(label))
  assert -9.2106 <= float(value) < 0


@settings(deadline=None, max_examples=50)
@given(st.floats(1 / 64, 63 / 64, width=32))
def test_log_likelihood_knows_no_side(action):
  one = rewards.log_likelihood(jnp.float32(action), jnp.float32(1))
  zero = rewards.log_likelihood(jnp.float32(1 - action), jnp.float32(0))
  np.testing.assert_allclose(one, zero, rtol=1e-5)


def test_log_likelihood_gradient():
  # (y - a) / (a (1 - a)) within the margins, 0 where the action is clipped.
  gradient = jax.vmap(jax.grad(rewards.log_likelihood))(
    jnp.array([0.2, 0.2, 0.0, 1.0]), jnp.array([1.0, 0.0, 1.0, 0.0])
  )
  np.testing.assert_allclose(gradient, [5.0, -1.25, 0.0, 0.0], rtol=1e-6)


def test_the_better_action_earns_more():
  reward = rewards.log_likelihood
  actions = jnp.linspace(0.0, 1.0, 101)
  assert bool(jnp.all(jnp.diff(reward(actions, jnp.ones(101))) >= 0))
  assert bool(jnp.all(jnp.diff(reward(actions, jnp.zeros(101))) <= 0))


def test_shapes_must_agree():
  with pytest.raises(ValueError, match='one shape'):
    rewards.log_likelihood(jnp.zeros((3, 2)), jnp.zeros((3, 1)))
