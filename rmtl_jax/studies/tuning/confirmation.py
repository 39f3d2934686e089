"""Confirms the best trials of a search with fresh seeds.

The best of many trials is biased upwards on the rows and seeds that chose it.
Runs with seeds that the search has not used remove the seeds' part of the bias.
The rows stay the same, so a trial must also gain in both halves of the
validation period. Otherwise the given settings are kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax.evaluation import monitor as monitor_lib

Record = dict[str, Any]


class Validated(NamedTuple):
  """What is monitored of a run on the validation split.

  Attributes:
    value: mean over tasks.
    halves: the same of the earlier and the later sessions; NaN where it is
      undefined or unknown.
  """

  value: float
  halves: tuple[float, float] = (math.nan, math.nan)


def fresh_seeds(
  used: Sequence[int], count: int = 4, start: int = 0
) -> tuple[int, ...]:
  """The first seeds from `start` on that are not used."""
  unused = (seed for seed in itertools.count(start) if seed not in used)
  return tuple(itertools.islice(unused, count))


def candidates(
  trials: Sequence[Record],
  most: int,
  monitor: monitor_lib.Monitor = monitor_lib.AUC,
) -> list[Record]:
  """Selects the trials to confirm.

  Args:
    trials: of a search; the first has the given settings.

  Returns:
    The best unpruned trials with different settings that beat the given ones,
    best first.
  """

  def score(trial: Record) -> float:
    return monitor.sign * trial[monitor.figure]

  best: list[Record] = []
  for trial in sorted(trials[1:], key=score, reverse=True):
    chosen = [trials[0], *best]
    if trial['pruned'] or score(trial) <= score(trials[0]):
      continue
    if trial['settings'] not in [other['settings'] for other in chosen]:
      best.append(trial)
  return best[:most]


def decide(
  base: Sequence[Validated],
  candidates: Sequence[tuple[Mapping[str, Any], Sequence[Validated]]],
  monitor: monitor_lib.Monitor = monitor_lib.AUC,
) -> Record:
  """Chooses the candidate with the greatest gain that passes, if any.

  A candidate passes if its mean gain over fresh seeds is above 0 and above one
  standard error of the paired difference, and if its mean gain in each half of
  the validation period is not below 0 by more than one standard error.

  Args:
    base: the given settings, one run per fresh seed.
    candidates: (settings, runs with the same seeds) of each; a candidate that
      diverged has no runs and does not pass.
    monitor: what decides; a gain is above 0 whether it rises or falls.

  Returns:
    `confirmed`: for the given settings ({}) and each candidate `settings`,
    `by_seed`, `gain`, `standard_error`, `halves` (gain and error of the earlier
    and the later half) and `passes`; `chosen`: settings; `base_kept`.
  """
  confirmed = [
    _confirm(settings, runs, base, monitor)
    for settings, runs in [({}, base), *candidates]
  ]
  passing = [entry for entry in confirmed if entry['passes']]
  chosen = max(passing, key=lambda entry: entry['gain'], default=confirmed[0])
  return {
    'confirmed': confirmed,
    'chosen': chosen['settings'],
    'base_kept': not passing,
  }


def _confirm(
  settings: Mapping[str, Any],
  runs: Sequence[Validated],
  base: Sequence[Validated],
  monitor: monitor_lib.Monitor,
) -> Record:
  record: Record = {
    'settings': dict(settings),
    'by_seed': [run.value for run in runs],
    'gain': None,
    'standard_error': None,
    'halves': [],
    'passes': False,
  }
  if not runs:
    return record
  # The same seed on both sides: seeds alone move it by more than settings do.
  pairs = list(zip(runs, base, strict=True))
  gain, error = paired([monitor.gain(a.value, b.value) for a, b in pairs])
  halves = [
    paired([monitor.gain(a.halves[half], b.halves[half]) for a, b in pairs])
    for half in range(2)
  ]
  # A gain in one half alone is a fit to that period's rows; a half without a
  # value (one class) can't object.
  halves = [half for half in halves if not math.isnan(half[0])]
  return record | {
    'gain': gain,
    'standard_error': error,
    'halves': [{'gain': g, 'standard_error': e} for g, e in halves],
    'passes': gain > max(error, 0.0) and all(g >= -e for g, e in halves),
  }


def paired(differences: Sequence[float]) -> tuple[float, float]:
  """Mean and standard error of at least two paired differences."""
  values = np.asarray(differences, np.float64)
  error = np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(error)
