"""The critic: a row's features and the tasks' actions -> Q per task."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import first_layer, layers

# Output bias of a fresh critic with head `neg_softplus`: Q starts near
# -softplus(-1) = -0.31, between the usual returns of a click (about 0.3 per
# row) and of a conversion, where the head's slope is still 0.27.
INITIAL_BIAS = -1.0


class Critic(nnx.Module):
  """Q_k(s, a_k): one bottom, one tower per task (Liu et al., section 3.3).

  The action a_k enters as the block a_k e + c next to the blocks of the
  features. Its share of the first layer is a_k (e W) + c W, of rank one; the
  features' share is computed once for all tasks. The form `separate` of
  CriticConfig is K of these with one task each (see `factory`).
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    network: config_lib.NetworkConfig,
    critic: config_lib.CriticConfig,
    rngs: nnx.Rngs,
  ):
    setup = layers.Setup(network, rngs)
    units, dim = network.bottom_units, network.embedding_dim
    self.head = critic.head
    self.first = first_layer.FirstLayer(spec, network, rngs, units[0])
    self.action = layers.Linear(1, dim, layers.LECUN, rngs)
    # The whole first layer's inputs count, as in FirstLayer's own kernel.
    blocks = self.first.kernel.shape[0] + 1
    kernel = layers.init_kernel(
      rngs.params(), (blocks * dim, units[0]), layers.HE
    )
    self.action_kernel = nnx.Param(kernel[-dim:])
    self.sees_remaining = critic.sees_remaining
    if critic.sees_remaining:
      self.remaining = layers.Linear(1, units[0], layers.LECUN, rngs)
    self.bottom = layers.Hidden(1, units, setup)
    self.towers = layers.Towers(spec.num_tasks, setup)
    if critic.head == 'neg_softplus':
      bias = self.towers.heads.linear.bias
      bias[...] = jnp.full_like(bias[...], INITIAL_BIAS)

  def __call__(
    self,
    shared: first_layer.Shared,
    inputs: types.Inputs,
    actions: jax.Array,
    dropout_key: jax.Array | None,
  ) -> jax.Array:
    """One lane and its actions f32[T, K] -> Q, f32[T, K]."""
    rows, tasks = actions.shape
    state = self.first(shared, inputs)[0][0]
    # The features are the same for all tasks. An action adds a multiple of one
    # row to their pre-activations, so that the layer runs once, not K times.
    kernel = self.action_kernel[...]
    slope = self.action.kernel[...] @ kernel
    constant = self.action.bias[...] @ kernel
    state = state + constant[None, :]
    if self.sees_remaining:
      state = state + self.remaining(remaining(inputs.segment)[:, None])
    x = jnp.concatenate(
      [state + actions[:, k : k + 1] * slope for k in range(tasks)], axis=0
    )
    # All tasks' rows below each other: one GEMM, and a mask for each.
    x = self.bottom(layers.stack([x]), dropout_key)[0]
    x = x.reshape(tasks, rows, x.shape[1])
    towers = layers.stack(layers.unstack(x))
    return apply_head(self.towers(towers, dropout_key), self.head)


def remaining(segment: types.Array | None) -> jax.Array:
  """How much of the session is left after each row: log(1 + rows), f32[T].

  Args:
    segment: equal within one session of the lane, -1 in padding, i32[T]. A
      session that was cut counts as far as the cut.

  Raises:
    ValueError: the rows are in no lanes.
  """
  if segment is None:
    raise ValueError('expected rows in lanes, with segments')
  segment = jnp.asarray(segment)
  slots = jnp.arange(segment.shape[0])
  later = segment[:, None] == segment[None, :]
  later &= (slots[:, None] < slots[None, :]) & (segment >= 0)[:, None]
  return jnp.log1p(jnp.sum(later, axis=1).astype(jnp.float32))


def unapply_head(value: types.Array, head: str) -> jax.Array:
  """z with apply_head(z, head) = value, elementwise; values are <= 0.

  A value of 0, which no `neg_softplus` reaches, counts as -1e-3.
  """
  if head == 'neg_softplus':
    size = jnp.maximum(-jnp.asarray(value), 1e-3)
    # log(exp(size) - 1), which does not overflow.
    return size + jnp.log(-jnp.expm1(-size))
  return -jnp.asarray(value) if head == 'neg_relu' else jnp.asarray(value)


def with_initial_values(
  params: Any, values: types.Array, head: str
) -> dict[str, Any]:
  """A fresh critic that predicts `values`: its last biases are set.

  Args:
    params: of `factory.make_critic`; heads have one unit per task.
    values: per task, f32[K].
    head: CriticConfig.head.

  Returns:
    The parameters, which share their other leaves with `params`.
  """
  towers = params['towers']
  linear = towers['heads']['linear']
  bias = linear['bias']
  # [K, 1] of a shared bottom, [K, 1, 1] of separate critics, members ahead.
  tasks = len(values)
  shape = (tasks, 1) if bias.shape[-2] == tasks else (tasks, 1, 1)
  new_bias = jnp.broadcast_to(
    unapply_head(values, head).astype(bias.dtype).reshape(shape), bias.shape
  )
  new_linear = {**linear, 'bias': new_bias}
  return {
    **params,
    'towers': {**towers, 'heads': {**towers['heads'], 'linear': new_linear}},
  }


def apply_head(z: jax.Array, head: str) -> jax.Array:
  """The critic's last step; rewards are <= 0, so Q should be.

  Args:
    z: the towers' outputs, f32[...].
    head: CriticConfig.head; `neg_relu` is the authors' code, and has no
      gradient where its input is negative.

  Returns:
    Q, f32[...].
  """
  if head == 'neg_softplus':
    return -jax.nn.softplus(z)
  if head == 'neg_relu':
    return -jax.nn.relu(z)
  return z
