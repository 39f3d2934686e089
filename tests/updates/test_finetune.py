import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.networks import backbone_registry, functional
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import state
from tests import paper, tiers
from tests.updates import problem, reference

ROWS = problem.columns()
NOTHING = jnp.zeros((problem.ROWS, 2))
LEARNING = paper.critic(in_finetune='learning')
KEY = jax.random.key(0)


@pytest.fixture
def quiet(monkeypatch):
  """The policy's own action, so that numpy needs no random numbers."""
  monkeypatch.setattr(critic_lib, 'BEHAVIOUR_NOISE', 0.0)


@pytest.mark.usefixtures('quiet')
@pytest.mark.parametrize(
  'backbone',
  tiers.some(backbone_registry.trained(), ('mmoe', 'single_task')),
)
def test_learning_step_agrees_with_numpy(backbone):
  """Actor's and critics' losses and gradients, targets from other networks.

  The step's networks share products over the lanes, the reference's do not.
  """
  actor = problem.actor(backbone, first_layer='distinct')
  critic = problem.critic('shared', first_layer='distinct')
  config = paper.config(backbone=backbone, critic=LEARNING)
  step, init = problem.finetuning(actor, critic, config)
  online = problem.critic_params(critic, 'shared')
  target = problem.critic_params(critic, 'shared', 'target')
  params = problem.actor_params(actor)
  target_params = problem.actor_params(actor, 'target')
  full = init(params, online)
  full = full._replace(
    target_actor=target_params,
    critic=full.critic._replace(target_params=target),
  )
  new_full, metrics = jax.jit(step)(full, problem.batch(ROWS), KEY)

  run, values = problem.actor_outputs(backbone), problem.critic_outputs()
  logits, _ = run(params, ROWS, NOTHING)
  policy = 1 / (1 + np.exp(-np.float64(logits)))
  q, _ = values(online, ROWS, NOTHING, jnp.float32(policy))
  problem.assert_varies(q)
  _, row_losses, gradient = reference.weighted_loss(
    logits, ROWS.labels, 1 - 0.7 * np.float64(q)
  )
  _, expected = run(params, ROWS, jnp.float32(gradient))
  problem.assert_trees_close(
    new_full.actor.opt_state, expected, rtol=1e-5, atol=1e-5
  )
  np.testing.assert_allclose(
    metrics['loss'], row_losses.mean(1).sum(), rtol=1e-5
  )

  target_logits, _ = run(target_params, ROWS, NOTHING)
  target_q, _ = values(target, ROWS, NOTHING, jax.nn.sigmoid(target_logits))
  td = reference.critic_loss(
    reference.pieces(problem.LENGTHS, problem.LANE_LENGTH),
    q,
    [target_q],
    policy,
    ROWS.labels,
    config.critic.discount,
  )
  _, expected = values(
    online, ROWS, jnp.float32(td.gradient), jnp.float32(policy)
  )
  problem.assert_trees_close(
    new_full.critic.opt_state, expected, rtol=1e-4, atol=1e-5
  )
  assert float(metrics['td_rows']) == td.rows
  np.testing.assert_allclose(metrics['td_error'], td.loss * td.rows, rtol=1e-4)


def frozen(name, **changes):
  """Settings of frozen critics in the authors' form."""
  return paper.config(
    pretrain=paper.pretrain(l2=0.0),
    critic=paper.critic(form='separate'),
    weighting=config_lib.WeightingConfig(name=name, **changes),
  )


@functools.cache
def two_steps(config, dropout=0.0):
  """The states before, between and after two steps with Adam; the metrics."""
  actor = problem.actor(dropout=dropout)
  critic = problem.critic(config.critic.form, config.critic.head, dropout)
  step, init = problem.finetuning(
    actor, critic, config, state.make_optimizer(1e-3, config.pretrain.l2)
  )
  step = jax.jit(step)
  params = problem.critic_params(critic, config.critic.form)
  states = [init(problem.actor_params(actor), params)]
  history = []
  for i in range(2):
    full, metrics = step(states[-1], problem.batch(ROWS), jax.random.key(i))
    problem.assert_finite((full, metrics))
    states.append(full)
    history.append(metrics)
  assert int(states[-1].step) == 2
  return states, history


@pytest.mark.parametrize(
  'name, period',
  tiers.some(
    [
      ('critic', 1),
      ('label_times_q', 2),
      ('negative_q', 3),
      ('q_shuffled', 1),
      ('ddpg', 2),
      ('advantage', 1),
    ],
    [('critic', 1), ('ddpg', 2)],
  ),
)
def test_two_steps_with_learning_critics(name, period):
  config = paper.config(
    pretrain=paper.pretrain(l2=0.0),
    critic=dataclasses.replace(LEARNING, update_period=period),
    weighting=config_lib.WeightingConfig(name=name),
  )
  states, _ = two_steps(config, 0.2 if name == 'critic' else 0.0)
  problem.assert_all_moved(states[2].actor.params, states[0].actor.params)
  problem.assert_all_moved(states[2].critic.params, states[0].critic.params)
  for i in (1, 2):
    for online, target in (
      (lambda s: s.actor.params, lambda s: s.target_actor),
      (lambda s: s.critic.params, lambda s: s.critic.target_params),
    ):
      old, new = target(states[i - 1]), target(states[i])
      if (i - 1) % period:
        problem.assert_trees_close(new, old, rtol=0)
        continue
      expected = jax.tree.map(
        lambda a, b: 0.2 * a + 0.8 * b,
        *jax.device_get((online(states[i]), old)),
      )
      problem.assert_trees_close(new, expected, rtol=1e-6)
      problem.assert_all_moved(new, old)


@pytest.mark.parametrize(
  'preset', tiers.some(('paper', 'official'), ('paper',))
)
def test_lambda_zero_is_the_control(preset):
  """With critics that learn (paper) or are frozen and drop out (official)."""
  config = config_lib.preset(preset)
  if preset == 'paper':
    config = dataclasses.replace(config, critic=LEARNING)
  config = dataclasses.replace(
    config, weighting=config_lib.WeightingConfig(lambda_=0.0)
  )
  states = two_steps(config, 0.2)[0]
  network = problem.actor(dropout=0.2)
  optimizer = state.make_optimizer(1e-3, config.pretrain.l2)
  actor = state.init_actor(
    problem.actor_params(network), optimizer, optax.identity()
  )
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  for i in range(2):
    actor, _ = step(actor, problem.batch(ROWS), jax.random.key(i))
    problem.assert_trees_close(
      states[i + 1].actor.params, actor.params, rtol=1e-6, atol=1e-7
    )


def slopes(critic, params, actions):
  """sum_j dQ_j / da_k of every row, f32[R, K]."""
  inputs = jax.tree.map(lambda x: x[None], ROWS.inputs)
  return jax.jit(
    jax.grad(
      lambda a: jnp.sum(functional.apply(critic, params, inputs, a[None]))
    )
  )(jnp.float32(actions))


def assert_cross_entropy_is_logged(metrics, logits):
  """Without weights, whatever is descended."""
  _, row_losses, _ = reference.weighted_loss(
    logits, ROWS.labels, np.ones_like(logits)
  )
  np.testing.assert_allclose(
    metrics['loss'], row_losses.mean(1).sum(), rtol=1e-5
  )


@pytest.mark.parametrize(
  'form', tiers.some(('shared', 'separate'), ('shared',))
)
@pytest.mark.parametrize(
  'in_finetune', tiers.some(('learning', 'frozen'), ('learning',))
)
def test_ddpg_ascends_the_critics_by_its_actions(form, in_finetune):
  """d(-mean Q) / d logit = -(dQ / da) p (1 - p) / (rows * tasks)."""
  actor = problem.actor('ple', first_layer='distinct')
  critic = problem.critic(form)
  config = paper.config(
    critic=paper.critic(form=form, in_finetune=in_finetune),
    weighting=config_lib.WeightingConfig(name='ddpg'),
  )
  step, init = problem.finetuning(actor, critic, config)
  params = problem.actor_params(actor)
  critic_params = problem.critic_params(critic, form)
  new_full, metrics = jax.jit(step)(
    init(params, critic_params), problem.batch(ROWS), KEY
  )
  run = problem.actor_outputs('ple')
  logits, _ = run(params, ROWS, NOTHING)
  policy = 1 / (1 + np.exp(-np.float64(logits)))
  slope = np.float64(slopes(critic, critic_params, policy))
  assert np.all(np.std(slope, axis=0) > 0.05)
  gradient = -slope * policy * (1 - policy) / policy.size
  _, expected = run(params, ROWS, jnp.float32(gradient))
  problem.assert_trees_close(
    new_full.actor.opt_state, expected, rtol=1e-5, atol=2e-6
  )
  assert_cross_entropy_is_logged(metrics, logits)


def test_weight_metrics_by_hand():
  # Weights 1, 3 and 2, 2 in the rows; 1 / (rows * tasks) each; one padding.
  weighted = jnp.array([[[1.0, 2.0], [3.0, 2.0], [7.0, 7.0]]]) / 4
  mask = jnp.array([[True, True, False]])
  metrics = actor_lib.weight_metrics(weighted, mask)
  assert {name: float(m) for name, m in metrics.items()} == {
    'weight_0': 4.0,
    'weight_1': 4.0,
    'weight_square_0': 10.0,
    'weight_square_1': 8.0,
  }
