"""Mixtures of experts: softmax gates, and the levels of PLE."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
from flax import nnx

from rmtl_jax.networks import layers


def split_gates(logits: jax.Array, widths: Sequence[int]) -> list[jax.Array]:
  """Columns of gates side by side -> each gate's softmax.

  Args:
    logits: f32[T, sum of widths].
    widths: experts that each gate sees.

  Returns:
    One f32[T, width] per gate, rows that sum to 1.
  """
  parts = jax.lax.split(logits, tuple(widths), axis=1)
  return [jax.nn.softmax(part, axis=1) for part in parts]


@dataclasses.dataclass(frozen=True)
class ExpertCounts:
  """Experts of a level of PLE: each task's in order, then the common ones.

  Attributes:
    num_tasks: K.
    per_task: experts of each task.
    common: experts of all tasks.
  """

  num_tasks: int
  per_task: int
  common: int

  @classmethod
  def split(cls, num_tasks: int, num_experts: int) -> ExpertCounts:
    """Half of a gate's experts (rounded down) are common, others the task's."""
    common = num_experts // 2
    return cls(num_tasks, num_experts - common, common)

  @property
  def total(self) -> int:
    """Experts of a level."""
    return self.num_tasks * self.per_task + self.common

  def gates(self, is_last: bool) -> list[int]:
    """Experts that each gate sees: the tasks' gates, then the common one."""
    widths = [self.per_task + self.common] * self.num_tasks
    return widths if is_last else [*widths, self.total]


def extract(
  gates: Sequence[jax.Array],
  own: Sequence[layers.Stack],
  seen: Sequence[layers.Stack],
  common: layers.Stack,
) -> tuple[list[jax.Array], jax.Array | None]:
  """A level's gates over its experts (Tang et al., Eq. 3-6).

  Args:
    gates: the tasks' gates f32[T, per_task + common], then that of the common
      path f32[T, total], which the last level lacks.
    own: each task's experts, of f32[T, units].
    seen: the common experts as each task's gate sees them.
    common: the common experts as the common path's gate sees them.

  Returns:
    Each task's mixture f32[T, units], and the common path's or None.
  """
  tasks = [
    layers.mix(gates[k], layers.concatenate(own[k], seen[k]))
    for k in range(len(own))
  ]
  if len(gates) == len(own):
    return tasks, None
  # The common path reads all experts, so that the next level's common experts
  # learn from every task; no task's path reads another task's.
  all_experts = functools.reduce(layers.concatenate, [*own, common])
  return tasks, layers.mix(gates[-1], all_experts)


class ExtractionLevel(nnx.Module):
  """One level of PLE after the first (Tang et al., RecSys 2020, section 4.3).

  Args:
    counts: experts of each task, and of all tasks.
    inputs: width of the level's inputs.
    units: width of an expert.
    is_last: the last level has no gate for the common path.
    setup: of the network; `official`.
  """

  def __init__(
    self,
    counts: ExpertCounts,
    inputs: int,
    units: int,
    is_last: bool,
    setup: layers.Setup,
  ):
    self.is_last = is_last
    self.feeds_gate = setup.config.official

    def experts(count: int) -> layers.StackedLinear:
      return layers.StackedLinear(count, inputs, units, layers.HE, setup)

    for k, width in enumerate(counts.gates(is_last=True)):
      setattr(self, f'experts_{k}', experts(counts.per_task))
      activation = layers.Activation(counts.per_task, setup)
      setattr(self, f'activation_{k}', activation)
      # Every task's own pass through the common experts has its own mask.
      activation = layers.Activation(counts.common, setup)
      setattr(self, f'activation_seen_{k}', activation)
      gate = layers.Linear(inputs, width, layers.LECUN, setup.rngs)
      setattr(self, f'gate_{k}', gate)
    self.experts_shared = experts(counts.common)
    self.activation_shared = layers.Activation(counts.common, setup)
    if not is_last:
      self.gate_shared = layers.Linear(
        inputs, counts.total, layers.LECUN, setup.rngs
      )

  def __call__(
    self,
    tasks: Sequence[jax.Array],
    path: jax.Array,
    dropout_key: jax.Array | None,
  ) -> tuple[list[jax.Array], jax.Array | None]:
    """The next level's inputs.

    Args:
      tasks: each task's input, f32[T, inputs].
      path: the common path's input, f32[T, inputs].
      dropout_key: None means no dropout.

    Returns:
      Each task's f32[T, units], and the common path's or None (last level).
    """
    gates, own, seen = [], [], []
    common = self.activation_shared(self.experts_shared(path), dropout_key)
    for k, x in enumerate(tasks):
      gates.append(jax.nn.softmax(getattr(self, f'gate_{k}')(x), axis=1))
      experts = getattr(self, f'experts_{k}')(x)
      own.append(getattr(self, f'activation_{k}')(experts, dropout_key))
      # The paper's common experts read the common path alone; in the authors'
      # code all that a task's gate mixes reads that task's path.
      if self.feeds_gate:
        activation = getattr(self, f'activation_seen_{k}')
        seen.append(activation(self.experts_shared(x), dropout_key))
      else:
        seen.append(common)
    if not self.is_last:
      gates.append(jax.nn.softmax(self.gate_shared(path), axis=1))
    return extract(gates, own, seen, common)
