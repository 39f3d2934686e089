"""Task gradients of a batch, compared: their norms, and where they conflict."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax import types
from rmtl_jax.balancing import tasks
from rmtl_jax.networks import functional
from rmtl_jax.updates import forward, weighted_grad


class Looked(NamedTuple):
  """Parameters that are looked at, batch by batch, and do not change.

  Attributes:
    params: the actor's.
    step: i32[], batches so far.
  """

  params: Any
  step: jax.Array


def pairs(num_tasks: int) -> list[tuple[int, int]]:
  """Of different tasks, each once."""
  return list(itertools.combinations(range(num_tasks), 2))


def make_conflict_step(
  network: functional.Network,
  shared: Any,
) -> Callable[..., tuple[Looked, dict[str, jax.Array]]]:
  """A step that compares the tasks' gradients and takes none.

  Args:
    network: the actor; its dropout is off.
    shared: where parameters are shared (updates/shared.py); others don't
      count.

  Returns:
    step(Looked, batch, key) -> (Looked, metrics): of each task `norm_<k>`, the
    gradient norm of its mean loss, and of each pair `cosine_<i>_<j>` and
    `conflict_<i>_<j>` (1 where the cosine is negative); `batches_<k>` and
    `batches_<i>_<j>` are 1 where these have a gradient, which a task without a
    row in the batch has not. All add up over steps.
  """

  def step(looked: Looked, batch: types.Batch, key: jax.Array):
    del key

    def losses_of(params):
      return forward.actor_losses(network, params, batch, None)

    rows = weighted_grad.differentiate(
      losses_of, looked.params, batch.mask, batch.sample_weight
    )
    num_tasks = rows.losses.shape[-1]
    # The mean over tasks has 1 / K of each task's own gradient.
    gradients = tasks.masked(rows.task_gradients(rows.mean_cotangent), shared)
    gram = num_tasks**2 * tasks.gram(gradients)
    norms = jnp.sqrt(jnp.diagonal(gram))
    metrics = {}
    for k in range(num_tasks):
      metrics[f'norm_{k}'] = norms[k]
      metrics[f'batches_{k}'] = (norms[k] > 0.0).astype(jnp.float32)
    for i, j in pairs(num_tasks):
      # A task without a gradient has no angle: no conflict.
      product = jnp.maximum(norms[i] * norms[j], jnp.finfo(norms.dtype).tiny)
      metrics[f'cosine_{i}_{j}'] = gram[i, j] / product
      metrics[f'conflict_{i}_{j}'] = (gram[i, j] < 0.0).astype(jnp.float32)
      both = metrics[f'batches_{i}'] * metrics[f'batches_{j}']
      metrics[f'batches_{i}_{j}'] = both
    return looked._replace(step=looked.step + 1), metrics

  return step
