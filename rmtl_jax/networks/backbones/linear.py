"""A linear model of all fields, for every task."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax.networks import backbones, first_layer, layers


class Linear(backbones.Backbone):
  """Logits are the first layer's columns: no hidden layer, no interaction.

  Every value of a field has a number for each task, a linear function of its
  embedding, and a row's logit is their sum (logistic regression), at first 0.
  The only terms of several fields are those that wrappers add
  (`network.crosses`). What sizes of networks and dropout say does not apply.
  """

  def build(self, setup: layers.Setup) -> None:
    """A column for each output of the tasks."""
    self.gates = ()
    self.first = first_layer.FirstLayer(
      self.spec, self.config, setup.rngs, sum(self.spec.units)
    )
    # Nothing has to break a symmetry.
    self.first.kernel[...] = jnp.zeros_like(self.first.kernel[...])

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """What the first layer says."""
    return x[0]
