from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import draws

SHAPES = [(3, 7), (1,), (2, 5, 33), (0, 4), (130, 128)]


@pytest.mark.parametrize('sample', [jax.random.uniform, jax.random.normal])
@pytest.mark.parametrize('shape', SHAPES)
def test_an_array_has_the_bits_of_its_own_draw(sample, shape):
  key = jax.random.key(3)
  found = draws.draw(sample, key, shape)
  np.testing.assert_array_equal(found, sample(key, shape))
  traced = jax.jit(lambda key: draws.draw(sample, key, shape))(key)
  np.testing.assert_array_equal(found, traced)


def test_shapes_share_programs():
  drawn = []

  def sample(key, shape):
    drawn.append(shape)
    return jax.random.uniform(key, shape)

  for shape in SHAPES:
    draws.draw(sample, jax.random.key(0), shape)
  assert set(drawn) == {(2**14,), (2**20,)}


def test_an_array_that_is_too_large_is_drawn_as_it_is(monkeypatch):
  monkeypatch.setattr(draws, '_ROOMS', (8,))
  found = draws.draw(
    lambda key, shape: jnp.zeros(shape), jax.random.key(0), (9,)
  )
  assert found.shape == (9,)


def test_stacked_networks_have_a_key_each():
  def init(key):
    return {'kernel': draws.draw(jax.random.uniform, key, (2, 3))}

  key = jax.random.key(1)
  found = draws.stacked(init, key, 3)
  keys = jax.random.split(key, 3)
  np.testing.assert_array_equal(
    found['kernel'], [init(one)['kernel'] for one in keys]
  )
  traced = jax.jit(lambda key: draws.stacked(init, key, 3))(key)
  np.testing.assert_array_equal(found['kernel'], traced['kernel'])


def test_a_drawn_array_can_be_donated():
  step = jax.jit(lambda x: x + 1, donate_argnums=0)
  found = draws.draw(jax.random.uniform, jax.random.key(0), (4,))
  expected = np.asarray(found) + 1
  np.testing.assert_array_equal(step(found), expected)
