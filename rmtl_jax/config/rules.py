"""Rules on combinations of settings: one function per rule, one list."""

from __future__ import annotations

from collections.abc import Callable

from rmtl_jax import types
from rmtl_jax.balancing import balancer_registry
from rmtl_jax.config import cross_pairs, run_settings
from rmtl_jax.networks import backbone_registry
from rmtl_jax.weighting import weighting_registry


def check(config: run_settings.Config) -> None:
  """Checks every rule; each field is within its own limits already.

  Raises:
    types.InputError: the first rule that is broken.
  """
  for rule in RULES:
    fault = rule(config)
    if fault:
      raise types.InputError(f'config.{fault}')


def _backbone_has_its_experts(config: run_settings.Config) -> str:
  least = backbone_registry.BACKBONES.find(config.backbone).min_experts
  if config.network.num_experts >= least:
    return ''
  return f'network.num_experts: {config.backbone} needs at least {least}'


def _lambda_has_a_known_sign(config: run_settings.Config) -> str:
  """A negative lambda would ascend some losses."""
  weighting = config.weighting
  form = weighting_registry.form_of(weighting)
  if weighting.lambda_ >= 0.0 or form.lambda_ == weighting_registry.ANY:
    return ''
  signed = [
    one.name
    for one in weighting_registry.FORMS.values()
    if one.lambda_ == weighting_registry.ANY
  ]
  return (
    f'weighting.lambda_: {weighting.lambda_!r:.80} is negative, which'
    f' {form.name} does not support; {", ".join(signed)} do'
  )


def _balancers_know_their_settings(config: run_settings.Config) -> str:
  default, own = run_settings.BalancingConfig(), config.pretrain.balancing
  record = balancer_registry.find(own.name)
  for name in ('weights', 'alpha', 'learning_rate'):
    changed = getattr(own, name) != getattr(default, name)
    if changed and name not in record.settings:
      takes = ', '.join(record.settings) or 'no settings'
      return (
        f'pretrain.balancing.{name}: {own.name} does not have it; it takes'
        f' {takes}'
      )
  return ''


def _gradients_are_balanced_where_tasks_share(
  config: run_settings.Config,
) -> str:
  name = config.pretrain.balancing.name
  by_task = backbone_registry.BACKBONES.find(config.backbone).by_task
  if (
    not by_task
    or balancer_registry.find(name).acts_on != balancer_registry.GRADIENTS
  ):
    return ''
  return (
    f'pretrain.balancing.name: {name} combines the gradients of parameters that'
    f' tasks share, and {config.backbone} shares none'
  )


def _crosses_are_pairs_of_dense_tables(config: run_settings.Config) -> str:
  network = config.network
  cross_pairs.pairs(network.crosses)
  if not network.crosses or network.embedding_adam == 'dense':
    return ''
  return (
    f'network.embedding_adam: {network.embedding_adam} numbers the categories'
    ' of each batch, which crosses cannot have; --config.network.crosses='
    ' does without'
  )


def _fitted_members_differ(config: run_settings.Config) -> str:
  if (
    backbone_registry.is_fitted(config)
    and config.ensemble > 1
    and not config.variants
  ):
    return (
      f'ensemble: {config.backbone} has members of other networks alone, which'
      ' --config.variants names; expected --config.ensemble=1'
    )
  return ''


# Each gives its error, from the setting's name on, or '' where it is kept.
RULES: tuple[Callable[[run_settings.Config], str], ...] = (
  _backbone_has_its_experts,
  _lambda_has_a_known_sign,
  _balancers_know_their_settings,
  _gradients_are_balanced_where_tasks_share,
  _crosses_are_pairs_of_dense_tables,
  _fitted_members_differ,
)
