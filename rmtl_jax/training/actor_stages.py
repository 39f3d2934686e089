"""Stages 1 and 3: actors with early stopping on validation AUC."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.evaluation import evaluator
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import trainer
from rmtl_jax.updates import finetune as finetune_lib
from rmtl_jax.updates import loop, pretrain, state
from rmtl_jax.weighting import critic as weights_lib
from rmtl_jax.weighting import factory


@dataclasses.dataclass(frozen=True)
class Stopping:
  """Early stopping of one actor on its mean validation AUC.

  Attributes:
    best: the best value so far.
    best_epoch: its epoch; 0 is before the first.
    bad: epochs since.
  """

  best: float = -np.inf
  best_epoch: int = 0
  bad: int = 0

  def update(self, epoch: int, value: float) -> Stopping:
    """After an epoch."""
    if value > self.best:
      return Stopping(value, epoch, 0)
    return dataclasses.replace(self, bad=self.bad + 1)


@dataclasses.dataclass(frozen=True)
class Arm:
  """An actor in training beside others that see the same batches and keys.

  Attributes:
    state: an ActorState or a FinetuneState.
    best_params: the actor's parameters at its best epoch.
    stopping: when to stop.
  """

  state: Any
  best_params: Any
  stopping: Stopping


def pretrain_actor(context: context_lib.Context, params: Any) -> Arm:
  """Stage 1.

  Args:
    context: the run.
    params: initial parameters.

  Returns:
    The arm; `best_params` are the pre-trained actor's.
  """
  config = context.config.pretrain
  optimizer = state.make_optimizer(config)
  step = pretrain.make_pretrain_step(context.models.actor, optimizer)
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  actor = state.init_actor(params, optimizer, unweighted)
  arms = {'pretrain': Arm(actor, params, Stopping())}
  loops = {'pretrain': loop.make_loop(step)}
  return _fit(context, 'pretrain', arms, loops, config)['pretrain']


def finetune_actor(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> dict[str, Arm]:
  """Stage 3: the weighted actor, and the control where it is switched on.

  Both start from the pre-trained actor, which stays a candidate (epoch 0),
  and see the same batches, keys and number of steps: the stage ends when the
  patience with each of them has run out.

  Args:
    context: the run.
    actor_params: the pre-trained actor's.
    critic_params: the critics' after stage 2, or () where none are needed.

  Returns:
    Arms 'finetune' and, with `control`, 'constant'.
  """
  config = context.config
  names = {'finetune': config.weighting.name}
  if config.control:
    names = {'constant': 'constant', **names}
  optimizer = state.make_optimizer(config.finetune)
  critic_optimizer = state.make_optimizer(config.critic)
  start = Stopping().update(0, float(np.nanmean(_auc(context, actor_params))))
  means = None
  if config.weighting.name == 'constant_mean':
    means = mean_weights(context, actor_params, critic_params)
  arms, loops = {}, {}
  for name, weighting_name in names.items():
    arm_config = dataclasses.replace(
      config,
      weighting=dataclasses.replace(config.weighting, name=weighting_name),
    )
    weighting = factory.make_weighting(arm_config.weighting, means)
    step = finetune_lib.make_finetune_step(
      context.models.actor,
      optimizer,
      weighting,
      arm_config,
      context.models.critic,
      critic_optimizer,
    )
    initial = finetune_lib.init_finetune(
      actor_params,
      critic_params,
      optimizer,
      critic_optimizer,
      weighting,
      arm_config,
    )
    arms[name] = Arm(initial, actor_params, start)
    loops[name] = loop.make_loop(step)
  return _fit(context, 'finetune', arms, loops, config.finetune)


def _fit(
  context: context_lib.Context,
  stage: str,
  arms: dict[str, Arm],
  loops: dict[str, Any],
  config: config_lib.StageConfig,
) -> dict[str, Arm]:
  """Epochs over all arms until the patience with each of them has run out."""
  epoch, arms = _resume_arms(context, stage, arms)
  while epoch < config.max_epochs and any(
    arm.stopping.bad < config.patience for arm in arms.values()
  ):
    epoch += 1
    plan = context.plan(stage, epoch)
    arms = {
      name: _epoch(context, stage, name, arm, loops[name], plan, epoch)
      for name, arm in arms.items()
    }
    context.save(
      stage,
      epoch,
      {name: (arm.state, arm.best_params) for name, arm in arms.items()},
      stopping={
        name: dataclasses.asdict(arm.stopping) for name, arm in arms.items()
      },
    )
  return arms


def _resume_arms(
  context: context_lib.Context, stage: str, arms: dict[str, Arm]
) -> tuple[int, dict[str, Arm]]:
  trees = {name: (arm.state, arm.best_params) for name, arm in arms.items()}
  restored = context.resume(stage, trees)
  if restored is None:
    return 0, arms
  return restored.record['epoch'], {
    name: Arm(tree[0], tree[1], Stopping(**restored.record['stopping'][name]))
    for name, tree in restored.arrays.items()
  }


def _epoch(
  context: context_lib.Context,
  stage: str,
  name: str,
  arm: Arm,
  epoch_loop: Any,
  plan: batches.Plan,
  epoch: int,
) -> Arm:
  """One pass of one arm, its validation, its record."""
  begin = time.perf_counter()
  context.progress.start(f'{name} epoch {epoch}', context.train.host.rows)
  new_state, sums = trainer.run_epoch(
    epoch_loop,
    arm.state,
    context.train,
    plan,
    context.key(stage),
    context.config.batch,
    context.progress,
    interrupted=context.interrupted,
  )
  actor = new_state if stage == 'pretrain' else new_state.actor
  auc = _auc(context, actor.params)
  mean_auc = float(np.nanmean(auc))
  stopping = arm.stopping.update(epoch, mean_auc)
  improved = stopping.best_epoch == epoch
  record = {
    'stage': name,
    'epoch': epoch,
    'loss': sums['loss'] / sums['rows'],
    **{
      f'validation_auc_{t}': context_lib.finite(a)
      for t, a in zip(context.tasks, auc, strict=True)
    },
    **_weight_statistics(sums, context.tasks),
    'seconds': time.perf_counter() - begin,
  }
  if 'td_error' in sums:
    record['td_error'] = sums['td_error'] / max(sums['td_rows'], 1.0)
  context.progress.finish(
    f'loss {record["loss"]:.4f}  validation AUC '
    + '  '.join(f'{t} {a:.4f}' for t, a in zip(context.tasks, auc, strict=True))
    + ('  best' if improved else '')
  )
  context.record(**record)
  best_params = state.copy(actor.params) if improved else arm.best_params
  return Arm(new_state, best_params, stopping)


def _weight_statistics(
  sums: dict[str, float], tasks: tuple[str, ...]
) -> dict[str, float]:
  """Mean and standard deviation of the epoch's weights, per task."""
  if 'weight_0' not in sums:
    return {}
  result = {}
  for k, task in enumerate(tasks):
    mean = sums[f'weight_{k}'] / sums['rows']
    variance = sums[f'weight_square_{k}'] / sums['rows'] - mean**2
    result[f'weight_mean_{task}'] = mean
    result[f'weight_deviation_{task}'] = max(variance, 0.0) ** 0.5
  return result


def _auc(context: context_lib.Context, params: Any) -> np.ndarray:
  """Validation AUC of each task, f64[K]; NaN where only one class exists."""
  predictions = context.models.predict(params, context.validation)
  if not np.all(np.isfinite(predictions)):
    # The step that broke the parameters was the last before validation.
    raise FloatingPointError('predictions on validation are not finite')
  auc = evaluator.validation_auc(predictions, context.validation.host.labels)
  if np.all(np.isnan(auc)):
    raise types.InputError(
      'validation: every task has one class only, so AUC is undefined and'
      ' early stopping has nothing to look at'
    )
  return auc


def mean_weights(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> np.ndarray:
  """Mean of 1 - lambda Q over all train rows, f32[K]: constant_mean's."""
  policy = context.models.predict(actor_params, context.train)
  q_values = context.models.values(critic_params, context.train, policy)
  weights = weights_lib.critic_weights(
    q_values, context.config.weighting.lambda_
  )
  return np.asarray(weights, np.float64).mean(0).astype(np.float32)
