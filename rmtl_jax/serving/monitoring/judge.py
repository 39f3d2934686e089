"""Compares a scored log with what its model was trained on, and raises alarms.

An alarm needs two things: a difference above its threshold, and one that
chance makes with probability LEVEL at most, over all comparisons together
(Bonferroni). So a log of few rows raises none, and one of many rows none for
what is only just measurable.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from rmtl_jax import json_files, registry, types
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import (
  bootstrap,
  labelled,
  metric_registry,
  metrics,
  regression,
  shifts,
)
from rmtl_jax.preparation.description import drift
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.results import reference as reference_lib
from rmtl_jax.serving.monitoring import model as model_lib
from rmtl_jax.serving.monitoring import scored as scored_lib
from rmtl_jax.serving.monitoring import thresholds as limits

Record = dict[str, Any]

# The probability of any alarm in a log that is as the run's data were.
LEVEL = 0.01
_REPLICATES = 200
_BINS = 20
# With fewer effective labels, resampling doesn't estimate chance well.
_LEAST_LABELS = 10


def monitor(
  path: str | os.PathLike[str],
  log: str | os.PathLike[str],
  thresholds: Mapping[str, float] | None = None,
  stage: str = '',
) -> Record:
  """Compares a scored log with the data and the metrics of its model.

  Args:
    path: RUN, or OUT of `rmtl export`.
    log: what `rmtl predict` wrote: a file, or a directory of files.
    thresholds: of the alarms, names of limits.Thresholds; the others, or all
      where it is None, are the defaults.
    stage: of a run, the one that the log was scored by; as for `load`.

  Returns:
    `fields`, `predictions` and `labels`, a list each, their entries with
    `alarms`; `alarms`, all of these as sentences; and what was compared.

  Raises:
    types.InputError: not such a model, or a log that it can't have scored.
  """
  path = pathlib.Path(path)
  if not isinstance(log, str | os.PathLike):
    raise types.InputError(
      f'log: a {type(log).__name__}, expected the path of what `rmtl predict`'
      ' wrote, or of a directory of such files'
    )
  least = _thresholds(thresholds or {})
  model = model_lib.read(path, stage)
  live = scored_lib.read(model, os.fspath(log))
  return {
    'name': path.resolve().name,
    'log': pathlib.Path(log).name,
    **compare(model, live, least),
  }


def _thresholds(given: Mapping[str, float]) -> limits.Thresholds:
  names = [field.name for field in dataclasses.fields(limits.Thresholds)]
  for name, value in given.items():
    if name not in names:
      raise types.InputError(f'thresholds: {registry.not_one_of(name, names)}')
    if not (math.isfinite(value) and value >= 0):
      raise types.InputError(f'{name}: {value} is no threshold, expected >= 0')
  return limits.Thresholds(**given)


def compare(
  model: model_lib.Model, live: scored_lib.Scored, thresholds: limits.Thresholds
) -> Record:
  """The figures and alarms of `monitor`."""
  judge = _Judge(model, live, thresholds)
  found = {
    'fields': [judge.field(name) for name in live.fields],
    'predictions': [judge.predictions(t) for t in model.manifest.task_names],
    'labels': [judge.labels(task) for task in live.labels],
  }
  return {
    'stage': model.stage,
    'rows': live.rows,
    'clusters': None if live.cluster is None else judge.clusters,
    'thresholds': dataclasses.asdict(thresholds),
    'level': LEVEL,
    'absent': list(live.absent),
    **found,
    'alarms': [
      alarm for part in found.values() for of in part for alarm in of['alarms']
    ],
  }


class _Labelled(NamedTuple):
  """The R rows with a known label of a task.

  Attributes:
    y: labels, [R].
    p: predictions, [R].
    w: weights, [R] > 0.
    cluster: codes of the rows' clusters, i64[R], from 0.
  """

  y: np.ndarray
  p: np.ndarray
  w: np.ndarray
  cluster: np.ndarray


class _Judge:
  """Judges the parts of a scored log."""

  def __init__(
    self,
    model: model_lib.Model,
    live: scored_lib.Scored,
    thresholds: limits.Thresholds,
  ):
    self._live, self._least = live, thresholds
    self._reference = model.reference
    self._fields = {field.name: field for field in model.manifest.fields}
    self._kinds = {task.name: task.kind for task in model.manifest.tasks}
    self.clusters = live.rows
    if live.cluster is not None:
      self.clusters = int(live.cluster.max()) + 1
    tests = 3 * len(live.fields) + len(live.predictions) + 3 * len(live.labels)
    self._level = LEVEL / max(tests, 1)
    self._z = float(scipy.stats.norm.isf(self._level))

  def field(self, name: str) -> Record:
    """Judges the values of a field."""
    live, field = self._live.fields[name], self._fields[name]
    of = self._reference['fields'][name]
    counts = {n: np.array(c, np.float64) for n, c in of['counts'].items()}
    cluster = self._cluster(live.row)
    found = shifts.shift(counts['train'], live.group, cluster, self._level)
    before, chance = drift.psi(counts['train'], counts['test'])
    has_ids = field.kind != 'numeric'
    blank = {
      'live': float(live.blank.mean()) if len(live.blank) else 0.0,
      **of['blank'],
    }
    missing = live.missing / self._live.rows
    record: Record = {
      'name': name,
      'kind': field.kind,
      'as_of': field.details.get('as_of', ''),
      **_shown(found),
      'test': before,
      'unseen': blank if has_ids else {},
      'missing': missing,
      'judged': not fields_lib.is_of_time(field),
    }
    alarms = []
    excess = max(before - chance, 0.0)
    if (
      record['judged']
      and self._is_shift(found, excess)
      and (excess <= self._least.psi or self._is_beyond(live, counts))
    ):
      alarms.append(
        f'field {name!r}: PSI {found.psi:.2f} against train'
        f' ({found.chance:.2f} by chance; the test rows had {before:.2f})'
      )
    or_untrained = ' or in no train row' if of['untrained'] else ''
    if has_ids and self._rises(live.blank, live.row, blank):
      alarms.append(
        f'field {name!r}: {blank["live"]:.1%} of the values are missing or not'
        f' in the vocabulary{or_untrained} (train {blank["train"]:.1%}, test'
        f' {blank["test"]:.1%})'
      )
    most = max(of['blank'].values())
    # Lists that are empty are not counted in train.
    if field.kind != 'multi_valued' and self._is_rise(
      missing, most, self._least.missing, self._live.rows / self._effect()
    ):
      alarms.append(
        f'field {name!r}: {missing:.1%} of the rows have no value (in training'
        f' at most {most:.1%})'
      )
    return {**record, 'alarms': alarms}

  def predictions(self, task: str) -> Record:
    """Judges how a task's predictions are distributed."""
    of, values = self._reference['tasks'][task], self._live.predictions[task]
    # As they were counted: of 32 bits.
    group = reference_lib.place(values.astype(np.float32), of['edges'])
    counts = np.array(of['counts'], np.float64)
    found = shifts.shift(counts, group, self._live.cluster, self._level)
    alarms = []
    if self._is_shift(found, 0.0):
      alarms.append(
        f'predictions of {task}: PSI {found.psi:.2f} against those of the test'
        f' rows ({found.chance:.2f} by chance)'
      )
    return {
      'task': task,
      'mean': float(values.mean()),
      **_shown(found),
      'shares': (counts / counts.sum()).tolist(),
      'live': (
        np.bincount(group, minlength=len(counts)) / len(values)
      ).tolist(),
      'edges': of['edges'],
      'alarms': alarms,
    }

  def labels(self, task: str) -> Record:
    """Compares a task's metrics over the rows with known labels."""
    y, p = self._live.labels[task], self._live.predictions[task]
    weights = self._live.weights.get(task, np.ones(len(y)))
    seen = np.flatnonzero(np.isfinite(y) & (weights > 0.0))
    rows = _Labelled(y[seen], p[seen], weights[seen], self._cluster(seen))
    kind = self._kinds[task]
    record: Record = {
      'task': task,
      'kind': kind,
      'rows': len(seen),
      'positives': int(np.count_nonzero(rows.y)),
      'metrics': figures(rows.y, rows.p, kind == kinds.BINARY, rows.w),
      'test': self._reference['tasks'][task]['metrics'],
    }
    alarms = [*self._ratio(rows, record), *self._figures(rows, record)]
    return {**record, 'alarms': alarms}

  def _ratio(self, rows: _Labelled, record: Record) -> list[str]:
    """Alarms of predicted / actual."""
    y, p, w, cluster = rows
    task = record['task']
    ratio = record['metrics'].get('predicted_over_actual')
    before = record['test'].get('predicted_over_actual')
    if not record['positives']:
      # Of none at all the chance is exp(-expected). A test split without one
      # had a ratio as far from 1.
      expected = float(p.sum()) / self._effect()
      if (
        record['kind'] != kinds.BINARY
        or record['test'].get('positives') == 0
        or expected <= -math.log(self._level)
      ):
        return []
      return [f'{task}: predicted / actual: {p.sum():.0f} positives / none']
    if not (ratio and ratio > 0 and before and before > 0):
      return []
    away = abs(math.log(ratio)) - abs(math.log(before))
    ours = record['positives']
    theirs = record['test'].get('positives') or ours
    error = shifts.ratio_error(w * p, w * y, cluster) * math.sqrt(
      1 + ours / theirs
    )
    if away <= math.log1p(self._least.calibration) or away <= self._z * error:
      return []
    return [
      f'{task}: predicted / actual is {ratio:.3f} (test rows {before:.3f})'
    ]

  def _figures(self, rows: _Labelled, record: Record) -> list[str]:
    """Alarms of AUC and logloss, of other tasks of RMSE."""
    y, p, w, cluster = rows
    if len(y) < 2:
      return []
    task, binary = record['task'], record['kind'] == kinds.BINARY
    labels = labelled.Labelled(
      y[:, None],
      cluster,
      (task,),
      (types.TaskLoss(kind=record['kind']),),
      None if np.all(w == 1.0) else w[:, None],
    )
    drawn = labelled.Predicted(p[:, None])
    found = bootstrap.replicates([drawn], labels, _REPLICATES, 0)
    live, test, alarms = record['metrics'], record['test'], []
    rarer = min(record['positives'], len(y) - record['positives'])
    there = test.get('positives') or 0
    there = min(there, (test.get('rows') or 0) - there)
    error = _noise(found.get('auc'), rarer, there)
    if _both(live, test, 'auc') and error is not None:
      fall = test['auc'] - live['auc']
      if fall > max(self._least.auc, self._z * error):
        alarms.append(
          f'{task}: AUC is {live["auc"]:.4f} (test rows {test["auc"]:.4f})'
        )
    name = 'logloss' if binary else 'rmse'
    error = _noise(found.get(name), len(y), test.get('rows') or 0)
    if _both(live, test, name) and error is not None:
      rise = live[name] - test[name]
      if rise > max(self._least.error * test[name], self._z * error):
        label = metric_registry.describe(name).label
        alarms.append(
          f'{task}: {label} is {live[name]:.4f} (test rows {test[name]:.4f})'
        )
    return alarms

  def _is_shift(self, found: shifts.Shift, excess: float) -> bool:
    """Whether an index, beyond an excess that is put up with, is an alarm."""
    index = found.psi - excess
    return index - found.chance > self._least.psi and index > found.limit

  def _is_beyond(
    self, live: scored_lib.Field, counts: Mapping[str, np.ndarray]
  ) -> bool:
    """Whether an index exceeds that of test rows which differ much themselves.

    Both are uncertain then: of groups that have lost nearly all of their rows
    a row more or less changes an index.
    """
    train, test = counts['train'], counts['test']
    group = np.bincount(live.group, minlength=len(train))
    effect = shifts.design_effect(live.group, self._cluster(live.row))
    (ours, _), (theirs, _) = (drift.psi(train, of) for of in (group, test))
    error = math.sqrt(effect) * math.hypot(
      drift.psi_error(train, group), drift.psi_error(train, test)
    )
    return ours - theirs > self._z * error

  def _rises(
    self, is_one: np.ndarray, row: np.ndarray, shares: Mapping[str, float]
  ) -> bool:
    """Whether a share rises above those of train and test."""
    cluster = self._cluster(row)
    if is_one.all() and len(row):
      # Of rows that are all alike each cluster may have said one thing.
      effect = len(row) / (int(cluster.max()) + 1)
    else:
      effect = shifts.design_effect(is_one.astype(int), cluster)
    before = max(shares['train'], shares['test'])
    rows = len(is_one) / effect
    return self._is_rise(shares['live'], before, self._least.unseen, rows)

  def _is_rise(
    self, share: float, before: float, least: float, rows: float
  ) -> bool:
    """Whether a share of independent rows rises by more than chance."""
    if share - before <= least:
      return False
    # The probability of as many or more by the binomial distribution, which
    # holds for few rows too.
    more = share * rows
    chance = scipy.stats.beta.cdf(before, more, rows - more + 1)
    return bool(chance < self._level)

  def _effect(self) -> float:
    """Rows of a cluster: the largest design effect that there can be."""
    return self._live.rows / self.clusters

  def _cluster(self, row: np.ndarray) -> np.ndarray:
    """Codes of the clusters of rows, from 0."""
    cluster = self._live.cluster
    if cluster is None:  # a row's values are bound by it
      cluster = np.arange(self._live.rows)
    return np.unique(cluster[row], return_inverse=True)[1]


def _shown(found: shifts.Shift) -> Record:
  """Index and chance; None where there are too few independent rows."""
  has_limit = math.isfinite(found.limit)
  return {
    'psi': found.psi if has_limit else None,
    'chance': found.chance if has_limit else None,
  }


def figures(
  y: np.ndarray, p: np.ndarray, binary: bool, w: np.ndarray | None = None
) -> Record:
  """Metrics of observed rows; None where undefined.

  Args:
    y: labels, [R].
    p: predictions, [R].
    binary: whether labels are 0 or 1.
    w: weights, [R] > 0; None for rows that count alike.
  """
  if w is not None and np.all(w == 1.0):
    w = None
  found = {'predicted_over_actual': metrics.predicted_over_actual(y, p, w)}
  if binary:
    found['auc'] = metrics.auc(y, p, w)
    found['logloss'] = metrics.logloss(y, p, w)
    found['calibration_error'] = metrics.calibration_error(y, p, _BINS, w)
  elif len(y):
    found['rmse'] = regression.rmse(y, p, w)
    found['mae'] = regression.mae(y, p, w)
    found['xauc'] = regression.xauc(y, p, w)
  return {name: json_files.number(value) for name, value in found.items()}


def _both(live: Record, test: Record, name: str) -> bool:
  return live.get(name) is not None and test.get(name) is not None


def _noise(draws: np.ndarray | None, ours: int, theirs: int) -> float | None:
  """The standard error of a difference from the test rows.

  That of the test rows is as large as ours would be with as many rows.

  Args:
    draws: replicates of ours, or None.
    ours: effective live rows (of AUC those of the rarer label).
    theirs: the same of the test rows.
  """
  if draws is None or not theirs or ours < _LEAST_LABELS:
    return None
  values = draws[np.isfinite(draws)]
  if len(values) < 2:
    return None
  return float(values.std(ddof=1)) * math.sqrt(1 + ours / theirs)
