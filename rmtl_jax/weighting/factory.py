"""From settings to the Optax chain that weighs losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.weighting import critic

_BY_LAMBDA: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
  'critic': critic.scale_by_critic,
  'label_times_q': critic.scale_by_label_times_q,
  'q_shuffled': critic.scale_by_shuffled_critic,
}


def needs_critic(name: str) -> bool:
  """Whether a weighting reads Q-values in every step."""
  return name not in ('constant', 'constant_mean')


def make_weighting(
  config: config_lib.WeightingConfig, mean_weights: Any = None
) -> optax.GradientTransformationExtraArgs:
  """The chain that turns the cotangent of row losses into the weighted one.

  Args:
    config: name, lambda and its schedule, bound.
    mean_weights: f32[K], needed by `constant_mean` alone.

  Returns:
    An Optax transformation over f32[L, T, K] (see weighting/critic.py).

  Raises:
    types.InputError: no such weighting, or `constant_mean` without means.
  """
  if config.name in _BY_LAMBDA:
    link = _scheduled(_BY_LAMBDA[config.name], config)
  elif config.name == 'negative_q':
    link = critic.scale_by_negative_q()
  elif config.name == 'constant_mean':
    if mean_weights is None:
      raise types.InputError('constant_mean: needs the mean weight per task')
    link = critic.scale_by_task(mean_weights)
  elif config.name == 'constant':
    return optax.with_extra_args_support(optax.identity())
  else:
    raise types.InputError(
      f'weighting.name: {config.name!r} is not one of'
      f' {", ".join(config_lib.WEIGHTINGS)}'
    )
  if config.max_weight:
    link = critic.clip_weights(config.max_weight, link)
  return optax.chain(link)


def _scheduled(
  scale_by: Callable[..., optax.GradientTransformationExtraArgs],
  config: config_lib.WeightingConfig,
) -> optax.GradientTransformationExtraArgs:
  """The link with lambda fixed, or rising linearly from 0."""
  if not config.lambda_warmup_steps:
    return scale_by(lambda_=config.lambda_)
  ramp = optax.linear_schedule(0.0, config.lambda_, config.lambda_warmup_steps)
  return optax.inject_hyperparams(scale_by)(lambda_=ramp)
