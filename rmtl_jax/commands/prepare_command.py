"""`rmtl prepare`: raw logs to prepared sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import limits, prepare_settings


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.boolean(
    'check',
    False,
    'Say whether --data_dir satisfies the contract of prepared data, whatever'
    ' wrote it; writes nothing.',
  )
  define_settings(flag)


def define_settings(
  flag: common.Definer, without: Collection[str] = ()
) -> None:
  """Defines a flag per setting of PrepareConfig."""
  texts = config_flags.attribute_texts(prepare_settings.PrepareConfig)
  kinds = limits.fields(prepare_settings.PrepareConfig)
  for field in dataclasses.fields(prepare_settings.PrepareConfig):
    if field.name in without:
      continue
    default = field.default
    text = config_flags.described(texts[field.name], kinds[field.name])
    if isinstance(default, bool):
      flag.boolean(field.name, default, text)
    elif isinstance(default, int):
      flag.integer(field.name, default, text)
    elif isinstance(default, float):
      flag.float(field.name, default, text)
    elif isinstance(default, tuple):
      shown = ','.join(map(str, default))
      flag.list(field.name, shown, text)
    else:
      flag.string(field.name, str(default), text)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'data_dir')
  if values['check'].value:
    return _check(values)
  from rmtl_jax.preparation import prepare_log, summary
  from rmtl_jax.runtime import progress

  config = settings(values)
  check_source(values, config)
  live = progress.Progress()
  with common.cleaning_up():
    manifest = prepare_log.prepare(config, live.step)
  live.clear()
  print(summary.summary(manifest))
  print(f'prepared data: {config.data_dir}')
  return 0


def check_source(
  values: flags.FlagValues, config: prepare_settings.PrepareConfig
) -> None:
  """Refuses flags that the source does not read; defaults don't count.

  Raises:
    types.InputError: such a flag, or other settings out of range.
  """
  from rmtl_jax.preparation import sources

  prepare_settings.validate(config)
  source = config.source
  record = sources.RECORDS.find(source)
  if config.extend:
    return
  of_some = {name for one in sources.RECORDS.values() for name in one.settings}
  for field in dataclasses.fields(config):
    name = field.name
    if name not in values or not values[name].present:
      continue
    if name == 'raw_dir' and not record.holds:
      what = 'reads no files'
    elif name in of_some - {*record.settings}:
      what = 'does not read it'
    else:
      continue
    raise types.InputError(
      f'--{name}: source {source} {what}; leave it out or give another --source'
    )


def settings(
  values: flags.FlagValues, without: Collection[str] = ()
) -> prepare_settings.PrepareConfig:
  """The settings in the flags of `define_settings`.

  Raises:
    types.InputError: a split that is no list of numbers.
  """
  found: dict[str, Any] = {}
  for field in dataclasses.fields(prepare_settings.PrepareConfig):
    if field.name in without:
      continue
    value: Any = values[field.name].value
    if isinstance(field.default, tuple):
      value = tuple(value)
    if field.name == 'split':
      # 6:2:2, as it is written everywhere, or 6,2,2.
      parts = [number for part in value for number in part.split(':')]
      value = tuple(common.integers(field.name, parts))
    found[field.name] = value
  return prepare_settings.PrepareConfig(**found)


def _check(values: flags.FlagValues) -> int:
  """Checks the contract of prepared data; returns the exit code."""
  from rmtl_jax.preparation import contract, summary
  from rmtl_jax.runtime import progress

  for field in dataclasses.fields(prepare_settings.PrepareConfig):
    if field.name != 'data_dir' and values[field.name].present:
      raise types.InputError(
        f'--{field.name}: means nothing to --check, which reads --data_dir'
      )
  data_dir = values.data_dir
  live = progress.Progress()
  manifest = contract.check(data_dir, live.step)
  live.clear()
  print('\n'.join(summary.splits(manifest)))
  print(f'{data_dir} satisfies the contract of prepared data')
  return 0
