"""Losses of tasks by kind: a task's outputs, its label, its prediction.

Each class is one loss (docs/your_data.md, config/kinds.py). The networks'
outputs are free of units: a prediction of 0 outputs is near train's mean, and a
loss is divided by about what that mean costs, so that a squared error in
seconds counts as much as a cross-entropy.

A critic's action is in [0, 1] for every task: `action` squeezes a prediction,
`at_action` is the loss of the prediction that an action encodes. Rewards
are minus that loss, at least -log(1 / ACTION_MARGIN), the least of a binary
task.

Shapes: outputs f32[..., O] of one task, labels and predictions f32[...].
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.scipy import special

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.ops import ensembles, losses, rewards

# Least deviation of a log-normal's logarithm, in train's: what keeps its
# loss from falling without end where labels are almost known.
LEAST_SIGMA = 0.1
# Lower bound of rewards: that of a binary action at its margin.
LEAST_REWARD = math.log(rewards.ACTION_MARGIN)


class Loss(abc.ABC):
  """A task's loss.

  Attributes:
    task: the task.
  """

  def __init__(self, task: types.TaskLoss):
    """Takes the loss's settings and the label's statistics."""
    self.task = task
    self.number = dict(task.numbers)

  @abc.abstractmethod
  def loss(self, z: jax.Array, y: jax.Array) -> jax.Array:
    """Loss >= 0 of outputs f32[..., O] and labels f32[...], f32[...]."""

  @abc.abstractmethod
  def prediction(self, z: jax.Array) -> jax.Array:
    """The label's expected value, on its own scale, f32[...]."""

  @abc.abstractmethod
  def of_mean(self, z: jax.Array) -> jax.Array:
    """Outputs that predict the members' mean, f32[M, ..., O] -> f32[..., O]."""

  @abc.abstractmethod
  def action(self, prediction: types.Array) -> jax.Array:
    """A prediction, or a label, as an action in [0, 1]."""

  @abc.abstractmethod
  def at_action(self, action: jax.Array, y: jax.Array) -> jax.Array:
    """Loss of the prediction that an action in (0, 1) encodes."""


class CrossEntropy(Loss):
  """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(z)."""

  def loss(self, z, y):
    """See `Loss`."""
    return losses.binary_cross_entropy(z[..., 0], y)

  def prediction(self, z):
    """The probability."""
    return jax.nn.sigmoid(z[..., 0])

  def of_mean(self, z):
    """See ops/ensembles."""
    return _logit_of_mean(z)

  def action(self, prediction):
    """The probability itself."""
    return jnp.asarray(prediction)

  def at_action(self, action, y):
    """Paper, Eq. (3), with the other sign."""
    return -jnp.asarray(rewards.log_likelihood(action, y))


class Squared(Loss):
  """(z - t)^2 with t = (y - mean) / deviation of train rows."""

  def __init__(self, task):
    """Reads `mean` and `deviation`."""
    super().__init__(task)
    self.mean = self.number['mean']
    self.deviation = self.number['deviation'] or 1.0

  def standard(self, y: types.Array) -> jax.Array:
    """(y - mean) / deviation."""
    return (jnp.asarray(y) - self.mean) / self.deviation

  def loss(self, z, y):
    """See `Loss`."""
    return self.of_error(z[..., 0] - self.standard(y))

  def of_error(self, error: jax.Array) -> jax.Array:
    """The loss of an error in train's deviations."""
    return jnp.square(error)

  def prediction(self, z):
    """mean + deviation z."""
    return self.mean + self.deviation * z[..., 0]

  def of_mean(self, z):
    """Predictions are linear in the outputs."""
    return jnp.mean(z, axis=0)

  def action(self, prediction):
    """sigmoid of the prediction in train's deviations from its mean."""
    return jax.nn.sigmoid(self.standard(prediction))

  def at_action(self, action, y):
    """See `Loss`."""
    return self.of_error(_logit(action) - self.standard(y))


class Huber(Squared):
  """e^2 / 2 up to |e| = d, then d (|e| - d / 2); e in train's deviations.

  Huber, "Robust Estimation of a Location Parameter" (1964). `delta` is in the
  label's units, train's deviation if it is not given.
  """

  def of_error(self, error):
    """See `Squared`."""
    delta = self.number.get('delta', self.deviation) / self.deviation
    size = jnp.abs(error)
    inside = jnp.minimum(size, delta)
    return inside * (size - 0.5 * inside)


class _LogScale(Loss):
  """Losses of labels >= 0: an action squeezes log(prediction / mean)."""

  def __init__(self, task):
    """Reads `mean`, `largest` and `deviance`."""
    super().__init__(task)
    self.mean = self.number['mean'] or 1.0
    self.largest = self.number['largest'] or 1.0
    # Of train's mean: mean over train rows of y log(y / mean).
    self.unit = self.number['deviance'] or 1.0

  def bounded(self, log_prediction: jax.Array) -> jax.Array:
    """exp, at most train's largest label: no mean of labels is above it."""
    return jnp.exp(jnp.minimum(log_prediction, math.log(self.largest)))

  def deviance(self, log_ratio: jax.Array, y: jax.Array) -> jax.Array:
    """r - y + y log(y / r) with r = mean exp(log_ratio), in train's unit."""
    rate = self.mean * jnp.exp(log_ratio)
    known = special.xlogy(y, y / self.mean)
    return (rate - y + known - y * log_ratio) / self.unit

  def action(self, prediction):
    """p / (p + mean): sigmoid of log(p / mean)."""
    p = jnp.asarray(prediction)
    return p / (p + self.mean)

  def at_action(self, action, y):
    """Poisson's deviance, which the label's mean minimises."""
    return self.deviance(_logit(action), y)


class Poisson(_LogScale):
  """Deviance r - y + y log(y / r), half of the usual one, r = mean exp(z)."""

  def loss(self, z, y):
    """See `Loss`."""
    return self.deviance(z[..., 0], y)

  def prediction(self, z):
    """The rate."""
    return self.bounded(z[..., 0] + math.log(self.mean))

  def of_mean(self, z):
    """Log of the members' mean rate."""
    return special.logsumexp(z, axis=0) - math.log(z.shape[0])


class WeightedLogistic(Poisson):
  """y softplus(-s) + softplus(s), in units of train's mean; s = log odds.

  Covington, Adams and Sargin, "Deep Neural Networks for YouTube
  Recommendations" (RecSys 2016, section 4.2): clicks weigh their watch time,
  the odds are the prediction. There a watched row is no negative, so that the
  odds are E[y] / P(y = 0), close to E[y] where few rows are watched; here every
  row counts once as a negative, and the odds are E[y] however many are.
  """

  def loss(self, z, y):
    """See `Loss`."""
    offset = math.log(self.mean)
    unit = self.mean * _softplus(-offset) + _softplus(offset)
    s = z[..., 0] + offset
    return (y * jax.nn.softplus(-s) + jax.nn.softplus(s)) / unit

  def at_action(self, action, y):
    """See `Loss`."""
    return self.loss(_logit(action)[..., None], y)


class LogNormal(_LogScale):
  """((t - m) / s)^2 / 2 + log s, t = log y standardised by train's, plus 2.3.

  Outputs are m and r, with log s = log 0.1 + softplus(r - log 0.1): s is about
  exp(r), and never below 0.1, so that the loss is never below 0. Predictions
  are the mean exp(mu + sigma^2 / 2).
  """

  def __init__(self, task):
    """Reads `log_mean` and `log_deviation` too."""
    super().__init__(task)
    self.log_mean = self.number['log_mean']
    self.log_deviation = self.number['log_deviation'] or 1.0

  def standard(self, y: jax.Array) -> jax.Array:
    """(log y - log_mean) / log_deviation; of y = 0 as of 1."""
    log_y = jnp.log(jnp.where(y > 0, y, 1.0))
    return (log_y - self.log_mean) / self.log_deviation

  def positive(self, z: jax.Array, y: jax.Array) -> jax.Array:
    """The loss of (m, r), f32[..., 2], at labels above 0."""
    extra = _extra_sigma(z[..., 1])
    error = (self.standard(y) - z[..., 0]) / (LEAST_SIGMA * jnp.exp(extra))
    return 0.5 * jnp.square(error) + extra

  def log_of_mean(self, z: jax.Array) -> jax.Array:
    """mu + sigma^2 / 2 of (m, r), f32[..., 2]."""
    return self.log_mean + self.log_deviation * z[..., 0] + self._half(z)

  def _half(self, z: jax.Array) -> jax.Array:
    sigma = LEAST_SIGMA * jnp.exp(_extra_sigma(z[..., 1]))
    return 0.5 * jnp.square(self.log_deviation * sigma)

  def with_mean(self, log_prediction: jax.Array, z: jax.Array) -> jax.Array:
    """(m, r), f32[..., 2], of the members' mean r and of that mean label."""
    r = jnp.mean(z, axis=0)
    m = (log_prediction - self.log_mean - self._half(r)) / self.log_deviation
    return jnp.stack([m, r[..., 1]], axis=-1)

  def loss(self, z, y):
    """See `Loss`."""
    return self.positive(z, y)

  def prediction(self, z):
    """The mean."""
    return self.bounded(self.log_of_mean(z))

  def of_mean(self, z):
    """See `Loss`."""
    mean = jnp.mean(self.prediction(z), axis=0)
    return self.with_mean(jnp.log(mean), z)

  def at_action(self, action, y):
    """(t - m)^2 / 2, with train's deviation: m of the action's mean."""
    log_mean = _logit(action) + math.log(self.mean)
    m = (log_mean - self.log_mean) / self.log_deviation
    m = m - 0.5 * self.log_deviation
    return 0.5 * jnp.square(self.standard(y) - m)


class ZeroInflatedLogNormal(LogNormal):
  """Cross-entropy of y > 0, and the log-normal loss where it is.

  Wang, Liu and Miao, "A Deep Probabilistic Model for Customer Lifetime Value
  Prediction" (2019), Eqs. 3 to 5. Outputs are the logit of y > 0 beyond that of
  train, m and r; the prediction is P(y > 0) exp(mu + sigma^2 / 2).
  """

  def __init__(self, task):
    """Reads `zeros` too."""
    super().__init__(task)
    zeros = min(max(self.number['zeros'], 1e-6), 1.0 - 1e-6)
    self.offset = math.log1p(-zeros) - math.log(zeros)

  def loss(self, z, y):
    """See `Loss`."""
    is_positive = (y > 0).astype(z.dtype)
    seen = losses.binary_cross_entropy(z[..., 0] + self.offset, is_positive)
    return seen + is_positive * self.positive(z[..., 1:], y)

  def prediction(self, z):
    """See the class."""
    log_p = jax.nn.log_sigmoid(z[..., 0] + self.offset)
    return self.bounded(log_p + self.log_of_mean(z[..., 1:]))

  def of_mean(self, z):
    """See `Loss`."""
    logit = _logit_of_mean(z[..., :1] + self.offset)
    mean = jnp.mean(self.prediction(z), axis=0)
    log_positive = jnp.log(mean) - jax.nn.log_sigmoid(logit[..., 0])
    rest = self.with_mean(log_positive, z[..., 1:])
    return jnp.concatenate([logit - self.offset, rest], axis=-1)

  at_action = _LogScale.at_action


class CumulativeLogits(Loss):
  """-log P(y), with P(y > l_j) = sigmoid(z_j), falling in j.

  McCullagh, "Regression Models for Ordinal Data" (1980): proportional odds, as
  the thresholds between levels are the same for all rows (networks/outputs.py
  makes z of one output of the tower).
  """

  def __init__(self, task):
    """Reads the levels."""
    super().__init__(task)
    self.levels = task.levels
    self.low, self.range = task.levels[0], task.levels[-1] - task.levels[0]

  def loss(self, z, y):
    """See `Loss`."""
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
    end = jnp.zeros((*z.shape[:-1], 1), z.dtype)
    above = jnp.concatenate([end, jax.nn.log_sigmoid(z)], axis=-1)
    below = jnp.concatenate([jax.nn.log_sigmoid(-z), end], axis=-1)
    between = jnp.log(-jnp.expm1(z[..., 1:] - z[..., :-1]))
    between = jnp.concatenate([end, between, end], axis=-1)
    is_level = jnp.stack([y == level for level in self.levels], axis=-1)
    return -jnp.sum(jnp.where(is_level, above + below + between, 0.0), -1)

  def prediction(self, z):
    """The expected level, l_0 + sum_j (l_{j+1} - l_j) P(y > l_j)."""
    steps = [b - a for a, b in zip(self.levels, self.levels[1:], strict=False)]
    return self.low + jax.nn.sigmoid(z) @ jnp.array(steps, z.dtype)

  def of_mean(self, z):
    """Mean P(y > l_j)."""
    return _logit_of_mean(z)

  def action(self, prediction):
    """The place between the lowest level (0) and the highest (1)."""
    return (jnp.asarray(prediction) - self.low) / self.range

  def at_action(self, action, y):
    """Cross-entropy of the label's place; its mean minimises it."""
    return -jnp.asarray(rewards.log_likelihood(action, self.action(y)))


def make(tasks: Sequence[types.TaskLoss]) -> list[Loss]:
  """The losses of tasks."""
  return [kinds.LOSSES.find(task.name).make(task) for task in tasks]


def split(
  tasks: Sequence[types.TaskLoss], outputs: jax.Array
) -> list[jax.Array]:
  """Each task's columns of a network's outputs, f32[..., O]."""
  widths = [task.outputs for task in tasks]
  return list(jax.lax.split(outputs, widths, axis=outputs.ndim - 1))


def row_losses(
  tasks: Sequence[types.TaskLoss],
  outputs: jax.Array,
  labels: jax.Array,
) -> jax.Array:
  """Every task's loss, f32[..., K].

  Args:
    tasks: K of them.
    outputs: f32[..., O].
    labels: f32[..., K].
  """
  pairs = zip(make(tasks), split(tasks, outputs), strict=True)
  return jnp.stack(
    [one.loss(z, labels[..., k]) for k, (one, z) in enumerate(pairs)], axis=-1
  )


def predictions(
  tasks: Sequence[types.TaskLoss], outputs: jax.Array
) -> jax.Array:
  """Every task's prediction on its label's scale, f32[..., O] -> f32[..., K].

  Args:
    tasks: K of them; () if all are binary, with an output each.
    outputs: of the network.
  """
  if not tasks:
    return jax.nn.sigmoid(outputs)
  pairs = zip(make(tasks), split(tasks, outputs), strict=True)
  return jnp.stack([one.prediction(z) for one, z in pairs], axis=-1)


def outputs_of_mean(
  tasks: Sequence[types.TaskLoss], outputs: jax.Array
) -> jax.Array:
  """Outputs that predict the mean of members, f32[M, ..., O] -> f32[..., O]."""
  pairs = zip(make(tasks), split(tasks, outputs), strict=True)
  return jnp.concatenate([one.of_mean(z) for one, z in pairs], axis=-1)


def actions(
  tasks: Sequence[types.TaskLoss], values: types.Array
) -> types.Array:
  """Predictions or labels f32[..., K] as actions in [0, 1], f32[..., K].

  Args:
    tasks: K of them; () if all are binary, which leaves values as they are.
    values: on the labels' scales.
  """
  if not tasks:
    return values
  found = [one.action(values[..., k]) for k, one in enumerate(make(tasks))]
  return jnp.stack(found, axis=-1)


def reward_function(
  tasks: Sequence[types.TaskLoss],
) -> Callable[[types.Array, types.Array], types.Array]:
  """(actions, labels) -> rewards, f32[..., K] each.

  Eq. (3) of binary tasks, minus the loss at the action of others.

  Args:
    tasks: K of them; () if all are binary.
  """
  if not tasks:
    return rewards.log_likelihood
  made = make(tasks)

  @jax.jit
  def reward(a, y):
    found = [
      rewards.log_likelihood(a[..., k], y[..., k])
      if one.task.kind == kinds.BINARY
      else jnp.maximum(-one.at_action(a[..., k], y[..., k]), LEAST_REWARD)
      for k, one in enumerate(made)
    ]
    return jnp.stack(found, axis=-1)

  return reward


def _logit(action: types.Array) -> jax.Array:
  margin = rewards.ACTION_MARGIN
  a = jnp.clip(jnp.asarray(action), margin, 1.0 - margin)
  return jnp.log(a) - jnp.log1p(-a)


def _logit_of_mean(z: jax.Array) -> jax.Array:
  """Elementwise ensembles.logit_of_mean over the leading axis."""
  flat = z.reshape(z.shape[0], -1)
  return jax.vmap(ensembles.logit_of_mean, 1)(flat).reshape(z.shape[1:])


def _extra_sigma(r: jax.Array) -> jax.Array:
  """log(s / LEAST_SIGMA) >= 0 of the output r."""
  return jax.nn.softplus(r - math.log(LEAST_SIGMA))


def _softplus(x: float) -> float:
  return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
