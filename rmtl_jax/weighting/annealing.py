"""Lambda over the steps of stage 3: it rises, stays, falls to 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax.ops import schedules


class LambdaState(NamedTuple):
  """Where lambda is; numbers, so that one compiled step serves all of them.

  Attributes:
    lambda_: f32[], after the warmup and before the fall.
    step: i32[], updates so far.
    total: f32[], updates at whose end lambda is 0, where it falls.
    warmup: f32[], updates over which lambda rises from 0.
    inner: the state of the link that has this lambda.
  """

  lambda_: jax.Array
  step: jax.Array
  total: jax.Array
  warmup: jax.Array
  inner: Any = optax.EmptyState()


def current(state: LambdaState, schedule: str) -> jax.Array:
  """Lambda of the next update, f32[].

  Update t = 0, 1, ... has min(1, t / warmup) times what ops/schedules.py
  leaves of it.
  """
  step = state.step.astype(jnp.float32)
  risen = jnp.where(
    state.warmup > 0.0,
    jnp.minimum(1.0, step / jnp.maximum(state.warmup, 1.0)),
    1.0,
  )
  left = schedules.decay_factor(schedule, step, state.total, state.warmup)
  return state.lambda_ * risen * left


def with_lambda(
  scale_by: Callable[[jax.Array], optax.GradientTransformationExtraArgs],
  config: config_lib.WeightingConfig,
  total_steps: int = 0,
) -> optax.GradientTransformationExtraArgs:
  """A link whose lambda follows `config`.

  Args:
    scale_by: from lambda to a link; the form of its state must not depend on
      lambda.
    config: lambda, its warmup and its schedule.
    total_steps: over which a schedule falls; only `init` uses it.

  Returns:
    The link, with a LambdaState.
  """

  def init(params):
    lambda_ = jnp.array(config.lambda_, jnp.float32)
    return LambdaState(
      lambda_,
      jnp.zeros((), jnp.int32),
      jnp.array(total_steps, jnp.float32),
      jnp.array(config.lambda_warmup_steps, jnp.float32),
      scale_by(lambda_).init(params),
    )

  def update(updates, state, params=None, **extra):
    link = scale_by(current(state, config.lambda_schedule))
    new_updates, new_inner = link.update(updates, state.inner, params, **extra)
    return new_updates, state._replace(step=state.step + 1, inner=new_inner)

  return optax.GradientTransformationExtraArgs(init, update)
