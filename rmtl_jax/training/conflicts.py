"""How far the tasks' gradients agree, looked at after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
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
    Means over those of a few train batches in which the tasks have a gradient,
    left out where that is none: `gradient_norm_<task>`; of each pair of tasks
    `gradient_cosine_<a>_and_<b>` and `gradient_conflict_<a>_and_<b>`, the share
    of batches in which it is negative. {} where tasks share nothing, and where
    many processes read the batches.
  """
  program = context.models.conflicts(context.config)
  if program is None or jax.process_count() > 1:
    return {}
  # A copy, since the loop donates what it is given.
  looked = conflicts.Looked(state.copy(params), jnp.zeros((), jnp.int32))
  _, sums = trainer.run_epoch(
    program,
    looked,
    feed.dispatches(context.train, context.sample, len(context.sample.row)),
    context.key('pretrain'),
    progress.Progress(quiet=True),
  )
  return _means(sums, context.tasks)


def _means(sums: dict[str, float], tasks: Sequence[str]) -> dict[str, float]:
  """The figures of a step's sums over batches."""
  names = [
    (f'gradient_norm_{task}', 'norm', f'{k}') for k, task in enumerate(tasks)
  ]
  names += [
    (f'gradient_{name}_{tasks[i]}_and_{tasks[j]}', name, f'{i}_{j}')
    for i, j in conflicts.pairs(len(tasks))
    for name in ('cosine', 'conflict')
  ]
  return {
    figure: sums[f'{name}_{of}'] / sums[f'batches_{of}']
    for figure, name, of in names
    if sums[f'batches_{of}']
  }
