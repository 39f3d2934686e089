"""The record of a finished run in a comparison: figures, no parameters."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.evaluation import bootstrap, evaluator, labelled
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.results import ensemble, list_starts, summary
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import critics, saved, validation
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.weighting import critic as weights_lib

Record = dict[str, Any]

# Of the session bootstrap: all runs share the draws, so that differences of
# their replicates are paired.
_BOOTSTRAP_SEED = 0


def of_actor(
  context: context_lib.Context,
  name: str,
  result: saved.Result,
  before: Mapping[str, float],
  test: splits_lib.Split | None,
  lists: list_starts.ListStarts | None,
) -> Record:
  """Builds the record of an actor stage.

  Args:
    name: of the stage in the history.
    result: what it leaves.
    before: the validation figures at epoch 0, if that may be kept.
    test: the test split, or None in a search.
    lists: of the test split.

  Returns:
    `best_epoch`, `validation_auc` (means over tasks, by epoch) and, where
    something else is monitored, that (`validation_logloss`, `_score`), `kept`
    (the same of the parameters that are kept: of epoch 0 too), `weights`,
    `seconds`; with `test`, its `metrics` and bootstrap `replicates`, without,
    `validation_halves`.
  """
  begin = time.perf_counter()
  history = [entry for entry in context.history if entry['stage'] == name]
  tasks = context.tasks
  return {
    'best_epoch': result.epoch,
    **_curves(context.config, history, tasks, before),
    'kept': _validated(context, result.params),
    'weights': _weights(history, tasks),
    **_evaluate(context, result.params, test, lists),
    'seconds': sum(entry['seconds'] for entry in history)
    + time.perf_counter()
    - begin,
  }


def of_ensemble(
  config: config_lib.Config,
  members: Sequence[tuple[context_lib.Context, saved.Result]],
  test: splits_lib.Split | None,
  lists: list_starts.ListStarts | None,
) -> Record:
  """Builds the record of an ensemble after stage 1, as one model.

  Args:
    members: each one's, and what its stage 1 leaves.
    test: the test split, or None where it must not be looked at.

  Returns:
    As `of_actor`, with `ensemble`, the number of members; `best_epoch` is the
    latest member's, the validation figures those of the finished ensemble.
    Members of several networks are weighed on validation, as in a run.
  """
  begin = time.perf_counter()
  # All that records want to know of a run, the settings being the whole's.
  contexts = [context for context, _ in members]
  whole = dataclasses.replace(contexts[0], config=config)
  trained = ensemble.fitted(
    ensemble.Ensemble(
      whole.models,
      tuple(context.config for context in contexts),
      tuple(saved.FinishedStages({'pretrain': one}) for _, one in members),
    ),
    whole.validation,
  )
  params = trained.actors['pretrain']
  kept = _validated(whole, params)
  return {
    'ensemble': config.ensemble,
    'best_epoch': max(trained.best_epochs('pretrain')),
    **{name: [value] for name, value in kept.items()},
    'kept': kept,
    'weights': None,
    **_evaluate(whole, params, test, lists),
    'seconds': sum(e['seconds'] for one in contexts for e in one.history)
    + time.perf_counter()
    - begin,
  }


def _validated(context: context_lib.Context, params: Any) -> dict[str, float]:
  """The validation figures of parameters, means over tasks."""
  found = validation.validate(context, params)
  shown = {monitor_lib.AUC, found.monitor}
  return {one.figure: found.value(one) for one in shown}


def _evaluate(
  context: context_lib.Context,
  params: Any,
  test: splits_lib.Split | None,
  lists: list_starts.ListStarts | None,
) -> Record:
  """Evaluates on the test rows, or in a search on both validation halves."""
  if test is None:
    return {'validation_halves': _halves(context, params)}
  predictions = list_starts.predicted(
    lambda split: context.models.probabilities(context.config, params, split),
    test,
    lists,
  )
  config = context.config.evaluation
  rows = labelled.Labelled.of(test.host, context.tasks)
  replicates = bootstrap.replicates(
    [predictions], rows, config.bootstrap, _BOOTSTRAP_SEED
  )
  # Intervals are of differences, from the replicates.
  plain = dataclasses.replace(config, bootstrap=0)
  seed = context.config.seed
  return {
    'metrics': evaluator.evaluate(predictions, rows, plain, seed),
    # A draw of one class has no AUC: None, because JSON has no NaN.
    'replicates': {
      name: [[json_files.number(v) for v in draw] for draw in values[:, 0]]
      for name, values in replicates.items()
    },
  }


def of_critics(
  context: context_lib.Context,
  policies: critics.Policies,
  params: Any,
  errors: list[float],
) -> Record:
  """Of a finished stage 2: what the critics know of validation rows.

  Args:
    params: the critics'.
    errors: the validation error that decides, after each pass.

  Returns:
    `statistics` and `curves` as in a run's record, `validation_<stopping>`
    (the error that decides, by pass), `converged`, `seconds`.
  """
  config, rows, tasks = context.config, context.validation, context.tasks
  host, policy = rows.host, policies.validation
  q_values = context.models.values(config, params, rows, policy)
  weights = weights_lib.critic_weights(q_values, config.weighting.lambda_)
  return {
    'statistics': summary.critic(q_values, policy, host, tasks, config.critic),
    'curves': summary.curves(q_values, host, tasks, np.asarray(weights)),
    f'validation_{config.critic.stopping}': errors,
    'converged': critics.converged(errors, config.critic),
    'seconds': sum(entry['seconds'] for entry in context.history),
  }


def _halves(context: context_lib.Context, params: Any) -> list[float | None]:
  """What is monitored, of the earlier and the later validation sessions.

  It is the mean over tasks. Sessions are sorted by their start. A half of one
  class has None.
  """
  host = context.validation.host
  monitor = monitor_lib.of(context.config.evaluation.monitor)
  predictions = context.models.probabilities(
    context.config, params, context.validation
  )
  # At a session's end: a session in both halves would tie them together.
  cut = int(host.starts[np.searchsorted(host.starts, host.rows / 2)])
  every, means = labelled.Labelled.of(host, context.tasks), []
  for half in (slice(0, cut), slice(cut, None)):
    p, rows = predictions[half], every.take(half)
    if monitor.terms:
      values = [evaluator.monitored_sum(monitor, p, rows)]
    elif monitor == monitor_lib.AUC:
      values = evaluator.validation_auc(p, rows)
    elif len(p):
      values = evaluator.validation_errors(p, rows)[1]
    else:
      values = [np.nan]
    means.append(monitor_lib.mean(values))
  return means


def _curves(
  config: config_lib.Config,
  history: Sequence[Record],
  tasks: Sequence[str],
  before: Mapping[str, float],
) -> dict[str, list[float | None]]:
  """Mean validation AUC by epoch, and what is monitored instead."""
  curves = {
    monitor_lib.AUC.figure: [
      monitor_lib.mean([e[f'validation_auc_{task}'] for task in tasks])
      for e in history
    ]
  }
  monitor = monitor_lib.of(config.evaluation.monitor)
  if monitor != monitor_lib.AUC:
    name = monitor.figure
    curves[name] = [entry[name] for entry in history]
  return {
    name: [*([before[name]] if name in before else []), *values]
    for name, values in curves.items()
  }


def _weights(
  history: Sequence[Record], tasks: Sequence[str]
) -> dict[str, dict[str, float]] | None:
  """Mean and standard deviation of the weights, averaged over the epochs."""
  if not history or f'weight_mean_{tasks[0]}' not in history[0]:
    return None
  return {
    task: {
      part: float(np.mean([e[f'weight_{part}_{task}'] for e in history]))
      for part in ('mean', 'deviation')
    }
    for task in tasks
  }
