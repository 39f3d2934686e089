"""`rmtl_jax.restore`: a run's parameters, and how to evaluate them."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from rmtl_jax import registry, types
from rmtl_jax.results import (
  calibrations,
  figures,
  list_starts,
  trained_ensemble,
)
from rmtl_jax.runtime import programs, workdir
from rmtl_jax.training import split_data


class Restored(NamedTuple):
  """Parameters of a run's actor.

  Attributes:
    params: the tree that the checkpoint has; of an ensemble its members',
      joined.
    evaluate: (params, split='test') -> {task: {metric: value}}, as
      metrics.json has them, with the run's calibration.
  """

  params: Any
  evaluate: Callable[..., dict[str, dict[str, Any]]]


@programs.in_32_bits
def restore(path: str | os.PathLike[str], stage: str = '') -> Restored:
  """Restores a run's best checkpoint for evaluation.

  Args:
    path: RUN.
    stage: 'pretrain', 'constant' or 'finetune'; '': the last one that is
      finished.

  Raises:
    types.InputError: not a run, no such stage, or a damaged checkpoint.
  """
  run = workdir.read_run(pathlib.Path(path))
  trained = trained_ensemble.restore(run)
  if not trained.actors:
    raise types.InputError(f'{path}: no finished stage')
  stage = stage or list(trained.actors)[-1]
  if stage not in trained.actors:
    raise types.InputError(
      f'{path}: stage: {registry.not_one_of(stage, trained.actors)}'
    )

  @programs.in_32_bits
  def evaluate(params: Any, split: str = 'test') -> dict[str, dict[str, Any]]:
    with contextlib.ExitStack() as stack:
      workdir.hold_data(stack, run.data_dir)
      workdir.check_own_data(run, (split,))
      rows = split_data.read(
        run.data_dir, run.manifest, split, run.config.batch
      )
      found = list_starts.predicted(
        lambda split: trained.models.probabilities(run.config, params, split),
        rows,
        list_starts.of(rows, run.manifest),
      )
      tasks = run.manifest.task_names
      of = {stage: found}
      of |= calibrations.apply(calibrations.saved(run), of, tasks)
      record = figures.stages(of, rows.host, tasks, run.config)
      return record['stages'][stage]

  return Restored(trained.actors[stage], evaluate)
