"""Sample weights in the steps: hand-computed, and as rows that repeat."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import types
from rmtl_jax.ops import rewards
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import state, weighted_grad
from tests import paper
from tests.updates import problem, reference

ROWS = problem.columns()
WEIGHT = np.random.default_rng(5).integers(0, 3, (problem.ROWS, 2))
WEIGHTED = ROWS._replace(sample_weight=jnp.asarray(WEIGHT, jnp.float32))


def test_a_tasks_mean_is_over_its_own_weights():
  mask = jnp.array([[True, True, False]])
  weight = jnp.array([[[2.0, 0.0], [2.0, 0.0], [9.0, 9.0]]])
  value = weighted_grad.mean_cotangent(mask, 2, weight)
  np.testing.assert_array_equal(value, [[[0.25, 0.0], [0.25, 0.0], [0.0, 0.0]]])


@pytest.mark.parametrize('fraction', [1.0, 0.5])
def test_a_step_descends_each_tasks_weighted_mean(fraction):
  """Against numpy; only the ratios of weights count."""
  network = problem.actor()
  params = problem.actor_params(network)
  run = problem.actor_outputs()
  logits, _ = run(params, ROWS, jnp.zeros((problem.ROWS, 2)))
  share = WEIGHT / WEIGHT.sum(0) / 2
  p = 1.0 / (1.0 + np.exp(-np.asarray(logits, np.float64)))
  y = np.asarray(ROWS.labels)
  losses = -(y * np.log(p) + (1 - y) * np.log1p(-p))
  _, expected = run(params, ROWS, jnp.float32(share * (p - y)))
  optimizer = problem.recorder()
  link = optax.with_extra_args_support(optax.identity())
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  rows = ROWS._replace(sample_weight=fraction * WEIGHTED.sample_weight)
  actor, metrics = step(
    state.init_actor(params, optimizer, link),
    problem.batch(rows),
    jax.random.key(0),
  )
  problem.assert_trees_close(actor.opt_state, expected, rtol=1e-5, atol=1e-6)
  means = [metrics[f'loss_{k}'] / metrics[f'rows_{k}'] for k in range(2)]
  np.testing.assert_allclose(np.mean(means), (share * losses).sum(), rtol=1e-5)


def test_an_unobserved_label_pays_nothing_and_later_ones_count():
  found = rewards.observed(jnp.array([-1.0, -2.0]), jnp.array([0.0, 3.0]))
  assert found.tolist() == [0.0, -2.0]
  config = paper.critic(discount=0.9, behaviour='uniform')
  network = problem.critic('shared', config.head)
  params = problem.critic_params(network, 'shared')
  policy = np.random.default_rng(7).random((problem.ROWS, 2), np.float32)

  def errors(rows):
    batch = problem.batch(rows)
    actions = problem.in_slots(policy, batch)
    of_batch = critic_lib.make_td_errors(network, config)
    key = jax.random.key(0)
    found, valid = of_batch(params, params, batch, actions, actions, key)
    return np.asarray(found), np.asarray(valid), batch

  plain, valid, _ = errors(ROWS)
  found, same, batch = errors(WEIGHTED)
  np.testing.assert_array_equal(valid, same)  # every row keeps its TD error
  assert isinstance(batch, types.Batch) and batch.sample_weight is not None
  seen = np.asarray(batch.sample_weight) > 0
  np.testing.assert_array_equal(found[seen], plain[seen])
  q, _ = problem.critic_outputs('shared', config.head)(
    params, ROWS, jnp.zeros((problem.ROWS, 2)), policy
  )
  td = reference.critic_loss(
    reference.pieces(problem.LENGTHS, problem.LANE_LENGTH),
    q,
    [q],
    # With the label as the action the reward is 0, up to the actions' margin.
    np.where(WEIGHT > 0, policy, np.asarray(ROWS.labels)),
    ROWS.labels,
    0.9,
  )
  np.testing.assert_allclose(
    found.mean(-1).sum() / valid.sum(), td.loss, rtol=1e-3
  )
