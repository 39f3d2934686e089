"""Pairs of fields, as `config.network.crosses` names them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rmtl_jax import types

_FORM = (
  'expected pairs of fields, FIRST*SECOND, joined by +, as'
  ' segment*category+segment*brand'
)


def pairs(crosses: str) -> list[tuple[str, str]]:
  """The pairs of fields.

  Examples:
    >>> pairs('segment*category+segment*brand')
    [('segment', 'category'), ('segment', 'brand')]

  Raises:
    types.InputError: it has another form, or names a pair twice.
  """
  found = []
  for text in crosses.split('+') if crosses else ():
    first, star, second = text.partition('*')
    is_pair = first and star and second and '*' not in second
    if not is_pair or first == second:
      raise types.InputError(
        f'config.network.crosses: {text!r:.80} is no pair; {_FORM}'
      )
    if {first, second} in [set(one) for one in found]:
      raise types.InputError(
        f'config.network.crosses: {text!r:.80} is there twice'
      )
    found.append((first, second))
  return found


def places(spec: types.FeatureSpec, crosses: str) -> list[tuple[int, int]]:
  """Places of the pairs' fields among the categorical ones.

  Raises:
    types.InputError: a name that is no categorical field of the data.
  """
  return [
    (_place(spec, first), _place(spec, second))
    for first, second in pairs(crosses)
  ]


def _place(spec: types.FeatureSpec, name: str) -> int:
  names = list(spec.names[: len(spec.categorical)])
  if name not in names:
    raise types.InputError(
      f'config.network.crosses: {name!r:.80} is no categorical field of the'
      f' data that networks read as categories ({", ".join(names)})'
    )
  return names.index(name)


def joined(found: Iterable[tuple[str, str]]) -> str:
  """The setting for these pairs."""
  return '+'.join('*'.join(pair) for pair in found)


def without(crosses: str, gone: Collection[str]) -> str:
  """The pairs of fields that are both kept."""
  if not crosses:
    return crosses
  return joined(pair for pair in pairs(crosses) if not {*pair} & {*gone})
