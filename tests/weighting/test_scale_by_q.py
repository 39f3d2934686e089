import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax.weighting import relative, scale_by_q

SHUFFLE = jax.jit(scale_by_q.shuffle_rows)


@pytest.mark.parametrize(
  'function', [scale_by_q.critic_weights, jax.jit(scale_by_q.critic_weights)]
)
def test_critic_weights_by_hand(function):
  value = function(jnp.array([[-1.0, 0.0], [-0.5, 2.0]]), 0.7)
  np.testing.assert_allclose(value, [[1.7, 1.0], [1.35, 0.0]], rtol=1e-6)


def test_critic_weights_have_a_gradient_in_lambda_alone():
  gradients = jax.grad(scale_by_q.critic_weights, argnums=(0, 1))(-2.0, 0.7)
  assert [float(g) for g in gradients] == [0.0, 2.0]


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(bool, (2, 5)), st.integers(0, 2**31 - 1))
def test_shuffle_permutes_valid_rows_alone(mask, seed):
  # Both tasks of a row carry the row's number, so a split pair would show.
  number = np.arange(10, dtype=np.float32).reshape(2, 5)
  values = np.stack([number, -number], axis=-1)
  moved = np.asarray(SHUFFLE(jax.random.key(seed), values, mask))
  np.testing.assert_array_equal(moved[..., 0], -moved[..., 1])
  np.testing.assert_array_equal(moved[~mask], values[~mask])
  np.testing.assert_array_equal(np.sort(moved[mask][:, 0]), number[mask])


def test_shuffle_sends_every_row_everywhere():
  mask = np.array([[True, False, True, True, False]])
  values = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
  keys = jax.random.split(jax.random.key(0), 1200)
  moved = jax.vmap(SHUFFLE, (0, None, None))(keys, values, mask)
  moved = np.asarray(moved)[:, 0, :, 0]
  for goal in (0, 2, 3):
    counts = np.bincount(moved[:, goal].astype(int), minlength=5)
    assert counts[1] == counts[4] == 0
    # Binomial(1200, 1/3): mean 400, standard deviation 16.3.
    assert np.all(np.abs(counts[[0, 2, 3]] - 400) < 5 * 16.4)
  orders, counts = np.unique(moved[:, [0, 2, 3]], axis=0, return_counts=True)
  # All six orders: mean 200, standard deviation 12.9.
  assert len(orders) == 6
  assert np.all(np.abs(counts - 200) < 5 * 12.9)


def test_shuffle_keeps_the_values_of_rows_where_a_task_is_observed():
  """Tasks 0 and 2 in rows 0, 1 and 3, task 1 in rows 2 and 4."""
  mask = np.array([[True, True, True, True, True, False]])
  weight = np.array([[[2, 0, 1], [1, 0, 1], [0, 1, 0], [3, 0, 1], [0, 1, 0]]])
  weight = np.pad(weight, ((0, 0), (0, 1), (0, 0)), constant_values=1)
  weight = weight.astype(np.float32)
  rows = np.arange(6, dtype=np.float32)
  values = np.stack([rows, rows, rows], -1)[None]
  keys = jax.random.split(jax.random.key(0), 50)
  moved = jax.vmap(SHUFFLE, (0, None, None, None))(keys, values, mask, weight)
  moved = np.asarray(moved)[:, 0]
  for task, seen in enumerate(([0, 1, 3], [2, 4], [0, 1, 3])):
    own = moved[:, seen, task]
    np.testing.assert_array_equal(np.sort(own), np.tile(seen, (50, 1)))
    assert len(np.unique(own, axis=0)) == (2 if task == 1 else 6)
    others = np.setdiff1d(np.arange(6), seen)
    assert np.all(moved[:, others, task] == others)
  np.testing.assert_array_equal(moved[..., 0], moved[..., 2])
  # So the control of weights that average 1 averages 1 too.
  link = scale_by_q.shuffle_weights(relative.scale_by_advantage(0.5))
  ones = jnp.ones((1, 6, 3))
  weighted, _ = link.update(
    ones,
    link.init(ones),
    q_values=-jnp.asarray(values),
    mask=mask,
    key=keys[0],
    sample_weight=(weight > 0).astype(np.float32),
  )
  for task, seen in enumerate(([0, 1, 3], [2, 4], [0, 1, 3])):
    assert np.mean(weighted[0, seen, task]) == pytest.approx(1.0, abs=1e-6)
