"""Hierarchy of multi-gate experts (HoME; Wang et al., 2024)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import (
  backbones,
  dropout,
  experts,
  first_layer,
  layers,
)
from rmtl_jax.ops import hashing

# Rank of a feature gate at most.
GATE_RANK = 16
# Added to a variance that divides.
EPSILON = 1e-5


class Home(backbones.Backbone):
  """Normalised experts, gates on their inputs, and gates for own experts.

  What the paper (arXiv:2408.05430) has beyond PLE, for tasks in no groups:

  - Every expert is Swish(norm(x W + b)), so that the experts of a gate have
    outputs of one scale (expert normalisation).
  - Every expert from the second level on has a gate on its input (feature
    gate).
  - A task's path also adds a gate's mixture of its own experts alone, so that
    these always learn (self-gate).
  - A task's gate sees its own experts and the common ones (hierarchy mask,
    each task a separate category); the first level is the meta level.

  One level per layer of `bottom_units`, experts as in PLE. Differs from the
  paper: norm is over a row's units, not over the batch, so that rows do not
  depend on each other and predictions need no running means; a feature gate
  is one product of low rank, and the first level has none, since all of its
  experts share one product of the features.
  """

  @property
  def counts(self) -> experts.ExpertCounts:
    """Experts of each task, and of all tasks."""
    return experts.ExpertCounts.split(self.num_tasks, self.config.num_experts)

  def build(self, setup: layers.Setup) -> None:
    """Level 0 reads the features only: it is columns of the first layer."""
    units, counts = self.config.bottom_units, self.counts
    gates = _widths(counts, is_last=len(units) == 1)
    self.first = self.read(setup, counts.total, gates)
    for i in range(len(units)):
      if i > 0:
        level = Level(
          counts, units[i - 1], units[i], i == len(units) - 1, setup
        )
        setattr(self, f'level_{i}', level)
      activation = NormalisedSwish(counts.total, units[i], setup)
      setattr(self, f'activation_{i}', activation)
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Level by level, each task's path and the one that all tasks share."""
    paths: list[jax.Array] = []
    for i in range(len(self.config.bottom_units)):
      if i > 0:
        x, gates = getattr(self, f'level_{i}')(paths)
      x = getattr(self, f'activation_{i}')(x, key)
      paths = _extract(self.counts, gates, x)
    return self.towers_on(paths, key)

  def __call__(
    self,
    shared: first_layer.Shared,
    inputs: types.Inputs,
    dropout_key: backbones.Key,
  ) -> jax.Array:
    """As any backbone's, but the gate of one expert is a sigmoid."""
    x, gates = self.first(shared, inputs)
    parts = jax.lax.split(gates, self.gates, axis=1)
    return self.logits(x, [_weights(part) for part in parts], dropout_key)


class NormalisedSwish(layers.Activation):
  """Swish(norm(x)) and dropout of E experts (section 3.1).

  norm makes a row's units of mean 0 and variance 1, then scales and shifts
  every unit.

  Attributes:
    scale: f32[E, units].
    shift: f32[E, units].
  """

  def __init__(self, count: int, units: int, setup: layers.Setup):
    super().__init__(count, setup)
    self.scale = nnx.Param(jnp.ones((count, units)))
    self.shift = nnx.Param(jnp.zeros((count, units)))

  def __call__(
    self, x: layers.Stack, dropout_key: jax.Array | None
  ) -> layers.Stack:
    """Stack -> stack; no dropout where the key is None."""
    salts = None
    if dropout_key is not None and self.rate:
      salts = hashing.salts(dropout_key, self.number, self.count)

    def member(x, scale, shift, salt):
      y = jax.nn.swish(normalised(x) * scale[None, :] + shift[None, :])
      if salt is None:
        return y
      kept = dropout.keep(salt, (y.shape[0], y.shape[1]), self.rate)
      return jnp.where(kept, y * (1 / (1 - self.rate)), 0.0)

    scale, shift = self.scale[...], self.shift[...]
    if not isinstance(x, list):
      return jax.vmap(member)(x, scale, shift, salts)
    return [
      member(x[e], scale[e], shift[e], None if salts is None else salts[e])
      for e in range(self.count)
    ]


def normalised(x: jax.Array) -> jax.Array:
  """Rows of mean 0 and variance 1 (Ba et al., 2016), f32[T, units]."""
  centred = x - jnp.mean(x, axis=1, keepdims=True)
  variance = jnp.mean(jnp.square(centred), axis=1, keepdims=True)
  return centred * jax.lax.rsqrt(variance + EPSILON)


class Level(nnx.Module):
  """Experts and gates of a level after the first, on the paths before it.

  Args:
    counts: experts of each task, and of all tasks.
    inputs: width of the paths.
    units: width of an expert.
    is_last: the last level has no shared path.
    setup: of the network.

  Attributes:
    down: the feature gates' products of low rank, of every expert.
    up: their way back to the input's width.
  """

  def __init__(
    self,
    counts: experts.ExpertCounts,
    inputs: int,
    units: int,
    is_last: bool,
    setup: layers.Setup,
  ):
    rank, total = min(GATE_RANK, inputs), counts.total
    self.counts = counts
    self.down = layers.StackedLinear(total, inputs, rank, layers.LECUN, setup)
    self.up = layers.StackedLinear(total, rank, inputs, layers.LECUN, setup)
    self.experts = layers.StackedLinear(total, inputs, units, layers.HE, setup)
    widths = _widths(counts, is_last)
    for k in range(counts.num_tasks):
      gate = layers.Linear(
        inputs, widths[k] + counts.per_task, layers.LECUN, setup.rngs
      )
      setattr(self, f'gate_{k}', gate)
    if not is_last:
      self.gate_shared = layers.Linear(
        inputs, counts.total, layers.LECUN, setup.rngs
      )
    self.is_last = is_last

  def __call__(
    self, paths: list[jax.Array]
  ) -> tuple[layers.Stack, backbones.Gates]:
    """The tasks' paths, then the shared one, -> experts and gates.

    Returns:
      Pre-activations f32[T, units] of all experts, and the gates as `_widths`
      orders them.
    """
    counts, seen = self.counts, []
    for k in range(counts.num_tasks):
      seen += [paths[k]] * counts.per_task
    seen += [paths[counts.num_tasks]] * counts.common
    x = layers.stack(seen)
    gates, own = [], []
    for k in range(counts.num_tasks):
      z = getattr(self, f'gate_{k}')(paths[k])
      gates.append(_weights(z[:, : -counts.per_task]))
      own.append(_weights(z[:, -counts.per_task :]))
    if not self.is_last:
      gates.append(_weights(self.gate_shared(paths[counts.num_tasks])))
    return self.experts(self.gated(x)), gates + own

  def gated(self, x: layers.Stack) -> layers.Stack:
    """2 sigmoid(x B A) x of every expert's input (the feature gate)."""
    z = self.up(self.down(x))
    if isinstance(x, list):
      return [2 * jax.nn.sigmoid(z[e]) * x[e] for e in range(len(x))]
    return 2 * jax.nn.sigmoid(jnp.asarray(z)) * x


def _widths(counts: experts.ExpertCounts, is_last: bool) -> tuple[int, ...]:
  """Experts of each gate: PLE's, then those of the tasks' self-gates."""
  return (*counts.gates(is_last), *(counts.per_task,) * counts.num_tasks)


def _weights(logits: jax.Array) -> jax.Array:
  """A gate's weights: a softmax, or of one expert a sigmoid, f32[T, E]."""
  if logits.shape[1] == 1:
    return jax.nn.sigmoid(logits)
  return jax.nn.softmax(logits, axis=1)


def _extract(
  counts: experts.ExpertCounts, gates: backbones.Gates, x: layers.Stack
) -> list[jax.Array]:
  """A level's paths: gates over experts, self-gates over a task's own."""
  each, tasks = counts.per_task, counts.num_tasks
  own = [x[k * each : (k + 1) * each] for k in range(tasks)]
  common = x[tasks * each :]
  mixed, path = experts.extract(gates[:-tasks], own, [common] * tasks, common)
  paths = [
    mixed[k] + layers.mix(gates[k - tasks], own[k]) for k in range(tasks)
  ]
  return paths if path is None else [*paths, path]
