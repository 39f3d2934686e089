"""Decodes JSON by the types of dataclasses; errors name the entry."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any

from rmtl_jax import types

_NAMES = {
  dict: 'an object',
  list: 'a list',
  str: 'a text',
  bool: 'a bool',
  float: 'a number',
  int: 'a whole number',
}


def decode(
  kind: Any, value: Any, what: str, keys: Mapping[str, str] | None = None
) -> Any:
  """A decoded JSON value as a type.

  Args:
    kind: a dataclass, `tuple[T, ...]`, `dict[str, T]`, `T | None`, a scalar or
      `Any`.
    value: the value; a bool is no number, an int may be a float.
    what: where it is, for errors.
    keys: names of entries in JSON, of attributes that have another one.

  Raises:
    types.InputError: an entry that is missing, unknown or of another type.
  """
  if kind is Any:
    return value
  if dataclasses.is_dataclass(kind):
    return _object(kind, value, what, keys or {})
  origin, args = typing.get_origin(kind), typing.get_args(kind)
  if origin in (UnionType, typing.Union):
    if value is None:
      return None
    (kind,) = (one for one in args if one is not NoneType)
    return decode(kind, value, what, keys)
  if origin is tuple:
    return tuple(
      decode(args[0], one, f'{what}: entry {i}', keys)
      for i, one in enumerate(expect(value, list, what), 1)
    )
  if origin is dict:
    return {
      key: decode(args[1], one, f'{what}: {key!r:.80}', keys)
      for key, one in expect(value, dict, what).items()
    }
  return expect(value, kind, what)


def expect(value: Any, kind: type, what: str) -> Any:
  """The value, if it is of that very type (a bool is no int).

  Raises:
    types.InputError: it is of another.
  """
  if type(value) is not kind and not (kind is float and type(value) is int):
    raise types.InputError(f'{what} is {value!r:.80}, expected {_NAMES[kind]}')
  return value


def _object(kind: Any, value: Any, what: str, keys: Mapping[str, str]) -> Any:
  """The dataclass with the entries of a JSON object."""
  expect(value, dict, what)
  fields = {keys.get(f.name, f.name): f for f in dataclasses.fields(kind)}
  for name in value:
    if name not in fields:
      raise types.InputError(f'{what}: no such entry: {name!r:.80}')
  found = {}
  for name, field in fields.items():
    if name in value:
      hint = _hints(kind)[field.name]
      found[field.name] = decode(hint, value[name], f'{what}: {name}', keys)
    elif (
      field.default is dataclasses.MISSING
      and field.default_factory is dataclasses.MISSING
    ):
      raise types.InputError(f'{what} lacks {name!r}')
  return kind(**found)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
  return typing.get_type_hints(kind)
