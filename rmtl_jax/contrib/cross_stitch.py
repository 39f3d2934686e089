"""Cross-stitch networks (Misra et al., CVPR 2016)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax.networks import backbones, layers

# Share of a task's own units at the start (section 5.1 tries 0.5 to 0.9).
OWN = 0.9


class CrossStitch(backbones.Backbone):
  """K bottoms whose layers exchange activations (Eq. 1).

  After each layer, x_k becomes sum_j a_kj x_j. Differs from the paper: the
  matrix a, f32[K, K], is one per layer for all of its units, and all bottoms
  start at random, not from networks trained on one task each.
  """

  def build(self, setup: layers.Setup) -> None:
    """A bottom per task, and a stitch after each of its layers."""
    units = self.config.bottom_units
    self.first = self.read(setup, self.num_tasks)
    start = _start(self.num_tasks)
    for i in range(len(units)):
      if i > 0:
        linear = layers.StackedLinear(
          self.num_tasks, units[i - 1], units[i], layers.HE, setup
        )
        setattr(self, f'linear_{i}', linear)
      activation = layers.Activation(self.num_tasks, setup)
      setattr(self, f'activation_{i}', activation)
      setattr(self, f'stitch_{i}', nnx.Param(jnp.asarray(start)))
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Layer by layer: all bottoms, then their stitch."""
    for i in range(len(self.config.bottom_units)):
      if i > 0:
        x = getattr(self, f'linear_{i}')(x)
      x = getattr(self, f'activation_{i}')(x, key)
      x = stitch(getattr(self, f'stitch_{i}')[...], x)
    return self.towers(x, key)


def stitch(weights: jax.Array, x: layers.Stack) -> layers.Stack:
  """sum_j a_kj x_j of every task k (Eq. 1).

  Args:
    weights: a, f32[K, K].
    x: K of f32[T, units].
  """
  if not isinstance(x, list):
    return jnp.einsum('kj,jtu->ktu', weights, x)
  return [
    sum(
      (weights[k, j] * x[j] for j in range(1, len(x))),
      start=weights[k, 0] * x[0],
    )
    for k in range(len(x))
  ]


def _start(tasks: int) -> np.ndarray:
  """OWN on the diagonal, the rest spread over the other tasks, f32[K, K]."""
  if tasks == 1:
    return np.ones((1, 1), np.float32)
  other = np.full((tasks, tasks), (1 - OWN) / (tasks - 1), np.float32)
  np.fill_diagonal(other, OWN)
  return other
