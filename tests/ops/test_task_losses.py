"""Losses of tasks against numpy and finite differences."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.ops import rewards, task_losses

# Statistics of train rows: log y has mean 1 and deviation 0.8 where y > 0.
NUMBERS = {
  'mean': 3.0,
  'deviation': 2.0,
  'zeros': 0.3,
  'largest': 400.0,
  'log_mean': 1.0,
  'log_deviation': 0.8,
  'deviance': 1.5,
}
LEVELS = (1.0, 2.0, 5.0)
SIZE = -math.log(rewards.ACTION_MARGIN)


def task(name, **settings):
  record = kinds.LOSSES[name]
  ordinal = record.kind == kinds.ORDINAL
  return types.TaskLoss(
    name,
    record.kind,
    record.units,
    len(LEVELS) - 1 if ordinal else record.units,
    tuple({**NUMBERS, **settings}.items()),
    LEVELS if ordinal else (),
    (0.2, 0.5, 0.3) if ordinal else (),
  )


def made(name, **settings):
  return task_losses.make([task(name, **settings)])[0]


# Outputs and labels of four rows, for each loss.
Z1 = np.array([[-1.2], [0.1], [0.9], [2.5]])
Y = np.array([0.0, 0.7, 4.0, 11.0])
CASES = {
  'cross_entropy': (Z1, np.array([0.0, 1.0, 1.0, 0.0])),
  'squared': (Z1, Y - 5),
  'huber': (Z1, Y - 5),
  'poisson': (Z1, Y),
  'weighted_logistic': (Z1, Y),
  'log_normal': (np.concatenate([Z1, Z1[::-1] / 2], 1), Y + 0.2),
  'zero_inflated_log_normal': (
    np.concatenate([Z1, Z1[::-1] / 2, -Z1 / 3], 1),
    Y,
  ),
  'cumulative_logits': (
    np.array([[2.0, 1.0], [0.5, -1.5], [-0.2, -0.4], [3.0, -3.0]]),
    np.array([1.0, 2.0, 5.0, 2.0]),
  ),
}


def _log_normal(z, y):
  """Loss and prediction of outputs (m, r) by scipy's density."""
  deviation, sigma_least = NUMBERS['log_deviation'], task_losses.LEAST_SIGMA
  sigma = sigma_least * np.exp(np.logaddexp(0.0, z[:, 1] - np.log(sigma_least)))
  mu = NUMBERS['log_mean'] + deviation * z[:, 0]
  shape = {'s': deviation * sigma, 'scale': np.exp(mu)}
  # Without the constants of the density, and from the least sigma on.
  constants = np.log(y * deviation * np.sqrt(2 * np.pi) * sigma_least)
  loss = -stats.lognorm.logpdf(y, **shape) - constants
  return loss, stats.lognorm.mean(**shape)


def _by_numpy(name, z, y):
  """Loss and prediction, f64[R] each, as docs/your_data.md has them."""
  mean, deviation = NUMBERS['mean'], NUMBERS['deviation']
  if name == 'cross_entropy':
    p = special.expit(z[:, 0])
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)), p
  if name in ('squared', 'huber'):
    prediction = mean + deviation * z[:, 0]
    error = (prediction - y) / deviation
    if name == 'squared':
      return error**2, prediction
    return special.huber(0.5, error), prediction  # delta is 1
  if name == 'poisson':
    rate = mean * np.exp(z[:, 0])
    # Half of the deviance, from the likelihoods of the rates r and y.
    loss = (rate - special.xlogy(y, rate)) - (y - special.xlogy(y, y))
    return loss / NUMBERS['deviance'], rate
  if name == 'weighted_logistic':
    odds = mean * np.exp(z[:, 0])
    p, mean_p = odds / (1 + odds), mean / (1 + mean)
    unit = -mean * np.log(mean_p) - np.log(1 - mean_p)
    return -(y * np.log(p) + np.log(1 - p)) / unit, odds
  if name == 'log_normal':
    return _log_normal(z, y)
  if name == 'zero_inflated_log_normal':
    p = special.expit(z[:, 0] + special.logit(1 - NUMBERS['zeros']))
    loss, positive = _log_normal(z[:, 1:], np.where(y > 0, y, 1.0))
    return np.where(y > 0, loss - np.log(p), -np.log(1 - p)), p * positive
  above = np.pad(special.expit(z), ((0, 0), (1, 1)))
  above[:, 0] = 1.0
  p = above[:, :-1] - above[:, 1:]
  level = np.searchsorted(LEVELS, y)
  return -np.log(p[np.arange(len(y)), level]), p @ np.array(LEVELS)


@pytest.mark.parametrize('name', CASES)
def test_loss_and_prediction_are_those_of_numpy(name):
  z, y = CASES[name]
  settings = {'delta': 1.0} if name == 'huber' else {}
  one = made(name, **settings)
  loss, prediction = _by_numpy(name, z, y)
  np.testing.assert_allclose(
    one.loss(jnp.float32(z), jnp.float32(y)), loss, rtol=2e-5, atol=1e-6
  )
  np.testing.assert_allclose(one.prediction(jnp.float32(z)), prediction, 2e-5)
  assert np.all(loss >= 0)


@pytest.mark.parametrize('name', CASES)
def test_members_predict_their_mean(name):
  z, _ = CASES[name]
  one, members = made(name), np.stack([z, 0.5 * z, z - 0.3])
  np.testing.assert_allclose(
    one.prediction(one.of_mean(jnp.float32(members))),
    np.mean([one.prediction(jnp.float32(m)) for m in members], axis=0),
    rtol=2e-5,
  )


@pytest.mark.parametrize('name', CASES)
def test_an_action_stands_for_its_prediction(name):
  # The loss at the action of a prediction is the loss of that prediction,
  # for losses that know it from the prediction alone.
  z, y = CASES[name]
  one = made(name)
  action = one.action(one.prediction(jnp.float32(z)))
  assert np.all((action > 0) & (action < 1))
  at_action = one.at_action(action, jnp.float32(y))
  if name in ('cross_entropy', 'squared', 'huber', 'poisson'):
    expected = one.loss(jnp.float32(z), jnp.float32(y))
    np.testing.assert_allclose(at_action, expected, rtol=1e-4, atol=1e-5)
  if name == 'zero_inflated_log_normal':
    rate = np.asarray(one.prediction(jnp.float32(z)))
    known = special.xlogy(y, y) - y - special.xlogy(y, rate)
    expected = (rate + known) / NUMBERS['deviance']
    np.testing.assert_allclose(at_action, expected, rtol=1e-4, atol=1e-5)
  if name == 'cumulative_logits':
    place = (y - 1.0) / 4.0
    a = np.asarray(action)
    expected = -(place * np.log(a) + (1 - place) * np.log(1 - a))
    np.testing.assert_allclose(at_action, expected, rtol=1e-5)


TASKS = tuple(map(task, CASES))
OUTPUTS = np.concatenate([z for z, _ in CASES.values()], 1).astype(np.float32)
LABELS = np.stack([y for _, y in CASES.values()], 1).astype(np.float32)


def test_tasks_stand_side_by_side():
  found = task_losses.row_losses(TASKS, jnp.array(OUTPUTS), jnp.array(LABELS))
  predicted = task_losses.predictions(TASKS, jnp.array(OUTPUTS))
  for k, (name, (z, y)) in enumerate(CASES.items()):
    one = made(name)
    np.testing.assert_array_equal(
      found[:, k], one.loss(jnp.float32(z), jnp.float32(y))
    )
    expected = one.prediction(jnp.float32(z))
    np.testing.assert_array_equal(predicted[:, k], expected)


def test_rewards_are_minus_the_loss_and_bounded():
  reward = task_losses.reward_function(TASKS)
  actions = task_losses.actions(
    TASKS, task_losses.predictions(TASKS, jnp.array(OUTPUTS))
  )
  found = np.asarray(reward(actions, jnp.array(LABELS)))
  assert np.all((found <= 1e-6) & (found >= -SIZE - 1e-5))
  squared = list(CASES).index('squared')
  loss, _ = _by_numpy('squared', *CASES['squared'])
  np.testing.assert_allclose(found[:, squared], -np.minimum(loss, SIZE), 1e-4)
  assert loss.max() > SIZE  # one of them is cut
  binary = rewards.log_likelihood(actions[:, 0], LABELS[:, 0])
  np.testing.assert_array_equal(found[:, 0], binary)
