"""What forms of trees share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.contrib.trees import forms, oblivious

FORM = oblivious.Oblivious()
LIMITS = forms.make_limits(FORM, 7, range(7))


def test_the_gain_of_a_question_by_hand():
  """One column, one leaf; 6 and 10 rows of second derivative 1."""
  first, second = np.zeros((2, 1, 1, forms.BINS), np.float32)
  first[..., :2], second[..., :2] = (-12.0, 8.0), (6.0, 10.0)
  found = np.asarray(forms.gains((first, second), LIMITS))
  # G^2 / (H + 20): 144 / 26 + 64 / 30 - 16 / 36.
  assert found[0, 0, 0] == pytest.approx(7.22735, abs=1e-4)
  # Then all rows are on one side.
  np.testing.assert_array_equal(found[0, 0, 1:], 0)


def test_a_side_with_few_rows_gains_nothing():
  first, second = np.zeros((2, 1, 1, forms.BINS), np.float32)
  first[..., :2], second[..., :2] = (-12.0, 8.0), (4.9, 10.0)
  np.testing.assert_array_equal(forms.gains((first, second), LIMITS), 0)


@pytest.mark.parametrize('bins', [forms.BINS, 300])
def test_sums_and_gains_equal_those_of_loops(bins):
  """Of two columns of the three, in two nodes; few bins and many."""
  draw = np.random.default_rng(bins)
  columns = jnp.asarray(draw.integers(0, bins, (3, 400)), jnp.uint16)
  leaf = jnp.asarray(draw.integers(0, 2, 400), jnp.int32)
  derivatives = jnp.asarray(draw.random((400, 2)), jnp.float32)
  found = forms.histograms(columns, 2, leaf, derivatives, 2, bins)
  sums = np.zeros((2, 3, 2, bins))
  for column in range(2):
    place = leaf, columns[column]
    np.add.at(sums[0, column], place, derivatives[:, 0])
    np.add.at(sums[1, column], place, derivatives[:, 1])
  np.testing.assert_allclose(found, sums, atol=1e-5)
  no = np.cumsum(sums, -1)
  whole, least = no[..., -1:], forms.LEAST
  yes = whole - no
  parts = (side[0] ** 2 / (side[1] + forms.L2) for side in (no, yes, whole))
  gain = next(parts) + next(parts) - next(parts)
  gain[np.minimum(no[1], yes[1]) < least] = 0
  np.testing.assert_allclose(forms.gains(found, LIMITS), gain, atol=1e-3)


def test_limits_by_hand():
  found = forms.make_limits(FORM, 5, [3, 1], l2=2.0)
  np.testing.assert_array_equal(found.columns, [3, 1, 0, 2, 4])
  assert found[1:] == (2, 2, 2.0, forms.LEAST)
  assert forms.make_limits(FORM, 5, ()).sampled == 0
  assert forms.make_limits(FORM, 50, range(40)).sampled == 12


def test_allowed_columns_are_sampled_first():
  columns = np.arange(50)[::-1]
  draws = [
    np.asarray(forms.sample_columns(FORM, columns, allowed, key))
    for allowed in (50, 4)
    for key in jax.random.split(jax.random.key(0), 20)
  ]
  assert all(len({*one}) == len(one) == 15 for one in draws)
  assert {*np.concatenate(draws[:20])} == {*range(50)}
  assert all({*one[:4]} == {46, 47, 48, 49} for one in draws[20:])
