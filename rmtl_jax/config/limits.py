"""Limits of settings, declared at their fields: checked, and as text.

A field's type declares its allowed values:

  form: Literal['shared', 'separate'] = 'shared'
  dropout: Annotated[float, Range(0.0, 0.95)] = 0.2
  backbone: Annotated[str, Registered('backbone')] = 'mmoe'
  seeds: Annotated[tuple[Count, ...], ListOf('seeds', distinct=True)] = (0, 1)
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pkgutil
import typing
from collections.abc import Collection
from typing import Annotated, Any

from rmtl_jax import registry as registry_lib
from rmtl_jax import types

LARGEST = 2**31 - 1
# Where the names of each registry are, imported when they are asked for.
_REGISTRIES = {
  'balancer': 'rmtl_jax.balancing.balancer_registry:RECORDS',
  'delayed': 'rmtl_jax.training.delay_methods:RECORDS',
  'backbone': 'rmtl_jax.networks.backbone_registry:BACKBONES',
  'source': 'rmtl_jax.preparation.sources:RECORDS',
  'weighting': 'rmtl_jax.weighting.weighting_registry:RECORDS',
  'form': 'rmtl_jax.weighting.weighting_registry:FORMS',
}


def number(text: str) -> float:
  """A number as a setting writes it; NaN if it is not one."""
  try:
    return float(text)
  except ValueError:
    return math.nan


@dataclasses.dataclass(frozen=True)
class Range:
  """Inclusive bounds of a number."""

  low: float
  high: float = LARGEST


@dataclasses.dataclass(frozen=True)
class ListOf:
  """A list that is not empty.

  Attributes:
    what: noun for the elements, in the plural.
    distinct: whether an element may occur only once.
    count: how many there are; 0 for any number.
  """

  what: str
  distinct: bool = False
  count: int = 0


@dataclasses.dataclass(frozen=True)
class Registered:
  """One of the names of a registry, to which programs add their own."""

  registry: str


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0.0, 1.0)]


@functools.cache
def fields(group: type) -> dict[str, Any]:
  """{field: type with its limits} of a dataclass of settings."""
  return typing.get_type_hints(group, include_extras=True)


def registered(registry: str) -> Collection[str]:
  """The names of a registry."""
  return pkgutil.resolve_name(_REGISTRIES[registry])


def choices(kind: Any) -> tuple[str, ...]:
  """The values of a type that has only some; () for any other type."""
  plain, limits = _parts(kind)
  for limit in limits:
    if isinstance(limit, Registered):
      return tuple(registered(limit.registry))
  return typing.get_args(plain) if _is_literal(plain) else ()


def check(name: str, value: Any, kind: Any) -> None:
  """Checks a value of a setting.

  Args:
    name: of the setting, for the error.
    value: the setting's value.
    kind: the field's type.

  Raises:
    types.InputError: another type, or out of the field's limits.
  """
  fault = _fault(value, kind)
  if fault:
    raise types.InputError(f'{name}: {fault}')


def _fault(value: Any, kind: Any) -> str:
  """The fault of a value, as text; '' if there is none."""
  plain, limits = _parts(kind)
  if typing.get_origin(plain) is tuple:
    return _list_fault(value, typing.get_args(plain)[0], limits)
  expected = str if _is_literal(plain) else plain
  fits = (float, int) if expected is float else expected
  if not isinstance(value, fits) or isinstance(value, bool) != (
    expected is bool
  ):
    return f'{value!r:.80} is not of type {expected.__name__}'
  allowed = choices(kind)
  if allowed and value not in allowed:
    return registry_lib.not_one_of(value, allowed)
  for limit in limits:
    # Written so that NaN is out of every range.
    if isinstance(limit, Range) and not limit.low <= value <= limit.high:
      return f'{value!r:.80} is not between {limit.low} and {limit.high}'
  return ''


def _list_fault(value: Any, element: Any, limits: tuple[Any, ...]) -> str:
  if not isinstance(value, tuple):
    return f'{value!r:.80} is not of type tuple'
  faults = [fault for v in value if (fault := _fault(v, element))]
  if not limits:
    return faults[0] if faults else ''
  (limit,) = limits
  if faults or len(value) != (limit.count or max(len(value), 1)):
    return f'{value!r:.80} is not {_list_words(limit, element)}'
  if limit.distinct and len(set(value)) < len(value):
    return f'{value!r:.80} names one twice'
  return ''


def words(kind: Any) -> str:
  """Allowed values of a setting, as text; '' where its type is enough."""
  plain, limits = _parts(kind)
  if typing.get_origin(plain) is tuple:
    element = typing.get_args(plain)[0]
    return _list_words(limits[0], element) if limits else words(element)
  if choices(kind):
    return ', '.join(f'`{value}`' for value in choices(kind))
  for limit in limits:
    if isinstance(limit, Range):
      return (
        f'at least {limit.low}'
        if limit.high == LARGEST
        else f'{limit.low} to {limit.high}'
      )
  return ''


def _list_words(limit: ListOf, element: Any) -> str:
  count = f'{limit.count} ' if limit.count else ''
  for found in _parts(element)[1]:
    if isinstance(found, Range):
      return (
        f'a list of {count}{limit.what}, each between {found.low} and'
        f' {found.high}'
      )
  return f'a list of {count}{limit.what}'


def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
  """A type without its limits, and these."""
  if typing.get_origin(kind) is Annotated:
    return kind.__origin__, kind.__metadata__
  return kind, ()


def _is_literal(plain: Any) -> bool:
  return typing.get_origin(plain) is typing.Literal
