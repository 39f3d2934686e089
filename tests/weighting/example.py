"""A batch of one lane, four slots and two tasks, weighed by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.weighting import chain

LAMBDA = 0.5
MEANS = (1.75, 1.25)
# The last slot is padding; its values are there to be left alone.
Q_VALUES = np.array([[[-1, -2], [0, -0.5], [-4, -1], [-3, -3]]], np.float32)
LABELS = np.array([[[1, 0], [1, 1], [0, 0], [0, 0]]], np.float32)
MASK = np.array([[True, True, True, False]])
COTANGENT = np.array(
  [[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.0, 0.0]]], np.float32
)

# 1 - 0.5 Q, 1 - 0.5 y Q, -Q, the means, one; of mean one over the three rows:
# 1 - 0.5 A by its definition (its mean and variance of Q are -5/3 and 26/9,
# -7/6 and 7/18). A shuffle gives the weights of `critic` in another order.
ONE = [1.0, 1.0]
WEIGHTS = {
  'critic': [[1.5, 2.0], [1.0, 1.25], [3.0, 1.5], [2.5, 2.5]],
  'label_times_q': [[1.5, 1.0], [1.0, 1.25], [1.0, 1.0], [1.0, 1.0]],
  'negative_q': [[1.0, 2.0], [0.0, 0.5], [4.0, 1.0], [3.0, 3.0]],
  'advantage': [
    [1 - 1 / 26**0.5, 1 + 2.5 / 14**0.5],
    [1 - 2.5 / 26**0.5, 1 - 2 / 14**0.5],
    [1 + 3.5 / 26**0.5, 1 - 0.5 / 14**0.5],
    ONE,
  ],
  'q_shuffled': [[1.5, 2.0], [1.0, 1.25], [3.0, 1.5], [2.5, 2.5]],
  'constant_mean': [[1.75, 1.25]] * 4,
  'constant': [[1.0, 1.0]] * 4,
  'ddpg': [[1.0, 1.0]] * 4,
}


def make(name: str, **settings: Any):
  """The weighting with lambda 0.5, and its state."""
  config = config_lib.WeightingConfig(
    name=name, **{'lambda_': LAMBDA, **settings}
  )
  weighting = chain.make_weighting(config, MEANS)
  # Weightings keep nothing that is shaped like losses.
  return weighting, weighting.init(jnp.zeros(()))


def extra(q_values: Any = Q_VALUES, seed: int = 0) -> dict[str, Any]:
  """All that a step hands to a weighting, by keyword."""
  return {
    'q_values': jnp.asarray(q_values),
    'losses': jnp.ones((1, 4, 2)),
    'labels': jnp.asarray(LABELS),
    'mask': jnp.asarray(MASK),
    'key': jax.random.key(seed),
  }


def assert_weighted(name: str, weighted: Any, weights: Any) -> None:
  """Asserts that the cotangent's valid rows were scaled by these weights.

  Args:
    name: of the weighting; a shuffled one may have them in any order of rows.
    weighted: what the weighting returned for COTANGENT, f32[1, 4, 2].
    weights: f32[4, 2].
  """
  found = np.asarray(weighted)[0, :3] / COTANGENT[0, :3]
  expected = np.asarray(weights)[:3]
  if name == 'q_shuffled':
    found = found[np.argsort(found[:, 0])]
    expected = expected[np.argsort(expected[:, 0])]
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  np.testing.assert_array_equal(np.asarray(weighted)[0, 3], [0.0, 0.0])
