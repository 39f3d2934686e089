"""How far the tasks' gradients agree, looked at after every epoch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax.runtime import progress
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import feed, trainer
from rmtl_jax.updates import conflicts, state


def figures(context: context_lib.Context, params: Any) -> dict[str, float]:
  """What the history says of the tasks' gradients on shared parameters.

  Returns:
    Means over a few train batches: `gradient_norm_<task>`; of each pair of
    tasks `gradient_cosine_<a>_and_<b>` and `gradient_conflict_<a>_and_<b>`, the
    share of batches in which it is negative. {} where tasks share nothing, and
    where many processes read the batches.
  """
  program = context.models.conflicts(context.config)
  if program is None or jax.process_count() > 1:
    return {}
  # A copy, since the loop donates what it is given.
  looked = conflicts.Looked(state.copy(params), jnp.zeros((), jnp.int32))
  _, sums = trainer.run_epoch(
    program.loop,
    looked,
    feed.dispatches(context.train, context.sample, len(context.sample.row)),
    context.key('pretrain'),
    progress.Progress(quiet=True),
  )
  count, tasks = sums['batches'], context.tasks
  found = {
    f'gradient_norm_{task}': sums[f'norm_{k}'] / count
    for k, task in enumerate(tasks)
  }
  for i, j in conflicts.pairs(len(tasks)):
    for name in ('cosine', 'conflict'):
      pair = f'{tasks[i]}_and_{tasks[j]}'
      found[f'gradient_{name}_{pair}'] = sums[f'{name}_{i}_{j}'] / count
  return {name: float(value) for name, value in found.items()}
