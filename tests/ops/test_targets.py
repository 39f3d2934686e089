import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import targets

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)

LAMBDA_VALUES = jax.jit(targets.lambda_values)


@VARIANTS
def test_td_target_by_hand(variant):
  target = variant(targets.td_target)
  value = target(jnp.float32(-0.5), jnp.float32(0.9), jnp.float32(-2.0))
  np.testing.assert_allclose(value, -2.3, rtol=1e-6)
  value = target(jnp.float32(-0.5), jnp.float32(0.0), jnp.float32(-2.0))
  assert float(value) == -0.5


@VARIANTS
def test_lane_targets_by_hand(variant):
  # Sessions of 2, 1 and 2 rows, then one slot of padding.
  reward = jnp.array([[-1.0], [-2.0], [-3.0], [-4.0], [-5.0], [7.0]])
  q = jnp.array([[-10.0], [-20.0], [-30.0], [-40.0], [-50.0], [8.0]])
  is_last = jnp.array([False, True, True, False, True, False])
  value = variant(targets.lane_targets)(reward, q, is_last, 0.5)
  np.testing.assert_array_equal(value[:5, 0], [-11.0, -2.0, -3.0, -29.0, -5.0])


def test_lane_targets_have_no_gradient():
  def total(reward, q, discount):
    is_last = jnp.array([False, True, False])
    return jnp.sum(targets.lane_targets(reward, q, is_last, discount))

  gradients = jax.grad(total, argnums=(0, 1, 2))(
    jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.float32(0.9)
  )
  assert not any(np.any(g) for g in gradients)


# A session of three rows, one of one row, and a piece that is cut.
REWARD = jnp.array([[-1.0], [-2.0], [-4.0], [-8.0], [-16.0], [-32.0]])
VALUE = jnp.array([[-10.0], [-20.0], [-30.0], [-40.0], [-50.0], [-60.0]])
IS_LAST = jnp.array([False, False, True, True, False, False])
SEGMENT = jnp.array([0, 0, 0, 1, 2, 2])


@VARIANTS
def test_td_mask_at_cuts_and_padding(variant):
  # A session of two rows; a piece of two rows that is cut; its rest, one row;
  # a piece at the lane's end that goes on elsewhere would be cut as well.
  slots = [
    # mask, is_last, segment, expected
    (True, False, 4, True),
    (True, True, 4, True),
    (True, False, 7, True),
    (True, False, 7, False),
    (True, True, 8, True),
    (False, False, -1, False),
    (False, False, -1, False),
    (True, False, 9, True),
    (True, False, 9, False),
  ]
  mask, is_last, segment, expected = map(np.array, zip(*slots, strict=True))
  value = variant(targets.td_mask)(
    jnp.asarray(mask), jnp.asarray(is_last), jnp.asarray(segment)
  )
  np.testing.assert_array_equal(value, expected)


@VARIANTS
def test_lambda_values_by_hand(variant):
  function = variant(
    lambda *args: targets.lambda_values(*args, discount=0.5, td_lambda=0.5)
  )
  value = function(REWARD, VALUE, IS_LAST, targets.goes_on(SEGMENT))
  third = 0.5 * -30 + 0.5 * -4
  second = 0.5 * -20 + 0.5 * (-2 + 0.5 * third)
  first = 0.5 * -10 + 0.5 * (-1 + 0.5 * second)
  cut = 0.5 * -50 + 0.5 * (-16 + 0.5 * -60)
  np.testing.assert_allclose(
    value[:, 0], [first, second, third, 0.5 * -40 + 0.5 * -8, cut, -60]
  )


@settings(deadline=None, max_examples=30)
@given(
  st.permutations([1, 2, 6]),
  st.floats(0, 1, width=32),
  st.integers(0, 2**31 - 1),
)
def test_the_ends_of_lambda_are_one_step_and_the_return(
  lengths, discount, seed
):
  rng = np.random.default_rng(seed)
  reward, q = -rng.random((2, sum(lengths), 2)).astype(np.float32)
  segment = np.repeat(np.arange(3), lengths)
  is_last = np.append(segment[1:] != segment[:-1], True)
  args = (reward, q, is_last, targets.goes_on(jnp.asarray(segment)), discount)
  np.testing.assert_array_equal(LAMBDA_VALUES(*args, td_lambda=0.0), q)
  returns = critic_statistics.discounted_returns(reward, segment, discount)
  found = LAMBDA_VALUES(*args, td_lambda=1.0)
  np.testing.assert_allclose(found, returns, rtol=1e-5, atol=1e-6)
