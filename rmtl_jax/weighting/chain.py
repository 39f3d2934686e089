"""The Optax chain of a weighting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.weighting import weighting_registry


def make_weighting(
  config: config_lib.WeightingConfig, mean_weights: Any = None
) -> Any:
  """The chain that turns the cotangent of row losses into the weighted one.

  Lambda and the constants of `constant_mean` are numbers in its state: one
  compiled step serves every value. `constant` and `ddpg` leave the cotangent as
  it is.

  Args:
    config: name, lambda, form.
    mean_weights: f32[K], needed by `constant_mean` alone.

  Returns:
    An Optax transformation over f32[L, T, K] (see weighting/scale_by_q.py).

  Raises:
    types.InputError: no such weighting, or `constant_mean` without means.
  """
  record = weighting_registry.find(config.name)
  if record.make is None:
    return optax.with_extra_args_support(optax.identity())
  if record.takes == weighting_registry.MEANS:
    if mean_weights is None:
      raise types.InputError(f'{config.name}: needs the mean weight per task')
    link = record.make(mean_weights)
  else:
    make = weighting_registry.form_of(config).make
    assert make is not None
    if weighting_registry.form_of(config).lambda_ == weighting_registry.NONE:
      link = make()
    else:
      link = _with_lambda(make, config.lambda_)
    if record.takes == weighting_registry.LINK:
      link = record.make(link)
  return optax.chain(link)


class LambdaState(NamedTuple):
  """The state of a weighting with lambda.

  Attributes:
    lambda_: f32[].
    inner: the weighting's own state.
  """

  lambda_: jax.Array
  inner: Any


def _with_lambda(
  make: Callable[..., optax.GradientTransformationExtraArgs], lambda_: float
) -> optax.GradientTransformationExtraArgs:
  """The weighting make(lambda), with lambda in its state."""

  def init(params):
    # A number on the device, with no program compiled for it.
    value = jax.device_put(np.float32(lambda_))
    return LambdaState(value, make(value).init(params))

  def update(updates, state, params=None, **extra):
    link = optax.with_extra_args_support(make(state.lambda_))
    weighted, inner = link.update(updates, state.inner, params, **extra)
    return weighted, LambdaState(state.lambda_, inner)

  return optax.GradientTransformationExtraArgs(init, update)
