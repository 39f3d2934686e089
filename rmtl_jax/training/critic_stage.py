"""Stage 2: the critics, until their validation error has converged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.networks import critic as critic_network
from rmtl_jax.ops import rewards, task_losses
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models, saved, stage, trainer
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import state

# Tells the draws of logged actions apart from shuffles of the same seed.
_LOGGED = 103
# Relative improvement of the validation error, against the best of the last two
# passes, under which critics have converged.
_MIN_IMPROVEMENT = 0.01


@dataclasses.dataclass
class CriticStage:
  """Stage 2: the critics of a run in training.

  The actor is frozen, so pi(s) and pi'(s) are the same numbers in every pass:
  they are computed once per split. So are uniform actions.

  Attributes:
    context: the run.
    program: the step that trains them.
    critic: their state.
    extras: of the train rows, f32[R, K] each: pi(s), and the logged actions
      where they are uniform.
    validation_extras: the same of the validation rows.
    errors: the validation error that decides, after each pass.
    validation_returns: what pi(s) realises on the validation rows, f64[R, K],
      or None where nothing is measured by it.
    best_params: the critics at the pass with the least such error, or None
      where the last pass is kept.
    position: in a pass that was cut off.
    name: 'critic'.
  """

  context: context_lib.Context
  program: models.Loop
  critic: state.CriticState
  extras: tuple[jax.Array | np.ndarray, ...]
  validation_extras: tuple[jax.Array | np.ndarray, ...]
  errors: list[float] = dataclasses.field(default_factory=list)
  validation_returns: np.ndarray | None = None
  best_params: Any = None
  position: trainer.Position = trainer.START
  name: str = 'critic'

  @property
  def validation_policy(self) -> np.ndarray:
    """pi(s) of the validation rows, f32[R, K]."""
    rows = self.context.validation.host.rows
    return np.asarray(self.validation_extras[0])[:rows]

  @property
  def params(self) -> Any:
    """What stage 2 leaves: the best pass, or the last (`stopping`).

    TD errors of two passes have different targets, so the least of them is
    not the best.
    """
    best = self.best_params
    return self.critic.params if best is None else best

  @property
  def goes_on(self) -> bool:
    """Until that validation error has converged."""
    config = self.context.config.critic
    return len(self.errors) < config.max_passes and not converged(
      self.errors, config
    )

  @property
  def rows_left(self) -> int:
    """Rows of all passes that may still come."""
    passes = self.context.config.critic.max_passes - len(self.errors)
    return max(passes, 0) * self.context.train.host.rows

  def passes(self) -> list[stage.Pass]:
    """The next pass: an epoch of stage 2 is one pass of all critics."""
    number = len(self.errors) + 1
    return [
      stage.Pass(
        self.name,
        f'critic pass {number}',
        self.program,
        self.critic,
        self.context.epoch(self.name, number),
        self.context.key(self.name),
        self.extras,
        start=self.position,
      )
    ]

  def validate(
    self,
    one: stage.Pass,
    new_state: Any,
    sums: Mapping[str, float],
    seconds: float,
  ) -> None:
    """The validation error of a pass, its record and the new best."""
    context = self.context
    self.critic, self.position = new_state, trainer.START
    figures = {'validation_td_error': self._validation_td_error()}
    if self.validation_returns is not None:
      figures['validation_return_error'] = self._validation_return_error()
    stopping = context.config.critic.stopping
    error = figures[f'validation_{stopping}']
    if not np.isfinite(error):
      raise FloatingPointError(
        f'{one.label}: validation {stopping.replace("_", " ")} is not finite'
      )
    keeps_best = self.best_params is not None
    if keeps_best and error < min(self.errors, default=np.inf):
      # A copy: the next pass donates the state.
      self.best_params = state.copy(self.critic.params)
    self.errors = [*self.errors, error]
    record = {
      'stage': self.name,
      'epoch': len(self.errors),
      'td_error': sums['td_error'] / max(sums['td_rows'], 1.0),
      **figures,
      'seconds': seconds,
    }
    context.progress.finish(
      f'TD error {record["td_error"]:#.4g}'
      f'  validation {_in_words(stopping)} {error:#.4g}',
      label=one.label,
      note=f'TD error {figures["validation_td_error"]:.4f}',
    )
    context.record(**record)

  def _validation_td_error(self) -> float:
    """Mean squared TD error over validation rows, the same noise every time."""
    context, critic = self.context, self.critic
    key = jax.random.fold_in(context.key(self.name), 0)
    losses, valid = trainer.map_rows(
      context.models.td_errors(context.config),
      (critic.params, critic.target_params, key),
      context.validation,
      self.validation_extras,
    )
    return float(losses.mean(-1).sum() / max(valid.sum(), 1))

  def _validation_return_error(self) -> float:
    """Mean squared error of Q(s, pi(s)) as a prediction of the returns."""
    context, policy = self.context, self.validation_policy
    q_values = context.values(self.critic.params, context.validation, policy)
    return float(np.mean(np.square(q_values - self.validation_returns)))

  def end_epoch(self) -> None:
    """Nothing more to count: `errors` has one of each pass."""

  def cut(
    self, one: stage.Pass, state: Any, position: trainer.Position
  ) -> None:
    """Takes the critics' place; see `Stage`."""
    self.critic, self.position = state, position

  def to_save(self) -> saved.StageCheckpoint:
    """The critics' state, their best parameters and the errors so far."""
    best = self.best_params
    return saved.StageCheckpoint(
      len(self.errors),
      self.critic if best is None else (self.critic, best),
      {'errors': self.errors, 'position': self.position._asdict()},
      self.position.dispatches,
    )

  def resume(self, record: Mapping[str, Any], arrays: Any) -> None:
    """Goes on from a checkpoint, maybe in the middle of a pass."""
    if self.best_params is None:
      self.critic = arrays
    else:
      self.critic, self.best_params = arrays
    self.errors = list(record['errors'])
    with json_files.parsing('checkpoint of critic'):
      self.position = trainer.Position(**record['position'])

  def summary(self) -> Iterator[str]:
    """One line."""
    stopping = _in_words(self.context.config.critic.stopping)
    keeps_best = self.best_params is not None
    error = min(self.errors) if keeps_best else self.errors[-1]
    yield (
      f'critic  {len(self.errors)} passes  validation {stopping} {error:#.4g}'
    )

  def result(self) -> dict[str, saved.Result]:
    """The critics' parameters; says so if their error has not converged."""
    if not converged(self.errors, self.context.config.critic):
      self.context.progress.say(
        f'WARNING: critics have not converged after {len(self.errors)} passes'
        ' (--config.critic.max_passes)'
      )
    return {self.name: saved.Result(self.params, 0)}


def start(context: context_lib.Context, actor_params: Any) -> CriticStage:
  """Stage 2 of a run, before its first pass."""
  config = context.config
  # pi(s) of all rows at once: the actor stays as it is in this stage, and every
  # pass reads the same numbers.
  policies = [
    context.policy(actor_params, split)
    for split in (context.train, context.validation)
  ]
  started = context.started_critic(actor_params)
  params = context.init_critic(actor_params) if started is None else started
  if config.critic.initial_value == 'mean_return' and started is None:
    params = critic_network.with_initial_values(
      params,
      _returns(context, context.train, policies[0]).mean(0),
      config.critic.head,
    )
  critic = context.models.place(init_state(config), params)
  program = context.models.train_critics(config)
  extras = _extras(context, context.train, policies[0], 0)
  validation_extras = _extras(context, context.validation, policies[1], 1)
  started = CriticStage(context, program, critic, extras, validation_extras)
  if config.critic.stopping == 'return_error':
    started.validation_returns = _returns(
      context, context.validation, policies[1]
    )
    started.best_params = state.copy(params)
  return started


def init_state(config: config_lib.Config) -> Callable[[Any], state.CriticState]:
  """What makes stage 2's first state of the critics' parameters."""
  optimizer = models.critic_optimizer(config)
  return lambda params: state.init_critic(params, optimizer)


def _extras(
  context: context_lib.Context,
  split: splits_lib.Split,
  policy: np.ndarray,
  number: int,
) -> tuple[jax.Array | np.ndarray, ...]:
  """What a step of stage 2 sees of a split's rows beside their columns.

  Uniform actions are drawn here, once per row, as a log would hold them: the
  same in every pass, however rows are shuffled.

  Args:
    policy: pi(s), f32[R, K].
    number: tells the draws of splits apart.
  """
  if context.config.critic.behaviour != 'uniform':
    return (split.beside(policy),)
  generator = np.random.default_rng((context.config.seed, _LOGGED, number))
  logged = generator.random(policy.shape, np.float32)
  return split.beside(policy), split.beside(logged)


def _returns(
  context: context_lib.Context, split: splits_lib.Split, policy: np.ndarray
) -> np.ndarray:
  """The discounted returns that a policy realises in a split, f64[R, K]."""
  config, host = context.config.critic, split.host
  losses = context.models.spec.losses
  reward = task_losses.reward_function(losses)
  found = jax.jit(reward)(policy, host.labels)
  return critic_statistics.discounted_returns(
    np.asarray(rewards.observed(found, host.sample_weight)),
    host.session,
    config.discount,
  )


def converged(errors: list[float], config: config_lib.CriticConfig) -> bool:
  """The last validation error is hardly better than the best of two before."""
  if len(errors) < max(config.min_passes, 3):
    return False
  best = min(errors[-3:-1])
  return errors[-1] > (1.0 - _MIN_IMPROVEMENT) * best


def _in_words(name: str) -> str:
  return name.replace('_', ' ').replace('td ', 'TD ')
