"""Settings checked, by dotted names, and as nested dicts."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import limits, run_settings

# Names of settings in other programs.
ALIASES = {
  'batch_size': ('batch.lanes', 'batch.lane_length'),
  'epochs': ('pretrain.max_epochs', 'finetune.max_epochs'),
  'gamma': ('critic.discount',),
  'lr': ('pretrain.learning_rate', 'finetune.learning_rate'),
  'model': ('backbone',),
  'num_epochs': ('pretrain.max_epochs', 'finetune.max_epochs'),
  'weight_decay': ('pretrain.l2',),
}


def flatten(config: Any, prefix: str = '') -> dict[str, Any]:
  """All settings as {'group.field': value}."""
  flat: dict[str, Any] = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      flat.update(flatten(value, f'{prefix}{field.name}.'))
    else:
      flat[prefix + field.name] = value
  return flat


def with_settings(
  config: run_settings.Config, settings: Mapping[str, Any], path: str = 'config'
) -> run_settings.Config:
  """The config with some settings changed, validated.

  Args:
    config: what to start from.
    settings: {'group.field': value}, as `flatten` names them.
    path: what to call the settings in errors.

  Raises:
    types.InputError: as for `from_dict`.
  """
  record: dict[str, Any] = {}
  for name, value in settings.items():
    *groups, field = name.split('.')
    group = record
    for part in groups:
      group = group.setdefault(part, {})
    group[field] = value
  return from_dict(record, config, path)


def kind(name: str) -> Any:
  """The type of the setting 'group.field', with its limits."""
  *groups, field = name.split('.')
  group: Any = run_settings.Config
  for part in groups:
    group = limits.fields(group)[part]
  return limits.fields(group)[field]


def choices(name: str) -> tuple[str, ...]:
  """The values of the setting 'group.field', () where it may have any."""
  return limits.choices(kind(name))


def check(name: str, value: Any) -> None:
  """Raises InputError unless the setting 'group.field' may have the value."""
  limits.check(f'config.{name}', value, kind(name))


def parse_setting(
  label: str, text: str, known: Mapping[str, Any]
) -> tuple[str, Any]:
  """Parses 'group.field=value'.

  Args:
    label: what to call it in errors.
    known: the settings that may be named, with a value of their type.

  Returns:
    (name, value of the setting's type).

  Raises:
    types.InputError: no such setting, or a value of another type.
  """
  name, _, value = text.partition('=')
  if name not in known:
    groups = ', '.join(dict.fromkeys(each.split('.')[0] for each in known))
    raise types.InputError(
      f'{label}: {unknown_setting(name, known)}; those of {groups} can be set'
    )
  old = known[name]
  if isinstance(old, tuple):
    return name, _parse_list(f'{label}: {name}={value}', value, old)
  if isinstance(old, str):
    return name, value
  if isinstance(old, bool):
    if value.lower() in ('true', 'false'):
      return name, value.lower() == 'true'
  else:
    try:
      return name, type(old)(value)
    except ValueError:
      pass
  raise types.InputError(
    f'{label}: {name}={value} is not of type {type(old).__name__}'
  )


def _parse_list(label: str, text: str, old: tuple[Any, ...]) -> tuple[Any, ...]:
  """Values between commas; of whole numbers also between hyphens."""
  kind = type(old[0])
  sign = '-' if kind is int and ',' not in text else ','
  try:
    return tuple(kind(part) for part in text.split(sign))
  except ValueError:
    example = setting_text(old)
    raise types.InputError(
      f'{label}: expected values such as {example}'
    ) from None


def setting_text(value: Any) -> str:
  """A setting's value as text for `parse_setting`.

  Lists of whole numbers have hyphens: commas part methods.

  >>> setting_text((256, 128)), setting_text(0.5)
  ('256-128', '0.5')
  """
  if not isinstance(value, tuple):
    return str(value)
  sign = '-' if all(type(one) is int for one in value) else ','
  return sign.join(map(str, value))


def validate(config: run_settings.Config) -> run_settings.Config:
  """Returns the config if every setting is within its limits and the rules.

  Raises:
    types.InputError: names the setting, its value and the allowed ones.
  """
  _check_group(config, 'config')
  for fault in run_settings.faults(config):
    raise types.InputError(f'config.{fault}')
  return config


def _check_group(group: Any, path: str) -> None:
  kinds = limits.fields(type(group))
  for name, expected in kinds.items():
    value = getattr(group, name)
    if not dataclasses.is_dataclass(expected):
      limits.check(f'{path}.{name}', value, expected)
    elif isinstance(value, typing.cast(type, expected)):
      _check_group(value, f'{path}.{name}')
    else:
      raise types.InputError(
        f'{path}.{name}: expected a {kinds[name].__name__}, not a'
        f' {type(value).__name__}'
      )


def to_dict(config: run_settings.Config) -> dict[str, Any]:
  """The config as nested dicts for JSON."""
  return dataclasses.asdict(config)


def from_dict(
  record: Any, base: run_settings.Config | None = None, path: str = 'config'
) -> run_settings.Config:
  """Nested dicts (of config.json, of a config file) over `base`, validated.

  Args:
    record: what `to_dict` gives, or part of it.
    base: settings that the record does not name; the defaults if None.
    path: what to call the record in errors.

  Raises:
    types.InputError: an unknown setting (near matches are listed), a value of
      another type, or a value out of range.
  """
  merged = _merge(base or run_settings.Config(), record, path)
  try:
    return validate(merged)
  except types.InputError as error:
    # `FILE: config` and `config.seed: ...` become `FILE: config.seed: ...`.
    file, found, _ = path.rpartition(': config')
    raise types.InputError(
      f'{file}: {error}' if found else str(error)
    ) from None


def _merge(group: Any, record: Any, path: str) -> Any:
  if not isinstance(record, dict):
    raise types.InputError(f'{path}: expected a group of settings')
  known = [field.name for field in dataclasses.fields(group)]
  changes = {}
  for name, value in record.items():
    where = f'{path}.{name}'
    if name not in known:
      raise types.InputError(unknown_setting(where, known))
    old = getattr(group, name)
    if dataclasses.is_dataclass(old):
      changes[name] = _merge(old, value, where)
    else:
      changes[name] = _converted(value, old, where)
  return dataclasses.replace(group, **changes)


def unknown_setting(path: str, known: typing.Iterable[str]) -> str:
  """The line for a setting that does not exist, with near matches."""
  by_last: dict[str, list[str]] = {}
  for name in known:
    by_last.setdefault(name.rsplit('.', 1)[-1], []).append(name)
  wanted = path.rsplit('.', 1)[-1]
  close = difflib.get_close_matches(wanted, by_last, n=3)
  names = [name for last in close for name in by_last[last]]
  # Of settings with one name in many groups, those of the nearest group.
  near = difflib.get_close_matches(path, names, n=3, cutoff=0.0)
  aliases = ALIASES.get(wanted, ())
  if aliases and all(name.rsplit('.', 1)[-1] in by_last for name in aliases):
    near = list(aliases)
  hint = f' (did you mean {" or ".join(near)}?)' if near else ''
  return f'{path}: no such setting{hint}'


def _converted(value: Any, old: Any, path: str) -> Any:
  """Lists as tuples and whole numbers as floats, where the setting has them."""
  if isinstance(old, tuple) and isinstance(value, list | tuple):
    return tuple(_converted(v, old[0], path) for v in value)
  if type(value) is int and isinstance(old, float):
    try:
      return float(value)
    except OverflowError:
      raise types.InputError(f'{path}: {value!r:.80} is too large') from None
  return value
