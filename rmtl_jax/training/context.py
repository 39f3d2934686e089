"""Context of a run's stages: settings, data, networks, history."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.runtime import checkpoints, progress, stages
from rmtl_jax.training import models, run_start, split_data
from rmtl_jax.updates import loop

# Tells the keys of first parameters apart from those of stages.
_INIT = 100


@dataclasses.dataclass
class Context:
  """Settings, data and models of a run's stages.

  Attributes:
    config: the run's settings.
    tasks: names of the tasks.
    train: the split that is learnt from.
    validation: the split that early stopping looks at.
    models: networks and compiled loops; runs on the same data may share them.
    progress: the live line.
    history: one record per epoch or pass, all stages, oldest first.
    store: checkpoints of unfinished stages, or None (nothing is saved).
    on_record: called with every record that is added to the history.
    interrupted: a signal's number once one has arrived, else 0.
    saved_at: when the unfinished stage was last saved, of time.monotonic.
    start: the run that this one starts from, or None.
    refit_epochs: of stage 1, where another run has chosen how many and `train`
      has the validation rows too, at its end (training/refit.py); else None.
  """

  config: config_lib.Config
  tasks: tuple[str, ...]
  train: split_data.Split
  validation: split_data.Split
  models: models.Models
  progress: progress.Progress
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  store: checkpoints.Store | None = None
  on_record: Callable[[dict[str, Any]], None] = lambda record: None
  interrupted: Callable[[], int] = lambda: 0
  saved_at: float = dataclasses.field(default_factory=time.monotonic)
  start: run_start.Start | None = None
  refit_epochs: int | None = None

  def draws(self, stage: str) -> loop.Draws:
    """The stage's random key; steps fold in their own number."""
    return loop.Draws(self.config.seed, stages.NUMBERS[stage])

  def init_draws(self, stage: str) -> loop.Draws:
    """The random key of the parameters that a stage starts with."""
    return loop.Draws(self.config.seed, _INIT + stages.NUMBERS[stage])

  def epoch(self, stage: str, number: int) -> batches.Epoch:
    """One pass over the train rows."""
    return batches.Epoch(
      self.train.host.starts,
      (self.config.seed, stages.NUMBERS[stage]),
      number,
      self.config.batch,
    )

  def record(self, **values: Any) -> None:
    """Adds a record to the history."""
    self.history.append(values)
    self.on_record(values)
