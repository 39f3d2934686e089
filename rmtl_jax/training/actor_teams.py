"""Actors in training: what an arm is, and which arms a stage starts with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import evaluator
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import trainer
from rmtl_jax.updates import finetune as finetune_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import critic as weights_lib
from rmtl_jax.weighting import factory, registry


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
  """An actor in training.

  Attributes:
    program: the step that trains it.
    state: an ActorState or a FinetuneState.
    best_params: the actor's parameters at its best epoch.
    stopping: when to stop.
    epoch: passes that it has trained.
    position: in a pass that was cut off.
  """

  program: models_lib.Program
  state: Any
  best_params: Any
  stopping: Stopping
  epoch: int = 0
  position: trainer.Position = trainer.START


@dataclasses.dataclass
class Team:
  """Arms that see the same batches and keys, for the same number of epochs.

  Attributes:
    context: their run.
    stage: 'pretrain' or 'finetune'.
    arms: by name.
    epoch: epochs that all of them have trained.
  """

  context: context_lib.Context
  stage: str
  arms: dict[str, Arm]
  epoch: int = 0

  @property
  def limits(self) -> config_lib.StageConfig:
    """The stage's settings."""
    return getattr(self.context.config, self.stage)

  @property
  def goes_on(self) -> bool:
    """Until the patience with each arm has run out."""
    return self.epoch < self.limits.max_epochs and any(
      arm.stopping.bad < self.limits.patience for arm in self.arms.values()
    )


def pretrain_team(context: context_lib.Context) -> Team:
  """Stage 1 of a run: one arm, 'pretrain'.

  Its `best_params` are the pre-trained actor's in the end.
  """
  config = context.config
  params = context.init_actor()
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  optimizer = _optimizer(context, 'pretrain', config.pretrain)
  actor = context.models.made(
    lambda params: state.init_actor(
      params, optimizer, unweighted, len(context.tasks)
    ),
    params,
  )
  program = context.models.pretrain(config)
  arm = Arm(program, actor, params, Stopping())
  return Team(context, 'pretrain', {'pretrain': arm})


def finetune_team(
  context: context_lib.Context,
  weightings: Mapping[str, str],
  actor_params: Any,
  critic_params: Any,
) -> Team:
  """Stage 3 of a run: arms that start from the same actor.

  That is the pre-trained one, which stays a candidate: it is every arm's
  epoch 0. Under `finetune.start=scratch` it is the actor as stage 1 began, and
  epoch 1 is the first candidate.

  Args:
    context: the run.
    weightings: the weighting of each arm, by the arm's name.
    actor_params: the pre-trained actor's.
    critic_params: the critics' after stage 2, or () where none are needed.
  """
  initial, start = actor_params, Stopping()
  if context.config.finetune.start == 'scratch':
    initial = context.init_actor()
  else:
    before = float(np.nanmean(validation_auc(context, actor_params)))
    start = start.update(0, before)
  arms = {}
  for name, weighting in weightings.items():
    means = None
    if registry.find(weighting).takes == registry.MEANS:
      # Of the policy that the critics know, wherever the arm starts.
      means = mean_weights(context, actor_params, critic_params)
    arms[name] = _finetune_arm(
      context, weighting, initial, critic_params, means, start
    )
  return Team(context, 'finetune', arms)


def _finetune_arm(
  context: context_lib.Context,
  weighting_name: str,
  initial_params: Any,
  critic_params: Any,
  means: np.ndarray | None,
  start: Stopping,
) -> Arm:
  config = dataclasses.replace(
    context.config,
    weighting=dataclasses.replace(
      context.config.weighting, name=weighting_name
    ),
  )
  steps = _scheduled_steps(
    context, 'finetune', config.weighting.lambda_schedule
  )
  optimizer = _optimizer(context, 'finetune', config.finetune)
  weighting = factory.make_weighting(config.weighting, means, steps)
  initial = context.models.made(
    lambda actor_params, critic_params: finetune_lib.init_finetune(
      actor_params,
      critic_params,
      optimizer,
      state.make_optimizer(config.critic),
      weighting,
      config,
      len(context.tasks),
    ),
    initial_params,
    critic_params,
  )
  return Arm(context.models.finetune(config), initial, initial_params, start)


def _optimizer(
  context: context_lib.Context, stage: str, config: config_lib.StageConfig
) -> optax.GradientTransformation:
  """The stage's, with its learning rate's schedule and the priors' share."""
  steps = _scheduled_steps(context, stage, config.schedule)
  terms = context.train.host.rows * len(context.tasks)
  return state.make_optimizer(config, steps, 1 / terms)


def _scheduled_steps(
  context: context_lib.Context, stage: str, schedule: str
) -> int:
  """Steps of max_epochs epochs; 0 for a schedule that does not ask.

  Every epoch is taken to be as long as the first: packing makes them differ
  by a step or so.
  """
  if schedule == 'constant':
    return 0
  epochs = getattr(context.config, stage).max_epochs
  return epochs * context.epoch(stage, 1).steps


def validation_auc(context: context_lib.Context, params: Any) -> np.ndarray:
  """Validation AUC of each task, f64[K]; NaN where only one class exists."""
  predictions = context.predict(params, context.validation)
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
  """Mean of 1 - lambda Q over all train rows, f32[K]: constant_mean's.

  Lambda is that of the settings, before its schedule.
  """
  policy = context.predict(actor_params, context.train)
  q_values = context.values(critic_params, context.train, policy)
  weights = weights_lib.critic_weights(
    q_values, context.config.weighting.lambda_
  )
  return np.asarray(weights, np.float64).mean(0).astype(np.float32)
