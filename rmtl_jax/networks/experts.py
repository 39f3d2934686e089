"""Mixtures of experts: softmax gates, and the levels of PLE."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
from flax import nnx

from rmtl_jax import config as config_lib
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
class Shares:
  """How a level of PLE shares its experts out.

  Attributes:
    num_tasks: K.
    own: experts of each task.
    shared: experts of all tasks.
  """

  num_tasks: int
  own: int
  shared: int

  @property
  def total(self) -> int:
    """Experts of a level: each task's in order, then the shared ones."""
    return self.num_tasks * self.own + self.shared

  def gates(self, is_last: bool) -> list[int]:
    """Experts that each gate sees: the tasks' gates, then the shared one."""
    widths = [self.own + self.shared] * self.num_tasks
    return widths if is_last else [*widths, self.total]


def shares(num_tasks: int, num_experts: int) -> Shares:
  """Half of the experts (rounded down) shared, the rest for each task."""
  shared = num_experts // 2
  return Shares(num_tasks, num_experts - shared, shared)


def extract(
  gates: Sequence[jax.Array],
  own: Sequence[layers.Stack],
  seen: Sequence[layers.Stack],
  shared: layers.Stack,
) -> tuple[list[jax.Array], jax.Array | None]:
  """What the gates of one level make of its experts.

  Args:
    gates: the tasks' gates f32[T, own + shared], then that of the shared path
      f32[T, total], which the last level lacks.
    own: each task's experts, of f32[T, units].
    seen: the shared experts as each task's gate sees them.
    shared: the shared experts as the shared path's gate sees them.

  Returns:
    Each task's mixture f32[T, units], and the shared path's or None.
  """
  tasks = [
    layers.mix(gates[k], layers.concatenate(own[k], seen[k]))
    for k in range(len(own))
  ]
  if len(gates) == len(own):
    return tasks, None
  everything = own[0]
  for more in [*own[1:], shared]:
    everything = layers.concatenate(everything, more)
  return tasks, layers.mix(gates[-1], everything)


class ExtractionLevel(nnx.Module):
  """One level of PLE after the first (Tang et al., RecSys 2020, section 4.3).

  Args:
    split: how the experts are shared out.
    inputs: width of the level's inputs.
    units: width of an expert.
    is_last: the last level has no gate for the shared path.
    config: `expert_input`, dropout, and the form of the stacks.
    numbers: where the masks' numbers come from.
    rngs: where the kernels come from.
  """

  def __init__(
    self,
    split: Shares,
    inputs: int,
    units: int,
    is_last: bool,
    config: config_lib.NetworkConfig,
    numbers: layers.Numbers,
    rngs: nnx.Rngs,
  ):
    self.num_tasks = split.num_tasks
    self.is_last = is_last
    self.feeds_gate = config.expert_input == 'gate'

    def experts(count: int) -> layers.StackedLinear:
      return layers.StackedLinear(
        count, inputs, units, layers.HE, config.expert_form, rngs
      )

    def activation(count: int) -> layers.Activation:
      return layers.Activation(count, config.dropout, numbers)

    for k, width in enumerate(split.gates(is_last=True)):
      setattr(self, f'experts_{k}', experts(split.own))
      setattr(self, f'activation_{k}', activation(split.own))
      # Every task's own pass through the shared experts has its own mask.
      setattr(self, f'activation_seen_{k}', activation(split.shared))
      gate = layers.Linear(inputs, width, layers.LECUN, rngs)
      setattr(self, f'gate_{k}', gate)
    self.experts_shared = experts(split.shared)
    self.activation_shared = activation(split.shared)
    if not is_last:
      self.gate_shared = layers.Linear(inputs, split.total, layers.LECUN, rngs)

  def __call__(
    self,
    tasks: Sequence[jax.Array],
    shared: jax.Array,
    dropout_key: jax.Array | None,
  ) -> tuple[list[jax.Array], jax.Array | None]:
    """The next level's inputs.

    Args:
      tasks: each task's input, f32[T, inputs].
      shared: the shared path's input, f32[T, inputs].
      dropout_key: None means no dropout.

    Returns:
      Each task's f32[T, units], and the shared path's or None (last level).
    """
    gates, own, seen = [], [], []
    through_shared = self.activation_shared(
      self.experts_shared(shared), dropout_key
    )
    for k, x in enumerate(tasks):
      gates.append(jax.nn.softmax(getattr(self, f'gate_{k}')(x), axis=1))
      experts = getattr(self, f'experts_{k}')(x)
      own.append(getattr(self, f'activation_{k}')(experts, dropout_key))
      if self.feeds_gate:
        activation = getattr(self, f'activation_seen_{k}')
        seen.append(activation(self.experts_shared(x), dropout_key))
      else:
        seen.append(through_shared)
    if not self.is_last:
      gates.append(jax.nn.softmax(self.gate_shared(shared), axis=1))
    return extract(gates, own, seen, through_shared)
