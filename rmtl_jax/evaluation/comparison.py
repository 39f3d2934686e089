"""Differences between methods and controls, paired by seed, and verdicts.

There are two kinds of noise, and neither contains the other. The t-test and its
interval estimate the effect of other seeds on these sessions, the session
bootstrap the effect of other sessions on these seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from rmtl_jax import json_files
from rmtl_jax.evaluation import intervals, metric_registry

# Paired seeds that a test needs; with fewer, figures are shown, not tested.
MIN_PAIRS = 16
# Least AUC gain of a pass: paired seeds agree so well that far smaller gains
# reach p < 0.001.
MIN_EFFECT = 5e-4
# Significance level of the p-values after Holm.
LEVEL = 0.05

Record = dict[str, Any]
Records = Sequence[Mapping[str, Any]]
Replicates = Mapping[tuple[str, int], Mapping[str, np.ndarray]]


def ranked(
  values: Mapping[str, Any],
) -> tuple[float | None, Sequence[float] | None]:
  """The AUC or XAUC of a difference, and its interval if it has one."""
  name = metric_registry.ranking_of(values)
  return values[name], values.get(f'{name}_interval')


def outcome(values: Mapping[str, Any]) -> str:
  """Whether a difference on the same rows is a `gain`, a `loss` or `neither`.

  >>> outcome({'auc': 0.01, 'auc_interval': [0.005, 0.015]})
  'gain'
  >>> outcome({'auc': 0.01, 'auc_interval': [-0.005, 0.025]})
  'neither'

  Args:
    values: `auc` and `auc_interval`, or those of `xauc`.
  """
  value, interval = ranked(values)
  if value is None or abs(value) < MIN_EFFECT or not interval:
    return 'neither'
  if interval[0] <= 0.0 <= interval[1]:
    return 'neither'
  return 'gain' if value > 0.0 else 'loss'


def differences(
  methods: Records,
  runs: Records,
  tasks: Sequence[str],
  replicates: Replicates,
) -> list[Record]:
  """Computes every method minus each of its controls, seed by seed.

  Args:
    methods: `name` and `controls` of each.
    runs: `method`, `seed` and `metrics` (evaluation/evaluator.py) of each.
    tasks: K names.
    replicates: (method, seed) to {metric: f64[B, K]}, the same draws of
      sessions for every method and seed.

  Returns:
    One record per method, control, task and metric: `pairs` (seeds where both
    values are defined), `mean`, `standard_error`, `low` and `high` (t
    interval), `p` (two-sided paired t-test), `bootstrap` ([low, high] of the
    mean over those seeds) and `p_holm` (`p` after Holm over all records). The
    p-values are None below MIN_PAIRS pairs, the other entries where they are
    undefined.
  """
  names = {task: _names(runs, task) for task in tasks}
  values = _values(runs, names)
  counts = {
    task: [
      _sessions(runs, task, name) for name in ('sessions', 'rarer_sessions')
    ]
    for task in tasks
  }
  records = [
    _difference(
      {'method': m['name'], 'control': c, 'task': task, 'metric': metric},
      values,
      replicates,
      k,
      intervals.clusters(metric, *counts[task]),
    )
    for m in methods
    for c in m['controls']
    for k, task in enumerate(tasks)
    for metric in names[task]
  ]
  # Holm over every test of the comparison, all metrics and tasks included:
  # correcting within one table would let a large comparison find gains by luck.
  tested = [record for record in records if record['p'] is not None]
  adjusted = holm([record['p'] for record in tested])
  for record, p_value in zip(tested, adjusted, strict=True):
    record['p_holm'] = float(p_value)
  return records


def _values(
  runs: Records, names: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str, str], dict[int, float]]:
  """Maps (method, task, metric) to {seed: value}, of defined values."""
  values: dict[tuple[str, str, str], dict[int, float]] = {}
  for run in runs:
    for task, of_task in names.items():
      for metric in of_task:
        value = run['metrics'][task].get(metric)
        if value is not None and math.isfinite(value):
          by_seed = values.setdefault((run['method'], task, metric), {})
          by_seed[run['seed']] = float(value)
  return values


def _names(runs: Records, task: str) -> tuple[str, ...]:
  """The metrics of a task that are compared; all runs share the data."""
  if not runs:
    return metric_registry.compared()
  found = runs[0]['metrics'][task]
  names = metric_registry.compared(metric_registry.kind_of(found))
  return tuple(name for name in names if name in found)


def _sessions(runs: Records, task: str, name: str) -> int | None:
  """Reads a count of sessions; any run that has it, as all share the rows."""
  found = (run['metrics'][task].get(name) for run in runs)
  return next((count for count in found if count is not None), None)


def _difference(
  labels: Record,
  values: Mapping[tuple[str, str, str], Mapping[int, float]],
  replicates: Replicates,
  column: int,
  sessions: int | None,
) -> Record:
  """Builds one record of `differences`, before Holm."""
  task, metric = labels['task'], labels['metric']
  first = values.get((labels['method'], task, metric), {})
  second = values.get((labels['control'], task, metric), {})
  # Pairs only: a seed with an undefined metric on one side is left out.
  seeds = sorted(first.keys() & second.keys())
  record = {
    **labels,
    'pairs': len(seeds),
    **dict.fromkeys(('mean', 'standard_error', 'low', 'high')),
    **dict.fromkeys(('p', 'p_holm', 'bootstrap')),
  }
  drawn = _drawn(labels, seeds, replicates, column)
  if drawn is not None:
    bounds = intervals.percentile_interval(drawn, sessions)
    record['bootstrap'] = intervals.as_json(bounds)
  if not seeds:
    return record
  a, b = [first[s] for s in seeds], [second[s] for s in seeds]
  test = paired_t_test(a, b)
  for name in ('mean', 'standard_error', 'low', 'high'):
    record[name] = json_files.number(getattr(test, name))
  if len(seeds) >= MIN_PAIRS:
    record['p'] = test.p_value
  return record


def _drawn(
  labels: Mapping[str, Any],
  seeds: Sequence[int],
  replicates: Replicates,
  column: int,
) -> np.ndarray | None:
  """Replicates of the mean difference over these seeds, f64[B].

  A draw takes the same sessions for every method and seed, so the difference of
  two methods' replicates is paired by session too.
  """
  keys = [(labels[m], s) for m in ('method', 'control') for s in seeds]
  if not keys or any(key not in replicates for key in keys):
    return None
  nothing = np.zeros((0, 1))
  drawn = [replicates[key].get(labels['metric'], nothing) for key in keys]
  if not len(drawn[0]):  # no bootstrap was asked for, or the metric has none
    return None
  drawn = [values[:, column] for values in drawn]
  count = len(seeds)
  return np.mean(drawn[:count], axis=0) - np.mean(drawn[count:], axis=0)


def verdicts(
  methods: Records,
  differences: Records,
  tasks: Sequence[str],
) -> list[Record]:
  """Decides whether each method gains over all its controls.

  A method passes on a task where its mean AUC gain over every control is at
  least MIN_EFFECT, with a p-value after Holm below LEVEL.

  Args:
    methods: as for `differences`; one without controls has no verdict.
    differences: the result of `differences`.
    tasks: K names.

  Returns:
    Per method and task `passes` (None where a control has fewer than MIN_PAIRS
    pairs) and `reason`, one sentence without a full stop.
  """
  found = {
    (d['method'], d['control'], d['task']): d
    for d in differences
    if d['metric'] in metric_registry.RANKING
  }
  records = []
  for method in methods:
    for task in tasks if method['controls'] else ():
      name = method['name']
      passes, reason = _verdict(
        [found[name, control, task] for control in method['controls']]
      )
      records.append(
        {'method': name, 'task': task, 'passes': passes, 'reason': reason}
      )
  return records


def _verdict(against: Records) -> tuple[bool | None, str]:
  """Decides for one method and task, from its AUC (or XAUC) differences."""
  fewest = min(against, key=lambda d: d['pairs'])
  if fewest['pairs'] < MIN_PAIRS:
    return None, (
      f'not tested: {count(fewest["pairs"], "paired seed")} against'
      f' {fewest["control"]}, {MIN_PAIRS} are needed'
    )
  failures = [sentence for d in against if (sentence := _failure(d))]
  if failures:
    return False, '; '.join(failures)
  least = min(against, key=lambda d: d['mean'])
  worst = max(d['p_holm'] for d in against)
  reason = (
    f'gains over {count(len(against), "control")}: least over'
    f' {least["control"]}, {least["mean"]:+.5f}'
    f' {metric_registry.describe(least["metric"]).label}; every p at most'
    f' {worst:.3g} after Holm'
  )
  # The p-values are about seeds: a pass may still rest on these sessions.
  unsure = [
    d['control'] for d in against if d['bootstrap'] and d['bootstrap'][0] <= 0.0
  ]
  if unsure:
    reason += (
      '; other sessions could undo it: the bootstrap interval is not above 0'
      f' against {", ".join(unsure)}'
    )
  return True, reason


def _failure(difference: Mapping[str, Any]) -> str | None:
  """Says why a tested AUC difference is no gain; None if it is one."""
  mean, p_value = difference['mean'], difference['p_holm']
  control = difference['control']
  label = metric_registry.describe(difference['metric']).label
  figures = f'{mean:+.5f} {label}, p {p_value:.3g} after Holm'
  if p_value >= LEVEL:
    return f'no gain over {control}: {figures}'
  if mean < 0.0:
    return f'worse than {control}: {figures}'
  if mean < MIN_EFFECT:
    return (
      f'too small a gain over {control}: {figures}, but less than'
      f' {MIN_EFFECT:g} {label}'
    )
  return None


def summarise(
  names: Sequence[str],
  runs: Records,
  tasks: Sequence[str],
) -> list[Record]:
  """Computes mean and standard error of every metric over seeds.

  Args:
    names: of the methods, in the order of the result.
    runs: as for `differences`.
    tasks: K names.

  Returns:
    A record per method, task and metric that is tested; see `mean_and_error`.
  """
  shown = {task: _names(runs, task) for task in tasks}
  values = _values(runs, shown)
  return [
    {
      'method': name,
      'task': task,
      'metric': metric,
      **mean_and_error(list(values.get((name, task, metric), {}).values())),
    }
    for name in names
    for task in tasks
    for metric in shown[task]
  ]


def mean_and_error(values: Sequence[float | None]) -> Record:
  """Computes mean and standard error over seeds.

  Args:
    values: one per seed; None and NaN are left out.

  Returns:
    `mean` (None if n is 0), `standard_error` (the deviation with n - 1 over
    sqrt(n); None if n < 2) and `n`, the number of defined values.
  """
  defined = [v for v in values if v is not None and math.isfinite(v)]
  n = len(defined)
  error = float(np.std(defined, ddof=1)) / math.sqrt(n) if n > 1 else None
  mean = float(np.mean(defined)) if n else None
  return {'mean': mean, 'standard_error': error, 'n': n}


def count(number: int, noun: str) -> str:
  """Formats '1 seed' or '2 seeds'."""
  return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


class PairedTTest(NamedTuple):
  """Student's paired two-sided t-test of `first - second`.

  Attributes:
    mean: mean difference.
    standard_error: standard deviation (n - 1) over sqrt(n); NaN for n = 1.
    low: lower end of the mean difference's confidence interval.
    high: upper end.
    p_value: two-sided; NaN for n = 1.
  """

  mean: float
  standard_error: float
  low: float
  high: float
  p_value: float


class CrossedMean(NamedTuple):
  """The mean over two crossed factors, as days and seeds, and its interval.

  Attributes:
    mean: over all cells.
    low: lower end of the mean's confidence interval; NaN for one cell.
    high: upper end.
    degrees: of freedom of its t distribution, not whole in general.
  """

  mean: float
  low: float
  high: float
  degrees: float


def paired_t_test(
  first: Sequence[float] | np.ndarray,
  second: Sequence[float] | np.ndarray,
) -> PairedTTest:
  """Tests whether the mean of `first - second` over seeds is zero.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's, in the same order of seeds.

  Returns:
    The test. If all differences are equal, the deviation is 0 and p is 1 for
    differences of 0, else 0.
  """
  # It takes a second to import, which most commands don't need.
  from scipy import stats

  differences = np.subtract(first, second, dtype=np.float64)
  nan = float('nan')
  if len(differences) == 1:
    return PairedTTest(float(differences[0]), nan, nan, nan, nan)
  if np.all(differences == differences[0]):
    mean = float(differences[0])  # the rounded mean can miss it by an ulp
    return PairedTTest(mean, 0.0, mean, mean, 0.0 if mean else 1.0)
  test: Any = stats.ttest_1samp(differences, 0.0)
  error = float(stats.sem(differences))
  bounds = test.confidence_interval(intervals.CONFIDENCE)
  mean, low, high = map(float, (differences.mean(), *bounds))
  return PairedTTest(mean, error, low, high, float(test.pvalue))


def crossed_mean(values: np.ndarray) -> CrossedMean:
  """The mean over days and seeds, both drawn from many others.

  A cell is mu + day + seed + rest, each with its own variance, so that the
  mean over D days and S seeds has the variance (MS_day + MS_seed - MS_rest) /
  (D S), MS the mean squares of the analysis of variance without replication; a
  factor with a negative variance is left out. Degrees of freedom are
  Satterthwaite's (Biometrics Bulletin 2, 1946). Of one day or one seed it is
  Student's interval over the other.

  Args:
    values: [D, S], finite.

  Raises:
    ValueError: no cell, or one that is not finite.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 2 or not values.size or not np.isfinite(values).all():
    raise ValueError(f'expected a table of finite cells, found {values}')
  rows, columns = values.shape
  if 1 in values.shape:
    flat = values.ravel()
    test = paired_t_test(flat, np.zeros_like(flat))
    return CrossedMean(test.mean, test.low, test.high, float(len(flat) - 1))
  mean = float(values.mean())
  by_row, by_column = values.mean(axis=1), values.mean(axis=0)
  rest = values - by_row[:, None] - by_column + mean
  rest_degrees = (rows - 1) * (columns - 1)
  rest_square = float(np.sum(rest**2)) / rest_degrees
  # (mean square, its sign in the variance, degrees of freedom)
  parts = [
    (square, 1.0, degrees)
    for square, degrees in (
      (columns * float(by_row.var(ddof=1)), rows - 1),
      (rows * float(by_column.var(ddof=1)), columns - 1),
    )
    if square > rest_square
  ]
  if len(parts) != 1:
    parts.append((rest_square, 1.0 - len(parts), rest_degrees))
  variance = sum(sign * square for square, sign, _ in parts)
  spread = sum(square**2 / degrees for square, _, degrees in parts)
  degrees = variance**2 / spread if spread else float(rest_degrees)
  error = math.sqrt(variance / values.size)
  half = special.stdtrit(degrees, (1.0 + intervals.CONFIDENCE) / 2.0) * error
  return CrossedMean(mean, float(mean - half), float(mean + half), degrees)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
  """Adjusts p-values by Holm's step-down method (Holm, 1979).

  The i-th smallest (from 0) is multiplied by m - i, and adjusted values never
  fall. Rejecting where they are at most a level keeps the probability of any
  false rejection at most that level.

  Args:
    p_values: [m], of all the tests that were run.

  Returns:
    f64[m], adjusted p-values in the order of the input.

  Raises:
    ValueError: a p-value outside [0, 1] or NaN.
  """
  p = np.asarray(p_values, np.float64)
  if p.ndim != 1 or not np.all((p >= 0.0) & (p <= 1.0)):
    raise ValueError(f'expected a list of p-values in [0, 1], found {p}')
  order = np.argsort(p, kind='stable')
  steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
  adjusted = np.empty(len(p))
  adjusted[order] = np.minimum(steps, 1.0)
  return adjusted
