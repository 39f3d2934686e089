"""What a step carries from one batch to the next; hyperparameters are not."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib


class ActorState(NamedTuple):
  """An actor in training.

  Attributes:
    params: the network's parameters.
    opt_state: the optimizer's.
    weighting_state: the weighting chain's.
    step: i32[], steps taken.
  """

  params: Any
  opt_state: Any
  weighting_state: Any
  step: jax.Array


class CriticState(NamedTuple):
  """Critics in training; K critics are one tree.

  Attributes:
    params: the online critics' parameters.
    target_params: the target critics'.
    opt_state: the optimizer's.
    step: i32[], steps taken.
  """

  params: Any
  target_params: Any
  opt_state: Any
  step: jax.Array


class FinetuneState(NamedTuple):
  """Stage 3: the actor, and the critics that weigh its losses.

  Attributes:
    actor: the actor in training.
    target_actor: parameters of pi', or () where critics are frozen or unused.
    critic: a CriticState (learning), parameters alone (frozen) or ().
  """

  actor: ActorState
  target_actor: Any
  critic: Any

  @property
  def step(self) -> jax.Array:
    """Steps taken."""
    return self.actor.step


def make_optimizer(
  config: config_lib.StageConfig | config_lib.CriticConfig,
) -> optax.GradientTransformation:
  """Adam with L2 added to the gradient, as torch's `Adam(weight_decay)`.

  Not AdamW: the decay goes through Adam's normalisation (method of the
  authors' code). Clipping, where set, comes first. The learning rate is a
  number in the optimizer's state: one compiled step serves every value, see
  `with_learning_rate`.
  """
  links = []
  if isinstance(config, config_lib.StageConfig) and config.clip_norm:
    links.append(optax.clip_by_global_norm(config.clip_norm))
  if config.l2:
    links.append(optax.add_decayed_weights(config.l2))
  # Only the rate: traced betas could not be folded into Adam's constants.
  adam = optax.inject_hyperparams(
    optax.adam,
    static_args=('b1', 'b2', 'eps', 'eps_root'),
    hyperparam_dtype=jnp.float32,
  )
  return optax.chain(*links, adam(learning_rate=config.learning_rate))


def with_learning_rate(opt_state: Any, value: float | jax.Array) -> Any:
  """The state of a `make_optimizer` with another learning rate.

  Args:
    opt_state: of the optimizer, or of a population's.
    value: the new rate, f32[]; f32[P] where the state has a member axis.

  Returns:
    A state that shares all other buffers with `opt_state`.

  Raises:
    ValueError: the state has no learning rate.
  """
  if not optax.tree.get_all_with_path(opt_state, 'learning_rate'):
    raise ValueError('learning_rate: the optimizer has no such number')
  # A copy: a step that donates the state must not delete the caller's array.
  new_value = jnp.array(value, jnp.float32)
  return optax.tree.set(opt_state, learning_rate=new_value)


def copy(tree: Any) -> Any:
  """A tree of new buffers: two trees of a donated state never share one."""
  return jax.tree.map(jnp.copy, tree)


def init_actor(
  params: Any,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
) -> ActorState:
  """The state before the first step; the parameters are copied."""
  new_params = copy(params)
  return ActorState(
    new_params,
    optimizer.init(new_params),
    weighting.init(jnp.zeros(())),
    jnp.zeros((), jnp.int32),
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
