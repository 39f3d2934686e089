"""From settings to the Optax chain that weighs losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import config_values, types
from rmtl_jax.weighting import annealing, critic, relative

_BY_LAMBDA: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
  'critic': critic.scale_by_critic,
  'label_times_q': critic.scale_by_label_times_q,
  'mean_one': relative.scale_by_mean_one,
  'advantage': relative.scale_by_advantage,
  'uncertainty': relative.scale_by_uncertainty,
}
# Settings that may name a registered weighting.
_SETTINGS = ('weighting.name', 'weighting.form')


ScaleBy = Callable[[Any], optax.GradientTransformationExtraArgs]


def register_weighting(name: str, scale_by: ScaleBy) -> None:
  """Adds weights of the caller's own under a new name.

  From then on, in this process, `config.weighting.name` may have that name,
  and `config.weighting.form`: `q_shuffled` can shuffle these weights. Lambda,
  its warmup, its schedule, learning it and `max_weight` work as for RMTL's.
  Another process that reads such a run must register it again.

  Examples:
    Only rows count whose future looks worse than -lambda:

        def scale_by_worst(lambda_):
          return critic.stateless(
            lambda updates, q_values, **_: updates * (q_values < -lambda_)
          )

        register_weighting('worst', scale_by_worst)

  Args:
    name: not one that exists.
    scale_by: lambda (f32[], traced) -> an Optax transformation without a state
      of its own that multiplies f32[L, T, K] by weights >= 0; its extra
      arguments stand in weighting/critic.py, and `critic.stateless` makes one
      of a function. Weights must not depend on what they multiply.

  Raises:
    types.InputError: the name is taken.
  """
  if name in config_lib.WEIGHTINGS or name in _BY_LAMBDA:
    raise types.InputError(f'weighting: {name!r} exists already')
  _BY_LAMBDA[name] = scale_by
  for setting in _SETTINGS:
    config_values.CHOICES[setting] = (*config_values.CHOICES[setting], name)


def needs_critic(name: str) -> bool:
  """Whether stage 3 asks the critics in every step."""
  return name not in ('constant', 'constant_mean')


def learns_lambda(config: config_lib.WeightingConfig) -> bool:
  """Whether steps move lambda, and so need a batch of validation rows."""
  return bool(config.meta_learning_rate) and needs_critic(config.name)


def lambda_of(weighting_state: Any) -> jax.Array:
  """Lambda before its warmup and schedule, of a chain that has one."""
  ((_, value),) = optax.tree.get_all_with_path(weighting_state, 'lambda_')
  return value


def make_weighting(
  config: config_lib.WeightingConfig,
  mean_weights: Any = None,
  total_steps: int = 0,
) -> optax.GradientTransformationExtraArgs:
  """The chain that turns the cotangent of row losses into the weighted one.

  Lambda, its warmup and the steps of its schedule, and the constants of
  `constant_mean` are numbers in its state: one compiled step serves every
  value, see `with_values`. `constant`, and `ddpg` and `td3_bc`, whose
  objectives hold the critics already, leave the cotangent as it is; the state
  of `td3_bc` still says what lambda is, see `current_lambda`.

  Args:
    config: name, lambda and its schedule, bound, form.
    mean_weights: f32[K], needed by `constant_mean` alone.
    total_steps: over which lambda's schedule falls; only `init` uses it.

  Returns:
    An Optax transformation over f32[L, T, K] (see weighting/critic.py).

  Raises:
    types.InputError: no such weighting, or `constant_mean` without means.
  """
  if config.name in config_lib.FORMS or config.name in _BY_LAMBDA:
    link = _of_form(config.name, config, total_steps)
  elif config.name == 'q_shuffled':
    inner = _of_form(config.form, config, total_steps)
    link = critic.shuffle_weights(inner)
  elif config.name == 'constant_mean':
    if mean_weights is None:
      raise types.InputError('constant_mean: needs the mean weight per task')
    link = critic.scale_by_task(mean_weights)
  elif config.name == 'td3_bc':
    return annealing.with_lambda(lambda _: _unchanged(), config, total_steps)
  elif config.name in ('constant', 'ddpg'):
    return _unchanged()
  else:
    raise types.InputError(
      f'weighting.name: {config.name!r} is not one of'
      f' {", ".join(config_values.CHOICES["weighting.name"])}'
    )
  if config.max_weight:
    link = critic.clip_weights(config.max_weight, link)
  return optax.chain(link)


def _of_form(
  form: str, config: config_lib.WeightingConfig, total_steps: int
) -> optax.GradientTransformationExtraArgs:
  """The link of one of config.FORMS, or of a registered one."""
  if form == 'negative_q':
    return critic.scale_by_negative_q()
  return annealing.with_lambda(_BY_LAMBDA[form], config, total_steps)


def _unchanged() -> optax.GradientTransformationExtraArgs:
  return optax.with_extra_args_support(optax.identity())


def current_lambda(
  weighting_state: annealing.LambdaState, config: config_lib.WeightingConfig
) -> jax.Array:
  """Lambda of the next step of `td3_bc`, f32[]."""
  return annealing.current(weighting_state, config.lambda_schedule)


def with_values(
  weighting_state: Any, *, lambda_: Any = None, task_weights: Any = None
) -> Any:
  """The state of a `make_weighting` with other numbers.

  Args:
    weighting_state: the chain's, or a population's.
    lambda_: the new lambda, f32[], which a schedule falls from; None leaves
      it.
    task_weights: the new constants of `constant_mean`, f32[K]; None leaves
      them. Both have a leading member axis where the state has one.

  Returns:
    A state that shares all other buffers with `weighting_state`.

  Raises:
    ValueError: the chain has no such number, or the shape differs from that
      of the old value.
  """
  new_state = weighting_state
  for name, value in (('lambda_', lambda_), ('task_weights', task_weights)):
    if value is not None:
      new_state = _replaced(new_state, name, value)
  return new_state


def _replaced(weighting_state: Any, name: str, value: Any) -> Any:
  found = optax.tree.get_all_with_path(weighting_state, name)
  if not found:
    raise ValueError(f'{name}: the weighting has no such number')
  # A copy: a step that donates the state must not delete the caller's array.
  new_value = jnp.array(value, jnp.float32)
  if any(old.shape != new_value.shape for _, old in found):
    raise ValueError(
      f'{name}: expected shape {found[0][1].shape}, found {new_value.shape}'
    )
  return optax.tree.set(weighting_state, **{name: new_value})
