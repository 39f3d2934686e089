"""Trials of a search: points of its space, trained with its seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies.comparison import methods
from rmtl_jax.studies.comparison import runs as comparison_runs
from rmtl_jax.studies.tuning import confirmation

Record = dict[str, Any]
Measured = confirmation.Measured

_RATE = 'finetune.learning_rate'
# A trial that is this much worse than the best after one seed has lost, in
# AUC; or this many times as much as seeds of one trial differ.
LEAST_MARGIN = 0.005
_DEVIATIONS = 3.0


def trial(
  settings: Record, by_seed: Sequence[float], pruned: bool = False
) -> Record:
  """A trial as tuning.json holds it; one that diverged has no value."""
  return {
    'settings': settings,
    'validation_auc': float(np.mean(by_seed)) if by_seed else 0.0,
    'by_seed': list(by_seed),
    'pruned': pruned,
  }


def best(trials: Sequence[Record]) -> Record:
  """The best trial that has run with all seeds, the first of equals."""
  whole = [t for t in trials if not t['pruned']]
  return max(whole, key=lambda t: t['validation_auc'])


def margin(trials: Sequence[Record]) -> float:
  """How much worse than the best a first seed shows a trial to have lost.

  Args:
    trials: at least one that has run with all seeds.

  Returns:
    Three times the standard deviation over seeds, pooled over the trials that
    have run with all of them; at least LEAST_MARGIN.
  """
  spreads = [
    np.var(t['by_seed'], ddof=1)
    for t in trials
    if not t['pruned'] and len(t['by_seed']) > 1
  ]
  pooled = float(np.sqrt(np.mean(spreads))) if spreads else 0.0
  return max(_DEVIATIONS * pooled, LEAST_MARGIN)


def has_lost(first: float, trials: Sequence[Record]) -> bool:
  """Whether a trial's other seeds can be spared.

  Args:
    first: its validation AUC with the first seed.
    trials: that went before.
  """
  return first < best(trials)['by_seed'][0] - margin(trials)


def variant(
  config: config_lib.Config, stage: str, point: Record
) -> comparison_runs.Variant:
  """A point as the runs of a comparison know it.

  Raises:
    types.InputError: the values do not go together.
  """
  settings = tuple(sorted((k, v) for k, v in point.items() if k != _RATE))
  weighting = config.weighting.name if stage == 'finetune' else ''
  method = methods.Method(config.backbone, weighting, settings=settings)
  method.config(config)  # checks the values together
  rate = point.get(_RATE, config.finetune.learning_rate)
  return comparison_runs.Variant(method, rate)


class Trainer:
  """Trains trials, and knows how long that takes."""

  def __init__(
    self,
    runs: comparison_runs.Runs,
    config: config_lib.Config,
    stage: str,
  ):
    """Trains nothing yet.

    Args:
      runs: of the search, which keep what is finished.
      config: the settings that are searched around.
      stage: the last stage of a trial.
    """
    self._runs, self._config, self._stage = runs, config, stage
    self._seconds, self._trained = 0.0, 0

  def trials(
    self,
    points: Sequence[Record],
    seeds: Sequence[int],
    before: Sequence[Record],
  ) -> list[Record]:
    """Points as trials.

    Where runs are trained one after the other, a trial whose first seed shows
    that it has lost is pruned: the other seeds are spared.

    Args:
      points: settings.
      seeds: of each trial.
      before: the search's trials so far; without any nothing is pruned, and
        a loss that is not finite is raised.

    Raises:
      FloatingPointError: the first trial's loss was not finite.
    """
    if not before:
      measured = self._train(points, seeds)
    elif self._runs.population == 1 and len(seeds) > 1:
      return [self._one_by_one(point, seeds, before) for point in points]
    else:
      measured = self.measure(points, seeds)
    return [
      trial(point, _aucs(runs), pruned=not runs)
      for point, runs in zip(points, measured, strict=True)
    ]

  def _one_by_one(
    self, point: Record, seeds: Sequence[int], before: Sequence[Record]
  ) -> Record:
    first = self.measure([point], seeds[:1])[0]
    if not first or has_lost(first[0].auc, before):
      return trial(point, _aucs(first), pruned=True)
    rest = self.measure([point], seeds[1:])[0]
    if not rest:
      return trial(point, [], pruned=True)
    return trial(point, _aucs([*first, *rest]))

  def measure(
    self, points: Sequence[Record], seeds: Sequence[int]
  ) -> list[list[Measured]]:
    """Runs of every point and seed; none of a point that diverges."""
    try:
      return self._train(points, seeds)
    except FloatingPointError:
      if len(points) == 1:
        return [[]]
      return [self.measure([point], seeds)[0] for point in points]

  def left(self, runs: int) -> str:
    """', at most 12:30 left' for so many points and seeds; '' if unknown."""
    if not self._trained:
      return ''
    seconds = runs * self._seconds / self._trained
    return f', at most {progress_lib.clock(seconds)} left'

  def _train(
    self, points: Sequence[Record], seeds: Sequence[int]
  ) -> list[list[Measured]]:
    begin, finished = time.monotonic(), self._runs.finished
    variants = [variant(self._config, self._stage, point) for point in points]
    if self._stage == 'pretrain':
      self._runs.pretrain([v.method for v in variants], seeds)
    else:
      self._runs.pretrain([v.method.first for v in variants], seeds)
      self._runs.train(variants, seeds)
    if self._runs.finished > finished:
      self._seconds += time.monotonic() - begin
      self._trained += len(points) * len(seeds)
    return [[self._measured(v, seed) for seed in seeds] for v in variants]

  def _measured(self, v: comparison_runs.Variant, seed: int) -> Measured:
    rate = v.learning_rate if v.method.weighting else None
    record = self._runs.record(v.method, seed, rate)
    # Files of earlier versions have no halves.
    earlier, later = (
      math.nan if value is None else value
      for value in record.get('validation_halves', (None, None))
    )
    return Measured(max(record['validation_auc']), (earlier, later))


def _aucs(runs: Sequence[Measured]) -> list[float]:
  return [run.auc for run in runs]
