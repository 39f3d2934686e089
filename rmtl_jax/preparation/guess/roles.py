"""Which columns are the user, the item, the session, the time, and fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import words

# Values that come back have so many rows each, at least, on average.
_ROWS_OF_A_KEY = 1.2
# Least number of values of a user or item with an unusual column name.
_SURE, _ITEMS = 6, 20
# Whole numbers of so few values are categories, if each has many rows.
_FEW, _ROWS_OF_A_CATEGORY = 20, 20
# A text with more words is a sentence, if most of them come once.
_WORDS = 4.0
# Share of different values above which a key identifies rows.
_UNIQUE = 0.9
_SKEWED = 20.0
_GIVEN = 'as given'
# The column of a role, and why.
Role = tuple[facts_lib.Facts, str]


def find_keys(
  facts: Sequence[facts_lib.Facts], given: Mapping[str, str | None]
) -> dict[str, Role]:
  """The user, item and session.

  Args:
    facts: of the columns that may be one.
    given: columns by role, as the caller names them; None: there is none.
  """
  named = {one.name: one for one in facts}
  found = {
    role: (named[column], _GIVEN)
    for role, column in given.items()
    if column in named and role != 'time'
  }
  for role, like in (
    ('user', 'a user'),
    ('item', 'an item'),
    ('session', 'a session'),
  ):
    if role in given:
      continue
    taken = {one.name for one, _ in found.values()}
    ranked = sorted(
      (rank, place)
      for place, one in enumerate(facts)
      if one.name not in taken
      and (rank := words.key_rank(one.name, role)) is not None
      and _identifies(one, role, rank)
    )
    if ranked:
      best = facts[ranked[0][1]]
      rows = best.filled / best.distinct
      found[role] = best, f'named like {like}, {rows:.1f} rows each'
  return found


def _identifies(one: facts_lib.Facts, role: str, rank: int) -> bool:
  if not one.is_key or one.distinct < 2 or one.missing > 0.5:
    return False
  # A few campaigns, shops or kinds of device are a category.
  if role != 'session' and rank > _SURE and one.distinct < _ITEMS:
    return False
  return role != 'session' or one.filled >= _ROWS_OF_A_KEY * one.distinct


def find_time(
  facts: Sequence[facts_lib.Facts], given: Mapping[str, str | None]
) -> Role | None:
  """The time of the rows: by its name, else the only column of times."""
  if 'time' in given:
    named = {one.name: one for one in facts}
    return (named[given['time']], _GIVEN) if given['time'] else None
  filled = [one for one in facts if not one.missing and one.distinct > 1]
  ranked = sorted(
    (rank, place)
    for place, one in enumerate(filled)
    if (rank := words.time_rank(one.name)) is not None
    and one.unit
    and not words.is_amount_label(one.name)
  )
  if ranked:
    best = filled[ranked[0][1]]
    since = ' since 1970' if best.unit in facts_lib.UNITS else ''
    return best, f'named like a time, in {best.unit}{since}'
  return None


class Feature(NamedTuple):
  """A field of the schema.

  Attributes:
    kind: `categorical`, `numeric`, `multi_valued`, or '': it is left out.
    entry: of the schema, without its name.
    why: in words.
  """

  kind: str
  entry: dict[str, Any]
  why: str


def field_of(one: facts_lib.Facts) -> Feature:
  """The field that a column makes, or why it makes none."""
  entry: dict[str, Any] = {'column': one.name}
  if one.kind == 'other':
    return Feature('', entry, 'of a nested type; unnest it first')
  if one.distinct < 2 and not (one.distinct and one.missing):
    return Feature('', entry, 'constant' if one.filled else 'empty')
  if words.has(one.name, words.SPLITS) and one.distinct <= 10:
    return Feature('', entry, 'named like a split; see --split_column')
  if one.kind == 'list':
    if one.separator:
      entry['separator'] = one.separator
    return Feature('multi_valued', entry, f'lists {one.separator}'.strip())
  if one.kind == 'bool' or one.truth is not None:
    return Feature('categorical', entry, 'true or false')
  if (
    one.is_key
    and one.distinct > _UNIQUE * one.filled
    and (words.is_category(one.name) or one.kind == 'text')
  ):
    return Feature('', entry, 'identifies single rows')
  if one.kind == 'text':
    if one.words > _WORDS and one.distinct > one.filled / 2:
      return Feature('', entry, 'sentences')
    return Feature('categorical', entry, f'{one.distinct:,} different texts')
  return _of_number(one, entry)


def _of_number(one: facts_lib.Facts, entry: dict[str, Any]) -> Feature:
  few = one.distinct <= min(_FEW, one.filled / _ROWS_OF_A_CATEGORY)
  is_category = words.is_category(one.name) or (
    few and not words.has(one.name, words.FEW_NUMBERS)
  )
  if one.whole and is_category:
    return Feature('categorical', entry, f'{one.distinct:,} whole numbers')
  why = f'{one.least:g} to {one.largest:g}, median {one.median:g}'
  if one.least >= 0 and one.largest > _SKEWED * max(one.median, 1e-9):
    entry['transform'] = 'log1p'
    why += ', skewed'
  return Feature('numeric', entry, why)
