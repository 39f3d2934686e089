"""Configs of an ensemble's members, by seeds and Config.variants."""

from __future__ import annotations

import dataclasses
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import run_settings
from rmtl_jax.config import values as config_values

# Members share the data and so the batches.
_GROUPS = (
  'backbone',
  'network',
  'pretrain',
  'critic',
  'finetune',
  'weighting',
)
# A prime: ensembles whose seeds are nearer to each other share no member.
_SEED_STRIDE = 1_000_003
_SEEDS = 2**31


def of_members(config: run_settings.Config) -> list[run_settings.Config]:
  """The settings of each member, seeds apart.

  Raises:
    types.InputError: a variant that is no list of settings, or settings that
      members must share.
  """
  variants = [_settings(text, config) for text in config.variants.split(';')]
  if len(variants) > config.ensemble:
    raise types.InputError(
      f'config.variants: {len(variants)} variants, and config.ensemble is'
      f' {config.ensemble}: every variant needs a member; expected'
      f' --config.ensemble={len(variants)} or more, or --config.variants= for'
      ' members that differ in their seed alone'
    )
  if config.variants and config.ensemble == 1:
    raise types.InputError(
      f'config.variants: {config.variants!r:.80} is of the members of an'
      ' ensemble, and config.ensemble is 1; expected these settings without'
      ' --config.variants, or two members or more'
    )
  return [
    config_values.with_settings(
      config, {**variants[m % len(variants)], 'ensemble': 1, 'variants': ''}
    )
    for m in range(config.ensemble)
  ]


def member_seed(seed: int, member: int) -> int:
  """The seed of an ensemble's member.

  (seed + 1,000,003 member) mod 2^31: member 0 is the single model of the seed,
  the members of a seed differ (64 strides are far below 2^31), and ensembles
  of two seeds share a member only if the seeds lie a stride or more apart.

  >>> [member_seed(7, m) for m in range(3)]
  [7, 1000010, 2000013]
  """
  return (seed + _SEED_STRIDE * member) % _SEEDS


def member_configs(
  config: run_settings.Config,
) -> tuple[run_settings.Config, ...]:
  """The settings of each member's run: `of_members`, each with its seed.

  Metrics of a member have no intervals, which take time: its ensemble's have.
  """
  if config.ensemble == 1:
    return (config,)

  def member_of(one: run_settings.Config, number: int) -> run_settings.Config:
    found = dataclasses.replace(one.evaluation, bootstrap=0)
    seed = member_seed(config.seed, number)
    return dataclasses.replace(one, seed=seed, evaluation=found)

  return tuple(
    member_of(one, number) for number, one in enumerate(of_members(config))
  )


def differ(config: run_settings.Config) -> bool:
  """Whether members differ in more than their seed."""
  return bool(config.variants) and len(set(of_members(config))) > 1


def first(config: run_settings.Config) -> run_settings.Config:
  """One model in place of an ensemble: its first member."""
  return of_members(config)[0]


def difference(config: run_settings.Config, number: int) -> str:
  """How a member's settings differ from the ensemble's, in words."""
  if not config.variants:
    return 'another seed'
  common = config_values.flatten(config)
  members = of_members(config)
  own = config_values.flatten(members[number])
  unlike = {
    name: value
    for name, value in own.items()
    if value != common[name] and name not in ('ensemble', 'variants')
  }
  ignored, hidden = (unlike.pop(f'network.{n}', '') for n in ('ignore', 'hide'))
  words = []
  if ignored or hidden not in ('', 'none'):
    words = [f'without {(ignored or hidden).replace("+", ", ")}']
  elif any(one.network.ignore or one.network.hide for one in members):
    words = ['with all fields']
  words += [
    f'{name}={config_values.setting_text(value)}'
    for name, value in unlike.items()
  ]
  return '; '.join(words) or 'another seed'


def _settings(text: str, config: run_settings.Config) -> dict[str, Any]:
  """One variant's: {'group.field': value}."""
  known = {
    name: value
    for name, value in config_values.flatten(config).items()
    if name.split('.')[0] in _GROUPS
  }
  label = f'config.variants: {text!r:.80}'
  return dict(
    config_values.parse_setting(label, part, known)
    for part in (text.split(':') if text else ())
  )
