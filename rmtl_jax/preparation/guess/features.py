"""What kind of field a column is that has no role."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import words

# Whole numbers of so few values are categories, if each has many rows.
_FEW, _ROWS_OF_A_CATEGORY = 20, 20
# A text with more words, most of which come once, is a sentence.
_WORDS = 4.0
# Share of different values above which a key identifies rows.
_UNIQUE = 0.9
_SKEWED = 20.0


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


def guess(one: facts_lib.Facts) -> Feature:
  """The field that a column makes, or why it makes none."""
  entry: dict[str, Any] = {'column': one.name}
  if one.kind == 'other':
    return Feature('', entry, 'of a nested type; unnest it first')
  if one.distinct < 2 and not (one.distinct and one.missing):
    return Feature('', entry, 'constant' if one.filled else 'empty')
  if words.has(one.name, words.SPLITS) and one.distinct <= 10:
    return Feature('', entry, 'named like a split; see --split_column')
  if words.has(one.name, words.WEIGHTS) and one.kind == 'number':
    return Feature('', entry, 'named like a weight; "weight" would use it')
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
