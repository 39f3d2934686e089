"""Rounds of gradient boosting, for binary tasks; `forms` says how a tree grows.

Every tree fits what those before have left of the losses; validation rows say
how many a task has.
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.contrib.trees import forms
from rmtl_jax.runtime import programs

# Trees that are grown before validation is looked at again, and rounds that
# may pass without a better one.
ROUND, _PATIENCE = 10, 5
_LEARNING_RATE = 0.1
# Of the rows, what a tree is grown from, at most.
_ROWS = 2**16


class Rows(NamedTuple):
  """Binned rows of a split.

  Attributes:
    bins: whole numbers below those of the form, u8[C, R] or u16[C, R]; of
      numbers, below BINS.
    labels: f32[K, R], 0 or 1.
    weight: f32[K, R], 0 of labels that do not count.
  """

  bins: Any
  labels: Any
  weight: Any


class Grown(NamedTuple):
  """What `boost` has grown.

  Attributes:
    trees: as many of each task as were asked for, in the form's NamedTuple.
    rounds: after which a task's are without effect, i64[K].
    losses: the sum of each task's losses on validation rows, f64[K].
    logits: of validation rows, by these trees, f32[K, V].
  """

  trees: Any
  rounds: np.ndarray
  losses: np.ndarray
  logits: np.ndarray


def boost(
  form: forms.Form,
  limits: forms.Limits,
  train: Rows,
  validation: Rows,
  count: int,
  seed: int,
  progress: Callable[[float], object] = lambda fraction: None,
) -> Grown:
  """Grows trees for every task until validation gets no better.

  Args:
    train: the rows that are learnt from.
    validation: those that say how many trees are best; logloss.
    seed: of the columns and rows that a tree samples.
    progress: called after every round, with the fraction of `count` that is
      grown.

  Returns:
    The trees. The first one has the logit of the task's rate in its leaves;
    leaves of trees beyond the best number are 0.
  """
  base = _logits_of_rates(train)
  logits = _repeated(base, validation)
  best = losses(logits, validation)
  rounds = np.zeros(len(base), np.int64)
  grown: list[Any] = []
  for trees, beside in _rounds(form, limits, train, validation, count, seed):
    grown.append(trees)
    found = losses(beside, validation)
    is_better = found < best
    rounds = np.where(is_better, len(grown), rounds)
    logits = np.where(is_better[:, None], beside, logits)
    best = np.minimum(best, found)
    progress(min(len(grown) * ROUND / count, 1.0))
    is_done = np.all(len(grown) - rounds >= _PATIENCE)
    if is_done or len(grown) * ROUND >= count:
      break
  return Grown(_filled(grown, rounds, base, count), rounds, best, logits)


def compile_ahead(
  form: forms.Form,
  limits: forms.Limits,
  columns: int,
  tasks: int,
  rows: int,
  others: int,
) -> None:
  """Runs a round of no rows that count, so that its program is there.

  As many `rows` as train has, and as many `others` as validation.
  """

  def nothing(count):
    zeros = np.zeros((tasks, count), np.float32)
    return Rows(np.zeros((columns, count), form.dtype), zeros, zeros)

  next(_rounds(form, limits, nothing(rows), nothing(others), ROUND, 0))


def boost_again(
  form: forms.Form,
  limits: forms.Limits,
  train: Rows,
  rounds: np.ndarray,
  count: int,
  seed: int,
  progress: Callable[[float], object] = lambda fraction: None,
) -> Any:
  """Grows as many rounds as validation wanted before, of other rows.

  Args:
    train: the rows that are learnt from.
    rounds: of each task, i64[K].
    count: of trees, of each task.
    seed: as for `boost`.
    progress: called after every round, with the fraction that is grown.
  """
  nothing = Rows(*(part[:, :0] for part in train))
  wanted = int(rounds.max())
  if not wanted:
    progress(1.0)
    none = _without_effect(form, limits, train)
    return _filled([none], rounds, _logits_of_rates(train), count)
  grown: list[Any] = []
  for trees, _ in _rounds(form, limits, train, nothing, count, seed):
    grown.append(trees)
    progress(len(grown) / wanted)
    if len(grown) >= wanted:
      break
  return _filled(grown, rounds, _logits_of_rates(train), count)


def _without_effect(form: forms.Form, limits: forms.Limits, train: Rows) -> Any:
  """A tree of each task that is not grown; its leaves are 0."""
  derivatives = jax.ShapeDtypeStruct((train.bins.shape[1], 2), np.float32)
  tree = jax.eval_shape(
    form.grow, train.bins, derivatives, limits, jax.random.key(0)
  )
  tasks = len(train.labels)
  return jax.tree.map(
    lambda part: np.zeros((tasks, 1, *part.shape), part.dtype), tree
  )


def _rounds(
  form: forms.Form,
  limits: forms.Limits,
  train: Rows,
  validation: Rows,
  count: int,
  seed: int,
) -> Iterator[tuple[Any, np.ndarray]]:
  """ROUND trees at a time, with validation's logits so far, f32[K, V].

  There is no end to them; those behind `count` have empty leaves.
  """
  tasks, base = len(train.labels), _logits_of_rates(train)
  bins, others = jax.device_put((train.bins, validation.bins))
  labels, weight = jax.device_put((list(train.labels), list(train.weight)))

  def of_task(k, key, left, logits):
    of = bins, labels[k], weight[k], others
    return _round(form, limits, *of, *logits[k], key, k, left, tasks)

  # Of each task, those of train and of validation.
  logits = list(
    zip(_repeated(base, train), _repeated(base, validation), strict=True)
  )
  # A tree is the work of one core.
  threads = min(tasks, os.cpu_count() or 1)
  with concurrent.futures.ThreadPoolExecutor(
    threads, 'trees', initializer=programs.enter_32_bits
  ) as pool:
    for number in itertools.count():
      key = jax.random.fold_in(jax.random.key(seed), number)
      left = max(count - number * ROUND, 0)
      found = pool.map(
        of_task, range(tasks), *map(itertools.repeat, (key, left, logits))
      )
      logits, trees = map(list, zip(*found, strict=True))
      stacked = jax.tree.map(lambda *parts: np.stack(parts), *trees)
      yield stacked, np.stack([v for _, v in logits])


def _repeated(logits: np.ndarray, rows: Rows) -> np.ndarray:
  """A logit of each task for every row, f32[K, R]."""
  return np.repeat(logits[:, None], rows.labels.shape[1], 1)


def _logits_of_rates(rows: Rows) -> np.ndarray:
  """The logit of each task's rate, f32[K]; 0 of a task without rows."""
  total = np.sum(rows.weight, 1, np.float64)
  positive = np.sum(rows.weight * rows.labels, 1, np.float64)
  rate = np.clip((positive + 0.5) / (total + 1.0), 1e-6, 1 - 1e-6)
  return np.log(rate / (1 - rate)).astype(np.float32)


def losses(logits: np.ndarray, rows: Rows) -> np.ndarray:
  """The weighted sum of each task's losses, f64[K], of logits f32[K, R]."""
  each = np.logaddexp(0.0, logits) - rows.labels * logits
  return np.asarray(np.sum(each * rows.weight, 1, np.float64))


def _filled(
  grown: list[Any], rounds: np.ndarray, base: np.ndarray, count: int
) -> Any:
  """All trees of a task, without leaves beyond its best round."""
  trees = jax.tree.map(lambda *parts: np.concatenate(parts, 1), *grown)
  number = np.arange(trees.leaves.shape[1])[None, :]
  kept = number < rounds[:, None] * ROUND
  leaves = np.where(kept[..., None], trees.leaves, 0.0)
  leaves[:, 0] += base[:, None]

  def padded(part):
    room = max(count - part.shape[1], 0)
    return np.pad(
      part[:, :count], ((0, 0), (0, room), *((0, 0),) * (part.ndim - 2))
    )

  return jax.tree.map(padded, trees._replace(leaves=leaves))


@functools.partial(jax.jit, static_argnums=(0, 11))
def _round(
  form: forms.Form,
  limits: forms.Limits,
  bins: jax.Array,
  labels: jax.Array,
  weight: jax.Array,
  others: jax.Array,
  logits: jax.Array,
  beside: jax.Array,
  key: jax.Array,
  task: int,
  left: int,
  tasks: int,
):
  """ROUND trees of one task, one after the other.

  Args:
    bins: of train rows, [C, R].
    labels: f32[R].
    weight: f32[R].
    others: bins of validation rows, [C, V].
    logits: of train rows so far, f32[R].
    beside: of validation rows so far, f32[V].
    key: of the round, the same for all tasks.
    task: the number of the task.
    left: trees that are wanted; those behind are without effect.
    tasks: K, each of which samples by itself.

  Returns:
    New (logits, beside); and the task's part of the form's trees.
  """
  rows = bins.shape[1]

  def tree(so_far, drawn):
    (logits, beside), (key, number) = so_far, drawn
    which, sample = jax.random.split(jax.random.split(key, tasks)[task])
    of = (bins, labels, weight, logits)
    if rows > _ROWS:
      some = jax.random.randint(sample, (_ROWS,), 0, rows)
      of = tuple(values[..., some] for values in of)
    asked, label, counted, logit = of
    probability = jax.nn.sigmoid(logit)
    first = (probability - label) * counted
    second = probability * (1.0 - probability) * counted
    found = form.grow(asked, jnp.stack([first, second], 1), limits, which)
    step = jnp.where(number < left, _LEARNING_RATE, 0.0)
    one = found._replace(leaves=found.leaves * step)
    after = logits + form.predict(bins, one), beside + form.predict(others, one)
    return after, one

  drawn = jax.random.split(key, ROUND), jnp.arange(ROUND)
  return jax.lax.scan(tree, (logits, beside), drawn)
