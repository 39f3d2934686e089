import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.contrib.weightings import td3_bc
from tests.updates import problem
from tests.updates import test_finetune as common


def test_td3_bc_descends_the_loss_and_climbs_q():
  """d / d logit: (p - y - lambda / mean |Q| dQ / da p (1 - p)) / (rows K)."""
  actor, critic = problem.actor(), problem.critic('separate')
  config = common.frozen('td3_bc', lambda_=2.0)
  step, init = common.make(actor, critic, config)
  params = problem.actor_params(actor)
  critic_params = problem.critic_params(critic, 'separate')
  new_full, metrics = jax.jit(step)(
    init(params, critic_params), problem.batch(common.ROWS), common.KEY
  )
  run = problem.actor_outputs()
  logits, _ = run(params, common.ROWS, common.NOTHING)
  policy = 1 / (1 + np.exp(-np.float64(logits)))
  q, _ = problem.critic_outputs('separate')(
    critic_params, common.ROWS, common.NOTHING, jnp.float32(policy)
  )
  problem.assert_varies(q)
  share = 2.0 / np.abs(np.float64(q)).mean(0)
  slope = np.float64(common.slopes(critic, critic_params, policy))
  climb = share * slope * policy * (1 - policy)
  assert np.abs(climb).max() > 0.05
  gradient = (policy - np.asarray(common.ROWS.labels) - climb) / policy.size
  _, expected = run(params, common.ROWS, jnp.float32(gradient))
  problem.assert_trees_close(
    new_full.actor.opt_state, expected, rtol=1e-5, atol=2e-6
  )
  common.assert_cross_entropy_is_logged(metrics, logits)


def test_td3_bc_on_a_linear_problem_by_hand():
  """Actions a = w x and Q = -2 (a - c)^2 + d in one task, one padded row."""
  x = jnp.array([[[1.0], [2.0], [3.0]]])
  mask = jnp.array([[True, True, False]])
  goal, level = jnp.array([[[0.5], [0.25], [0.0]]]), -1.0

  def total(w, lambda_):
    actions = w * x
    q_values = -2.0 * jnp.square(actions - goal) + level
    row_losses = jnp.square(actions)  # any loss
    losses = td3_bc.td3_bc_losses(row_losses, q_values, mask, lambda_)
    return jnp.sum(losses, where=mask[..., None])

  # At w = 0.5: a = 0.5, 1; Q = -1, -2.125, mean |Q| 1.5625;
  # dQ/dw = -4 (a - c) x = 0, -6; d a^2 / dw = 2 a x = 1, 4.
  gradient = jax.grad(total)(0.5, 0.5)
  np.testing.assert_allclose(gradient, 5 + 0.5 / 1.5625 * 6, rtol=1e-6)
  np.testing.assert_allclose(jax.grad(total)(0.5, 0.0), 5, rtol=1e-6)


def test_td3_bc_averages_over_the_rows_that_count_for_the_task():
  """Weights 1, 3 and 0: mean |Q| = (1 + 3 * 2) / 4, and the third is unseen."""
  q_values = jnp.array([[[-1.0], [-2.0], [-50.0]]])
  weight = jnp.array([[[1.0], [3.0], [0.0]]])
  found = td3_bc.td3_bc_losses(
    jnp.zeros((1, 3, 1)), q_values, jnp.ones((1, 3), bool), 0.7, weight
  )
  np.testing.assert_allclose(found, -0.4 * q_values, rtol=1e-6)


def test_an_unobserved_row_is_no_row_of_a_step():
  actor, critic = problem.actor(), problem.critic('separate')
  step, init = common.make(actor, critic, common.frozen('td3_bc', lambda_=2.0))
  state = init(
    problem.actor_params(actor), problem.critic_params(critic, 'separate')
  )
  batch = problem.batch(common.ROWS)
  first = np.zeros(batch.mask.shape, bool)
  first[0, 0] = True
  seen = jnp.where(first[..., None], 0.0, jnp.ones_like(batch.labels))
  steps = (
    jax.jit(step)(state, one, common.KEY)[0].actor.opt_state
    for one in (
      batch._replace(sample_weight=seen),
      batch._replace(mask=batch.mask & ~first),
    )
  )
  problem.assert_trees_close(*steps, rtol=1e-5, atol=1e-7)


def test_td3_bc_without_values_descends_the_loss():
  row_losses, zero = jnp.array([[[1.0], [2.0]]]), jnp.zeros((1, 2, 1))
  mask = jnp.ones((1, 2), bool)
  found = td3_bc.td3_bc_losses(row_losses, zero, mask, jnp.float32(0.7))
  np.testing.assert_array_equal(found, row_losses)


def test_td3_bc_at_lambda_zero_is_the_control():
  zero = common.two_steps(common.frozen('td3_bc', lambda_=0.0))[0]
  constant = common.two_steps(common.frozen('constant'))[0]
  for one, other in zip(zero, constant, strict=True):
    problem.assert_trees_close(
      one.actor.params, other.actor.params, rtol=1e-6, atol=1e-7
    )
