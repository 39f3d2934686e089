"""A balancer in the actor's step: from row losses to one gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import balancer_registry, task_sums
from rmtl_jax.updates import state


class Balance(NamedTuple):
  """A balancer with its link and the shared parameters.

  Attributes:
    record: its entry in the registry.
    link: its transformation (balancing/balancer_registry.py).
    shared: where parameters are shared, see updates/shared.py; None: all are.
  """

  record: balancer_registry.Balancer
  link: optax.GradientTransformationExtraArgs
  shared: Any = None


def balanced(
  balance: Balance,
  losses: jax.Array,
  pullback: Callable[[jax.Array], tuple[Any]],
  weighted: jax.Array,
  actor: state.ActorState,
  key: jax.Array,
) -> tuple[Any, jax.Array, Any]:
  """The gradient of a batch's balanced losses.

  Args:
    balance: the balancer.
    losses: of rows, f32[L, T, K].
    pullback: of the losses.
    weighted: their cotangent, with weights of rows, if there are any.
    actor: before the step.
    key: of the balancer's draws.

  Returns:
    (gradient, like the parameters; the cotangent with the weights of tasks,
    where there are such; the balancer's next state).
  """
  update = optax.with_extra_args_support(balance.link).update
  old_state, params = actor.balancing_state, actor.params
  if balance.record.acts_on == balancer_registry.LOSSES:
    new_weighted, new_state = update(
      weighted, old_state, params, losses=losses, key=key
    )
    new_weighted = cast(jax.Array, new_weighted)
    (gradient,) = pullback(new_weighted)
    return gradient, new_weighted, new_state
  gradient, new_state = _on_shared(update, balance)(
    task_gradients(pullback, weighted),
    old_state,
    params,
    losses=task_sums.mean_losses(weighted, losses),
    key=key,
  )
  found = optax.tree.get_all_with_path(new_state, 'task_weights')
  if found:
    weighted = task_sums.scale(weighted, found[0][1])
  return gradient, weighted, new_state


def task_gradients(
  pullback: Callable[[jax.Array], tuple[Any]], cotangent: jax.Array
) -> Any:
  """The gradient of each task in the pullback of a cotangent [..., K].

  Returns:
    A tree like the parameters with a leading axis of tasks, which sums to the
    cotangent's own gradient.
  """
  # One after the other: under vmap CPUs add into embedding tables some ten
  # times as slowly.
  each = [
    pullback(task_sums.scale(cotangent, chosen))[0]
    for chosen in jnp.eye(cotangent.shape[-1])
  ]
  return jax.tree.map(lambda *parts: jnp.stack(parts), *each)


def observed(
  balance: Balance,
  balancing_state: Any,
  weighted: jax.Array,
  losses_after: Callable[[], jax.Array],
) -> Any:
  """The state of a balancer that observes the losses after the step.

  Args:
    balance: the balancer.
    balancing_state: its state after `balanced`.
    weighted: the cotangent that the step began with.
    losses_after: gives the batch's row losses with the new parameters; not
      called if the balancer does not need them.
  """
  observe = balance.record.observe
  if observe is None:
    return balancing_state
  losses = task_sums.mean_losses(weighted, losses_after())
  return observe(balancing_state, losses)


def _on_shared(update: Callable[..., Any], balance: Balance):
  """The update on shared parameters; the others get their plain gradient."""
  if balance.shared is None:
    return update

  def on_shared(gradients, balancing_state, params, **extra):
    seen = task_sums.masked(gradients, balance.shared)
    combined, new_state = update(seen, balancing_state, params, **extra)
    gradient = jax.tree.map(
      lambda g, whole, mask: (
        whole
        if mask is np.True_
        else jnp.where(mask, whole, task_sums.total(g))
      ),
      gradients,
      combined,
      balance.shared,
    )
    return gradient, new_state

  return on_shared
