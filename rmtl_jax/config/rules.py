"""What settings must satisfy together: one function per rule, one list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import limits, settings
from rmtl_jax.networks import registry as backbones
from rmtl_jax.ops import look_ahead
from rmtl_jax.weighting import registry, tuners


def check(config: settings.Config) -> None:
  """Checks every rule; each field is within its own limits already.

  Raises:
    types.InputError: the first rule that is broken.
  """
  for rule in RULES:
    fault = rule(config)
    if fault:
      raise types.InputError(f'config.{fault}')
  for tuner in tuners.RECORDS.values():
    tuner.check(config)


def lowest_lambda(weighting: settings.WeightingConfig) -> float:
  """The least lambda that the weights know."""
  if registry.form_of(weighting).lambda_ != registry.ANY:
    return 0.0
  kind: Any = limits.fields(settings.WeightingConfig)['lambda_']
  return kind.__metadata__[0].low


def _readers_divide_lanes(config: settings.Config) -> str:
  batch = config.batch
  if not batch.lanes % batch.readers:
    return ''
  return (
    f'batch.readers: {batch.readers} does not divide the {batch.lanes} lanes'
    ' of a batch'
  )


def _backbone_has_its_experts(config: settings.Config) -> str:
  least = backbones.BACKBONES.find(config.backbone).min_experts
  if config.network.num_experts >= least:
    return ''
  return f'network.num_experts: {config.backbone} needs at least {least}'


def _targets_have_one_form(config: settings.Config) -> str:
  critic = config.critic
  asked = [
    one.name for one in look_ahead.RECORDS.values() if one.is_set(critic)
  ]
  if len(asked) < 2:
    return ''
  first, second = asked[:2]
  return (
    f'critic.{first}: {getattr(critic, first)} and {second}'
    f' {getattr(critic, second):g} are two forms of a target; set one'
  )


def _embedding_l2_is_l2_or_positive(config: settings.Config) -> str:
  for name in ('pretrain', 'finetune'):
    value = getattr(config, name).embedding_l2
    if -1.0 < value < 0.0:
      return (
        f'{name}.embedding_l2: {value!r:.80} is neither -1 (as l2) nor at'
        ' least 0'
      )
  return ''


def _lambda_has_a_known_sign(config: settings.Config) -> str:
  """A negative lambda would ascend some losses."""
  weighting = config.weighting
  if weighting.lambda_ >= lowest_lambda(weighting):
    return ''
  signed = [
    form.name
    for form in registry.FORMS.values()
    if form.lambda_ == registry.ANY
  ]
  return (
    f'weighting.lambda_: {weighting.lambda_!r:.80} is negative, which'
    f' {registry.form_of(weighting).name} does not know;'
    f' {", ".join(signed)} do'
  )


def _disagreement_needs_two_critics(config: settings.Config) -> str:
  form = registry.form_of(config.weighting)
  if 'q_deviation' not in form.needs or config.critic.members >= 2:
    return ''
  return (
    f'weighting: {form.name} is that of many critics, and'
    f' config.critic.members is {config.critic.members}'
  )


# Each gives its error, from the setting's name on, or '' where it is kept.
RULES: tuple[Callable[[settings.Config], str], ...] = (
  _readers_divide_lanes,
  _backbone_has_its_experts,
  _targets_have_one_form,
  _embedding_l2_is_l2_or_positive,
  _lambda_has_a_known_sign,
  _disagreement_needs_two_critics,
)
