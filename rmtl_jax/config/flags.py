"""`--config.<group>.<field>=VALUE` flags over the frozen dataclasses."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values

# A list of texts, which ml_collections would not split, has its own flag.
_METHODS = 'compare.methods'


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines --preset, --config and one flag per overridden setting.

  Args:
    argv: the command line, which names the settings to override.

  Raises:
    types.InputError: a setting that does not exist (near matches are listed),
      or an unknown preset.
  """
  flags.DEFINE_enum(
    'preset',
    'recommended',
    list(config_lib.PRESETS),
    'The settings to start from: recommended, of which the data decide some;'
    " paper, the paper's form; official, the form of the authors' released"
    ' code.',
    flag_values=values,
  )
  _check_names(argv)
  config_flags.DEFINE_config_dataclass(
    'config',
    _thaw(config_lib.preset(_value_of('preset', argv) or 'recommended')),
    'A Python file whose get_config() returns a rmtl_jax.config.Config (it is'
    " run: use files you trust; FILE.py:TEXT calls get_config('TEXT')), or"
    " JSON: a run's config.json, the best.json of rmtl tune."
    ' --config.GROUP.FIELD=VALUE overrides one setting.',
    flag_values=values,
    sys_argv=list(argv),
    parse_fn=lambda path: _thaw(load(path)),
  )


def parse(
  values: flags.FlagValues, own: config_lib.Config | None = None
) -> config_lib.Config:
  """The config that the parsed flags describe, frozen and validated.

  Args:
    own: the settings of an existing run, to which the flags are changes unless
      one of them names another start.

  Raises:
    types.InputError: a value out of range, or --config with --preset.
  """
  has_preset, has_file = values['preset'].present, values['config'].present
  if has_preset and has_file:
    raise types.InputError(
      '--preset: --config=FILE names its own start; give one of the two'
    )
  if own is not None and not (has_preset or has_file):
    changes = config_flags.get_override_values(values['config'])
    return config_values.with_settings(own, changes)
  flag_side: Any = values['config'].value
  return config_values.from_dict(dataclasses.asdict(flag_side))


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
    elif prefix + field.name != _METHODS:
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
  known.pop(_METHODS)
  for argument in argv:
    match = re.match(r'--?config\.([^=]*)', argument)
    if match and match[1] == _METHODS:
      raise types.InputError(f'--config.{_METHODS}: the flag is --methods')
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
