"""Trials of a search: points of the space, trained with several seeds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies.comparison import methods
from rmtl_jax.studies.comparison import runs as comparison_runs
from rmtl_jax.studies.tuning import confirmation

Record = dict[str, Any]
Validated = confirmation.Validated

_RATE = 'finetune.learning_rate'
# A trial is pruned after one seed if it is worse than the best trial by more
# than LEAST_MARGIN (of AUC, or of logloss in units of the rate's) and by more
# than this many standard deviations over seeds.
LEAST_MARGIN = 0.005
_DEVIATIONS = 3.0


def make_record(
  settings: Record,
  by_seed: Sequence[float],
  pruned: bool = False,
  monitor: monitor_lib.Monitor = monitor_lib.AUC,
) -> Record:
  """The record of a trial in tuning.json; without seeds it has diverged."""
  return {
    'settings': settings,
    monitor.figure: float(np.mean(by_seed)) if by_seed else monitor.worst,
    'by_seed': list(by_seed),
    'pruned': pruned,
  }


def best(
  trials: Sequence[Record], monitor: monitor_lib.Monitor = monitor_lib.AUC
) -> Record:
  """The best unpruned trial, the first of equals."""
  whole = [t for t in trials if not t['pruned']]
  return max(whole, key=lambda t: monitor.sign * t[monitor.figure])


def margin(trials: Sequence[Record]) -> float:
  """By how much a trial that is pruned is worse than the best one.

  Args:
    trials: at least one of them unpruned.

  Returns:
    Three standard deviations over seeds, pooled over the unpruned trials; at
    least LEAST_MARGIN.
  """
  spreads = [
    np.var(t['by_seed'], ddof=1)
    for t in trials
    if not t['pruned'] and len(t['by_seed']) > 1
  ]
  pooled = float(np.sqrt(np.mean(spreads))) if spreads else 0.0
  return max(_DEVIATIONS * pooled, LEAST_MARGIN)


def is_hopeless(
  first: float,
  trials: Sequence[Record],
  monitor: monitor_lib.Monitor = monitor_lib.AUC,
) -> bool:
  """Whether to prune a trial after its first seed."""
  # The same seed of the best trial, not its mean: some seeds are easier.
  of_best = best(trials, monitor)['by_seed'][0]
  return monitor.sign * first < monitor.sign * of_best - margin(trials)


def variant(
  config: config_lib.Config, stage: str, point: Record
) -> comparison_runs.Variant:
  """Turns a point into a method with a learning rate.

  Raises:
    types.InputError: the values contradict each other.
  """
  settings = tuple(sorted((k, v) for k, v in point.items() if k != _RATE))
  weighting = config.weighting.name if stage == 'finetune' else ''
  method = methods.Method(config.backbone, weighting, settings=settings)
  method.config(config)  # checks the values together
  rate = point.get(_RATE, config.finetune.learning_rate)
  return comparison_runs.Variant(method, rate)


def _key(point: Record) -> str:
  return json.dumps(point, sort_keys=True)


class Trainer:
  """Trains trials and estimates the time left."""

  def __init__(
    self,
    runs: comparison_runs.Runs,
    config: config_lib.Config,
    stage: str,
  ):
    """Trains nothing yet."""
    self._runs, self._config, self._stage = runs, config, stage
    self.monitor = monitor_lib.of(config.evaluation.monitor)
    self._seconds, self._trained = 0.0, 0
    # Seconds and runs of each point that this start has trained.
    self._of_point: dict[str, tuple[float, int]] = {}

  def trial(
    self, point: Record, seeds: Sequence[int], before: Sequence[Record]
  ) -> Record:
    """Trains a point as a trial, which its first seed may prune.

    Args:
      before: earlier trials of the search; () for the given settings, which
        are never pruned and must not diverge.

    Raises:
      FloatingPointError: the first trial's loss was not finite.
    """
    if not before:
      return self._record(point, self._train(point, seeds))
    first = self.measure(point, seeds[:1])
    if len(seeds) == 1 and first:
      return self._record(point, first)
    if not first or is_hopeless(first[0].value, before, self.monitor):
      return self._record(point, first, pruned=True)
    rest = self.measure(point, seeds[1:])
    if not rest:
      return self._record(point, [], pruned=True)
    return self._record(point, [*first, *rest])

  def _record(
    self, point: Record, runs: Sequence[Validated], pruned: bool = False
  ) -> Record:
    values = [run.value for run in runs]
    return make_record(point, values, pruned, self.monitor)

  def measure(self, point: Record, seeds: Sequence[int]) -> list[Validated]:
    """Validation figures by seed; [] for a point that diverges."""
    try:
      return self._train(point, seeds)
    except FloatingPointError:
      return []

  def seconds(self, points: Sequence[Record | None], seeds: int) -> float:
    """Estimates the seconds of points by the runs of this start; 0 before any.

    Args:
      points: each as fast as its own runs, if it had any; None is one that
        nobody knows yet, as fast as the mean.
      seeds: runs of each.
    """
    whole = self._seconds, self._trained
    found = [
      whole if point is None else self._of_point.get(_key(point), whole)
      for point in points
    ]
    return sum(seeds * seconds / max(runs, 1) for seconds, runs in found)

  def left(self, runs: int, limited: int = 0, limit: float = math.inf) -> str:
    """Formats ', at most 12:30 left'; '' if unknown.

    Args:
      runs: how many are left, whatever the time.
      limited: how many more there are until the time limit.
      limit: seconds until then.
    """
    if not self._trained:
      return ''
    each = self._seconds / self._trained
    seconds = runs * each + min(limited * each, limit)
    return f', at most {progress_lib.clock(seconds)} left'

  def _train(self, point: Record, seeds: Sequence[int]) -> list[Validated]:
    begin, finished = time.monotonic(), self._runs.finished
    one = variant(self._config, self._stage, point)
    if self._stage == 'pretrain':
      self._runs.pretrain([one.method], seeds)
    else:
      self._runs.pretrain([one.method.pretrained], seeds)
      self._runs.train([one], seeds)
    # Runs that an earlier start finished take no time, which is no estimate.
    if self._runs.finished > finished:
      seconds = time.monotonic() - begin
      self._seconds += seconds
      self._trained += len(seeds)
      before, runs = self._of_point.get(_key(point), (0.0, 0))
      self._of_point[_key(point)] = before + seconds, runs + len(seeds)
    return [self._validated(one, seed) for seed in seeds]

  def _validated(self, v: comparison_runs.Variant, seed: int) -> Validated:
    rate = v.learning_rate if v.method.weighting else None
    job = methods.Job(v.method, seed, rate)
    record = self._runs.record(job)
    earlier, later = (
      math.nan if value is None else value
      for value in record['validation_halves']
    )
    return Validated(self._runs.best(job), (earlier, later))
