"""The critic: a row's features and the tasks' actions -> Q per task."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import features, layers

# Output bias of a fresh critic with head `neg_softplus`: Q starts near
# -softplus(-1) = -0.31, between the usual returns of a click (about 0.3 per
# row) and of a conversion, where the head's slope is still 0.27.
INITIAL_BIAS = -1.0


class Critic(nnx.Module):
  """Q_k(s, a_k): one bottom, one tower per task (Liu et al., section 3.3).

  The action a_k enters as the block a_k e + c beside the blocks of the
  features. Its share of the first layer is a_k (e W) + c W, of rank one; the
  features' share is computed once for all tasks. The form `separate` of
  CriticConfig is K of these with one task each (see `functional`).
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    network: config_lib.NetworkConfig,
    critic: config_lib.CriticConfig,
    rngs: nnx.Rngs,
  ):
    numbers = layers.Numbers()
    units, dim = network.bottom_units, network.embedding_dim
    self.head = critic.head
    self.form = network.expert_form
    self.num_tasks = spec.num_tasks
    self.first = features.FirstLayer(spec, network, units[0], 0, rngs)
    self.action = layers.Linear(1, dim, layers.LECUN, rngs)
    # The whole first layer's inputs count, as in FirstLayer's own kernel.
    blocks = self.first.kernel.shape[0] + 1
    kernel = layers.init_kernel(
      rngs.params(), (blocks * dim, units[0]), layers.HE
    )
    self.action_kernel = nnx.Param(kernel[-dim:])
    self.bottom = layers.Hidden(1, units, network, numbers, rngs)
    self.towers = layers.Towers(
      spec.num_tasks, units[-1], network, numbers, rngs
    )
    if critic.head == 'neg_softplus':
      bias = self.towers.heads.linear.bias
      bias[...] = jnp.full_like(bias[...], INITIAL_BIAS)

  def __call__(
    self,
    shared: features.Shared,
    inputs: types.Inputs,
    actions: jax.Array,
    dropout_key: jax.Array | None,
  ) -> jax.Array:
    """One lane and its actions f32[T, K] -> Q, f32[T, K]."""
    rows, tasks = actions.shape
    state, _ = self.first(shared, inputs)
    kernel = self.action_kernel[...]
    slope = self.action.kernel[...] @ kernel
    constant = self.action.bias[...] @ kernel
    state = state + constant[None, :]
    x = jnp.concatenate(
      [state + actions[:, k : k + 1] * slope for k in range(tasks)], axis=0
    )
    # All tasks' rows below each other: one GEMM, and a mask for each.
    x = self.bottom(layers.split_columns(x, 1, self.form), dropout_key)[0]
    x = x.reshape(tasks, rows, x.shape[1])
    towers = layers.stack(layers.unstack(x), self.form)
    return apply_head(self.towers(towers, dropout_key), self.head)


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
