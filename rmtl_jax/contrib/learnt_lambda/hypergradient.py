"""Lambda learnt on validation: the hypergradient of one step.

Lambda weighs train rows, and a step with these weights changes the loss of
validation rows. The influence of one step is exact and cheap: no unrolling, one
backward pass over a batch of validation rows and a derivative of the train
batch's pullback (Ren et al., "Learning to Reweight Examples for
Robust Deep Learning", ICML 2018, for one number instead of one per row).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

# Adam's, for lambda itself: the sizes of hypergradients mean little.
OPTIMIZER = optax.scale_by_adam(b1=0.9, b2=0.99)


def hypergradient(
  row_losses: Callable[[Any], jax.Array],
  validation_loss: Callable[[Any], jax.Array],
  params: Any,
  new_params: Any,
  scale: Any,
  weigh: Callable[[jax.Array], jax.Array],
  lambda_: jax.Array,
) -> jax.Array:
  """d(validation loss after the step) / d(lambda), up to the learning rate.

  The step is theta' = theta - eta P g(lambda) with g = sum_i c_i(lambda)
  grad l_i(theta), where c is the weighted cotangent. So dL(theta')/dlambda =
  -eta sum_i (dc_i/dlambda) (grad l_i . P grad L(theta')), and all the inner
  products are one derivative of the row losses along P grad L(theta').

  Args:
    row_losses: of the train batch, params -> f32[L, T, K].
    validation_loss: of a batch of validation rows, params -> f32[].
    params: theta, before the step.
    new_params: theta', after it.
    scale: P, a tree like params: how the optimizer scales a gradient.
    weigh: lambda -> c, f32[L, T, K].
    lambda_: f32[].

  Returns:
    The derivative divided by eta, f32[].
  """
  towards = jax.tree.map(
    jnp.multiply, scale, jax.grad(validation_loss)(new_params)
  )
  # The forward derivative as the transpose of the pullback, since layers with
  # a pullback of their own have no other.
  losses, pullback = jax.vjp(row_losses, params)
  products = jax.grad(lambda c: optax.tree.vdot(pullback(c)[0], towards))(
    jnp.zeros_like(losses)
  )
  return -jax.grad(lambda value: jnp.sum(weigh(value) * products))(lambda_)


def adam_scale(opt_state: Any, eps: float = 1e-8) -> Any:
  """How Adam scales the next gradient, but for momentum: 1 / (sqrt(nu) + eps).

  Args:
    opt_state: of an optimizer with one Adam in it, after its step.
    eps: Adam's.

  Returns:
    A tree like the parameters.
  """
  second_moment = optax.tree.get(opt_state, 'nu')
  return jax.tree.map(lambda nu: 1.0 / (jnp.sqrt(nu) + eps), second_moment)


def new_lambda(
  gradient: jax.Array,
  meta_state: Any,
  lambda_: jax.Array,
  learning_rate: float,
  low: float,
) -> tuple[jax.Array, Any]:
  """One step of Adam on lambda, which stays above `low`; (lambda, state)."""
  update, new_meta_state = OPTIMIZER.update(gradient, meta_state)
  moved = lambda_ - learning_rate * cast(jax.Array, update)
  return jnp.maximum(moved, low), new_meta_state
