"""Bits by a hash: keys, numbers, positions; tests/networks/test_dropout.py
tests that they are independent."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.ops import hashing


def test_keys_of_either_kind_and_every_implementation():
  typed = jax.random.key(12)
  raw = jax.random.key_data(typed)
  np.testing.assert_array_equal(
    hashing.salts(typed, 3, 4), hashing.salts(raw, 3, 4)
  )
  wide = [hashing.salts(jax.random.key(s, impl='rbg'), 0, 1) for s in (1, 2)]
  assert wide[0].shape == (1, 2)
  assert (wide[0] != wide[1]).all()


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_salts_of_a_key_differ(first, second):
  key = np.array([first, second], np.uint32)
  found = np.asarray(hashing.salts(jnp.asarray(key), 0, 64))
  assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == 64
  # The numbers count on from wherever a layer starts.
  np.testing.assert_array_equal(
    found[5:9], hashing.salts(jnp.asarray(key), 5, 4)
  )
  # Both of the key's words matter, and their order.
  for other in ([first, second ^ 1], [first ^ 1, second], [second, first]):
    if other != [first, second]:
      moved = hashing.salts(jnp.asarray(np.array(other, np.uint32)), 0, 64)
      assert (np.asarray(moved) != found).any(axis=1).all()


def test_bits_count_positions_in_rows():
  salt = hashing.salts(jax.random.key(3), 0, 1)[0]
  flat = np.asarray(hashing.bits(salt, (24,)))
  assert flat.dtype == np.uint32 and len(np.unique(flat)) == 24
  np.testing.assert_array_equal(
    hashing.bits(salt, (2, 3, 4)), flat.reshape(2, 3, 4)
  )
  np.testing.assert_array_equal(hashing.bits(salt, ()), flat[0])


def test_every_bit_is_set_in_half_of_the_positions():
  salt = hashing.salts(jax.random.key(4), 1, 1)[0]
  found = np.asarray(hashing.bits(salt, (2**16,)))
  shares = (found[:, None] >> np.arange(32, dtype=np.uint32)) & 1
  # Each is binomial: sigma is 2 ** -9.
  assert np.abs(shares.mean(0) - 0.5).max() < 4.5 * 2**-9
