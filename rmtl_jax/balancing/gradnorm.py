"""GradNorm: learnt weights of tasks that even out their gradients' norms.

Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in
Deep Multitask Networks" (ICML 2018).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmtl_jax.balancing import task_sums


class GradNormState(NamedTuple):
  """The state of `gradnorm`.

  Attributes:
    task_weights: the last step's, f32[K].
    next_weights: the next step's, f32[K].
    initial_losses: those of the first step, f32[K]; 0 before it.
    optimizer_state: Adam's, of the weights.
  """

  task_weights: jax.Array
  next_weights: jax.Array
  initial_losses: jax.Array
  optimizer_state: Any


def gradnorm(
  num_tasks: int, alpha: float = 1.5, learning_rate: float = 0.025
) -> optax.GradientTransformationExtraArgs:
  """Weights that descend sum_k |G_k - mean(G) r_k^alpha| (Equations 1 and 2).

  G_k is the norm of the weighted gradient and r_k the loss over its first
  value, relative to the tasks' mean (Algorithm 1). A step uses the weights from
  before its own update. The paper takes norms of the last shared layer to save
  time; these are of all parameters that are balanced, as their gradients are
  there anyway. Weights stay at least 0, which the paper leaves open.

  Args:
    num_tasks: K.
    alpha: how strongly slow tasks are pulled; 0 evens out norms alone.
    learning_rate: of Adam on the weights. Its epsilon is 1e-16, because
      gradients of mean losses are small.

  Returns:
    A transformation of task gradients, leaves [K, ...], that needs `losses`,
    the tasks' own f32[K].
  """
  adam = optax.adam(learning_rate, eps=1e-16)

  def init(params):
    del params
    return GradNormState(
      task_weights=jnp.ones(num_tasks),
      next_weights=jnp.ones(num_tasks),
      initial_losses=jnp.zeros(num_tasks),
      optimizer_state=adam.init(jnp.ones(num_tasks)),
    )

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    if losses is None:
      raise ValueError('gradnorm: update needs the extra argument `losses`')
    losses = losses.astype(jnp.float32)
    weights = state.next_weights
    is_first = ~jnp.any(state.initial_losses)
    initial = jnp.where(is_first, losses, state.initial_losses)
    norms = jnp.sqrt(jnp.diagonal(task_sums.gram(updates)))
    ratios = losses / jnp.where(initial > 0.0, initial, 1.0)
    derivative = gradnorm_derivative(weights, norms, ratios, alpha)
    change, optimizer_state = adam.update(derivative, state.optimizer_state)
    raw = jnp.maximum(weights + change, 0.0)
    total = jnp.sum(raw)
    new_weights = jnp.where(
      total > 0.0, num_tasks * raw / jnp.where(total > 0, total, 1.0), weights
    )
    new_state = GradNormState(weights, new_weights, initial, optimizer_state)
    new_state = task_sums.unless_absent(losses, new_state, state)
    return task_sums.combine(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


def gradnorm_derivative(
  weights: jax.Array, norms: jax.Array, loss_ratios: jax.Array, alpha: float
) -> jax.Array:
  """The derivative of Equation 2 in the weights, f32[K]: norm times sign.

  Examples:
    >>> norms = jnp.array([3.0, 1.0])
    >>> gradnorm_derivative(jnp.ones(2), norms, jnp.ones(2), 1.5).tolist()
    [3.0, -1.0]

  Args:
    weights: of the tasks, >= 0, f32[K].
    norms: of their gradients without weights, f32[K].
    loss_ratios: losses over their first values, f32[K].
    alpha: exponent of the relative rates.
  """
  mean_ratio = jnp.mean(loss_ratios)
  rates = loss_ratios / jnp.where(mean_ratio > 0.0, mean_ratio, 1.0)
  weighted = weights * norms
  # Constants of the step, as in the paper.
  targets = jax.lax.stop_gradient(jnp.mean(weighted) * rates**alpha)
  gaps = weighted - targets
  # Norms that differ by rounding alone are equal.
  return norms * jnp.where(jnp.abs(gaps) > 1e-6 * targets, jnp.sign(gaps), 0.0)
