"""Stages 1 and 3: where actors start, and what early stopping looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from rmtl_jax import clock
from rmtl_jax import config as config_lib
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import validation_monitor
from rmtl_jax.networks import functional
from rmtl_jax.runtime import collectives
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import epoch_loop, saved, split_data, validation
from rmtl_jax.training import models as models_lib
from rmtl_jax.updates import finetune as finetune_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import chain as weighting_chain
from rmtl_jax.weighting import scale_by_q, weighting_registry

# Epochs without a better validation that stage 3 waits for.
_PATIENCE = 2


def pretrain(context: context_lib.Context) -> dict[str, epoch_loop.Arm]:
  """The actor of stage 1 before its first epoch.

  In a run that starts from another, that model is a candidate, as epoch 0: the
  kept one is never worse on validation.
  """
  models, config, value = context.models, context.config, -np.inf
  draws = context.init_draws('pretrain')
  if context.start:
    params = context.start.actor(models, draws)
    if context.refit_epochs is None:
      value = validation.validate(context, params).monitored
  else:
    params = models.init_actor(config, draws)
  first = state.init_actor(
    params,
    models_lib.pretrain_optimizer(config),
    optax.identity(),
    len(context.tasks),
    models.balancer(config, context.epoch('pretrain', 1).steps),
  )
  program, first = models.pretrain(config), models.place(first)
  best = state.copy(first.params)
  return {'pretrain': epoch_loop.Arm(program, first, best, [value])}


def finetune(
  context: context_lib.Context,
  weightings: Mapping[str, str],
  actor_params: Any,
  critic_params: Any,
) -> dict[str, epoch_loop.Arm]:
  """The arms of stage 3 before their first epoch.

  Args:
    weightings: a name of weighting.registry for each arm.
    actor_params: pre-trained.
    critic_params: trained, or () where no weighting needs critics.
  """
  # The pre-trained model is a candidate of early stopping, as epoch 0:
  # fine-tuning can't leave a run worse than it found it on validation.
  value = validation.validate(context, actor_params).monitored
  arms = {}
  for name, weighting in weightings.items():
    config, means = with_weighting(context.config, weighting), None
    if weighting_registry.find(weighting).takes == weighting_registry.MEANS:
      means = mean_weights(context, actor_params, critic_params)
    first = first_finetune(context, config, actor_params, critic_params, means)
    program = context.models.finetune(config)
    arms[name] = epoch_loop.Arm(program, first, actor_params, [value])
  return arms


def weightings(config: config_lib.Config) -> dict[str, str]:
  """The weightings of stage 3's arms: the control's, and the method's."""
  own = {'finetune': config.weighting.name}
  return {'constant': 'constant', **own} if config.control else own


def with_weighting(config: config_lib.Config, name: str) -> config_lib.Config:
  """The settings of an arm of stage 3, by the name of its weighting."""
  weighting = dataclasses.replace(config.weighting, name=name)
  return dataclasses.replace(config, weighting=weighting)


def first_finetune(
  context: context_lib.Context,
  config: config_lib.Config,
  actor_params: Any,
  critic_params: Any,
  means: np.ndarray | None = None,
) -> state.ActorState | state.FinetuneState:
  """An arm's state before its first step.

  Args:
    config: the arm's settings.
    actor_params: as for `finetune`.
    critic_params: as for `finetune`.
    means: of `mean_weights`, for a weighting that takes them.
  """
  first = state.init_actor(
    actor_params,
    models_lib.finetune_optimizer(config),
    weighting_chain.make_weighting(config.weighting, means),
    len(context.tasks),
  )
  if weighting_registry.find(config.weighting.name).asks_every_step:
    optimizer = models_lib.critic_optimizer(config)
    first = finetune_lib.init_finetune(
      first, critic_params, optimizer, config.critic
    )
  return context.models.place(first)


def mean_weights(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> np.ndarray:
  """constant_mean's weights, f32[K], of all train rows."""
  models, config = context.models, context.config
  policy = models.policy(config, actor_params, context.train)
  q_values = models.values(config, critic_params, context.train, policy)
  return mean_of_weights(
    context.config.weighting, q_values, context.train.host.sample_weight
  )


def mean_of_weights(
  config: config_lib.WeightingConfig,
  q_values: np.ndarray,
  sample_weight: np.ndarray | None,
) -> np.ndarray:
  """Mean of 1 - lambda Q over rows, f32[K].

  Args:
    config: lambda.
    q_values: Q(s, pi(s)), f32[R, K].
    sample_weight: f32[R, K], or None: every row counts 1.
  """
  weights = scale_by_q.critic_weights(q_values, config.lambda_, np)
  found = columns_lib.row_means(weights.astype(np.float64), sample_weight)
  return found.astype(np.float32)


def stopping(context: context_lib.Context, stage: str) -> epoch_loop.Stopping:
  """Early stopping of stage 1 or 3, on the validation rows.

  Arms train until the patience with each of them has run out. A refit, which
  has learnt from the validation rows, trains as many epochs as were best
  before, and keeps the last.
  """
  config, tasks = getattr(context.config, stage), context.tasks
  monitor = validation_monitor.of(context.config.evaluation.monitor)
  is_refit = context.refit_epochs is not None
  patience = config.patience if stage == 'pretrain' else _PATIENCE

  def validate(name: str, arm: epoch_loop.Arm):
    del name
    totals, actor = arm.totals, state.actor_of(arm.state)
    loss, found = mean_loss(totals, len(tasks)), None
    value, figures, words = 0.0, {'loss': loss}, [f'loss {loss:.4f}']
    if not is_refit:
      found = validation.validate(context, actor.params)
      value = found.monitored
      figures |= found.figures(tasks)
      words.append(found.in_words())
    if stage == 'finetune':
      totals = with_weights(totals, len(tasks))
    figures |= weight_statistics(totals, tasks)
    figures['learning_rate'] = state.learning_rate(actor.opt_state)
    if 'td_error' in totals:
      figures['td_error'] = totals['td_error'] / max(totals['td_rows'], 1.0)
    return value, figures, words

  def is_done(arms: Mapping[str, epoch_loop.Arm]) -> bool:
    return not is_refit and all(
      arm.epoch - arm.best_epoch >= patience for arm in arms.values()
    )

  def words(value: float) -> str:
    return f'validation {monitor.word} {monitor.sign * value:.4f}'

  return epoch_loop.Stopping(
    validate,
    is_done,
    config.max_epochs if context.refit_epochs is None else context.refit_epochs,
    (lambda value: 'as many as were best before') if is_refit else words,
    keeps_last=is_refit,
  )


@clock.part('trees')
def fitted(
  context: context_lib.Context, fit_rows: functional.Fit
) -> dict[str, saved.Result]:
  """Stage 1 of an actor without epochs, such as trees."""
  train = context.train
  first, again = None, None
  if context.refit_epochs is not None:
    first = train.host.rows - context.validation.host.rows
    again = split_data.sampled(train)
  params = fit_rows(
    split_data.sampled(train, first),
    split_data.sampled(context.validation),
    context.config.seed,
    lambda done: context.progress.step('fitting', done),
    again,
  )
  context.progress.clear()
  # All processes take the first one's.
  params = jax.tree.map(lambda x: collectives.all_gather(x)[0], params)
  params = context.models.place(params)
  figures = {}
  if context.refit_epochs is None:
    found = validation.validate(context, params)
    figures = found.figures(context.tasks)
    context.progress.say(f'fitted  {found.in_words()}')
  context.record(stage='pretrain', epoch=1, **figures)
  return {'pretrain': saved.Result(params, 1)}


def mean_loss(sums: Mapping[str, float], num_tasks: int) -> float:
  """The epoch's mean loss over tasks, of each over the batches that have it.

  Args:
    sums: of the step's metrics (`updates/actor.loss_metrics`).
    num_tasks: K.
  """
  if 'loss' in sums:
    return sums['loss'] / sums['rows']
  means = [
    sums[f'loss_{k}'] / sums[f'rows_{k}']
    for k in range(num_tasks)
    if sums[f'rows_{k}']
  ]
  return float(np.mean(means)) if means else 0.0


def weight_statistics(
  sums: Mapping[str, float], tasks: tuple[str, ...]
) -> dict[str, float]:
  """Mean and standard deviation of the epoch's weights, per task.

  Over the rows of the batches that have the task.
  """
  if 'weight_0' not in sums:
    return {}
  result = {}
  for k, task in enumerate(tasks):
    rows = max(sums.get(f'rows_{k}', sums['rows']), 1.0)
    mean = sums[f'weight_{k}'] / rows
    variance = sums[f'weight_square_{k}'] / rows - mean**2
    result[f'weight_mean_{task}'] = mean
    result[f'weight_deviation_{task}'] = max(variance, 0.0) ** 0.5
  return result


def with_weights(sums: Mapping[str, float], num_tasks: int) -> dict[str, float]:
  """The sums, with those of weights of 1 where a step has no weights.

  Args:
    sums: of the step's metrics.
    num_tasks: K.
  """
  rows = [sums.get(f'rows_{k}', sums['rows']) for k in range(num_tasks)]
  names = ('weight', 'weight_square')
  return {f'{n}_{k}': r for n in names for k, r in enumerate(rows)} | dict(sums)
