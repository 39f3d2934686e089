"""Gradient boosting of oblivious trees, for binary tasks.

A tree asks the same question of all its nodes of a level (Prokhorenkova et al.,
"CatBoost", NeurIPS 2018), so that a row's leaf is a number of as many bits as
the tree has levels. Splits are found by second-order gains over histograms of
binned columns (Chen and Guestrin, "XGBoost", KDD 2016, Eq. 5-7; Ke et al.,
"LightGBM", NeurIPS 2017).
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

DEPTH = 5
# Bins of a column, which bytes number.
BINS = 64
# Trees that are grown before validation is looked at again, and rounds that
# may pass without a better one.
ROUND, _PATIENCE = 10, 5
_LEARNING_RATE = 0.1
# L2 of leaves, and the least sum of second derivatives on a side that counts.
_L2, _LEAST = 20.0, 5.0
# Of the columns, what a tree is shown; and of the rows, at most.
_SHARE, _ROWS = 0.3, 2**16


class Rows(NamedTuple):
  """Binned rows of a split.

  Attributes:
    bins: u8[C, R], below BINS.
    labels: f32[K, R], 0 or 1.
    weight: f32[K, R], 0 of labels that say nothing.
  """

  bins: Any
  labels: Any
  weight: Any


class Trees(NamedTuple):
  """Trees of K tasks.

  Attributes:
    columns: that a level asks of, i32[K, trees, DEPTH].
    last: the highest bin whose answer is no, i32[K, trees, DEPTH].
    leaves: what a leaf adds to the logit, f32[K, trees, 2**DEPTH]; the first
      level's answer is the highest bit of a leaf's number.
  """

  columns: np.ndarray
  last: np.ndarray
  leaves: np.ndarray


class Grown(NamedTuple):
  """What `boost` has grown.

  Attributes:
    trees: as many of each task as were asked for.
    rounds: after which a task's are without effect, i64[K].
    losses: the sum of each task's losses on validation rows, f64[K].
  """

  trees: Trees
  rounds: np.ndarray
  losses: np.ndarray


def boost(
  train: Rows,
  validation: Rows,
  count: int,
  seed: int,
  show: Callable[[float], object] = lambda done: None,
) -> Grown:
  """Grows trees for every task until validation gets no better.

  Args:
    train: the rows that are learnt from.
    validation: those that say how many trees are best; logloss.
    count: of trees.
    seed: of the columns and rows that a tree is shown.
    show: called after every round, with the share of `count` that is grown.

  Returns:
    The trees. The first one has the logit of the task's rate in its leaves;
    leaves of trees beyond the best number are 0.
  """
  base = _logits_of_rates(train)
  best = _loglosses(_repeated(base, validation), validation)
  rounds = np.zeros(len(base), np.int64)
  grown: list[Trees] = []
  for trees, beside in _rounds(train, validation, seed):
    grown.append(trees)
    found = _loglosses(beside, validation)
    rounds = np.where(found < best, len(grown), rounds)
    best = np.minimum(best, found)
    show(min(len(grown) * ROUND / count, 1.0))
    is_done = np.all(len(grown) - rounds >= _PATIENCE)
    if is_done or len(grown) * ROUND >= count:
      break
  return Grown(_filled(grown, rounds, base, count), rounds, best)


def compile_ahead(columns: int, tasks: int, rows: int, others: int) -> None:
  """Runs a round of no rows that count, so that its program is there.

  Args:
    columns: C.
    tasks: K.
    rows: of train.
    others: rows of validation.
  """

  def nothing(count):
    zeros = np.zeros((tasks, count), np.float32)
    return Rows(np.zeros((columns, count), np.uint8), zeros, zeros)

  next(_rounds(nothing(rows), nothing(others), 0))


def boost_again(
  train: Rows,
  rounds: np.ndarray,
  count: int,
  seed: int,
  show: Callable[[float], object] = lambda done: None,
) -> Trees:
  """Grows as many rounds as validation wanted before, of other rows.

  Args:
    train: the rows that are learnt from.
    rounds: of each task, i64[K].
    count: of trees, of each task.
    seed: as for `boost`.
    show: called after every round, with the share that is grown.
  """
  nothing = Rows(*(part[:, :0] for part in train))
  wanted = max(int(rounds.max()), 1)
  grown: list[Trees] = []
  for trees, _ in _rounds(train, nothing, seed):
    grown.append(trees)
    show(len(grown) / wanted)
    if len(grown) >= wanted:
      break
  return _filled(grown, rounds, _logits_of_rates(train), count)


def _rounds(
  train: Rows, validation: Rows, seed: int
) -> Iterator[tuple[Trees, np.ndarray]]:
  """ROUND trees at a time, with what all so far say of validation, f32[K, V].

  There is no end to them.
  """
  tasks, base = len(train.labels), _logits_of_rates(train)
  bins, others = jax.device_put((train.bins, validation.bins))
  labels, weight = jax.device_put((list(train.labels), list(train.weight)))

  def of_task(k, key, said):
    return _round(bins, labels[k], weight[k], others, *said[k], key, k, tasks)

  logits, beside = _repeated(base, train), _repeated(base, validation)
  said = list(zip(logits, beside, strict=True))
  # A tree is the work of one core.
  threads = min(tasks, os.cpu_count() or 1)
  with concurrent.futures.ThreadPoolExecutor(threads, 'trees') as pool:
    for number in itertools.count():
      key = jax.random.fold_in(jax.random.key(seed), number)
      found = pool.map(
        of_task, range(tasks), itertools.repeat(key), itertools.repeat(said)
      )
      said, trees = map(list, zip(*found, strict=True))
      parts = zip(*jax.device_get(trees), strict=True)
      yield Trees(*map(np.stack, parts)), np.stack([v for _, v in said])


def _repeated(logits: np.ndarray, rows: Rows) -> np.ndarray:
  """A logit of each task for every row, f32[K, R]."""
  return np.repeat(logits[:, None], rows.labels.shape[1], 1)


def _logits_of_rates(rows: Rows) -> np.ndarray:
  """The logit of each task's rate, f32[K]; 0 of a task without rows."""
  total = np.sum(rows.weight, 1, np.float64)
  positive = np.sum(rows.weight * rows.labels, 1, np.float64)
  rate = np.clip((positive + 0.5) / (total + 1.0), 1e-6, 1 - 1e-6)
  return np.log(rate / (1 - rate)).astype(np.float32)


def _loglosses(logits: np.ndarray, rows: Rows) -> np.ndarray:
  """The weighted sum of each task's losses, f64[K]."""
  losses = np.logaddexp(0.0, logits) - rows.labels * logits
  return np.asarray(np.sum(losses * rows.weight, 1, np.float64))


def _filled(
  grown: list[Trees], rounds: np.ndarray, base: np.ndarray, count: int
) -> Trees:
  """All trees of a task, without leaves beyond its best round."""
  columns, last, leaves = (
    np.concatenate([one[i] for one in grown], 1)[:, :count] for i in range(3)
  )
  kept = np.arange(leaves.shape[1])[None, :] < rounds[:, None] * ROUND
  leaves = np.where(kept[..., None], leaves, 0.0)
  leaves[:, 0] += base[:, None]
  room = ((0, 0), (0, count - leaves.shape[1]), (0, 0))
  return Trees(*(np.pad(x, room) for x in (columns, last, leaves)))


@functools.partial(jax.jit, static_argnums=8)
def _round(
  bins: jax.Array,
  labels: jax.Array,
  weight: jax.Array,
  others: jax.Array,
  logits: jax.Array,
  beside: jax.Array,
  key: jax.Array,
  task: int,
  tasks: int,
):
  """ROUND trees of one task, one after the other.

  Args:
    bins: of train rows, u8[C, R].
    labels: f32[R].
    weight: f32[R].
    others: bins of validation rows, u8[C, V].
    logits: of train rows so far, f32[R].
    beside: of validation rows so far, f32[V].
    key: of the round, the same for all tasks.
    task: the number of the task.
    tasks: K, each of which draws what it is shown by itself.

  Returns:
    New (logits, beside); and the task's part of Trees.
  """
  columns, rows = bins.shape
  shown = max(int(np.ceil(_SHARE * columns)), min(columns, DEPTH))

  def tree(so_far, key):
    logits, beside = so_far
    which, sample = jax.random.split(jax.random.split(key, tasks)[task])
    seen = jax.random.permutation(which, columns)[:shown]
    of = (bins[seen], labels, weight, logits)
    if rows > _ROWS:
      some = jax.random.randint(sample, (_ROWS,), 0, rows)
      of = tuple(values[..., some] for values in of)
    asked, label, counted, logit = of
    probability = jax.nn.sigmoid(logit)
    first = (probability - label) * counted
    second = probability * (1.0 - probability) * counted
    found, last, leaves = _grow(asked, jnp.stack([first, second], 1))
    one = seen[found], last, leaves * _LEARNING_RATE
    after = logits + _said(bins, *one), beside + _said(others, *one)
    return after, one

  return jax.lax.scan(tree, (logits, beside), jax.random.split(key, ROUND))


def _grow(
  bins: jax.Array, derivatives: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One tree.

  Args:
    bins: of the columns that it is shown, u8[C, R].
    derivatives: first and second, f32[R, 2].

  Returns:
    Columns and last bins of its levels, i32[DEPTH], and the Newton step of
    each leaf, f32[2**DEPTH].
  """
  leaf = jnp.zeros(bins.shape[1], jnp.int32)
  columns, last = [], []
  for level in range(DEPTH):
    # One column after the other: a sum over places of one is fast on a CPU.
    sums = jax.lax.map(
      lambda column, leaf=leaf, size=2**level * BINS: (
        jnp.zeros((size, 2))
        .at[leaf * BINS + column.astype(jnp.int32)]
        .add(derivatives)
      ),
      bins,
    ).reshape(-1, 2**level, BINS, 2)
    best = jnp.argmax(_gains(sums))
    column, bin_ = best // BINS, best % BINS
    leaf = leaf * 2 + (bins[column] > bin_)
    columns.append(column)
    last.append(bin_)
  sums = jnp.zeros((2**DEPTH, 2)).at[leaf].add(derivatives)
  steps = -sums[:, 0] / (sums[:, 1] + _L2)
  return jnp.stack(columns), jnp.stack(last), steps


def _gains(sums: jax.Array) -> jax.Array:
  """What each question gains, over all leaves, f32[C, BINS].

  Args:
    sums: of both derivatives, f32[C, leaves, BINS, 2].
  """
  no = jnp.cumsum(sums, 2)
  whole = no[:, :, -1:]
  yes = whole - no

  def score(side):
    return jnp.square(side[..., 0]) / (side[..., 1] + _L2)

  counts = (no[..., 1] >= _LEAST) & (yes[..., 1] >= _LEAST)
  gain = score(no) + score(yes) - score(whole)
  return jnp.sum(jnp.where(counts, gain, 0.0), 1)


def _said(
  bins: jax.Array, columns: jax.Array, last: jax.Array, leaves: jax.Array
) -> jax.Array:
  """What a tree says of rows, f32[R].

  Args:
    bins: u8[C, R].
    columns: i32[DEPTH].
    last: i32[DEPTH].
    leaves: f32[2**DEPTH].
  """
  leaf = jnp.zeros(bins.shape[1], jnp.int32)
  for level in range(DEPTH):
    leaf = leaf * 2 + (bins[columns[level]] > last[level])
  return leaves[leaf]
