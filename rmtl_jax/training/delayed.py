"""Labels that are not final yet: what train rows are trained on instead.

A task with `within_seconds` H has a final label H after the row. At the end of
train, younger rows have seen an event or not yet. Each method gives these rows
labels in [0, 1] and weights, which stages 1 to 3 use as they use any others.

`row` and `critic` learn V(s, left, quiet): the probability that the event comes
in the time that is left, given that it has not come for as long as the row has
been watched. They learn it on rows with final labels, as these would have
looked at a random earlier time. `row` reads the row's own features; `critic`
reads those of the user's last row before that time, because a user's later rows
say whether the event is likely: a critic's bootstrap, over all rows at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import variants
from rmtl_jax.data import columns
from rmtl_jax.networks import from_settings, functional
from rmtl_jax.ops import losses
from rmtl_jax.runtime import progress
from rmtl_jax.training import delay_methods, split_data
from rmtl_jax.updates import loop, state

Completed = tuple[np.ndarray, np.ndarray]
# loss(outputs f32[..., O], target, weight) -> f32[...].
Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
# ES-DFM takes a row's label as it is after this share of H.
_WAIT = 0.25
_MOST_PASSES, _PATIENCE = 20, 2
# One user in so many is kept for early stopping.
_HELD_OUT = 10
# Tells its draws apart from others of the same seed.
_DRAWS = 211


class Watched(NamedTuple):
  """Labels that become final late, as seen at the end of train.

  Attributes:
    age: seconds from each row to the end, f32[R].
    delay: seconds from each row to the event that was seen, inf for none,
      f32[R, K].
    within: H of each task, f32[K]; 0: the label is always final.
    user: number of each row's user, i64[R].
    order: rows by user and time, i64[R].
    clock: of the rows in that order, user by user, f64[R], rising.
  """

  age: np.ndarray
  delay: np.ndarray
  within: np.ndarray
  user: np.ndarray
  order: np.ndarray
  clock: np.ndarray

  @property
  def late(self) -> np.ndarray:
    """Which tasks have labels that become final late, bool[K]."""
    return self.within > 0

  @property
  def final(self) -> np.ndarray:
    """Rows with a final label, bool[R, K]."""
    return self.age[:, None] >= self.within

  @property
  def seen(self) -> np.ndarray:
    """Which events were seen, bool[R, K]."""
    return np.isfinite(self.delay)

  @property
  def open(self) -> np.ndarray:
    """Which events may still come, bool[R, K]."""
    return ~self.final & ~self.seen

  def last(self, rows: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The last row of the same user up to some time after a row, i64[n].

    Args:
      rows: i64[n].
      after: seconds, f64[n].
    """
    place = np.empty(len(self.order), np.int64)
    place[self.order] = np.arange(len(self.order))
    at = self.clock[place[rows]] + after
    return self.order[np.searchsorted(self.clock, at, side='right') - 1]


def watched(
  host: columns.Rows, earlier: int = 0, seconds: float = 0.0
) -> Watched:
  """The known labels of train rows.

  Args:
    host: the rows.
    earlier: number of rows, at the beginning, from a split that ended earlier.
    seconds: how much earlier it ended.
  """
  age, delay, user = host.age, host.delay, host.user
  assert age is not None and delay is not None
  age = age.copy()
  age[:earlier] += seconds
  delay = np.where(delay < age[:, None], delay, np.inf)
  alone = -2 - np.arange(len(age))  # a row without a user has no later ones
  user = alone if user is None else np.where(user < 0, alone, user)
  order = np.lexsort((np.arange(len(age)), -age, user))
  user = np.unique(user, return_inverse=True)[1]
  within = np.array(host.within, np.float32)
  # Clocks of two users are so far apart that no row of one is within H of a
  # row of the other.
  span = 2.0 * float(age.max() + within.max() + 1.0)
  clock = user[order] * span - age[order].astype(np.float64)
  return Watched(age, delay, within, user, order, clock)


@dataclasses.dataclass(frozen=True)
class Problem:
  """Input of a method.

  Attributes:
    config: settings of the run.
    spec: the features.
    host: the train rows.
    known: of their labels.
    live: where progress goes.
  """

  config: config_lib.Config
  spec: types.FeatureSpec
  host: columns.Rows
  known: Watched
  live: progress.Progress


def complete(
  config: config_lib.Config,
  spec: types.FeatureSpec,
  train: split_data.Split,
  live: progress.Progress,
  earlier: int = 0,
  seconds: float = 0.0,
) -> split_data.Split:
  """The train rows with the labels and weights of `config.delayed`.

  Args:
    earlier: of a refit, the number of rows from the split that ended earlier.
    seconds: how much earlier it ended.

  Raises:
    types.InputError: a method other than `drop`, and all labels are final.
  """
  method = delay_methods.RECORDS.find(config.delayed)
  if train.host.age is None:
    if method.name == delay_methods.DROP:
      return train
    raise types.InputError(
      f'config.delayed: {config.delayed!r} completes labels that are not final,'
      ' and no task of these data has within_seconds'
    )
  known = watched(train.host, earlier, seconds)
  labels, weights = method.complete(
    Problem(config, spec, train.host, known, live)
  )
  live.clear()
  # Other tasks stay as they are.
  before = train.host.sample_weight
  assert before is not None
  labels = np.where(known.late, labels, train.host.labels).astype(np.float32)
  weights = np.where(known.late, weights, before).astype(np.float32)
  host = columns.relabelled(train.host, labels, weights)
  device = train.device and train.device._replace(
    labels=train.put(labels), sample_weight=train.put(weights)
  )
  return dataclasses.replace(train, host=host, device=device)


def by_drop(problem: Problem) -> Completed:
  """Rows without a final label are left out."""
  known = problem.known
  return known.seen & known.final, known.final


def by_zero(problem: Problem) -> Completed:
  """A label is 0 until its event is seen."""
  return problem.known.seen, np.ones_like(problem.known.delay)


def by_row(problem: Problem) -> Completed:
  """Open labels are V of the row's own state."""
  return _by_value(problem, own=True)


def by_critic(problem: Problem) -> Completed:
  """Open labels are V of the user's last state."""
  return _by_value(problem, own=False)


def _by_value(problem: Problem, own: bool) -> Completed:
  known = problem.known
  draw = np.random.default_rng((problem.config.seed, _DRAWS))
  value = _fit(problem, lambda: _censored(known, own, draw), _cross_entropy)
  labels = known.seen.astype(np.float32)
  rows = np.flatnonzero((known.open & known.late).any(axis=1))
  if len(rows):
    samples = _at_age(known, own, rows, known.age[rows].astype(np.float64))
    found = np.asarray(jax.nn.sigmoid(value(samples)))
    labels[rows] = np.where(known.open[rows], found, labels[rows])
  return labels, np.ones_like(known.delay)


def by_dfm(problem: Problem) -> Completed:
  """Labels of a model of delays (Chapelle, KDD 2014, section 4).

  P(event) and an exponential rate of the delay, both by row, are fitted
  together; the label of an open row is the chance that the event still comes
  (Eq. 9), with which EM's next step would train.
  """
  known = problem.known

  # Time in units of H; a final label without an event is certain.
  elapsed = np.where(known.final, np.inf, known.age[:, None])
  time = np.where(known.seen, known.delay, elapsed)
  time = np.minimum(time / np.where(known.late, known.within, 1.0), 1e6)
  all_rows = Samples(
    np.arange(len(known.age)),
    None,
    np.concatenate([known.seen, time], axis=1),
    np.broadcast_to(known.late, known.seen.shape),
  )
  tasks = len(known.within)

  def loss(z, target, weight):
    seen, time = target[..., :tasks], target[..., tasks:]
    logit, log_rate = z[..., :tasks], jnp.clip(z[..., tasks:], -10.0, 10.0)
    survived = jnp.exp(log_rate) * time
    event = jax.nn.softplus(-logit) - log_rate + survived
    # -log(1 - p + p exp(-rate t)), from logits.
    none = jax.nn.softplus(logit) - jnp.logaddexp(0.0, logit - survived)
    found = jnp.where(seen > 0, event, none)
    return jnp.sum(jnp.where(weight > 0, found, 0.0), -1)

  z = _fit(problem, lambda: all_rows, loss, outputs=2)(all_rows)
  logit, log_rate = z[:, :tasks], np.clip(z[:, tasks:], -10.0, 10.0)
  survived = np.exp(log_rate) * all_rows.target[:, tasks:]
  chance = np.asarray(jax.nn.sigmoid(logit - survived))
  labels = np.where(known.open, chance, known.seen)
  return labels, np.ones_like(known.delay)


def by_es_dfm(problem: Problem) -> Completed:
  """Importance weights of observed labels (Yang et al., AAAI 2021).

  Every row is observed H / 4 after it, as positive or not, and once more when
  its event comes later. With f_dp the chance of a later event and f_rn that of
  none, of rows without one so far, positives weigh 1 + f_dp and negatives
  (1 + f_dp) f_rn. A row's observations become one label and one weight.
  """
  known = problem.known
  tasks = len(known.within)

  wait = _WAIT * known.within
  comes_later = known.seen & (known.delay > wait)
  counts = known.final & known.late
  waits = counts & (~known.seen | comes_later)
  all_rows = Samples(
    np.arange(len(known.age)),
    None,
    np.concatenate([comes_later, ~known.seen], axis=1),
    np.concatenate([counts, waits], axis=1),
  )
  value = _fit(problem, lambda: all_rows, _cross_entropy, outputs=2)
  chances = np.asarray(jax.nn.sigmoid(value(all_rows)))
  later, none = chances[:, :tasks], chances[:, tasks:]
  early = known.seen & (known.delay <= wait)
  negative = np.where(early, 0.0, (1.0 + later) * none)
  positive = np.where(known.seen, 1.0 + later, 0.0)
  weights = np.where(known.age[:, None] > wait, negative + positive, 0.0)
  labels = positive / np.maximum(negative + positive, 1e-9)
  return np.where(weights > 0, labels, 0.0), weights


# --- The network and its fit.


class Samples(NamedTuple):
  """Rows to fit a network to, or to predict.

  Attributes:
    rows: the network reads the features of these, i64[n].
    numbers: further numbers, f32[n, N], or None.
    target: f32[n, ...].
    weight: how much it counts, f32[n, K] or bool.
  """

  rows: np.ndarray
  numbers: np.ndarray | None
  target: np.ndarray
  weight: np.ndarray


def _censored(known: Watched, own: bool, draw: np.random.Generator) -> Samples:
  """Rows with final labels, each as it looked at a random time before."""
  rows = np.flatnonzero((known.final & known.late).any(axis=1))
  age = draw.random(len(rows)) * known.within.max()
  samples = _at_age(known, own, rows, age)
  return _chosen(samples, np.any(samples.weight, axis=1))


def _at_age(
  known: Watched, own: bool, rows: np.ndarray, age: np.ndarray
) -> Samples:
  """Some rows at an age, s: what V reads, and whether the event came later."""
  reads = rows if own else known.last(rows, age)
  quiet = age - (known.age[rows] - known.age[reads]).astype(np.float64)
  late = np.flatnonzero(known.late)
  within = known.within[late].astype(np.float64)
  numbers = np.concatenate(
    [
      (within - age[:, None]) / within,
      quiet[:, None] / within,
      np.log1p(np.maximum(quiet, 0.0))[:, None] / np.log1p(within),
    ],
    axis=1,
  )
  delay = known.delay[rows]
  waits = (delay > age[:, None]) & (age[:, None] < known.within)
  weight = waits & known.final[rows] & known.late
  return Samples(reads, numbers.astype(np.float32), np.isfinite(delay), weight)


def _cross_entropy(z: jax.Array, target: jax.Array, weight: jax.Array):
  found = losses.binary_cross_entropy(z, target)
  return jnp.sum(jnp.where(weight > 0, found, 0.0), -1)


class _Value(NamedTuple):
  params: Any
  opt_state: Any
  step: jax.Array


def _fit(
  problem: Problem,
  samples: Callable[[], Samples],
  loss: Loss,
  outputs: int = 1,
) -> Callable[[Samples], np.ndarray]:
  """Fits a network of `outputs` per task; a tenth of the users stops it early.

  Args:
    samples: gives those of the next pass.

  Returns:
    samples -> outputs f32[n, K * outputs].
  """
  config, first = problem.config, samples()
  is_held = problem.known.user % _HELD_OUT == 0
  stops = _chosen(first, is_held[first.rows])
  network = _network(problem, first, outputs)
  optimizer = state.make_optimizer(
    config.pretrain.learning_rate, config.pretrain.l2
  )
  key = jax.random.fold_in(jax.random.key(config.seed), _DRAWS)

  def mean_loss(params, inputs, target, weight, dropout_key=None):
    z = functional.apply(network, params, inputs, dropout_key=dropout_key)
    rows = jnp.sum(jnp.any(weight > 0, -1))
    return jnp.sum(loss(z, target, weight)) / jnp.maximum(rows, 1)

  def step(value, batch):
    inputs, target, weight = batch
    masks = jax.random.fold_in(key, value.step)
    seen = network.perturb(inputs, masks)
    gradients = jax.grad(mean_loss)(value.params, seen, target, weight, masks)
    updates, opt_state = optimizer.update(
      gradients, value.opt_state, value.params
    )
    params = optax.apply_updates(value.params, updates)
    return _Value(params, opt_state, value.step + 1), None

  train = loop.jit(lambda value, steps: jax.lax.scan(step, value, steps)[0])

  def score(params, steps):
    def one(total, batch):
      inputs, target, weight = batch
      z = functional.apply(network, params, inputs)
      counts = jnp.sum(jnp.any(weight > 0, -1))
      return total + jnp.stack([jnp.sum(loss(z, target, weight)), counts]), None

    return jax.lax.scan(one, jnp.zeros(2), steps)[0]

  score = loop.jit(score)
  params = loop.jit(network.init)(key)
  value = _Value(params, optimizer.init(params), jnp.int32(0))
  best, least, waited, number = params, np.inf, 0, 0
  draw = np.random.default_rng((config.seed, _DRAWS, 1))
  for number in range(_MOST_PASSES):
    one = samples() if number else first
    one = _chosen(one, ~is_held[one.rows])
    order = draw.permutation(len(one.rows))
    for steps in _batches(problem.host, one, order, config.batch):
      value = train(value, steps)
    sums = np.zeros(2)
    everything = np.arange(len(stops.rows))
    for steps in _batches(problem.host, stops, everything, config.batch):
      sums += np.asarray(score(value.params, steps), np.float64)
    found = sums[0] / max(sums[1], 1.0)
    problem.live.step(f'{config.delayed} labels', (number + 1) / _MOST_PASSES)
    if not np.isfinite(found):
      raise FloatingPointError('delayed labels: the loss is not finite')
    waited = 0 if found < least else waited + 1
    if found < least:
      best, least = value.params, found
    if waited == _PATIENCE:
      break
  problem.live.say(
    f'{config.delayed} labels  {number + 1} passes  held-out loss {least:.4f}'
  )

  predict = loop.jit(
    lambda params, steps: jax.lax.map(
      lambda batch: functional.apply(network, params, batch[0]), steps
    )
  )

  def values(wanted: Samples) -> np.ndarray:
    everything = np.arange(len(wanted.rows))
    parts = [
      np.asarray(predict(best, steps)).reshape(-1, outputs * _tasks(problem))
      for steps in _batches(problem.host, wanted, everything, config.batch)
    ]
    return np.concatenate(parts)[: len(everything)]

  return values


def _chosen(samples: Samples, which: np.ndarray) -> Samples:
  rows, numbers, target, weight = samples
  numbers = None if numbers is None else numbers[which]
  return Samples(rows[which], numbers, target[which], weight[which])


def _tasks(problem: Problem) -> int:
  return problem.spec.num_tasks


def _network(
  problem: Problem, samples: Samples, outputs: int
) -> functional.Network:
  """A shared bottom with the run's sizes, of the first member's fields."""
  spec, extra = problem.spec, 0
  if samples.numbers is not None:
    extra = samples.numbers.shape[1]
  names = spec.numeric_names and tuple(f'_delay_{i}' for i in range(extra))
  wide = dataclasses.replace(
    spec,
    numeric=spec.numeric + extra,
    numeric_names=(*spec.numeric_names, *names),
    quantiles=spec.quantiles and (*spec.quantiles, *((),) * extra),
    num_tasks=spec.num_tasks * outputs,
    tasks=(),
    losses=(),
    parents=(),
    only_after=(),
    distinct=(),
    sampling=None,
  )
  settings = dataclasses.replace(
    variants.first(problem.config).network,
    crosses='',
    first_layer='plain',
    embedding_adam='dense',
  )
  return from_settings.make_actor(wide, 'shared_bottom', settings)


def _batches(
  host: columns.Rows,
  samples: Samples,
  order: np.ndarray,
  config: config_lib.BatchConfig,
) -> Iterator[tuple[types.Inputs, jax.Array, jax.Array]]:
  """Samples in batches [S, L, T, ...], the last filled up with weight 0.

  No batch is empty: a step without rows would still follow Adam's moments.
  """
  slots = config.lanes * config.lane_length
  size = config.steps_per_dispatch * slots
  for first in range(0, len(order), size):
    chosen = order[first : first + size]
    steps = -(-len(chosen) // slots)
    shape = steps, config.lanes, config.lane_length
    filled = np.pad(chosen, (0, steps * slots - len(chosen)))
    features = host.take(samples.rows[filled])
    numeric = features.numeric
    if samples.numbers is not None:
      numeric = np.concatenate([numeric, samples.numbers[filled]], axis=1)
    weight = samples.weight[filled].astype(np.float32)
    weight[len(chosen) :] = 0.0
    inputs = types.Inputs(features.categorical, features.multi_valued, numeric)
    target = samples.target[filled].astype(np.float32)
    parts = inputs, target, weight
    yield jax.device_put(
      jax.tree.map(lambda x, s=shape: x.reshape(*s, *x.shape[1:]), parts)
    )
