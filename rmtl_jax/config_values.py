"""What values settings may have, and settings as nested dicts."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import registry as networks_registry
from rmtl_jax.weighting import registry, tuners

CHOICES: dict[str, Collection[str]] = {
  'preset': config_lib.PRESETS,
  'backbone': networks_registry.BACKBONES,
  'network.init': ('scaled', 'torch'),
  'network.embedding_adam': ('dense', 'rows'),
  'network.expert_input': ('own', 'gate'),
  'network.aitm_transfer': ('hidden', 'linear'),
  'network.expert_form': ('auto', 'separate', 'batched'),
  'network.session_encoder': (
    'none',
    'mean',
    'target_attention',
    'gru',
    'transformer',
  ),
  'network.affinity_state': ('user', 'session'),
  'network.history_encoder': ('mean', 'target_attention', 'none'),
  'network.first_layer': ('auto', 'plain', 'distinct'),
  'network.matmul_precision': ('default', 'bfloat16'),
  'critic.form': ('shared', 'separate'),
  'critic.head': ('neg_softplus', 'linear', 'neg_relu'),
  'critic.reward': ('log_likelihood', 'absolute_error'),
  'critic.behaviour': ('policy', 'uniform'),
  'critic.estimate': ('target', 'minimum'),
  'critic.target_noise_draw': ('row', 'batch'),
  'critic.initial_value': ('constant', 'mean_return'),
  'critic.stopping': ('td_error', 'return_error'),
  'critic.in_finetune': ('learning', 'frozen'),
  'weighting.name': registry.RECORDS,
  'weighting.lambda_schedule': config_lib.SCHEDULES,
  'weighting.form': registry.FORMS,
  'pretrain.schedule': config_lib.SCHEDULES,
  'finetune.schedule': config_lib.SCHEDULES,
  'finetune.start': ('pretrained', 'scratch'),
  'batch.input': ('auto', 'resident', 'streaming'),
  'evaluation.calibration': ('none', 'platt', 'isotonic'),
  'evaluation.group': ('session', 'user'),
  'faults.on_nonfinite': ('stop', 'skip'),
}

# Inclusive bounds; fields that are not named here are >= 0 and finite.
_DEFAULT_BOUNDS = (0, 2**31 - 1)
_BOUNDS = {
  'seed': (0, 2**31 - 1),
  'ensemble': (1, 64),
  'network.embedding_dim': (1, 2**16),
  'network.table_multiple': (1, 2**20),
  'network.affinity_dim': (0, 2**10),
  'network.num_experts': (1, 2**10),
  'network.dropout': (0.0, 0.95),
  'critic.discount': (0.0, 1.0),
  'critic.members': (1, 64),
  'critic.n_steps': (1, 2**20),
  'critic.td_lambda': (0.0, 1.0),
  'critic.soft_update': (0.0, 1.0),
  'critic.update_period': (1, 2**31 - 1),
  'critic.max_passes': (1, 10**6),
  'pretrain.max_epochs': (1, 10**6),
  'pretrain.embedding_l2': (-1.0, 2**31 - 1),
  'pretrain.label_smoothing': (0.0, 0.9),
  'finetune.embedding_l2': (-1.0, 2**31 - 1),
  'finetune.label_smoothing': (0.0, 0.9),
  'weighting.lambda_': (-100.0, 100.0),
  'batch.lanes': (1, 2**20),
  'batch.lane_length': (2, 2**20),
  'batch.block_sessions': (1, 2**31 - 1),
  'batch.window_blocks': (1, 2**31 - 1),
  'batch.steps_per_dispatch': (1, 2**20),
  'batch.readers': (1, 2**20),
  'evaluation.bootstrap': (0, 10**6),
  'evaluation.confidence': (0.5, 0.9999),
  'evaluation.calibration_bins': (1, 10**6),
  'compare.tuning_seeds': (1, 2**31 - 1),
}
# Of the elements of a list: type, inclusive bounds, and what they are.
_LAYER_SIZES = (int, 1, 2**20, 'layer sizes')
_ELEMENTS = {
  'compare.methods': (str, 0, 0, 'methods'),
  'compare.seeds': (int, 0, 2**31 - 1, 'seeds'),
  'compare.learning_rates': (float, 0.0, 1e3, 'learning rates'),
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
  config: config_lib.Config, settings: Mapping[str, Any], path: str = 'config'
) -> config_lib.Config:
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


def validate(config: config_lib.Config) -> config_lib.Config:
  """Returns the config if every setting is in range.

  Raises:
    types.InputError: names the setting, its value and what is allowed.
  """
  flat = flatten(config)
  for name, allowed in CHOICES.items():
    if flat[name] not in allowed:
      raise types.InputError(
        f'config.{name}: {flat[name]!r} is not one of {", ".join(allowed)}'
      )
  for name, value in flat.items():
    if isinstance(value, tuple):
      _check_list(name, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
      low, high = _BOUNDS.get(name, _DEFAULT_BOUNDS)
      if not low <= value <= high:  # False for NaN too
        raise types.InputError(
          f'config.{name}: {value!r:.80} is not between {low} and {high}'
        )
  if config.batch.lanes % config.batch.readers:
    raise types.InputError(
      f'config.batch.readers: {config.batch.readers} does not divide the'
      f' {config.batch.lanes} lanes of a batch'
    )
  least = networks_registry.BACKBONES.find(config.backbone).min_experts
  if config.network.num_experts < least:
    raise types.InputError(
      f'config.network.num_experts: {config.backbone} needs at least {least}'
      ' (half are shared)'
    )
  if config.critic.n_steps > 1 and config.critic.td_lambda > 0.0:
    raise types.InputError(
      f'config.critic.n_steps: {config.critic.n_steps} and td_lambda'
      f' {config.critic.td_lambda:g} are two forms of a target; set one'
    )
  for name in ('pretrain', 'finetune'):
    value = flat[f'{name}.embedding_l2']
    if -1.0 < value < 0.0:
      raise types.InputError(
        f'config.{name}.embedding_l2: {value!r:.80} is neither -1 (as l2) nor'
        ' at least 0'
      )
  if config.finetune.reset_embeddings:
    raise types.InputError(
      'config.finetune.reset_embeddings: True would throw away what stage 1'
      ' has learnt; only pretrain has it'
    )
  if config.pretrain.start != 'pretrained':
    raise types.InputError(
      f'config.pretrain.start: {config.pretrain.start!r:.80}: stage 1 has no'
      ' choice; only finetune has it'
    )
  _check_lambda(config.weighting)
  for tuner in tuners.RECORDS.values():
    tuner.check(config)
  form = registry.form_of(config.weighting)
  if 'q_deviation' in form.needs and config.critic.members < 2:
    raise types.InputError(
      f'config.weighting: {form.name} is that of many critics, and'
      f' config.critic.members is {config.critic.members}'
    )
  return config


def lowest_lambda(weighting: config_lib.WeightingConfig) -> float:
  """The least lambda that the weights know."""
  low, _ = _BOUNDS['weighting.lambda_']
  return low if registry.form_of(weighting).lambda_ == registry.ANY else 0.0


def _check_lambda(weighting: config_lib.WeightingConfig) -> None:
  """Refuses a lambda that would ascend losses or mean nothing."""
  form = registry.form_of(weighting)
  if weighting.lambda_ < lowest_lambda(weighting):
    signed = [
      f.name for f in registry.FORMS.values() if f.lambda_ == registry.ANY
    ]
    raise types.InputError(
      f'config.weighting.lambda_: {weighting.lambda_!r:.80} is negative, which'
      f' {form.name} does not know; {", ".join(signed)} do'
    )


def _check_list(name: str, values: tuple[Any, ...]) -> None:
  """Methods are parsed and checked further in studies/comparison."""
  kind, low, high, what = _ELEMENTS.get(name, _LAYER_SIZES)
  if not values or any(
    type(v) is not kind or (kind is not str and not low <= v <= high)
    for v in values
  ):
    between = '' if kind is str else f', each between {low} and {high}'
    raise types.InputError(
      f'config.{name}: {values!r:.80} is not a list of {what}{between}'
    )
  if name in _ELEMENTS and len(set(values)) < len(values):
    raise types.InputError(f'config.{name}: {values!r:.80} names one twice')


def to_dict(config: config_lib.Config) -> dict[str, Any]:
  """The config as nested dicts that JSON can hold."""
  return dataclasses.asdict(config)


def from_dict(
  record: Any, base: config_lib.Config | None = None, path: str = 'config'
) -> config_lib.Config:
  """Nested dicts (of config.json, of a config file) over `base`, validated.

  Args:
    record: what `to_dict` gives, or part of it.
    base: settings that the record does not name; the paper's if None.
    path: what to call the record in errors.

  Raises:
    types.InputError: an unknown setting (near matches are listed), a value of
      another type, or a value out of range.
  """
  merged = _merge(base or config_lib.Config(), record, path)
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
  hints = typing.get_type_hints(type(group))
  changes = {}
  for name, value in record.items():
    if name not in hints:
      raise types.InputError(unknown_setting(f'{path}.{name}', hints))
    old = getattr(group, name)
    if dataclasses.is_dataclass(old):
      changes[name] = _merge(old, value, f'{path}.{name}')
    else:
      changes[name] = _typed(value, old, f'{path}.{name}')
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
  hint = f' (did you mean {" or ".join(near)}?)' if near else ''
  return f'{path}: no such setting{hint}'


def _typed(value: Any, old: Any, path: str) -> Any:
  """The value as the type of the setting's default."""
  if isinstance(old, tuple) and isinstance(value, list | tuple):
    is_float = bool(old) and isinstance(old[0], float)
    return tuple(_as_float(v, path) if is_float else v for v in value)
  if isinstance(old, float):
    value = _as_float(value, path)
  if type(value) is not type(old):
    raise types.InputError(
      f'{path}: {value!r:.80} is not of type {type(old).__name__}'
    )
  return value


def _as_float(value: Any, path: str) -> Any:
  """A whole number as a float; anything else as it is."""
  if type(value) is not int:
    return value
  try:
    return float(value)
  except OverflowError:
    raise types.InputError(f'{path}: {value!r:.80} is too large') from None
