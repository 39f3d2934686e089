"""The verdict of a run: which stage predicts, and what weighting gained.

A run is one seed, so nothing here is a claim: `rmtl compare` makes those.
`record` is the content of metrics.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import (
  comparison,
  evaluator,
  labelled,
  metric_registry,
)
from rmtl_jax.runtime import workdir
from rmtl_jax.weighting import weighting_registry

Record = Mapping[str, Any]


def choose_served(
  predictions: Mapping[str, np.ndarray],
  validation: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> dict[str, Any]:
  """Stage 1 predicts, unless stage 3 ranks validation rows better.

  Better: above it by more than the paired session bootstrap's interval on some
  task, and below it by as much on none.

  Args:
    predictions: of the validation rows by stage, [R, K].

  Returns:
    `served` of metrics.json: `stage`, and `difference` by task where both
    stages are there.
  """
  if not {'pretrain', 'finetune'} <= {*predictions}:
    return {'stage': first_stage(predictions)}
  first, second = (
    labelled.Predicted(predictions[name]) for name in ('finetune', 'pretrain')
  )
  rows = labelled.Labelled.of(validation, tasks)
  drawn = (
    evaluator.replicates(first, rows, config.evaluation, config.seed),
    evaluator.replicates(second, rows, config.evaluation, config.seed),
  )
  by_task = evaluator.evaluate_difference(first, second, rows, drawn)
  outcomes = {comparison.outcome(values) for values in by_task.values()}
  is_better = 'gain' in outcomes and 'loss' not in outcomes
  stage = 'finetune' if is_better else 'pretrain'
  return {'stage': stage, 'difference': by_task}


def first_stage(stages: Any) -> str:
  """The stage to predict with where none was chosen."""
  return next(s for s in ('pretrain', 'finetune', 'constant') if s in stages)


def served_stage(record: Record) -> str:
  """The stage that predicts, by metrics.json or evaluation/<split>.json."""
  stage = record.get('served', {}).get('stage')
  return stage or first_stage(record['stages'])


def served_by(run: workdir.Run) -> dict[str, Any]:
  """`served` of RUN/metrics.json; {} before the run is evaluated."""
  path = run.path / 'metrics.json'
  if not path.exists():
    return {}
  record = json_files.read(path)
  with json_files.parsing(str(path)):
    return {**record.get('served', {}), 'stage': served_stage(record)}


def sentences(record: Record) -> list[str]:
  """The verdict of a run, the headline first, and the critics' accuracy."""
  first = headline(record)
  return [
    *([first] if first else []),
    *prediction(record),
    *behind_rates(record),
    *details(record),
  ]


def stage_names(record: Record) -> dict[str, str]:
  """Short names of the models after each actor stage."""
  return {
    'pretrain': 'pre-trained',
    'constant': 'control',
    'finetune': weighting_registry.short(record['weighting']),
  }


def headline(record: Record) -> str:
  """Says whether weighting was worth it in this run.

  Returns:
    '' where stage 3 has not finished or has constant weights.
  """
  name = weighting_registry.short(record['weighting'])
  if 'finetune' not in record['stages'] or record['weighting'] == 'constant':
    return ''
  if 'constant' not in record['stages']:
    return f'No control was trained, so {name} can not be judged in this run.'
  by_task = _against_control(record)
  if all(comparison.ranked(d)[0] is None for d in by_task.values()):
    what = ranking(by_task)
    return f'{name} and its control have no {what} to compare in this run.'
  outcomes: dict[str, list[str]] = {'gain': [], 'loss': [], 'neither': []}
  for task, values in by_task.items():
    outcomes[comparison.outcome(values)].append(task)
  parts = [
    f'{word} on {_listed(tasks)}' for word, tasks in outcomes.items() if tasks
  ]
  return (
    f'{name} against its control in this run: {"; ".join(parts)} (one seed;'
    ' rmtl compare decides).'
  )


def prediction(record: Record) -> list[str]:
  """Says which stage predicts, where validation had a choice."""
  by_task = record.get('served', {}).get('difference')
  if not by_task:
    return []
  name = weighting_registry.short(record['weighting'])
  figures = '; '.join(difference(task, d) for task, d in by_task.items())
  chosen, why = 'stage 1', f'{name} does not beat it'
  if served_stage(record) == 'finetune':
    chosen, why = 'stage 3', f'{name} beats stage 1'
  return [
    f'Predictions are those of {chosen}: on validation {why} by more than the'
    f' interval ({ranking(by_task)} {figures}).'
  ]


def behind_rates(record: Record) -> list[str]:
  """Says on which tasks the model is worse than the table of rates."""
  models, found = record['stages'][served_stage(record)], []
  for task, rates in record.get('baseline', {}).items():
    values = models[task]
    for one in metric_registry.short(rates):
      ours, theirs = values.get(one.name), rates[one.name]
      if one.of_lists or ours is None or theirs is None:
        continue
      gain = ours - theirs if one.better == 'higher' else theirs - ours
      if gain < 0.0:
        figures = f'{ours:{one.form}} against {theirs:{one.form}}'
        found.append(f'{task} {one.label} {figures}')
  if not found:
    return []
  return [f'Behind the rates of users and items: {"; ".join(found)}.']


def details(record: Record) -> list[str]:
  """The numbers behind the headline, and the critics' accuracy."""
  lines = []
  by_task = _against_control(record)
  if headline(record) and by_task:
    figures = '; '.join(difference(task, d) for task, d in by_task.items())
    lines.append(
      f"{ranking(by_task)} minus the control's: {figures}."
      f' Less than {comparison.MIN_EFFECT:g} does not count.'
    )
  if 'critic' in record:
    known = '; '.join(
      f'{task} {_r2(record["critic"], task)}' for task in record['tasks']
    )
    lines.append(
      f'Critic R2 on validation rows: {known} (1 is perfect, 0 is the mean'
      ' return).'
    )
  return lines


def difference(task: str, values: Record) -> str:
  """A difference of AUC, or XAUC, with its interval, if it has one.

  Args:
    values: `auc` and `auc_interval`, or those of `xauc`.
  """
  value, interval = comparison.ranked(values)
  if value is None:
    return f'{task} undefined'
  if not interval:
    return f'{task} {value:+.4f}'
  inside = interval[0] <= 0.0 <= interval[1]
  return f'{task} {value:+.4f} ({interval[0]:+.4f} to {interval[1]:+.4f}' + (
    ', which includes 0)' if inside else ')'
  )


def ranking(by_task: Record) -> str:
  """'AUC', or 'XAUC' or both where tasks are not binary."""
  names = {metric_registry.ranking_of(values) for values in by_task.values()}
  labels = [
    metric_registry.describe(n).label
    for n in metric_registry.RANKING
    if n in names
  ]
  return ' or '.join(labels)


def _against_control(record: Record) -> dict[str, Record]:
  """{task: difference to the control}."""
  by_task = record.get('difference', {}).get('finetune_minus_constant', {})
  return {task: by_task[task] for task in record['tasks'] if task in by_task}


def _r2(critic: Record, task: str) -> str:
  value = critic['r2'][task]
  words = 'undefined' if value is None else f'{value:.3f}'
  return words + (' (collapsed)' if critic['collapsed'][task] else '')


def _listed(names: Sequence[str]) -> str:
  """Joins names: 'a', 'a and b', 'a, b and c'."""
  return ' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))


def refit(found: Record) -> str:
  """A sentence on a refit; `found` is `refit_of` of metrics.json."""
  epochs = ', '.join(map(str, found['epochs']))
  return (
    f'Stage 1 of {found["run"]} again, with the rows of validation among those'
    f' of train, for as many epochs as it has kept ({epochs}); the calibration'
    " and members' weights stay."
  )


def started(found: Record) -> str:
  """A sentence on a warm start; `found` is `started_from` of metrics.json."""
  epochs = ', '.join(map(str, found['epochs']))
  new = [
    f'{name} {one["new"]:,} of {one["known"] + one["new"]:,}'
    for name, one in found['rows'].items()
    if one['new']
  ]
  return (
    f'Started from {found["run"]} (epoch {epochs}); values that it did not'
    f' know: {", ".join(new) or "none"}.'
  )
