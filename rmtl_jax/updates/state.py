"""What a step carries from one batch to the next; hyperparameters are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import core, tree_util

from rmtl_jax import config as config_lib
from rmtl_jax.networks import pretrained


class ActorState(NamedTuple):
  """An actor in training.

  Attributes:
    params: the network's parameters.
    opt_state: the optimizer's.
    weighting_state: the weighting chain's.
    step: i32[], steps taken.
    balancing_state: the balancer's, or ().
  """

  params: Any
  opt_state: Any
  weighting_state: Any
  step: jax.Array
  balancing_state: Any = ()


class CriticState(NamedTuple):
  """Critics in training; K critics are one tree.

  Attributes:
    params: the online critics' parameters.
    target_params: the target critics', or () where they are frozen.
    opt_state: the optimizer's, or ().
    step: i32[], steps taken.
  """

  params: Any
  target_params: Any
  opt_state: Any
  step: jax.Array


_Training = TypeVar('_Training', ActorState, CriticState)


class FinetuneState(NamedTuple):
  """Stage 3: the actor, and the critics that weigh its losses.

  Attributes:
    actor: the actor in training.
    target_actor: parameters of pi', or () where critics are frozen.
    critic: the critics. Frozen ones have () for target parameters and
      optimizer.
  """

  actor: ActorState
  target_actor: Any
  critic: CriticState

  @property
  def step(self) -> jax.Array:
    """Steps taken."""
    return self.actor.step


def actor_of(training: ActorState | FinetuneState) -> ActorState:
  """The actor in a state of stage 1 or 3."""
  return training.actor if isinstance(training, FinetuneState) else training


def make_optimizer(
  config: config_lib.StageConfig | config_lib.CriticConfig,
  total_steps: int = 0,
) -> optax.GradientTransformation:
  """Adam with L2 added to the gradient, as torch's `Adam(weight_decay)`.

  Not AdamW: the decay goes through Adam's normalisation (method of the
  authors' code). Clipping, where set, comes first, a schedule last. The
  learning rate and the schedule's steps are numbers in the optimizer's state:
  one compiled step serves every value.

  Args:
    config: of the stage.
    total_steps: over which a schedule falls; only `init` uses it.
  """
  links, last = [], []
  if config.clip_norm:
    links.append(_clip(config))
  if isinstance(config, config_lib.StageConfig) and (
    config.schedule != 'constant' or config.warmup_steps
  ):
    last.append(
      scale_by_progress(config.schedule, total_steps, config.warmup_steps)
    )
  links += _l2_links(config)
  # Only the rate: traced betas could not be folded into Adam's constants.
  adam = optax.inject_hyperparams(
    optax.adam,
    static_args=('b1', 'b2', 'eps', 'eps_root'),
    hyperparam_dtype=jnp.float32,
  )
  return _of_trained(
    optax.chain(*links, adam(learning_rate=config.learning_rate), *last)
  )


def _clip(
  config: config_lib.StageConfig | config_lib.CriticConfig,
) -> optax.GradientTransformation:
  """Bounds the gradient's norm, of critics that of each member."""
  clip = optax.clip_by_global_norm(config.clip_norm)
  if isinstance(config, config_lib.StageConfig) or config.members == 1:
    return clip
  each = jax.vmap(lambda gradient: clip.update(gradient, clip.init(()))[0])
  return optax.stateless(lambda gradients, _: each(gradients))


def _of_trained(
  inner: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformation:
  """The optimizer of all parameters but frozen ones."""

  def update(updates, state, params=None):
    new_updates, new_state = inner.update(
      pretrained.without_frozen(updates),
      state,
      pretrained.without_frozen(params),
    )
    return pretrained.with_frozen(new_updates, params), new_state

  return optax.GradientTransformation(
    lambda params: inner.init(pretrained.without_frozen(params)), update
  )


def _l2_links(
  config: config_lib.StageConfig | config_lib.CriticConfig,
) -> list[optax.GradientTransformation]:
  """One decay of the embedding tables and one of the rest."""
  embedding = config.l2
  if isinstance(config, config_lib.StageConfig) and config.embedding_l2 >= 0:
    embedding = config.embedding_l2
  if not (config.l2 or embedding):
    return []

  def decay(path, gradient, param):
    l2 = embedding if is_embedding(path) else config.l2
    return gradient + l2 * param if l2 else gradient

  return [
    optax.stateless(
      lambda gradients, params: jax.tree.map_with_path(decay, gradients, params)
    )
  ]


def is_embedding(path: Sequence[Any]) -> bool:
  """Whether a leaf of parameters (or of their moments) is embedding tables.

  Args:
    path: of the leaf, as `jax.tree.map_with_path` gives it.
  """
  return names(path)[-2:] == ['first', 'table']


def names(path: Sequence[Any]) -> list[Any]:
  """The names of the groups that lead to a leaf, and its own."""
  return [entry.key for entry in path if isinstance(entry, tree_util.DictKey)]


class ProgressState(NamedTuple):
  """Where a schedule is.

  Attributes:
    step: i32[], updates so far.
    total: f32[], updates of the schedule; the factor is 0 afterwards.
    warmup: f32[], updates of the warmup.
  """

  step: jax.Array
  total: jax.Array
  warmup: jax.Array


def scale_by_progress(
  schedule: str, total_steps: int, warmup_steps: int
) -> optax.GradientTransformation:
  """Multiplies updates by a factor in [0, 1] that depends on their number.

  Update t = 0, 1, ... is multiplied by min(1, (t + 1) / warmup), and by 1
  (`constant`), 1 - x (`linear`) or (1 + cos(pi x)) / 2 (`cosine`; Loshchilov
  and Hutter, "SGDR", ICLR 2017, without restarts), where x in [0, 1] is the
  fraction of the steps after the warmup that are over.

  Args:
    schedule: a name of config.SCHEDULES.
    total_steps: length of the schedule; the factor is 0 afterwards.
    warmup_steps: 0 means none.

  Raises:
    ValueError: no such schedule.
  """
  if schedule not in config_lib.SCHEDULES:
    raise ValueError(f'schedule: {schedule!r} is unknown')

  def init(params):
    del params
    return ProgressState(
      jnp.zeros((), jnp.int32),
      jnp.array(total_steps, jnp.float32),
      jnp.array(warmup_steps, jnp.float32),
    )

  def update(updates, state, params=None):
    del params
    factor = _progress_factor(schedule, state.step, state)
    new_updates = jax.tree.map(lambda u: u * factor, updates)
    return new_updates, state._replace(step=state.step + 1)

  return optax.GradientTransformation(init, update)


def _progress_factor(
  schedule: str, number: jax.Array, state: ProgressState
) -> jax.Array:
  """What update `number` is multiplied by, see `scale_by_progress`."""
  step = number.astype(jnp.float32)
  factor = jnp.minimum(1.0, (step + 1.0) / jnp.maximum(state.warmup, 1.0))
  if schedule == 'constant':
    return factor
  length = jnp.maximum(state.total - state.warmup, 1.0)
  over = jnp.clip((step - state.warmup) / length, 0.0, 1.0)
  if schedule == 'linear':
    return factor * (1.0 - over)
  return factor * 0.5 * (1.0 + jnp.cos(jnp.pi * over))


def learning_rate(opt_state: Any, schedule: str) -> float:
  """The learning rate of the last update, schedule and warmup included.

  Args:
    opt_state: of a `make_optimizer`.
    schedule: of its stage, a name of config.SCHEDULES.
  """
  ((_, rate),) = optax.tree.get_all_with_path(opt_state, 'learning_rate')
  found = jax.tree.leaves(
    opt_state, is_leaf=lambda leaf: isinstance(leaf, ProgressState)
  )
  for state in found:
    if isinstance(state, ProgressState):
      last = jnp.maximum(state.step - 1, 0)
      rate *= _progress_factor(schedule, last, state)
  return float(rate)


def copy(tree: Any) -> Any:
  """A tree of new buffers: two trees of a donated state never share one."""

  def one(x):
    if isinstance(x, core.Tracer) or not isinstance(x, jax.Array):
      return jnp.copy(x)
    if len(x.devices()) > 1:
      return jnp.copy(x)
    # `jnp.copy` compiles a program for every shape.
    return jax.device_put(x, may_alias=False)

  return jax.tree.map(one, tree)


def init_actor(
  params: Any,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  num_tasks: int = 1,
  balancer: optax.GradientTransformation | None = None,
) -> ActorState:
  """The state before the first step; the parameters are copied.

  Args:
    params: the network's.
    optimizer: of the parameters.
    weighting: the chain over the row losses' cotangent.
    num_tasks: K, which weightings of whole tasks need for their state.
    balancer: of the tasks, or None.
  """
  new_params = copy(params)
  return ActorState(
    new_params,
    optimizer.init(new_params),
    # What a chain weighs has the tasks last; how many rows differs by batch.
    weighting.init(jnp.zeros((num_tasks,))),
    jnp.zeros((), jnp.int32),
    balancer.init(new_params) if balancer else (),
  )


def init_critic(
  params: Any, optimizer: optax.GradientTransformation
) -> CriticState:
  """The state before the first step; the parameters are copied, twice."""
  new_params = copy(params)
  return CriticState(
    new_params,
    copy(params),
    optimizer.init(new_params),
    jnp.zeros((), jnp.int32),
  )
