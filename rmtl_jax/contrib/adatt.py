"""Adaptive task-to-task fusion (AdaTT; Li et al., KDD 2023)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax.networks import backbones, layers


class Adatt(backbones.Backbone):
  """AdaTT-sp: every task sees all tasks' experts, and its own once more.

  On each level, task k's representation is its gate's mixture of all experts
  plus a learnt combination of its own ones, whose weights don't depend on the
  row (AllExpertGF and NativeExpertLF, section 3.2). One level per layer of
  `bottom_units`; a gate sees `num_experts` experts (at least one per task,
  rounded down to as many for each).

  Differs from the paper: an expert is one layer; the weights of own experts
  start at 1 / experts, where the authors' code draws them.
  """

  @property
  def per_task(self) -> int:
    """Experts of a task on a level."""
    return max(1, self.config.num_experts // self.num_tasks)

  def build(self, setup: layers.Setup) -> None:
    """Level 0 reads the features only: it is columns of the first layer."""
    units, count = self.config.bottom_units, self.per_task * self.num_tasks
    self.first = self.read(setup, count, (count,) * self.num_tasks)
    for i in range(len(units)):
      if i > 0:
        for name, members, width, gain in (
          ('experts', count, units[i], layers.HE),
          ('gates', self.num_tasks, count, layers.LECUN),
        ):
          linear = layers.StackedLinear(
            members, units[i - 1], width, gain, setup
          )
          setattr(self, f'{name}_{i}', linear)
      activation = layers.Activation(count, setup)
      setattr(self, f'activation_{i}', activation)
      share = jnp.float32(1.0 / self.per_task)
      own = jnp.full((self.num_tasks, self.per_task), share)
      setattr(self, f'native_{i}', nnx.Param(own))
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Level by level; no level has a shared path."""
    tasks: list[jax.Array] = []
    for i in range(len(self.config.bottom_units)):
      if i > 0:
        x, gates = self.level(i, tasks)
      x = getattr(self, f'activation_{i}')(x, key)
      tasks = fuse(gates, getattr(self, f'native_{i}')[...], x)
    return self.towers_on(tasks, key)

  def level(
    self, i: int, tasks: list[jax.Array]
  ) -> tuple[layers.Stack, backbones.Gates]:
    """Experts and gates of level i, on the tasks' representations."""
    gates = getattr(self, f'gates_{i}')(layers.stack(tasks))
    weights = [jax.nn.softmax(z, axis=1) for z in gates]
    seen = [x for x in tasks for _ in range(self.per_task)]
    return getattr(self, f'experts_{i}')(layers.stack(seen)), weights


def fuse(
  gates: backbones.Gates, native: jax.Array, x: layers.Stack
) -> list[jax.Array]:
  """Each task's mixture of all experts plus that of its own, f32[T, units].

  Both weigh experts, so that they are added before the one mixture.

  Args:
    gates: f32[T, K * E] of each task, rows that sum to 1.
    native: weights of each task's own experts, f32[K, E].
    x: the experts of task 1, of task 2, ..., K * E of f32[T, units].
  """
  tasks, each = native.shape
  own = [
    jnp.pad(native[k], (k * each, (tasks - 1 - k) * each)) for k in range(tasks)
  ]
  return [layers.mix(gate + own[k][None, :], x) for k, gate in enumerate(gates)]
