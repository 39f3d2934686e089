"""Networks whose tasks have outputs of several widths."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.networks import backbones, ensemble, factory, functional, registry
from rmtl_jax.ops import task_losses
from tests import tiers
from tests.networks import small

NUMBERS = {
  'mean': 3.0,
  'deviation': 2.0,
  'zeros': 0.3,
  'largest': 40.0,
  'log_mean': 1.0,
  'log_deviation': 0.8,
  'deviance': 1.5,
}


def task(name, levels=(), shares=()):
  record = kinds.LOSSES[name]
  outputs = len(levels) - 1 if levels else record.units
  numbers = tuple(NUMBERS.items())
  return types.TaskLoss(
    name, record.kind, record.units, outputs, numbers, levels, shares
  )


LOSSES = (
  task('cross_entropy'),
  task('zero_inflated_log_normal'),
  task('cumulative_logits', (1.0, 2.0, 3.0, 5.0), (0.1, 0.4, 0.3, 0.2)),
  task('cross_entropy'),
  task('squared'),
  task('cross_entropy'),
)
# Two binary tasks imply the first.
PARENTS = (None, None, None, 0, None, 0)
SPEC = dataclasses.replace(
  small.spec(len(LOSSES)), losses=LOSSES, parents=PARENTS, item=1
)


def test_widths():
  assert SPEC.outputs == (1, 3, 3, 1, 1, 1)
  assert SPEC.units == (1, 3, 1, 1, 1, 1)
  assert SPEC.first_units == (0, 1, 4, 5, 6, 7)
  assert small.spec(2).outputs == (1, 1)


@pytest.mark.parametrize(
  'backbone', tiers.some(registry.trained(), ('mmoe', 'esmm', 'aitm'))
)
def test_outputs_of_every_backbone(backbone):
  network = factory.make_actor(SPEC, backbone, small.CONFIG)
  params = network.init(jax.random.key(1))
  inputs = small.inputs(SPEC)

  def loss(params):
    outputs = functional.apply(network, params, inputs)
    labels = jnp.ones((*outputs.shape[:2], len(LOSSES))).at[..., 2].set(3.0)
    losses = task_losses.row_losses(LOSSES, outputs, labels)
    return jnp.sum(losses), outputs

  gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
  assert outputs.shape[-1] == sum(SPEC.outputs) == 10
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
  # Logits of being above a level fall; every threshold learns.
  logits = outputs[..., 4:7]
  assert np.all(np.diff(logits, axis=-1) < 0)
  assert np.all(gradient['thresholds']['2'] != 0)
  predictions = task_losses.predictions(LOSSES, outputs)
  assert predictions.shape[-1] == len(LOSSES)
  batched = dataclasses.replace(small.CONFIG, expert_form='batched')
  other = factory.make_actor(SPEC, backbone, batched)
  apply = functools.partial(functional.apply, other)
  assert jax.eval_shape(apply, params, inputs).shape == outputs.shape
  if backbone == 'esmm':
    children = np.asarray(predictions[..., [3, 5]])
    assert np.all(children <= np.asarray(predictions[..., :1]))


def test_thresholds_begin_at_the_shares_of_train():
  network = factory.make_actor(SPEC, 'shared_bottom', small.CONFIG)
  params = network.init(jax.random.key(0))
  params['towers']['heads']['linear'] = jax.tree.map(
    jnp.zeros_like, params['towers']['heads']['linear']
  )
  outputs = small.run(network, params, small.inputs(SPEC))
  above = jax.nn.sigmoid(outputs[0, 0, 4:7])
  np.testing.assert_allclose(above, [0.9, 0.5, 0.2], rtol=1e-5)
  # Other tasks begin at train's mean, rate of zeros and mean of logarithms.
  found = task_losses.predictions(LOSSES, outputs)[0, 0]
  np.testing.assert_allclose(found[4], 3.0, rtol=1e-6)
  sigma = task_losses.LEAST_SIGMA * (1 + 1 / task_losses.LEAST_SIGMA)
  mean = 0.7 * np.exp(1.0 + 0.5 * (0.8 * sigma) ** 2)
  np.testing.assert_allclose(found[1], mean, rtol=1e-5)


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_an_ensemble_predicts_its_members_mean(form):
  config = dataclasses.replace(small.CONFIG, expert_form=form)
  network = factory.make_actor(SPEC, 'shared_bottom', config)
  members = [network.init(jax.random.key(i)) for i in range(2)]
  whole = ensemble.make_ensemble(network, 2, form)
  inputs = small.inputs(SPEC)

  def predict(network, params):
    outputs = small.run(network, params, inputs)
    return np.asarray(task_losses.predictions(network.tasks, outputs))

  found = predict(whole, ensemble.stack(*members))
  expected = np.mean([predict(network, one) for one in members], axis=0)
  np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_mixture_weighs_each_tasks_columns():
  network = factory.make_actor(SPEC, 'mmoe', small.CONFIG)
  members = [network.init(jax.random.key(i)) for i in range(2)]
  whole = ensemble.make_mixture([network, network])
  weights = np.full((2, len(LOSSES)), 0.5, np.float32)
  weights[:, 1] = 1.0, 0.0
  inputs = small.inputs(SPEC)
  params = ensemble.mixture(members, jnp.asarray(weights))
  found = small.run(whole, params, inputs)
  first, second = (small.run(network, one, inputs) for one in members)
  np.testing.assert_allclose(found[..., 1:4], first[..., 1:4], rtol=1e-6)
  np.testing.assert_allclose(
    found[..., 4:], (first + second)[..., 4:] / 2, rtol=1e-5, atol=1e-6
  )


def test_critics_have_a_value_of_every_task():
  for form in ('shared', 'separate'):
    config = config_lib.CriticConfig(form=form)
    network = factory.make_critic(SPEC, small.CONFIG, config)
    assert network.tasks == LOSSES
    params = network.init(jax.random.key(0))
    actions = jnp.full((small.LANES, small.SLOTS, len(LOSSES)), 0.5)
    inputs = small.inputs(SPEC)
    found = small.run(network, params, inputs, actions)
    assert found.shape == actions.shape


def test_logits_of_a_tree_by_hand():
  # 1/2; 3/4 and 1/2 given the first; 1/2 given the third.
  z = jnp.log(jnp.array([[1.0, 3.0, 1.0, 1.0]]))
  found = backbones.chain_logits(z, [None, 0, 0, 2])
  p = jax.nn.sigmoid(found)
  np.testing.assert_allclose(p, [[1 / 2, 3 / 8, 1 / 4, 1 / 8]], rtol=1e-6)


@pytest.mark.parametrize(
  ('losses', 'parents', 'expected'),
  [
    ((), (), (None, 0, 1)),  # the order of the tasks
    ((), (None, None, 0), (None, None, 0)),
    ((LOSSES[0], LOSSES[4], LOSSES[0]), (), (None, None, 0)),
    ((LOSSES[0], LOSSES[4], LOSSES[4]), (None, 0, 0), (None, None, None)),
  ],
)
def test_the_funnel_is_of_binary_tasks(losses, parents, expected):
  spec = dataclasses.replace(small.spec(3), losses=losses, parents=parents)
  assert backbones.parents(spec) == expected


def test_aitm_transfers_from_the_parent():
  spec = dataclasses.replace(small.spec(3), parents=(None, 0, 0))
  network = factory.make_actor(spec, 'aitm', small.CONFIG)
  params, inputs = network.init(jax.random.key(1)), small.inputs(spec)
  bottoms = params['bottoms']

  def third(scale):
    # The second task's bottom alone changes.
    moved = jax.tree.map(lambda x: x.at[1].multiply(scale), bottoms)
    return small.run(network, {**params, 'bottoms': moved}, inputs)

  same, other = third(1.0), third(3.0)
  np.testing.assert_array_equal(same[..., 2], other[..., 2])
  assert not np.array_equal(same[..., 1], other[..., 1])
