"""Registries: parts of one kind by name, each one record.

A weighting, a backbone, a source of raw logs, a metric and a tracker are one
record each; settings, steps and reports read the record and never test for a
name. Nothing here imports JAX, so that command lines are checked before
anything heavy starts.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from rmtl_jax import types


class Named(Protocol):
  """Protocol of records."""

  @property
  def name(self) -> str:
    """The name in settings."""
    ...


Record = TypeVar('Record', bound=Named)


class Registry(Mapping[str, Record]):
  """Records of one kind by name, in the order in which they came.

  Examples:
    >>> import collections
    >>> Sauce = collections.namedtuple('Sauce', 'name heat')
    >>> sauces = Registry('sauce', [Sauce('mole', 2)])
    >>> sauces.register(Sauce('salsa', 3))
    >>> sauces.names(), sauces.find('salsa').heat
    (('mole', 'salsa'), 3)
    >>> sauces.find('sals')
    Traceback (most recent call last):
    ...
    rmtl_jax.types.InputError: sauce: 'sals' is not one of mole, salsa (did \
you mean salsa?)
  """

  def __init__(self, kind: str, records: Iterable[Record] = ()):
    """Starts with some records.

    Args:
      kind: noun for error messages.
      records: of the package itself.
    """
    self.kind = kind
    self._records: dict[str, Record] = {}
    for record in records:
      self.register(record)

  def register(self, record: Record) -> None:
    """Adds a record in this process.

    Raises:
      types.InputError: the name is taken.
    """
    if record.name in self._records:
      raise types.InputError(f'{self.kind}: {record.name!r} exists already')
    self._records[record.name] = record

  def find(self, name: str) -> Record:
    """The record of that name.

    Raises:
      types.InputError: there is none; names near matches.
    """
    if name not in self._records:
      raise types.InputError(f'{self.kind}: {not_one_of(name, self)}')
    return self._records[name]

  def names(self) -> tuple[str, ...]:
    """All names."""
    return tuple(self._records)

  def __getitem__(self, name: str) -> Record:
    return self._records[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._records)

  def __len__(self) -> int:
    return len(self._records)


def not_one_of(value: Any, allowed: Iterable[str]) -> str:
  """'x' is not one of the allowed names, with near matches."""
  names = list(allowed)
  near = difflib.get_close_matches(str(value), names, n=2)
  hint = f' (did you mean {" or ".join(near)}?)' if near else ''
  return f'{value!r:.80} is not one of {", ".join(names)}{hint}'


def check(what: str, values: Iterable[Any], allowed: Iterable[str]) -> None:
  """Raises types.InputError for the first value that is not allowed.

  Args:
    what: a record and its attribute, for errors.
    values: the record's values.
    allowed: the allowed ones.
  """
  names = [*allowed]
  for value in values:
    if value not in names:
      raise types.InputError(f'{what}: {not_one_of(value, names)}')


def lazy(module: str, name: str, **fixed: Any) -> Callable[..., Any]:
  """A function or class that is imported when it is called.

  Args:
    module: its module, `rmtl_jax.networks.backbones`.
    name: its name there.
    **fixed: keyword arguments that every call gets.
  """

  def call(*args: Any, **kwargs: Any) -> Any:
    found = getattr(importlib.import_module(module), name)
    return found(*args, **fixed, **kwargs)

  return call
