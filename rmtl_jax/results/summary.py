"""From predictions to the record that metrics.json and evaluation/ hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import baseline, critic_statistics, evaluator
from rmtl_jax.ops import rewards
from rmtl_jax.weighting import registry

Record = dict[str, Any]

# A TD error that ends so many times above its least has diverged.
RISEN = 10.0
# Weights whose deviation is less than this share of their mean are constants;
# so much the sums of a pass may be off by rounding.
CONSTANT_WEIGHTS = 1e-3


def stages(
  predictions: Mapping[str, np.ndarray],
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> dict[str, Record]:
  """Every metric of every stage and task; on simulated data the oracle's.

  Args:
    predictions: f32[R, K] per stage.
    split: the rows.
    tasks: K names.
    config: `evaluation`, `seed`.

  Returns:
    {'stages': {stage: {task: metrics}}, 'oracle': {task: metrics}}, the
    latter only where true probabilities exist.
  """

  def metrics(values):
    return evaluator.evaluate(
      values,
      split.labels,
      split.session,
      split.user,
      tasks,
      config.evaluation,
      config.seed,
    )

  record: dict[str, Record] = {
    'stages': {name: metrics(values) for name, values in predictions.items()}
  }
  if split.oracle is not None:
    record['oracle'] = metrics(split.oracle)
  return record


def rate_baseline(
  train: columns_lib.Rows,
  split: columns_lib.Rows,
  manifest: manifest_lib.Manifest,
  config: config_lib.Config,
) -> Record | None:
  """Metrics of user-rate x item-rate, or None without such fields."""
  names = [f.name for f in manifest.of_kind('categorical')]
  sizes = [f.size for f in manifest.of_kind('categorical')]

  def position(field):
    return names.index(field) if field in names else None

  def ids(columns, at):
    return None if at is None else columns.field(at)

  user, item = position(manifest.user_field), position(manifest.item_field)
  if user is None and item is None:
    return None
  rates = baseline.fit(
    ids(train, user),
    ids(train, item),
    train.labels,
    0 if user is None else sizes[user],
    0 if item is None else sizes[item],
  )
  predictions = baseline.predict(rates, ids(split, user), ids(split, item))
  return evaluator.evaluate(
    predictions,
    split.labels,
    split.session,
    split.user,
    manifest.task_names,
    config.evaluation,
    config.seed,
  )


def critic(
  q_values: np.ndarray,
  policy: np.ndarray,
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.CriticConfig,
) -> dict[str, dict[str, Any]]:
  """What the critics know: {'mean_q': {task: value}, 'collapsed': ...}.

  Args:
    q_values: Q(s, pi(s)) of the split's rows, f32[R, K].
    policy: pi(s), f32[R, K].
    split: the rows.
    tasks: K names.
    config: discount and reward.

  Returns:
    One entry per statistic (evaluation/critic_statistics.py), each per task.
  """
  reward = rewards.REWARDS[config.reward]
  by_task = critic_statistics.describe(
    q_values,
    np.asarray(reward(policy, split.labels)),
    split.session,
    config.discount,
    split.labels,
    tasks,
    -np.asarray(rewards.log_likelihood(policy, split.labels)),
  )
  statistics = by_task[tasks[0]]
  return {
    name: {task: by_task[task][name] for task in tasks} for name in statistics
  }


def mean_of_critics(records: Sequence[Record]) -> Record:
  """The critics of an ensemble's members as one record of the same form.

  Args:
    records: what `critic` gives, one per member.

  Returns:
    Means over the members that have the figure (None where none has);
    `collapsed` and `diverged` where any member's critic is.
  """

  def joined(name, task):
    values = [record[name][task] for record in records]
    if name in ('collapsed', 'diverged'):
      return any(values)
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None

  if len(records) == 1:
    return records[0]
  return {
    name: {task: joined(name, task) for task in by_task}
    for name, by_task in records[0].items()
  }


def curves(
  q_values: np.ndarray,
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  lambda_: float,
  steps: int = 20,
  bins: int = 40,
) -> dict[str, Any]:
  """What pictures of the critics need, small enough for JSON.

  Args:
    q_values: Q(s, pi(s)) of the split's rows, f32[R, K].
    split: the rows.
    tasks: K names.
    lambda_: the paper's lambda.
    steps: positions in the session that are kept.
    bins: of the histograms.

  Returns:
    `weight_by_step` {task: mean of 1 - lambda Q at row 1, 2, ... of the
    session}, `q_histogram` {task: {'edges', 'counts'}}.
  """
  lengths = np.diff(split.starts)
  step = np.arange(split.rows) - np.repeat(split.starts[:-1], lengths)
  count = np.bincount(step)[:steps]
  by_step, histograms = {}, {}
  for k, task in enumerate(tasks):
    q = q_values[:, k].astype(np.float64)
    sums = np.bincount(step, weights=1.0 - lambda_ * q)[:steps]
    by_step[task] = (sums / count).tolist()
    counts, edges = np.histogram(q, bins)
    histograms[task] = {'edges': edges.tolist(), 'counts': counts.tolist()}
  return {'weight_by_step': by_step, 'q_histogram': histograms}


def differences(
  predictions: Mapping[str, np.ndarray],
  split: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> dict[str, Record]:
  """RMTL minus the control, and minus the pre-trained model, same rows."""
  return {
    f'finetune_minus_{other}': evaluator.evaluate_difference(
      predictions['finetune'],
      predictions[other],
      split.labels,
      split.session,
      tasks,
      config.evaluation,
      config.seed,
      split.user,
    )
    for other in ('constant', 'pretrain')
    if other in predictions and 'finetune' in predictions
  }


def one_class_warnings(
  validation: np.ndarray, tasks: Sequence[str]
) -> list[str]:
  """What early stopping looks at where it can't look at every task.

  Args:
    validation: labels of the validation rows, f32[R, K].
    tasks: K names.

  Returns:
    A line, or none where every task has both classes.
  """
  both = [0.0 < share < 1.0 for share in validation.mean(axis=0)]
  without = [t for t, has in zip(tasks, both, strict=True) if not has]
  left = [t for t, has in zip(tasks, both, strict=True) if has]
  if not without:
    return []
  have, their = ('has', 'its') if len(without) == 1 else ('have', 'their')
  return [
    f'validation: {", ".join(without)} {have} one class only, so {their} AUC is'
    f' undefined; early stopping looks at {", ".join(left) or "nothing"} alone'
  ]


def critic_warnings(record: Mapping[str, Any]) -> list[str]:
  """One line per critic that has collapsed or diverged."""
  lines = []
  for task, collapsed in record['collapsed'].items():
    if collapsed:
      lines.append(
        f'the critic of {task} has collapsed (mean Q'
        f' {record["mean_q"][task]:.4g}, deviation {record["std_q"][task]:.2g},'
        f' {record["zero_share"][task]:.0%} zeros): its weights are constants,'
        ' so RMTL is the baseline here; another --config.critic.head or seed'
        ' may help'
      )
  for task, diverged in record.get('diverged', {}).items():
    if diverged:
      lines.append(
        f'the critic of {task} has diverged (mean Q'
        f' {record["mean_q"][task]:.4g}, mean return'
        f' {record["mean_return"][task]:.4g}): its weights are noise; a smaller'
        ' --config.critic.learning_rate or discount, or'
        ' --config.critic.clip_norm, may help'
      )
  return lines


def history_warnings(
  history: Sequence[Mapping[str, Any]], weighting: str
) -> list[str]:
  """What went wrong in training, one line each.

  Steps that were left out; critics whose TD error ended far above its least
  (RISEN times), in stage 2 or where they learn along in stage 3; and weights of
  stage 3 that hardly varied in its last epoch.

  Args:
    history: records of epochs and passes, each run's in order.
    weighting: of stage 3.
  """
  runs: dict[tuple[Any, str], list[Mapping[str, Any]]] = {}
  for entry in history:
    runs.setdefault((entry.get('member'), entry['stage']), []).append(entry)
  lines = []
  for (member, stage), entries in runs.items():
    title = stage if member is None else f'member {member}: {stage}'
    skipped = sum(entry.get('skipped_steps', 0) for entry in entries)
    if skipped:
      lines.append(
        f'{title}: {skipped} steps were left out because a loss or gradient was'
        ' not finite'
      )
    errors = [e['td_error'] for e in entries if 'td_error' in e]
    if errors and errors[-1] > RISEN * min(errors):
      lines.append(
        f'{title}: the critics diverge: their TD error has risen from'
        f' {min(errors):.4g} to {errors[-1]:.4g}'
      )
    weighs = registry.find(weighting).by_row
    if stage == 'finetune' and weighs:
      lines += [
        f'{title}: the weights of {name.removeprefix("weight_deviation_")}'
        f' hardly varied (deviation {value:.2g} in the last epoch): they are'
        ' constants'
        for name, value in entries[-1].items()
        if name.startswith('weight_deviation_')
        and value < CONSTANT_WEIGHTS * abs(entries[-1][_mean_of(name)])
      ]
  return lines


def _mean_of(name: str) -> str:
  return name.replace('weight_deviation_', 'weight_mean_')
