"""A balancer in the actor's step: from row losses to one gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import balancer_registry, task_sums
from rmtl_jax.updates import weighted_grad


class Balance(NamedTuple):
  """A balancer and what it acts on.

  Attributes:
    record: its entry in the registry.
    link: its transformation (balancing/balancer_registry.py).
    shared: where parameters are shared, see updates/shared.py; None: all are.
  """

  record: balancer_registry.Balancer
  link: optax.GradientTransformationExtraArgs
  shared: Any = None


class Balanced(NamedTuple):
  """The balanced gradient of a batch.

  Attributes:
    gradient: like the parameters.
    weighted: the row losses' cotangent with the weights of tasks in it, where
      there are such, f32[L, T, K].
    state: the balancer's next one.
  """

  gradient: Any
  weighted: jax.Array
  state: Any


def balanced(
  balance: Balance | None,
  rows: weighted_grad.RowLosses,
  weighted: jax.Array,
  balancing_state: Any,
  params: Any,
  key: jax.Array | None,
) -> Balanced:
  """The gradient of a batch's balanced losses.

  Args:
    balance: the balancer, or None.
    rows: the batch's row losses, f32[L, T, K], and their pullback.
    weighted: their cotangent, with weights of rows, if there are any.
    key: of the balancer's draws.
  """
  if balance is None:
    # All weights are in the cotangent, so one backward pass is enough.
    return Balanced(rows.pullback(weighted), weighted, ())
  update = optax.with_extra_args_support(balance.link).update
  if balance.record.acts_on == balancer_registry.LOSSES:
    new_weighted, new_state = update(
      weighted, balancing_state, params, losses=rows.losses, key=key
    )
    new_weighted = cast(jax.Array, new_weighted)
    return Balanced(rows.pullback(new_weighted), new_weighted, new_state)
  gradient, new_state = _on_shared(update, balance)(
    rows.task_gradients(weighted),
    balancing_state,
    params,
    losses=task_sums.mean_losses(weighted, rows.losses),
    key=key,
  )
  found = optax.tree.get_all_with_path(new_state, 'task_weights')
  if found:
    weighted = task_sums.scale(weighted, found[0][1])
  return Balanced(gradient, weighted, new_state)


def observed(
  balance: Balance | None,
  balancing_state: Any,
  weighted: jax.Array,
  losses_after: Callable[[], jax.Array],
) -> Any:
  """The state of a balancer that observes the losses after the step.

  Args:
    balance: the balancer, or None.
    balancing_state: its state after `balanced`.
    weighted: the cotangent that the step began with.
    losses_after: gives the batch's row losses with the new parameters; not
      called if the balancer does not need them.
  """
  observe = balance.record.observe if balance else None
  if observe is None:
    return balancing_state
  return observe(
    balancing_state, task_sums.mean_losses(weighted, losses_after())
  )


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
