"""`--config.<group>.<field>=VALUE` flags over the frozen dataclasses."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import limits, variants
from rmtl_jax.config import presets as presets_lib
from rmtl_jax.config import values as config_values

# Settings with flags outside --config: the preset that settings start from,
# and ml_collections does not split a list of texts.
_OWN_FLAGS = {'preset': '--preset', 'compare.methods': '--methods'}


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines --preset, --config and one flag per overridden setting.

  Args:
    argv: the command line, which names the settings to override.

  Raises:
    types.InputError: a setting that does not exist (near matches are listed),
      or an unknown preset.
  """
  presets = config_lib.PRESETS.values()
  flags.DEFINE_enum(
    'preset',
    presets_lib.DEFAULT_PRESET,
    config_lib.PRESETS.names(),
    'What settings start from:\n'
    + '\n'.join(f'{one.name}: {one.help}' for one in presets),
    flag_values=values,
  )
  _check_names(argv)
  config_flags.DEFINE_config_dataclass(
    'config',
    _thaw(presets_lib.start(name=_value_of('preset', argv) or '')),
    'A Python file whose get_config() returns a rmtl_jax.config.Config (it is'
    " run: use files you trust; FILE.py:TEXT calls get_config('TEXT')), or"
    " JSON: a run's config.json, the best.json of rmtl tune."
    ' --config.GROUP.FIELD=VALUE overrides one setting.',
    flag_values=values,
    sys_argv=list(argv),
    parse_fn=lambda path: _thaw(load(path)),
  )


def parse(
  values: flags.FlagValues,
  manifest: Any = None,
  own: config_lib.Config | None = None,
  one_model: bool = False,
) -> config_lib.Config:
  """The config that the parsed flags describe, frozen and validated.

  Args:
    manifest: of the prepared data, from which a preset may be made; without
      it, such a preset uses the paper's settings.
    own: the settings of a run that is there: what others are changes to, where
      no flag names another start.
    one_model: of a preset that is an ensemble the first member, for studies.

  Raises:
    types.InputError: a value out of range, or --config with --preset.
  """
  has_preset, has_file = values['preset'].present, values['config'].present
  if has_preset and has_file:
    raise types.InputError(
      '--preset: --config=FILE names its own start; give one of the two'
    )
  name = values['preset'].value or ''
  if not has_file:
    changes = config_flags.get_override_values(values['config'])
    if own is not None and not has_preset:
      return config_values.with_settings(own, changes)
    if manifest is not None and config_lib.PRESETS.find(name).needs_data:
      start = config_lib.preset(name, manifest)
      start = (
        variants.first(start)
        if one_model
        else variants.of_preset(start, changes)
      )
      return _with_item(config_values.with_settings(start, changes), changes)
  flag_side: Any = values['config'].value
  return config_values.from_dict(dataclasses.asdict(flag_side))


def _with_item(
  config: config_lib.Config, changes: Mapping[str, Any]
) -> config_lib.Config:
  """Without a preset's own variants where a given setting reads the item.

  Variants hide ids, and so would refuse a setting that the user asked for.
  """
  if config.network.reads_sessions and 'variants' not in changes:
    return dataclasses.replace(config, variants='')
  return config


def load(path: str) -> config_lib.Config:
  """Reads a JSON config, or runs a Python one and calls its get_config().

  A Python file is trusted code; a JSON file runs nothing.

  Args:
    path: FILE.json or FILE.py; FILE.py:TEXT calls get_config('TEXT').

  Raises:
    types.InputError: no such file, it does not run, or it has no get_config()
      that returns a Config; JSON without a config.
  """
  file, arguments = path, []
  if '.py:' in path and not pathlib.Path(path).is_file():
    stem, argument = path.split('.py:', 1)
    file, arguments = f'{stem}.py', [argument]
  if not pathlib.Path(file).is_file():
    raise types.InputError(f'--config: {file}: no such file')
  if file.endswith('.json'):
    return _load_json(file)
  spec = importlib.util.spec_from_file_location('rmtl_config', file)
  if spec is None or spec.loader is None:
    raise types.InputError(f'--config: {path}: not a Python file')
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    config = module.get_config(*arguments)
  except types.InputError:
    raise
  except Exception as error:  # whatever the user's file raises, in one line
    raise types.InputError(
      f'--config: {path}: {type(error).__name__}: {error}'
    ) from error
  if not isinstance(config, config_lib.Config):
    raise types.InputError(
      f'--config: {path}: get_config() returned {type(config).__name__},'
      ' expected a rmtl_jax.config.Config'
    )
  # Checked before flags override it, so that errors name the file.
  return config_values.from_dict(
    config_values.to_dict(config), path=f'--config: {path}: config'
  )


def _load_json(path: str) -> config_lib.Config:
  try:
    record = json_files.read(path)
  except types.InputError as error:
    raise types.InputError(f'--config: {error}') from None
  if not isinstance(record, dict) or 'config' not in record:
    raise types.InputError(f'--config: {path}: expected JSON with a "config"')
  return config_values.from_dict(
    record['config'], path=f'--config: {path}: config'
  )


def shown(value: Any) -> str:
  """A setting's value as its flag takes it."""
  return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


def describe(
  config: Any = None, prefix: str = ''
) -> list[tuple[str, Any, str]]:
  """(name, default, what it does) of every setting, from the docstrings."""
  config = config_lib.Config() if config is None else config
  texts = attribute_texts(type(config))
  rows = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      rows += describe(value, f'{prefix}{field.name}.')
    elif prefix + field.name not in _OWN_FLAGS:
      rows.append((prefix + field.name, value, texts[field.name]))
  return rows


def described(text: str, kind: Any) -> str:
  """A setting's description, with its allowed values if they are missing."""
  allowed = limits.words(kind)
  is_complete = all(
    f'`{value}`' in text for value in limits.choices(kind) or ('',)
  )
  return text if not allowed or is_complete else f'{text} May be: {allowed}.'


def attribute_texts(kind: type) -> dict[str, str]:
  """The Attributes section of a dataclass's docstring, one text a field."""
  texts, name = {}, ''
  for base in kind.__bases__:
    if dataclasses.is_dataclass(base):
      texts |= attribute_texts(base)
  _, _, section = (inspect.getdoc(kind) or '').partition('Attributes:\n')
  for line in section.splitlines():
    match = re.match(r'  (\w+): (.*)', line)
    if match:
      name = match[1]
      texts[name] = match[2]
    elif line.strip():
      texts[name] += ' ' + line.strip()
  return texts


def _thaw(config: Any) -> Any:
  """The same fields in mutable dataclasses, which flags can set."""
  fields, values = [], {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    thawed = _thaw(value) if dataclasses.is_dataclass(value) else value
    # A tuple's own type would fix its length.
    kind = (
      tuple[type(value[0]), ...] if isinstance(value, tuple) else type(thawed)
    )
    fields.append((field.name, kind))
    values[field.name] = thawed
  return dataclasses.make_dataclass(type(config).__name__, fields)(**values)


def _check_names(argv: Sequence[str]) -> None:
  """Refuses unknown settings before ml_collections meets them."""
  known = config_values.flatten(config_lib.Config())
  for name in _OWN_FLAGS:
    known.pop(name)
  for argument in argv:
    match = re.match(r'--?config\.([^=]*)', argument)
    if match and match[1] in _OWN_FLAGS:
      raise types.InputError(
        f'--config.{match[1]}: the flag is {_OWN_FLAGS[match[1]]}'
      )
    if match and match[1] not in known:
      raise types.InputError(
        config_values.unknown_setting(f'--config.{match[1]}', known)
      )


def _value_of(name: str, argv: Sequence[str]) -> str | None:
  """A flag's value, before flags are parsed."""
  for i, argument in enumerate(argv):
    match = re.fullmatch(rf'--?{name}(?:=(.*))?', argument)
    if match:
      value = match[1]
      return value if value is not None else (*argv[i + 1 :], '')[0]
  return None
