"""Weights & Biases: in WANDB_PROJECT, in the active run or a new one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import extras
from rmtl_jax.runtime import stages

_PROJECT = 'rmtl_jax'


class Run:
  """See registry.Tracker."""

  def __init__(self, workdir: pathlib.Path, run_id: str):
    """Goes on with a run, or begins one.

    Args:
      workdir: RUN, which names a new run.
      run_id: of a run that was cut off, or ''.
    """
    wandb = extras.require('wandb', 'tracker wandb')
    self._wandb, self._is_finished = wandb, False
    # A run that the caller has begun is the caller's to end.
    self._is_own = wandb.run is None
    self._run = wandb.run or wandb.init(
      project=os.environ.get('WANDB_PROJECT') or _PROJECT,
      name=workdir.resolve().name,
      id=run_id or None,
      resume='allow' if run_id else None,
    )
    self.run_id: str = self._run.id
    # Stages count their epochs from 1, and W&B's own steps only rise.
    self._run.define_metric('epoch')
    for stage in stages.LEAVES:
      self._run.define_metric(f'{stage}/*', step_metric='epoch')

  def parameters(self, values: Mapping[str, Any]) -> None:
    """The run's config."""
    self._run.config.update(dict(values), allow_val_change=True)

  def metrics(self, values: Mapping[str, float], step: int | None) -> None:
    """The run's history, by epoch; its summary without."""
    if step is None:
      self._run.summary.update(dict(values))
    else:
      self._run.log({**values, 'epoch': step})

  def artifacts(self, paths: Sequence[pathlib.Path]) -> None:
    """One artifact with the files of the run."""
    artifact = self._wandb.Artifact(f'run-{self.run_id}', type='run')
    for path in paths:
      artifact.add_file(str(path))
    self._run.log_artifact(artifact)
    self._is_finished = True

  def close(self) -> None:
    """Ends the run, as failed where it has no artifacts yet."""
    if self._is_own:
      self._run.finish(exit_code=0 if self._is_finished else 1)
