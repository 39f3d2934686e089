from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import embeddings


def test_fields_lie_below_each_other_in_one_table():
  spec = types.FeatureSpec((3, 5), ((4, 2),), 2, 1)
  np.testing.assert_array_equal(embeddings.offsets(spec), [0, 3, 8, 12])


def test_a_multi_valued_field_is_the_mean_of_its_used_slots():
  table = jnp.array([[9.0], [9.0], [1.0], [2.0], [4.0]])
  slots = jnp.array([[0, -1, -1], [1, -1, 2], [2, 2, 1], [-1, -1, -1]])
  np.testing.assert_allclose(
    embeddings.mean_of_used(table, slots, start=2),
    [[1.0], [3.0], [10 / 3], [0.0]],
    rtol=1e-6,
  )
