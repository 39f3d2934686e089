"""Boosting, of oblivious trees."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from rmtl_jax.contrib.trees import boosting, forms, oblivious
from rmtl_jax.runtime import programs

FORM = oblivious.Oblivious()
LIMITS = forms.make_limits(FORM, 7, range(7))


def rows(count, seed=0, columns=7, tasks=2):
  """Rows whose labels depend on the first two columns together."""
  draw = np.random.default_rng(seed)
  bins = draw.integers(0, 8, (columns, count)).astype(np.uint8)
  logit = np.where(bins[0] > 3, 2.0, -1.0) * np.where(bins[1] > 4, 1, -1)
  chance = 1 / (1 + np.exp(-np.stack([logit, logit - 1.0])[:tasks]))
  labels = (draw.random(chance.shape) < chance).astype(np.float32)
  return boosting.Rows(bins, labels, np.ones_like(labels))


def predict(trees, bins):
  """Logits of rows, f64[K, R], tree by tree."""
  logits = np.zeros((len(trees.leaves), bins.shape[1]))
  for k, n in itertools.product(*map(range, trees.leaves.shape[:2])):
    leaf = np.zeros(bins.shape[1], int)
    for column, last in zip(trees.columns[k, n], trees.last[k, n], strict=True):
      leaf = 2 * leaf + (bins[column] > last)
    logits[k] += trees.leaves[k, n, leaf]
  return logits


def logloss(trees, found):
  logits = predict(trees, found.bins)
  return np.mean(np.logaddexp(0, logits) - found.labels * logits, 1)


def test_trees_learn_what_two_columns_tell_together():
  train, validation, test = (rows(4000, seed) for seed in range(3))
  trees, rounds, losses, logits = boosting.boost(
    FORM, LIMITS, train, validation, 50, seed=0
  )
  assert trees.leaves.shape == (2, 50, 2**oblivious.DEPTH)
  rate = train.labels.mean(1)
  plain = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
  assert np.all(logloss(trees, test) < plain - 0.1)
  assert rounds.tolist() == [5, 5]
  # What validation has lost in all.
  np.testing.assert_allclose(
    losses, 4000 * logloss(trees, validation), rtol=1e-5
  )
  np.testing.assert_allclose(logits, predict(trees, validation.bins), atol=1e-5)


def test_threads_that_grow_trees_compute_in_32_bits(request):
  def boosted():
    return boosting.boost(FORM, LIMITS, rows(200), rows(200, 1), 10, seed=0)

  found = boosted()
  request.getfixturevalue('told_of_64_bits')
  jax.tree.map(
    np.testing.assert_array_equal, programs.in_32_bits(boosted)(), found
  )


def test_a_last_round_has_no_more_trees_than_are_asked_for():
  train, validation = rows(2000, 0), rows(1000, 1)
  trees, rounds, losses, logits = boosting.boost(
    FORM, LIMITS, train, validation, 15, seed=0
  )
  assert trees.leaves.shape[1] == 15 and rounds.tolist() == [2, 2]
  assert np.all(np.any(trees.leaves[:, 14] != 0, 1))
  np.testing.assert_allclose(logits, predict(trees, validation.bins), atol=1e-5)
  np.testing.assert_allclose(
    losses, 1000 * logloss(trees, validation), rtol=1e-5
  )


def test_without_anything_to_learn_trees_predict_the_rate():
  draw = np.random.default_rng(0)

  def noise():
    labels = (draw.random((1, 3000)) < 0.2).astype(np.float32)
    weight = np.ones_like(labels)
    return rows(3000, tasks=1)._replace(labels=labels, weight=weight)

  train, validation = noise(), noise()
  # Validation rows are those of train with other labels: noise is no help.
  trees = boosting.boost(FORM, LIMITS, train, validation, 80, seed=1).trees
  used = np.any(trees.leaves[0] != trees.leaves[0, :, :1], 1)
  assert used.sum() <= boosting.ROUND
  rate = (train.labels.sum() + 0.5) / 3001
  logits = predict(trees, train.bins)
  assert np.mean(logits) == pytest.approx(np.log(rate / (1 - rate)), abs=0.05)


def test_labels_without_weight_do_not_count():
  train, validation = rows(2000), rows(500, 1)
  weight = train.weight.copy()
  weight[0, ::2] = 0
  other = train.labels.copy()
  other[0, ::2] = 1 - other[0, ::2]
  first, second = (
    boosting.boost(
      FORM,
      LIMITS,
      train._replace(labels=labels, weight=weight),
      validation,
      10,
      seed=3,
    ).trees
    for labels in (train.labels, other)
  )
  jax.tree.map(np.testing.assert_array_equal, first, second)
  third = boosting.boost(FORM, LIMITS, train, validation, 10, seed=3).trees
  assert np.any(third.leaves[0] != first.leaves[0])
  # Tasks have trees of their own.
  np.testing.assert_array_equal(third.leaves[1], first.leaves[1])


def test_a_task_without_weight_has_no_trees():
  train, validation = rows(1000), rows(500, 1)
  train.weight[1], validation.weight[1] = 0, 0
  trees = boosting.boost(FORM, LIMITS, train, validation, 20, seed=0).trees
  np.testing.assert_array_equal(trees.leaves[1], 0)
  assert np.any(trees.leaves[0])


def test_many_rows_are_sampled_for_every_tree(monkeypatch):
  monkeypatch.setattr(boosting, '_ROWS', 500)
  boosting._round.clear_cache()
  try:
    train, validation = rows(3000), rows(1000, 1)
    trees = boosting.boost(FORM, LIMITS, train, validation, 30, seed=0).trees
    again = boosting.boost(FORM, LIMITS, train, validation, 30, seed=0).trees
  finally:
    boosting._round.clear_cache()
  jax.tree.map(np.testing.assert_array_equal, trees, again)
  rate = train.labels.mean(1)
  plain = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
  assert np.all(logloss(trees, rows(2000, 2)) < plain - 0.05)


def test_progress_is_by_rounds_and_the_last_is_cut():
  seen = []
  train, validation = rows(500), rows(200, 1)
  whole = boosting.boost(
    FORM, LIMITS, train, validation, 20, seed=0, progress=seen.append
  ).trees
  assert seen == [0.5, 1.0]
  seen.clear()
  part = boosting.boost(
    FORM, LIMITS, train, validation, 13, seed=0, progress=seen.append
  ).trees
  assert seen == [10 / 13, 1.0]
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a, b[:, :13]), part, whole
  )


def test_trees_of_the_same_rows_again_are_the_same():
  """Each task has as many rounds as validation wanted."""
  train, validation = rows(800), rows(300, 1)
  found = boosting.boost(FORM, LIMITS, train, validation, 60, seed=0)
  seen = []
  again = boosting.boost_again(
    FORM, LIMITS, train, found.rounds, 60, 0, seen.append
  )
  jax.tree.map(np.testing.assert_array_equal, again, found.trees)
  assert seen[-1] == 1.0 and len(seen) == found.rounds.max()
  # Other rows, other trees; without rounds only the rates.
  other = boosting.boost_again(
    FORM, LIMITS, rows(800, 2), np.array([2, 0]), 60, 0
  )
  used = np.any(other.leaves != other.leaves[..., :1], 2).sum(1)
  assert used[0] == 2 * boosting.ROUND and used[1] == 0
  rate = (rows(800, 2).labels[1].sum() + 0.5) / 801
  logits = predict(other, train.bins)[1]
  np.testing.assert_allclose(logits, np.log(rate / (1 - rate)), rtol=1e-5)


def test_without_rounds_nothing_is_grown_again(monkeypatch):
  """There are the rates alone, in trees of the same form."""
  train, seen = rows(800), []
  usual = boosting.boost_again(FORM, LIMITS, train, np.array([1, 0]), 20, 0)
  monkeypatch.setattr(boosting, '_round', None)
  none = boosting.boost_again(
    FORM, LIMITS, train, np.zeros(2, int), 20, 0, seen.append
  )
  assert seen == [1.0]
  for one, other in zip(none, usual, strict=True):
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
  np.testing.assert_array_equal(none.leaves[1], usual.leaves[1])
  rate = (train.labels.sum(1) + 0.5) / 801
  np.testing.assert_allclose(
    predict(none, train.bins),
    np.repeat(np.log(rate / (1 - rate))[:, None], 800, 1),
    rtol=1e-5,
  )


def test_limits_leave_the_other_columns_out():
  """As if there were no others; and one program grows all."""
  train, validation = rows(800), rows(300, 1)
  boosting.boost(FORM, LIMITS, train, validation, 20, seed=0)
  programs = boosting._round._cache_size()
  for places in ([1], [0, 1, 4], [0, 1, 2, 4, 5, 6]):
    limits = forms.make_limits(FORM, 7, places)
    found = boosting.boost(FORM, limits, train, validation, 20, seed=0).trees
    assert boosting._round._cache_size() == programs
    own = [one._replace(bins=one.bins[places]) for one in (train, validation)]
    count = len(places)
    limits = forms.make_limits(FORM, count, range(count))
    alone = boosting.boost(FORM, limits, *own, 20, seed=0).trees
    alone = alone._replace(columns=np.array(places)[alone.columns])
    jax.tree.map(np.testing.assert_array_equal, found, alone)
    programs = boosting._round._cache_size()
