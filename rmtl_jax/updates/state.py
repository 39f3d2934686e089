"""Training states: parameters, optimizer states and counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import core, tree_util

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
  learning_rate: float, l2: float = 0.0, embedding_l2: float = -1.0
) -> optax.GradientTransformation:
  """Adam with L2 added to the gradient, as torch's `Adam(weight_decay)`.

  Not AdamW: the decay goes through Adam's normalisation (method of the
  authors' code). The learning rate is a number in the optimizer's state: one
  compiled step serves every value.

  Args:
    learning_rate: Adam's.
    l2: of all parameters.
    embedding_l2: of the embedding tables; a negative one means l2.
  """
  if embedding_l2 < 0:
    embedding_l2 = l2

  def decay(path, gradient, param):
    amount = embedding_l2 if is_embedding(path) else l2
    return gradient + amount * param if amount else gradient

  # Only the rate: traced betas could not be folded into Adam's constants.
  adam = optax.inject_hyperparams(
    optax.adam,
    static_args=('b1', 'b2', 'eps', 'eps_root'),
    hyperparam_dtype=jnp.float32,
  )(learning_rate=learning_rate)
  if not (l2 or embedding_l2):
    return _of_trained(optax.chain(adam), learning_rate)
  decayed = optax.stateless(
    lambda gradients, params: jax.tree.map_with_path(decay, gradients, params)
  )
  return _of_trained(optax.chain(decayed, adam), learning_rate)


def _of_trained(
  inner: optax.GradientTransformationExtraArgs, learning_rate: float
) -> optax.GradientTransformation:
  """The optimizer of all parameters but frozen ones."""

  def update(updates, state, params=None):
    new_updates, new_state = inner.update(
      pretrained.without_frozen(updates),
      state,
      pretrained.without_frozen(params),
    )
    return pretrained.with_frozen(new_updates, params), new_state

  def init(params):
    trained = pretrained.without_frozen(params)
    traced = any(isinstance(x, core.Tracer) for x in jax.tree.leaves(params))
    if traced:
      return inner.init(trained)
    # Zeros, but for the rate: Optax would compile a program for every shape.
    shapes = jax.eval_shape(inner.init, trained)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    rate = np.float32(learning_rate)
    return jax.device_put(optax.tree.set(zeros, learning_rate=rate))

  return optax.GradientTransformation(init, update)


def is_embedding(path: Sequence[Any]) -> bool:
  """Whether a leaf of parameters (or of their moments) is embedding tables.

  Args:
    path: of the leaf, as `jax.tree.map_with_path` gives it.
  """
  return names(path)[-2:] == ['first', 'table']


def names(path: Sequence[Any]) -> list[Any]:
  """The names of the groups that lead to a leaf, and its own."""
  return [entry.key for entry in path if isinstance(entry, tree_util.DictKey)]


def learning_rate(opt_state: Any) -> float:
  """The learning rate in the state of a `make_optimizer`."""
  ((_, rate),) = optax.tree.get_all_with_path(opt_state, 'learning_rate')
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
  weighting: optax.GradientTransformation,
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
    # Tasks are the last axis; the number of rows differs by batch.
    weighting.init(np.zeros((num_tasks,), np.float32)),
    jax.device_put(np.int32(0)),
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
    jax.device_put(np.int32(0)),
  )
