from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import dropout
from rmtl_jax.ops import hashing

SHAPE = (64, 512)
SIZE = SHAPE[0] * SHAPE[1]


def masks(keys, layer=0, rate=0.5, shape=SHAPE):
  """bool[keys, rows, units]."""
  one = lambda key: dropout.keep(hashing.salts(key, layer, 1)[0], shape, rate)
  return np.asarray(jax.jit(jax.vmap(one))(keys))


def steps(count, seed=0):
  fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
  return fold(jax.random.key(seed), jnp.arange(count))


def scores(mask, rate=0.5):
  """Masks as numbers of mean 0 and variance 1."""
  return (mask - (1 - rate)) / np.sqrt(rate * (1 - rate))


@pytest.mark.parametrize('rate', [0.05, 0.2, 0.5, 0.9])
def test_the_rate_is_kept(rate):
  dropped = ~masks(steps(20), rate=rate)
  for mask in dropped:
    sigma = np.sqrt(rate * (1 - rate) / SIZE)
    assert abs(mask.mean() - rate) < 4.5 * sigma
  # And the counts of many keys vary as binomial ones do, no less, no more.
  counts = scores(~dropped, rate).sum(axis=(1, 2)) / np.sqrt(SIZE)
  assert 0.4 < counts.std() < 1.8


def test_values_and_gradients_by_the_mask():
  salt = hashing.salts(jax.random.key(1), 0, 1)[0]
  x = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
  weights = np.arange(60, dtype=np.float32).reshape(6, 10)
  kept = np.asarray(dropout.keep(salt, (6, 10), 0.25))
  expected = np.where(kept & (x > 0), x / 0.75, 0)
  slope = np.where(kept & (x > 0), weights / 0.75, 0)

  @jax.jit
  @jax.value_and_grad
  def weighted(x):
    return (weights * dropout.relu_dropout(x, salt, 0.25)).sum()

  value, gradient = weighted(x)
  np.testing.assert_allclose(
    dropout.relu_dropout(x, salt, 0.25), expected, rtol=1e-6
  )
  np.testing.assert_allclose(value, (weights * expected).sum(), rtol=1e-6)
  np.testing.assert_allclose(gradient, slope, rtol=1e-6)
