"""Which runs another one can start from: one function per rule.

Parameters move by the values of vocabularies (training/run_start.py). All that
they mean besides must be the same: networks, fields, how numbers are
normalised, tasks.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.runtime import workdir
from rmtl_jax.weighting import weighting_registry

# Settings of the network that change no parameter's shape or meaning.
_FREE = frozenset(
  f'network.{name}'
  for name in (
    'embedding_scale',
    'embedding_adam',
    'table_multiple',
    'dropout',
    'id_dropout',
    'first_layer',
  )
)
_OF_CRITICS = tuple(
  f'critic.{name}' for name in ('form', 'head', 'sees_remaining')
)
# Details of a field that no parameter depends on.
_REMARKS = ('column', 'min_count', 'previous', 'rate', 'weight')
_OF_VECTORS = ('width', 'trained')
_OF_TASKS = (
  'after',
  'kind',
  'loss',
  'settings',
  'levels',
  'statistics',
  'only_after',
  'negatives_kept',
)
_ROLES = ('user_field', 'item_field')


class Difference(NamedTuple):
  """Differences that can't be mapped.

  Attributes:
    what: is different.
    old: its value in the run that is started from.
    new: in the one that starts.
  """

  what: str
  old: Any
  new: Any


def check(
  source: workdir.Run,
  config: config_lib.Config,
  manifest: manifest_lib.Manifest,
  place: pathlib.Path,
) -> None:
  """Refuses a run that another can't start from.

  Raises:
    types.InputError: there is no pre-trained model; or names the first
      difference, and both values.
  """
  check_settings(source, config)
  for one in _data(source.manifest, manifest):
    raise types.InputError(
      f'--start_from: {one.what} is {one.old!r:.200} in {source.path}, and'
      f' {one.new!r:.200} in {place}; rmtl prepare --extend makes data for warm'
      ' starts, on other data train from scratch'
    )


def check_settings(source: workdir.Run, config: config_lib.Config) -> None:
  """The rules of `check` that need no data."""
  if not source.has('pretrain'):
    raise types.InputError(
      f'--start_from: {source.path}: has no finished stage 1 to start from'
    )
  for one in _settings(source, config):
    raise types.InputError(
      f'--start_from: {source.path} has config.{one.what}={one.old!r:.200}, not'
      f' {one.new!r:.200}: a warm start keeps the networks of its run'
    )


def makes_network(name: str) -> bool:
  """Whether a setting 'group.field' makes another network of any run."""
  if name in ('backbone', 'ensemble', 'weighting.name'):
    return True
  return name.startswith('network.') and name not in _FREE


def _settings(
  source: workdir.Run, config: config_lib.Config
) -> Iterator[Difference]:
  """Settings by which networks differ, of every member."""
  if source.config.ensemble != config.ensemble:
    yield Difference('ensemble', source.config.ensemble, config.ensemble)
    return
  for old, new in zip(
    variants.member_configs(source.config),
    variants.member_configs(config),
    strict=True,
  ):
    before, after = config_values.flatten(old), config_values.flatten(new)
    names = [name for name in after if makes_network(name)]
    if weighting_registry.needs_critics(config.weighting.name):
      names += _OF_CRITICS
    for name in names:
      if before[name] != after[name]:
        yield Difference(name, before[name], after[name])


def _data(
  old: manifest_lib.Manifest, new: manifest_lib.Manifest
) -> Iterator[Difference]:
  """Differences in the meaning of fields and tasks."""
  yield from _names('fields', old.fields, new.fields)
  for before, after in zip(old.fields, new.fields, strict=True):
    for name in ('kind', 'vocabulary_owner'):
      yield from _compare(before, after, f'field {after.name!r}: {name}', name)
    then, now = _meaning(before), _meaning(after)
    for name in [*then, *(name for name in now if name not in then)]:
      if then.get(name) != now.get(name):
        what = f'field {after.name!r}: {name}'
        yield Difference(what, then.get(name), now.get(name))
  for name in _ROLES:
    yield from _compare(old, new, name, name)
  yield from _names('tasks', old.tasks, new.tasks)
  for before, after in zip(old.tasks, new.tasks, strict=True):
    for name in _OF_TASKS:
      yield from _compare(before, after, f'task {after.name!r}: {name}', name)


def _names(what: str, old: Any, new: Any) -> Iterator[Difference]:
  """The first name that differs, of those of fields or tasks in order."""
  before, after = [one.name for one in old], [one.name for one in new]
  if before == after:
    return
  for i, (then, now) in enumerate(zip(before, after, strict=False)):
    if then != now:
      yield Difference(f'{what}: number {i + 1}', then, now)
  yield Difference(f'the number of {what}', len(before), len(after))


def _compare(old: Any, new: Any, what: str, name: str) -> Iterator[Difference]:
  if getattr(old, name) != getattr(new, name):
    yield Difference(what, getattr(old, name), getattr(new, name))


def _meaning(field: manifest_lib.Field) -> dict[str, Any]:
  """How a field is made, as far as parameters depend on it."""
  found = {k: v for k, v in field.details.items() if k not in _REMARKS}
  if 'vectors' in found:
    found['vectors'] = {name: found['vectors'][name] for name in _OF_VECTORS}
  return found
