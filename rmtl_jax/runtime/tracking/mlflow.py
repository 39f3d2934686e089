"""MLflow: at MLFLOW_TRACKING_URI, in the active run or a new one."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import extras

# The server takes no more parameters at once.
_AT_ONCE = 100


class Run:
  """See registry.Tracker."""

  def __init__(self, workdir: pathlib.Path, run_id: str):
    """Goes on with a run, or begins one.

    Args:
      workdir: RUN, which names a new run.
      run_id: of a run that was cut off, or ''.
    """
    mlflow = extras.require('mlflow', 'tracker mlflow')
    self._mlflow, self._is_finished = mlflow, False
    active = mlflow.active_run()
    # A run that the caller has begun is the caller's to end.
    self._is_own = active is None
    if active is None:
      active = (
        mlflow.start_run(run_id=run_id)
        if run_id and self._exists(run_id)
        else mlflow.start_run(run_name=workdir.resolve().name)
      )
    self.run_id: str = active.info.run_id

  def _exists(self, run_id: str) -> bool:
    try:
      found = self._mlflow.get_run(run_id)
    except self._mlflow.MlflowException:
      return False
    return found.info.lifecycle_stage == 'active'

  def parameters(self, values: Mapping[str, Any]) -> None:
    """Parameters of the run."""
    pairs = list(values.items())
    for first in range(0, len(pairs), _AT_ONCE):
      self._mlflow.log_params(dict(pairs[first : first + _AT_ONCE]))

  def metrics(self, values: Mapping[str, float], step: int | None) -> None:
    """Metrics of the run, by epoch."""
    self._mlflow.log_metrics(dict(values), step=step or 0)

  def artifacts(self, paths: Sequence[pathlib.Path]) -> None:
    """Files of the run."""
    for path in paths:
      self._mlflow.log_artifact(str(path))
    self._is_finished = True

  def close(self) -> None:
    """Ends the run, as killed where it has no artifacts yet."""
    if self._is_own:
      self._mlflow.end_run('FINISHED' if self._is_finished else 'KILLED')
