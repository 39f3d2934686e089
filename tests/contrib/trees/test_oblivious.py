"""Oblivious trees against a search in plain NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.contrib.trees import boosting, oblivious


@pytest.fixture(autouse=True)
def strict():
  with jax.numpy_rank_promotion('raise'):
    yield


LIMITS = boosting.make_limits(oblivious.Oblivious(), 5, range(5))


def test_a_tree_asks_what_a_plain_search_would():
  draw = np.random.default_rng(0)
  bins = draw.integers(0, 8, (5, 600)).astype(np.uint8)
  # Labels depend on two columns together.
  likes = (bins[0] > 3) == (bins[1] > 4)
  labels = draw.random(600) < np.where(likes, 0.8, 0.2)
  slope = (0.3 - labels).astype(np.float32)
  curve = np.full_like(slope, 0.21)
  columns, last, steps = oblivious._grow(
    jnp.asarray(bins),
    jnp.asarray(np.stack([slope, curve], 1)),
    LIMITS,
    oblivious.DEPTH,
  )

  def gain(leaf, yes):
    total = 0.0
    for number in np.unique(leaf):
      sides = [leaf == number, (leaf == number) & yes, (leaf == number) & ~yes]
      g = [np.sum(slope[one], dtype=np.float64) for one in sides]
      h = [np.sum(curve[one], dtype=np.float64) for one in sides]
      if min(h[1:]) >= 5:
        whole, *parts = (a * a / (b + 20) for a, b in zip(g, h, strict=True))
        total += sum(parts) - whole
    return total

  leaf = np.zeros(600, int)
  for level in range(oblivious.DEPTH):
    gains = {
      (c, b): gain(leaf, bins[c] > b) for c in range(5) for b in range(7)
    }
    chosen = int(columns[level]), int(last[level])
    assert gains[chosen] == pytest.approx(max(gains.values()), rel=1e-4)
    leaf = 2 * leaf + (bins[chosen[0]] > chosen[1])
  for number in np.unique(leaf):
    at = leaf == number
    step = -slope[at].sum() / (curve[at].sum() + 20)
    assert steps[number] == pytest.approx(step, abs=1e-5)


@pytest.mark.parametrize('depth', [1, 3])
def test_a_shallow_tree_is_the_top_of_a_deep_one(depth):
  draw = np.random.default_rng(0)
  bins = jnp.asarray(draw.integers(0, boosting.BINS, (5, 900)).astype('u1'))
  slope = np.where(bins[0] + draw.integers(0, 64, 900) > 60, 0.5, -0.5)
  both = np.stack([slope, np.full(900, 0.25)], 1).astype('f4')
  deep, shallow = (
    oblivious.ObliviousTrees(
      *oblivious._grow(bins, jnp.asarray(both), LIMITS, levels)
    )
    for levels in (oblivious.DEPTH, depth)
  )
  for part in ('columns', 'last'):
    first = [getattr(one, part)[:depth] for one in (deep, shallow)]
    np.testing.assert_array_equal(*first)
  others = 2 ** (oblivious.DEPTH - depth)
  leaf = np.zeros(900, int)
  for level in range(depth):
    column, last = shallow.columns[level], shallow.last[level]
    leaf = 2 * leaf + np.asarray(bins[column] > last)
  leaves = np.asarray(shallow.leaves).reshape(-1, others)
  assert np.all(leaves[:, 1:] == 0) and np.std(leaves[:, 0]) > 0.1
  found = oblivious.Oblivious().predict(bins, shallow)
  np.testing.assert_array_equal(found, leaves[leaf, 0])
