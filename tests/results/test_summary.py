"""What a run says in words, by hand."""

import types

import numpy as np

from rmtl_jax.results import figures


def test_curves_by_hand():
  # Two sessions, of two rows and of one.
  split = types.SimpleNamespace(
    starts=np.array([0, 2, 3]), rows=3, sample_weight=None
  )
  weights = np.array([[2.0], [0.5], [4.0]], np.float32)
  found = figures.curves(split, ('a',), weights)
  assert found == {'weight_by_step': {'a': [3.0, 0.5]}}
