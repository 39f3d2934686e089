"""Parts of a run's record: metrics, baseline, critics, warnings.

`split` has R rows, of K tasks with the names `tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import (
  baseline,
  critic_statistics,
  evaluator,
  labelled,
  metrics,
  validation_monitor,
)
from rmtl_jax.ops import rewards, task_losses
from rmtl_jax.results import list_starts

Record = dict[str, Any]


def stages(
  predictions: Mapping[str, labelled.Predicted],
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> dict[str, Record]:
  """Computes every metric of every stage and task, and the oracle's.

  Args:
    config: `evaluation`, `seed`.

  Returns:
    {'stages': {stage: {task: metrics}}, 'difference': those of RMTL minus those
    of the control and of the pre-trained model, 'oracle': {task: metrics}}, the
    latter for simulated data only, which has true probabilities.
  """
  rows = labelled.Labelled.of(split, tasks)
  found: dict[str, Record] = {}
  drawn: dict[str, evaluator.Replicates] = {}
  for name, values in predictions.items():
    # Arms that kept the pre-trained parameters predict the same.
    same = next(
      (n for n in found if np.array_equal(predictions[n].rows, values.rows)),
      None,
    )
    if same:
      drawn[name], found[name] = drawn[same], found[same]
      continue
    drawn[name] = evaluator.replicates(
      values, rows, config.evaluation, config.seed
    )
    found[name] = evaluator.evaluate(values, rows, drawn[name])
  record: dict[str, Record] = {
    'stages': found,
    'difference': {
      f'finetune_minus_{other}': evaluator.evaluate_difference(
        predictions['finetune'],
        predictions[other],
        rows,
        (drawn['finetune'], drawn[other]),
      )
      for other in ('constant', 'pretrain')
      if other in predictions and 'finetune' in predictions
    },
  }
  if split.oracle is not None:
    oracle = labelled.Predicted(split.oracle)
    record['oracle'] = _metrics(oracle, split, tasks, config)
  return record


def _metrics(
  predictions: labelled.Predicted,
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> Record:
  """Every metric of one model, {task: metrics}."""
  rows = labelled.Labelled.of(split, tasks)
  drawn = evaluator.replicates(
    predictions, rows, config.evaluation, config.seed
  )
  return evaluator.evaluate(predictions, rows, drawn)


def rate_baseline(
  train: columns_lib.Rows,
  split: columns_lib.Rows,
  manifest: manifest_lib.Manifest,
  config: config_lib.Config,
  lists: list_starts.ListStarts | None = None,
) -> Record | None:
  """Computes the metrics of the rate baseline; None without user and item."""
  fields = manifest.of_kind('categorical')
  places = [
    place
    for key in (manifest.user_field, manifest.item_field)
    for place, field in enumerate(fields)
    if field.name == key
  ]
  if not places:
    return None
  weights = columns_lib.mean_one(columns_lib.metric_weight(train))
  predictions = baseline.predict(
    [
      baseline.rates(train.field(i), train.labels, fields[i].size, weights)
      for i in places
    ],
    [split.field(i) for i in places],
    [task.is_binary for task in manifest.tasks],
  )
  found = labelled.Predicted(predictions)
  if lists is not None:
    own = labelled.Lists(lists.rows, lists.number, predictions[lists.rows])
    found = found._replace(lists=own)
  return _metrics(found, split, manifest.task_names, config)


def returns(
  policy: np.ndarray, split: columns_lib.Rows, config: config_lib.CriticConfig
) -> np.ndarray:
  """The discounted sum of each row's and its later rows' rewards, f64[R, K].

  Args:
    policy: pi(s), f32[R, K].
    config: discount.
  """
  reward = task_losses.reward_function(split.losses)
  found = rewards.observed(reward(policy, split.labels), split.sample_weight)
  return critic_statistics.discounted_returns(
    np.asarray(found), split.session, config.discount
  )


def critic(
  q_values: np.ndarray,
  policy: np.ndarray,
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.CriticConfig,
) -> dict[str, dict[str, Any]]:
  """Computes the critics' statistics, {statistic: {task: value}}.

  Args:
    q_values: Q(s, pi(s)) of the split's rows, f32[R, K].
    policy: pi(s), f32[R, K].
    config: discount.
  """
  realised = returns(policy, split, config)
  by_task = {
    task: critic_statistics.describe(q_values[:, k], realised[:, k])
    for k, task in enumerate(tasks)
  }
  return {
    name: {task: by_task[task][name] for task in tasks}
    for name in by_task[tasks[0]]
  }


def mean_of_critics(records: Sequence[Record]) -> Record:
  """Averages the statistics of an ensemble's critics.

  Args:
    records: from `critic`, one per member.

  Returns:
    Means over the members with a defined figure (None without any);
    `collapsed` and `diverged` are true if any member's is.
  """

  def joined(name, task):
    values = [record[name][task] for record in records]
    if name in ('collapsed', 'diverged'):
      return any(values)
    return validation_monitor.mean(values)

  if len(records) == 1:
    return records[0]
  return {
    name: {task: joined(name, task) for task in by_task}
    for name, by_task in records[0].items()
  }


def curves(
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  weights: np.ndarray,
  steps: int = 20,
) -> dict[str, Any]:
  """Computes the curve of the critics' picture.

  Args:
    weights: of the rows, f32[R, K].
    steps: number of positions in the session.

  Returns:
    `weight_by_step` {task: mean weight at row 1, 2, ... of the session, of rows
    where its label is observed, up to the first without such}.
  """
  lengths = np.diff(split.starts)
  step = np.arange(split.rows) - np.repeat(split.starts[:-1], lengths)
  by_step = {}
  for k, task in enumerate(tasks):
    seen = columns_lib.observed(split.sample_weight, k)
    count = np.bincount(step[seen], minlength=1)[:steps]
    sums = np.bincount(step[seen], weights[seen, k], minlength=1)[:steps]
    shown = int(np.append(count, 0).argmin())
    by_step[task] = (sums[:shown] / count[:shown]).tolist()
  return {'weight_by_step': by_step}


def reliabilities(
  predictions: np.ndarray, split: columns_lib.Rows, tasks: tuple[str, ...]
) -> dict[str, list[Record]]:
  """Points of each task's calibration curve.

  Args:
    predictions: of the split's rows, [R, K].
  """
  rows = labelled.Labelled.of(split, tasks)
  return {
    task: metrics.reliability(
      rows.labels[:, k],
      predictions[:, k],
      evaluator.CALIBRATION_BINS,
      rows.weight(k),
    )
    for k, task in enumerate(tasks)
  }


def one_class_warnings(
  validation: np.ndarray,
  tasks: Sequence[str],
  weights: np.ndarray | None = None,
) -> list[str]:
  """Warns, in one line, if early stopping can't use every task.

  Args:
    validation: labels of the validation rows, f32[R, K].
    weights: f32[R, K], 0 where a label is not observed; or None.
  """
  seen = np.ones(validation.shape, bool) if weights is None else weights > 0
  without, left = [], []
  for task, column, counts in zip(tasks, validation.T, seen.T, strict=True):
    # Of the labels that are observed, if any is.
    if counts.any() and np.ptp(column[counts]) > 0:
      left.append(task)
    else:
      without.append(task)
  if not without:
    return []
  have, their = ('has', 'its') if len(without) == 1 else ('have', 'their')
  return [
    f'validation: {", ".join(without)} {have} one class only, so {their} AUC is'
    f' undefined; early stopping looks at {", ".join(left) or "nothing"} alone'
  ]


def critic_warnings(record: Mapping[str, Any]) -> list[str]:
  """Warns of collapsed and diverged critics, one line each."""
  lines = []
  for task, collapsed in record['collapsed'].items():
    if collapsed:
      lines.append(
        f'the critic of {task} has collapsed (mean Q'
        f' {record["mean_q"][task]:.4g}, deviation'
        f' {record["std_q"][task]:.2g}): its weights are constants, so RMTL is'
        ' the baseline here; another --config.critic.head or seed may help'
      )
  for task, diverged in record.get('diverged', {}).items():
    if diverged:
      lines.append(
        f'the critic of {task} has diverged (mean Q'
        f' {record["mean_q"][task]:.4g}, mean return'
        f' {record["mean_return"][task]:.4g}): its weights are noise; a smaller'
        ' --config.critic.learning_rate or discount may help'
      )
  return lines
