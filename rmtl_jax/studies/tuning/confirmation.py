"""Whether what a search found gains: fresh seeds and halves of time decide.

The best of many trials is too good on the rows and seeds that chose it. Its
runs with seeds that the search has not used tell how much of its gain was luck
of the seeds; the earlier and the later half of the validation period, whether
it gains in one of them alone. What does not pass both is not chosen: a recipe
that cannot be told from the settings it started from is no recipe.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Record = dict[str, Any]


class Measured(NamedTuple):
  """A run on the validation split.

  Attributes:
    auc: mean over tasks.
    halves: the same of the earlier and the later sessions; NaN where it is
      not defined or not known.
  """

  auc: float
  halves: tuple[float, float] = (math.nan, math.nan)


def fresh_seeds(used: Sequence[int], count: int = 4) -> tuple[int, ...]:
  """The first seeds that are not among the used ones."""
  unused = (seed for seed in itertools.count() if seed not in used)
  return tuple(itertools.islice(unused, count))


def candidates(trials: Sequence[Record], most: int) -> list[Record]:
  """The trials that are worth a confirmation.

  Args:
    trials: of a search; the first has the settings that were given.
    most: how many.

  Returns:
    The best ones with different settings, best first: of those that have run
    with all seeds, such as were better than the settings that were given.
  """
  given = trials[0]['validation_auc']
  found: list[Record] = []
  for trial in sorted(trials[1:], key=lambda t: -t['validation_auc']):
    known = [trials[0], *found]
    if trial['pruned'] or trial['validation_auc'] <= given:
      continue
    if trial['settings'] not in [other['settings'] for other in known]:
      found.append(trial)
  return found[:most]


def decide(
  base: Sequence[Measured],
  tried: Sequence[tuple[Mapping[str, Any], Sequence[Measured]]],
) -> Record:
  """What is chosen: the best trial that passes, else the settings given.

  A trial passes if its mean gain over fresh seeds is above 0 and above one
  standard error of the paired difference, and if in neither half of the
  validation period its mean gain is below 0 by more than one standard error.

  Args:
    base: the settings that were given, one run per fresh seed.
    tried: (settings, runs with the same seeds) of each candidate; a trial
      that diverged has no runs, and does not pass.

  Returns:
    `confirmed`: of the settings given ({}) and of each candidate `settings`,
    `by_seed`, `gain`, `standard_error`, `halves` (the same two of the earlier
    and the later half) and `passes`; `chosen`: settings; `base_kept`.
  """
  confirmed = [_judge({}, base, base)]
  confirmed += [_judge(settings, runs, base) for settings, runs in tried]
  passing = [entry for entry in confirmed if entry['passes']]
  chosen = max(passing, key=lambda entry: entry['gain'], default=confirmed[0])
  return {
    'confirmed': confirmed,
    'chosen': chosen['settings'],
    'base_kept': not passing,
  }


def _judge(
  settings: Mapping[str, Any],
  runs: Sequence[Measured],
  base: Sequence[Measured],
) -> Record:
  record: Record = {
    'settings': dict(settings),
    'by_seed': [run.auc for run in runs],
    'gain': None,
    'standard_error': None,
    'halves': [],
    'passes': False,
  }
  if not runs:
    return record
  pairs = list(zip(runs, base, strict=True))
  gain, error = paired([one.auc - other.auc for one, other in pairs])
  halves = [
    paired([one.halves[half] - other.halves[half] for one, other in pairs])
    for half in range(2)
  ]
  halves = [half for half in halves if not math.isnan(half[0])]
  return record | {
    'gain': gain,
    'standard_error': error,
    'halves': [{'gain': g, 'standard_error': e} for g, e in halves],
    'passes': gain > max(error, 0.0) and all(g >= -e for g, e in halves),
  }


def paired(differences: Sequence[float]) -> tuple[float, float]:
  """Mean of paired differences, and its standard error.

  Args:
    differences: of at least two pairs.
  """
  values = np.asarray(differences, np.float64)
  error = np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(error)
