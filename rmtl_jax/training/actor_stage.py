"""Stages 1 and 3: the actor, with early stopping on validation."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.networks import functional
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import (
  epoch_figures,
  models,
  saved,
  stage,
  trainer,
  validation,
)
from rmtl_jax.updates import finetune as finetune_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import critic as weights_lib
from rmtl_jax.weighting import factory, registry

# More than the dispatches of a pass: numbers of checkpoints rise.
_ARM = 200_000
# Epochs without a better validation that stage 3 waits for.
_PATIENCE = 2


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """Early stopping of one actor on a value that should rise.

  Attributes:
    best: the best value so far.
    best_epoch: its epoch; 0 is before the first.
    bad: epochs since.
  """

  best: float = -np.inf
  best_epoch: int = 0
  bad: int = 0

  def update(self, epoch: int, value: float) -> EarlyStopping:
    """After an epoch."""
    if value > self.best:
      return EarlyStopping(value, epoch, 0)
    return dataclasses.replace(self, bad=self.bad + 1)


@dataclasses.dataclass(frozen=True)
class Arm:
  """One actor of a stage: the method's, or its control's.

  Attributes:
    program: the step that trains it.
    state: an ActorState or a FinetuneState.
    best_params: the actor's parameters at its best epoch.
    stopping: when to stop.
    epoch: passes that it has trained.
    position: in a pass that was cut off.
  """

  program: models.Loop
  state: Any
  best_params: Any
  stopping: EarlyStopping
  epoch: int = 0
  position: trainer.Position = trainer.START


@dataclasses.dataclass
class ActorStage:
  """Stage 1 or 3: arms that see the same batches and keys.

  They train for the same number of epochs, until none of them gets better.

  Attributes:
    context: the run.
    name: of `stages.ORDER`.
    arms: by name.
    epoch: epochs that all of them have trained.
  """

  context: context_lib.Context
  name: str
  arms: dict[str, Arm]
  epoch: int = 0

  @property
  def goes_on(self) -> bool:
    """Until the patience with each arm has run out."""
    config = self.context.config
    patience = (
      config.pretrain.patience if self.name == 'pretrain' else _PATIENCE
    )
    return self.epoch < self._most_epochs and any(
      arm.stopping.bad < patience for arm in self.arms.values()
    )

  @property
  def _most_epochs(self) -> int:
    chosen = self.context.refit_epochs
    limits = getattr(self.context.config, self.name)
    return limits.max_epochs if chosen is None else chosen

  @property
  def rows_left(self) -> int:
    """Rows of all passes that may still come."""
    epochs = max(self._most_epochs - self.epoch, 0)
    return epochs * len(self.arms) * self.context.train.host.rows

  def passes(self) -> list[stage.Pass]:
    """A pass for each arm that has not trained the current epoch yet.

    All arms get the same plan and key, so that only their weights differ.
    """
    epoch = self.epoch + 1
    return [
      stage.Pass(
        name,
        f'{name} epoch {epoch}',
        arm.program,
        arm.state,
        self.context.epoch(self.name, epoch),
        self.context.key(self.name),
        start=arm.position,
      )
      for name, arm in self.arms.items()
      if arm.epoch == self.epoch
    ]

  def validate(
    self,
    one: stage.Pass,
    new_state: Any,
    sums: Mapping[str, float],
    seconds: float,
  ) -> None:
    """Early stopping and the record of an arm's epoch; see `Stage`."""
    context, epoch, arm = self.context, self.epoch + 1, self.arms[one.name]
    actor = state.actor_of(new_state)
    if self.name == 'finetune':
      sums = epoch_figures.with_weights(sums, len(context.tasks))
    found, words = None, ''
    if context.refit_epochs is None:
      try:
        found = validation.validate(context, actor.params)
      except FloatingPointError as error:
        raise FloatingPointError(f'{one.label}: {error}') from None
      words = found.in_words()
      stopping = arm.stopping.update(epoch, found.monitored)
    else:  # validation rows are learnt from: the last epoch is kept
      stopping = dataclasses.replace(arm.stopping, best_epoch=epoch)
    is_best = stopping.best_epoch == epoch
    record = {
      'stage': one.name,
      'epoch': epoch,
      'loss': epoch_figures.mean_loss(sums, len(context.tasks)),
      **(found.figures(context.tasks) if found else {}),
      **epoch_figures.weight_statistics(sums, context.tasks),
      'seconds': seconds,
    }
    record['learning_rate'] = state.learning_rate(actor.opt_state)
    if 'td_error' in sums:
      record['td_error'] = sums['td_error'] / max(sums['td_rows'], 1.0)
    context.progress.finish(
      '  '.join(
        [
          f'loss {record["loss"]:.4f}',
          *([words] if found else []),
          *(['best'] if found and is_best else []),
        ]
      ),
      label=one.label,
      note=('' if len(self.arms) == 1 else f'{one.name} ')
      + words.split('  ')[0],
    )
    context.record(**record)
    # A copy: the next pass donates the state, and its buffers are gone then.
    best_params = state.copy(actor.params) if is_best else arm.best_params
    self.arms[one.name] = Arm(
      arm.program, new_state, best_params, stopping, epoch
    )

  def end_epoch(self) -> None:
    """Counts an epoch that all arms have trained."""
    self.epoch += 1

  def cut(
    self, one: stage.Pass, state: Any, position: trainer.Position
  ) -> None:
    """Takes an arm's place; see `Stage`."""
    arm = self.arms[one.name]
    changes = {'state': state, 'position': position}
    self.arms[one.name] = dataclasses.replace(arm, **changes)

  def to_save(self) -> saved.StageCheckpoint:
    """Every arm's state, best parameters and place; see `Stage`."""
    arms = self.arms
    return saved.StageCheckpoint(
      self.epoch,
      {name: (arm.state, arm.best_params) for name, arm in arms.items()},
      {
        'stopping': {
          name: dataclasses.asdict(arm.stopping) for name, arm in arms.items()
        },
        'epochs': {name: arm.epoch for name, arm in arms.items()},
        'positions': {
          name: arm.position._asdict() for name, arm in arms.items()
        },
      },
      # Whole passes of some arms, and a part of another's.
      sum(
        arm.position.dispatches + _ARM * (arm.epoch > self.epoch)
        for arm in arms.values()
      ),
    )

  def resume(self, record: Mapping[str, Any], arrays: Any) -> None:
    """Goes on from a checkpoint, maybe in the middle of a pass."""
    self.epoch = record['epoch']
    for name, (arm_state, best_params) in arrays.items():
      with json_files.parsing(f'checkpoint of {self.name}'):
        self.arms[name] = Arm(
          self.arms[name].program,
          arm_state,
          best_params,
          EarlyStopping(**record['stopping'][name]),
          record['epochs'][name],
          trainer.Position(**record['positions'][name]),
        )

  def summary(self) -> Iterator[str]:
    """One line per arm."""
    for name, arm in self.arms.items():
      if self.context.refit_epochs is not None:
        yield f'{name}  {self.epoch} epochs, as many as were best before'
        continue
      best, epoch = arm.stopping.best, arm.stopping.best_epoch
      one = monitor_lib.of(self.context.config.evaluation.monitor)
      what = f'{one.word} {one.sign * best:.4f}'
      kept = f'kept: epoch {epoch}' if epoch else 'kept: as before epoch 1'
      yield f'{name}  {self.epoch} epochs  {kept}  validation {what}'

  def result(self) -> dict[str, saved.Result]:
    """Every arm's parameters at its best epoch, and maybe the last one's.

    Early stopping may keep the pre-trained parameters of both arms. The last
    epoch tells them apart: both have trained it, no score has chosen it for one
    of them, and its parameters are there without another copy.
    """
    return {
      name: saved.Result(
        arm.best_params, arm.stopping.best_epoch, self._last(arm)
      )
      for name, arm in self.arms.items()
    }

  def _last(self, arm: Arm) -> saved.Result | None:
    if self.name != 'finetune' or arm.stopping.best_epoch == self.epoch:
      return None
    return saved.Result(state.actor_of(arm.state).params, self.epoch)


def pretrain(context: context_lib.Context) -> ActorStage:
  """Stage 1 of a run, before its first epoch: one arm, 'pretrain'.

  Of a run that starts from another the model that it goes on from is a
  candidate, as epoch 0: what is kept is never worse on validation.
  """
  config = context.config
  params = context.init_actor()
  actor = context.models.place(init_pretrain(context), params)
  stopping = EarlyStopping()
  if context.start and context.refit_epochs is None:
    found = validation.validate(context, params)
    stopping = stopping.update(0, found.monitored)
  program = context.models.pretrain(config)
  arm = Arm(program, actor, params, stopping)
  return ActorStage(context, 'pretrain', {'pretrain': arm})


def fitted(
  context: context_lib.Context, fit: functional.Fit
) -> dict[str, saved.Result]:
  """Stage 1 of an actor that is fitted at once: what it leaves."""
  begin = time.perf_counter()
  params = context.fitted(fit)
  found = None
  if context.refit_epochs is None:
    found = validation.validate(context, params)
    context.progress.say(f'fitted  {found.in_words()}')
  context.record(
    stage='pretrain',
    epoch=1,
    **(found.figures(context.tasks) if found else {}),
    seconds=time.perf_counter() - begin,
  )
  return {'pretrain': saved.Result(params, 1)}


def init_pretrain(
  context: context_lib.Context,
) -> Callable[[Any], state.ActorState]:
  """What makes stage 1's first state of the actor's parameters."""
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  optimizer = models.pretrain_optimizer(context.config)
  steps = context.epoch('pretrain', 1).steps
  balancer = context.models.balancer(context.config, steps)
  return lambda params: state.init_actor(
    params, optimizer, unweighted, len(context.tasks), balancer
  )


def finetune(
  context: context_lib.Context,
  weightings: Mapping[str, str],
  actor_params: Any,
  critic_params: Any,
) -> ActorStage:
  """Stage 3 of a run: arms that start from the same actor.

  That is the pre-trained one, which stays a candidate: it is every arm's
  epoch 0.

  Args:
    weightings: the weighting of each arm, by the arm's name.
    actor_params: the pre-trained actor's.
    critic_params: the critics' after stage 2, or () where none are needed.
  """
  # The pre-trained actor competes as epoch 0, so that fine-tuning can't leave a
  # run worse than it found it on validation.
  before = validation.validate(context, actor_params)
  stopping = EarlyStopping().update(0, before.monitored)
  arms = {}
  for name, weighting in weightings.items():
    config, means = with_weighting(context.config, weighting), None
    if registry.find(weighting).takes == registry.MEANS:
      means = mean_weights(context, actor_params, critic_params)
    start = init_finetune(context, config, means)
    before_step = context.models.place(start, actor_params, critic_params)
    program = context.models.finetune(config)
    arms[name] = Arm(program, before_step, actor_params, stopping)
  return ActorStage(context, 'finetune', arms)


def weightings(config: config_lib.Config) -> dict[str, str]:
  """The weightings of stage 3's arms: the control's, and the method's."""
  own = {'finetune': config.weighting.name}
  return {'constant': 'constant', **own} if config.control else own


def with_weighting(config: config_lib.Config, name: str) -> config_lib.Config:
  """The settings of an arm of stage 3, by the name of its weighting."""
  weighting = dataclasses.replace(config.weighting, name=name)
  return dataclasses.replace(config, weighting=weighting)


def init_finetune(
  context: context_lib.Context,
  config: config_lib.Config,
  means: np.ndarray | None = None,
) -> Callable[[Any, Any], state.ActorState | state.FinetuneState]:
  """What makes an arm's first state of the actor's and critics' parameters.

  Args:
    config: the arm's settings.
    means: of `mean_weights`, for a weighting that takes them.
  """
  optimizer = models.finetune_optimizer(config)
  weighting = factory.make_weighting(config.weighting, means)
  asks = registry.find(config.weighting.name).asks_every_step

  def init(actor_params, critic_params):
    actor = state.init_actor(
      actor_params, optimizer, weighting, len(context.tasks)
    )
    if not asks:
      return actor
    return finetune_lib.init_finetune(
      actor, critic_params, models.critic_optimizer(config), config.critic
    )

  return init


def mean_weights(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> np.ndarray:
  """constant_mean's weights, f32[K], of all train rows."""
  policy = context.policy(actor_params, context.train)
  q_values = context.values(critic_params, context.train, policy)
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
  weights = weights_lib.critic_weights(q_values, config.lambda_)
  found = columns_lib.row_means(np.asarray(weights, np.float64), sample_weight)
  return found.astype(np.float32)
