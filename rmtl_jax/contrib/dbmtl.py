"""Deep Bayesian multi-target learning (DBMTL; Wang et al., 2019)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax.networks import backbones, layers


class Dbmtl(backbones.Backbone):
  """A shared bottom, and tasks that read the relation layers before them.

  The joint probability of the labels is the chain p(y_1 | x) p(y_2 | y_1, x)
  ..., each factor a network of the task's own representation and its parents'
  (arXiv:1902.09154). All earlier tasks are a task's parents, in the data's
  order. The tower of task k is `tower_units`; a relation layer, as wide as
  the tower's last, takes it and the parents' relation layers side by side.

  Differs from the paper: nothing but the representations passes from a parent
  to a child, as in the form that is served, when labels are not known.
  """

  def build(self, setup: layers.Setup) -> None:
    """Bottom, towers without heads, a relation layer per task, heads."""
    units = self.config.tower_units
    self.first = self.read(setup)
    self.bottom = layers.Hidden(1, self.config.bottom_units, setup)
    self.linear_0 = layers.StackedLinear(
      self.num_tasks, self.config.bottom_units[-1], units[0], layers.HE, setup
    )
    self.hidden = layers.Hidden(self.num_tasks, units, setup)
    for k in range(self.num_tasks):
      relation = layers.Linear(
        (k + 1) * units[-1], units[-1], layers.HE, setup.rngs
      )
      setattr(self, f'relation_{k}', relation)
      setattr(self, f'activation_{k}', layers.Activation(1, setup))
    self.heads = layers.Heads(self.num_tasks, units[-1], setup)

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Task k reads those before it, which have read those before them."""
    own = self.hidden(self.linear_0(self.bottom(x, key)[0]), key)
    outputs: list[jax.Array] = []
    for k in range(self.num_tasks):
      known = jnp.concatenate([own[k], *outputs], axis=1)
      z = getattr(self, f'relation_{k}')(known)
      outputs += getattr(self, f'activation_{k}')([z], key)
    return self.heads(layers.stack(outputs))
