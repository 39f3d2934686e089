"""Which columns are the user, the item, the session and the time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import words

# Values that come back have so many rows each, at least, on average.
_ROWS_OF_A_KEY = 1.2
# Least number of items whose name does not say item, product or the like.
_SURE, _ITEMS = 6, 20


class Role(NamedTuple):
  """A column's role.

  Attributes:
    facts: of the column.
    why: in words.
  """

  facts: facts_lib.Facts
  why: str


def find_keys(
  facts: Sequence[facts_lib.Facts], given: Mapping[str, str | None]
) -> dict[str, Role]:
  """The user, item and session.

  Args:
    facts: of the columns that may be one.
    given: columns by role, as the caller names them; None: there is none.
  """
  named = facts_lib.by_name(facts)
  found = {
    role: Role(named[column], 'as you said')
    for role, column in given.items()
    if column in named and role != 'time'
  }
  for role in ('user', 'item', 'session'):
    if role in given:
      continue
    taken = {one.facts.name for one in found.values()}
    ranked = sorted(
      (rank, place, one)
      for place, one in enumerate(facts)
      if one.name not in taken
      and one.is_key
      and (rank := words.key_rank(one.name, role)) is not None
      and _identifies(one, role)
    )
    if ranked:
      best = ranked[0][2]
      rows = best.filled / best.distinct
      why = f'named like {_A[role]}, {rows:.1f} rows each'
      found[role] = Role(best, why)
  return found


_A = {'user': 'a user', 'item': 'an item', 'session': 'a session'}


def _identifies(one: facts_lib.Facts, role: str) -> bool:
  if one.distinct < 2 or one.missing > 0.5:
    return False
  rank = words.key_rank(one.name, role) or 0
  # A catalogue of a few campaigns or shops is a category.
  if role == 'item' and rank > _SURE and one.distinct < _ITEMS:
    return False
  return role != 'session' or one.filled >= _ROWS_OF_A_KEY * one.distinct


def find_time(
  facts: Sequence[facts_lib.Facts], given: Mapping[str, str | None]
) -> Role | None:
  """The time of the rows: by its name, else the only column of times."""
  if 'time' in given:
    named = facts_lib.by_name(facts)
    return Role(named[given['time']], 'as you said') if given['time'] else None
  filled = [one for one in facts if not one.missing and one.distinct > 1]
  ranked = sorted(
    (rank, place, one)
    for place, one in enumerate(filled)
    if (rank := words.time_rank(one.name)) is not None
    and one.unit
    and not words.is_amount_label(one.name)
  )
  if ranked:
    best = ranked[0][2]
    return Role(best, f'named like a time, {_form(best)}')
  times = [one for one in filled if one.kind == 'time']
  others = [one for one in times if words.time_rank(one.name) is None]
  if len(times) == 1 and not others:
    return Role(times[0], f'the only times, {_form(times[0])}')
  return None


def _form(one: facts_lib.Facts) -> str:
  if one.unit in facts_lib.UNITS:
    return f'in {one.unit} since 1970'
  return f'as {one.unit}'


def other_times(
  facts: Sequence[facts_lib.Facts], taken: Collection[str]
) -> list[facts_lib.Facts]:
  """Columns of times that are not the rows' time."""
  return [
    one
    for one in facts
    if one.name not in taken
    and (
      one.kind == 'time' or (one.unit and words.time_rank(one.name) is not None)
    )
  ]
