"""What kind of field each remaining column is, if any."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from rmtl_jax.preparation import checks
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import key_names, number_names
from rmtl_jax.preparation.raw import folders, written_numbers

# Numbers without a telling name. Few are amounts where they are small and begin
# at 0 or 1, round, or most of their range; not where one gap is half of it, as
# of codes and of answers such as 99, or where many rows have none. More are
# codes if most of a range from 0 or 1 on is there. Of still more codes nearly
# all of the range is, and each comes back: what amounts are large leaves gaps.
_FEW_CODES, _MOST_CODES, _DENSE = 20, 1000, 0.5
_SMALL, _ROUND, _GAP, _WITHOUT = 100, 5, 0.5, 0.1
# Least of few whose name tells an amount and a kind, as `time_zone` does.
_LEAST_AMOUNT = 10
_DENSE_OF_MANY, _ROWS_OF_MANY = 0.98, 5
# Least correlation of the rows of a number with those of the next one, which
# amounts have and codes hardly.
_SMOOTH = 0.75
# Of numbers whose rows fall (or rise) nearly all along: the rank correlation,
# the share of rows in the last tenth of the range below which these are a thin
# tail, and least rows of a number on average that can tell.
_FALLING, _THIN, _ROWS_OF_A_TAIL = 0.8, 0.002, 20
# Mean words of a sentence, and share of different values of text that tells
# nothing of the next row.
_WORDS, _UNIQUE = 3.0, 0.9
# Most different texts that are categories, whatever they hold.
_FEW_TEXTS = 50
# What pandas names the number of a row.
_INDEX = r'|Unnamed: \d+|__index_level_\d+__'
# How far from the median the largest number is, to take its logarithm.
_SKEWED = 10


@dataclasses.dataclass(frozen=True)
class Feature:
  """What becomes of a column.

  Attributes:
    kind: `categorical`, `multi_valued`, `numeric`, or '' if it is left out.
    why: in words.
    more: further keys of its entry in the schema.
  """

  kind: str
  why: str
  more: dict[str, Any] = dataclasses.field(default_factory=dict)

  def because(self, why: str) -> Feature:
    """The same for a further reason."""
    return dataclasses.replace(self, why=f'{self.why}; {why}')


def guess(facts: facts_lib.Facts) -> Feature:
  """The kind of field that a column is, and why."""
  left_out = _in_brackets(facts) or _useless(facts)
  if left_out:
    return Feature('', left_out)
  if facts.kind == 'list':
    parted = f', parted by {facts.separator!r}' if facts.separator else ''
    why = f'lists of {facts.tokens:,} different values{parted}'
    more = {'separator': facts.separator} if facts.separator else {}
    return Feature('multi_valued', why, more)
  if facts.kind == 'bool':
    return Feature('categorical', 'true and false')
  if facts.decimal:
    like = written_numbers.LIKE[facts.decimal]
    written = _numeric(facts, f'numbers written like {like}')
    more = {'decimal': facts.decimal} | written.more
    return dataclasses.replace(written, more=more)
  if facts.kind == 'text':
    return Feature('categorical', 'text')
  return _of_numbers(facts)


def _in_brackets(facts: facts_lib.Facts) -> str:
  """Why a text of lists that a program printed is no field, or ''."""
  if facts.kind != 'text' or facts.distinct <= _FEW_TEXTS:
    return ''
  value = facts.text
  listed = f"count(*) FILTER (regexp_matches({value}, '(?s)^\\[.*\\]$'))"
  is_list = facts.sample.fetch(listed)[0][0] == facts.filled
  return f'lists in brackets: {folders.FORMS} parts them' if is_list else ''


def is_row_number(name: str) -> bool:
  """Whether a column has no name, or the one of the number of a row in pandas.

  >>> [is_row_number(name) for name in ('', 'Unnamed: 0', 'Unnamed')]
  [True, True, False]
  """
  return name.startswith('(column ') or re.fullmatch(_INDEX, name) is not None


def _useless(facts: facts_lib.Facts) -> str:
  """Why a column can't be a feature, or ''."""
  if not facts.filled:
    return 'constant: empty'
  if facts.kind == 'structs':
    return f'lists of structs, as of rows: {folders.FORMS} makes rows of them'
  if facts.kind == 'other':
    why = 'of a type that no field can have (as a struct or a duration)'
    return f'{why}: {folders.FORMS} makes columns of a struct'
  if facts.distinct == 1 and facts.filled == facts.rows:
    return 'constant'
  if facts.kind == 'time':
    return 'times, which no field reads'
  if is_row_number(facts.name):
    return 'without a name, as pandas writes the number of a row'
  if facts.kind == 'list' and facts.tokens > _UNIQUE * facts.listed:
    return 'lists of values that hardly come back'
  if facts.decimal:
    return ''
  if facts.distinct == facts.rows and facts.is_key:
    span = facts.largest - facts.least + 1
    is_code = number_names.measure(facts.name) == 'code' or span == facts.rows
    is_code |= number_names.may_be_number_of(facts.name)
    if facts.kind == 'text' or is_code:
      return 'every row has a value of its own'
  if facts.is_too_large:
    return f'numbers beyond {checks.LARGEST:g} in size, which no field reads'
  if (
    facts.kind == 'text'
    and facts.words > _WORDS
    and facts.distinct > _FEW_TEXTS
  ):
    return f'free text of {facts.words:.0f} words, which no field reads'
  if facts.distinct > _UNIQUE * facts.filled:
    if facts.kind == 'text':
      return 'text that hardly comes back'
    if key_names.ends_in_id(facts.name) or key_names.is_numbered(facts.name):
      return 'ids that hardly come back'
  return ''


def _of_numbers(facts: facts_lib.Facts) -> Feature:
  if not facts.whole:
    return _numeric(facts, 'fractions')
  measure = number_names.measure(facts.name)
  if facts.codes:
    return Feature('categorical', 'numbers with leading zeros: codes')
  if facts.distinct <= 2:
    several = 'two values' if facts.distinct > 1 else 'one value or none'
    return Feature('categorical', several)
  few = facts.distinct <= _FEW_CODES
  is_kind = few and number_names.is_kind(facts.name)
  has_much = facts.largest >= _LEAST_AMOUNT or not is_kind
  if measure == 'amount' and has_much:
    return _numeric(facts, 'an amount by the name')
  if measure == 'code' or is_kind:
    return Feature('categorical', 'codes by the name')
  if few:
    return _of_few(facts)
  span = facts.largest - facts.least + 1
  is_many = facts.distinct > _MOST_CODES
  dense = _DENSE_OF_MANY if is_many else _DENSE
  comes_back = facts.filled >= _ROWS_OF_MANY * facts.distinct or not is_many
  is_dense = facts.distinct > dense * span and facts.least in (0, 1)
  if is_dense and comes_back:
    if _is_smooth(facts):
      return _numeric(facts, 'as many rows of a number as of the next, about')
    return Feature(
      'categorical',
      f'codes that fill {facts.least:.0f} to {facts.largest:.0f}',
    )
  return _numeric(facts, 'whole numbers')


def _of_few(facts: facts_lib.Facts) -> Feature:
  """Of few whole numbers: grades and counts have an order, codes leave gaps.

  Of a log that is not read whole they stay categories, which take any value.
  """
  why = 'few whole numbers'
  value = facts.number
  rows = facts.sample.fetch(
    f'DISTINCT {value} AS n', f'WHERE {value} IS NOT NULL ORDER BY n'
  )
  values = np.array([n for (n,) in rows])
  span = values[-1] - values[0]
  gaps = np.diff(values)
  is_small = values[0] in (0, 1) and values[-1] < _SMALL
  is_round = np.all(values % _ROUND == 0)
  if (
    facts.sample.is_whole
    and len(values) > 2
    and facts.sentinel is None
    and [*values] != [-1, 0, 1]
    and facts.missing <= _WITHOUT
    and (np.max(gaps) < _GAP * span or np.ptp(gaps) == 0)
    and (is_small or is_round or len(values) > _DENSE * (span + 1))
  ):
    return _numeric(facts, why)
  return Feature('categorical', why)


def _is_smooth(facts: facts_lib.Facts) -> bool:
  """Whether rows per number rise and fall as those of amounts do.

  Codes may be numbered by how many rows have them: their rows fall as slowly as
  popularity does, where amounts end in a thin tail.
  """
  value = facts.number
  numbers, counts = np.array(
    facts.sample.fetch(
      f'{value} AS n, count(*)', f'WHERE {value} >= {facts.least} GROUP BY n'
    )
  ).T
  rows = np.zeros(int(facts.largest - facts.least) + 1)
  rows[(numbers - facts.least).astype(int)] = counts
  tenth = -(-len(rows) // 10)
  enough = np.sum(rows) >= _ROWS_OF_A_TAIL * len(rows)
  for one_way in (rows, rows[::-1]):
    is_thin = enough and np.sum(one_way[-tenth:]) < _THIN * np.sum(rows)
    if _rank_correlation(one_way) < -_FALLING and not is_thin:
      return False
  if np.ptp(rows) == 0:
    return False
  logs = np.log1p(rows)
  logs -= logs.mean()
  return bool(logs[1:] @ logs[:-1] >= _SMOOTH * (logs @ logs))


def _rank_correlation(values: np.ndarray) -> float:
  """Of values with their places (Spearman), where some are different."""
  _, number, count = np.unique(values, return_inverse=True, return_counts=True)
  ranks = (np.cumsum(count) - (count - 1) / 2)[number]
  deviations = ranks - ranks.mean()
  places = np.arange(len(values)) - (len(values) - 1) / 2
  sizes = np.linalg.norm(deviations) * np.linalg.norm(places)
  return float(deviations @ places / sizes) if sizes else 0.0


def _numeric(facts: facts_lib.Facts, why: str) -> Feature:
  why += f'; {facts.least:g} to {facts.largest:g}, median {facts.median:g}'
  more: dict[str, Any] = {}
  if facts.least >= 0 and facts.largest >= _SKEWED * max(facts.median, 1):
    more['transform'] = 'log1p'
    why += ': skewed'
  if facts.sentinel is not None:
    more['null'] = [f'{facts.sentinel:g}']
    why += f'; {facts.sentinel:g} stands for nothing, as it alone is negative'
  return Feature('numeric', why, more)
