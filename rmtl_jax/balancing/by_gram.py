"""Balancers whose weights rest on the products of task gradients alone.

Every maker here gives an Optax transformation from K task gradients, a tree
whose leaves are [K, ...] and whose sum over K is the gradient as it is, to one
gradient, sum_k w_k g_k with weights that average 1 unless a paper says
otherwise. So a whole loop of one's own is

    gradients = jax.jacrev(losses_of_tasks)(params)
    optimizer = optax.chain(pcgrad(num_tasks=2), optax.adam(1e-3))
    updates, state = optimizer.update(gradients, state, params, key=key)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmtl_jax.balancing import tasks


class GramState(NamedTuple):
  """The state of a balancer on products of gradients.

  Attributes:
    task_weights: the last step's, f32[K].
    failures: steps whose solver did not converge, i32[].
    memory: what the balancer itself remembers.
  """

  task_weights: jax.Array
  failures: jax.Array
  memory: Any


def from_gram(
  num_tasks: int,
  weights_of: Callable[..., tuple[jax.Array, jax.Array, Any]],
  init_memory: Callable[[], Any] = tuple,
  averaging: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """A transformation from a function of the gradients' products.

  Args:
    num_tasks: K.
    weights_of: (gram f32[K, K], memory, key, losses f32[K] or None) ->
      (weights f32[K], whether a solver converged, new memory). The function
      alone decides what it reads.
    init_memory: gives the memory before the first step.
    averaging: share of the weights before in those of a step (CR-MOGM: Zhou
      et al., NeurIPS 2022, Algorithm 1), which start at 1.
  """

  def init(params):
    del params
    return GramState(
      jnp.ones(num_tasks), jnp.zeros((), jnp.int32), init_memory()
    )

  def update(updates, state, params=None, *, key=None, losses=None, **extra):
    del params, extra
    weights, converged, memory = weights_of(
      tasks.gram(updates), state.memory, key, losses
    )
    weights = averaging * state.task_weights + (1.0 - averaging) * weights
    failures = state.failures + jnp.where(converged, 0, 1)
    new_state = GramState(weights, failures, memory)
    return tasks.combine(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)
