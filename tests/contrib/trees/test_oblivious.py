"""Oblivious trees against a search in plain NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.contrib.trees import forms, oblivious

LIMITS = forms.make_limits(oblivious.Oblivious(), 5, range(5))


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
