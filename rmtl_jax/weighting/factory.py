"""From settings to the Optax chain that weighs losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.weighting import registry

ScaleBy = Callable[[Any], optax.GradientTransformationExtraArgs]


def register_weighting(
  name: str,
  scale_by: ScaleBy,
  *,
  label: str = '',
  formula: str = '',
  needs: tuple[str, ...] = (),
) -> None:
  """Adds weights of the caller's own under a new name.

  From then on, in this process, `config.weighting.name` may have that name,
  and `config.weighting.form`: `q_shuffled` can shuffle these weights. Another
  process that reads such a run must register it again.

  Examples:
    Only rows count whose future looks worse than -lambda:

        def scale_by_worst(lambda_):
          return critic.stateless(
            lambda updates, q_values, **_: updates * (q_values < -lambda_)
          )

        register_weighting('worst', scale_by_worst)

  Args:
    name: not one that exists.
    scale_by: lambda (f32[], traced) -> an Optax transformation that multiplies
      f32[L, T, K] by weights >= 0; its extra arguments stand in
      weighting/critic.py, and `critic.stateless` makes one of a function.
      Weights must not depend on what they multiply. Its state, if it has one,
      is kept in checkpoints; `init` is called with an array whose last axis is
      the tasks: the state's form may depend on their number, not on lambda.
    label: what it is, in tables; the name if empty.
    formula: its weights in words, for reports.
    needs: extra arguments that it reads in addition to `q_values`.

  Raises:
    types.InputError: the name is taken.
  """
  registry.register(
    registry.Weighting(
      name,
      label or name,
      scale_by,
      formula=formula or f'the weights of {name}',
      needs=needs,
      own_shuffle=True,
    )
  )


def make_weighting(
  config: config_lib.WeightingConfig, mean_weights: Any = None
) -> optax.GradientTransformationExtraArgs:
  """The chain that turns the cotangent of row losses into the weighted one.

  Lambda and the constants of `constant_mean` are numbers in its state: one
  compiled step serves every value. `constant` and `ddpg` leave the cotangent as
  it is.

  Args:
    config: name, lambda, form.
    mean_weights: f32[K], needed by `constant_mean` alone.

  Returns:
    An Optax transformation over f32[L, T, K] (see weighting/critic.py).

  Raises:
    types.InputError: no such weighting, or `constant_mean` without means.
  """
  record = registry.find(config.name)
  if record.make is None:
    return optax.with_extra_args_support(optax.identity())
  if record.takes == registry.MEANS:
    if mean_weights is None:
      raise types.InputError(f'{config.name}: needs the mean weight per task')
    link = record.make(mean_weights)
  else:
    make = registry.form_of(config).make
    assert make is not None
    if registry.form_of(config).lambda_ == registry.NONE:
      link = make()
    else:
      with_lambda = optax.inject_hyperparams(
        lambda lambda_: make(lambda_), hyperparam_dtype=jnp.float32
      )
      link = optax.with_extra_args_support(with_lambda(config.lambda_))
    if record.takes == registry.LINK:
      link = record.make(link)
  return optax.chain(link)
