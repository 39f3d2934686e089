"""Which columns are labels, and what a positive of one implies."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import (
  features,
  key_names,
  label_counts,
  label_names,
  number_names,
  two_valued,
  words,
)
from rmtl_jax.preparation.guess import keys as keys_lib

_NEARLY = 0.97
# The highest level of a rating, how many values one has at most, and from which
# share of its span on it is a like: 4 of 1 to 5, 8 of 1 to 10.
_MOST_LEVEL, _MOST_RATINGS, _LIKE = 10, 11, 0.7
# From which share of rows on high values are a task: one amount that is far off
# lifts the mean above all others.
_LEAST_HIGH = 0.01
# Fewest columns that differ by a number alone and so are of the past.
_SERIES = 3


class Label(NamedTuple):
  """A label.

  Attributes:
    facts: of its column.
    rate: share of positives, or the mean of other kinds.
    why: it is one.
    after: the column of the label that it implies, or ''.
    kind: `binary`, `regression` or `ordinal`.
    high: of a number that is the only label, the least that is high; None of
      others.
    told_by: the column of the time at which it became 1, if one tells.
  """

  facts: facts_lib.Facts
  rate: float
  why: str
  after: str = ''
  kind: str = 'binary'
  high: float | None = None
  told_by: facts_lib.Facts | None = None

  @property
  def column(self) -> str:
    """The column's name."""
    return self.facts.name

  def entry(self, names_of: Mapping[str, str]) -> dict[str, Any]:
    """The task in a schema.

    Args:
      names_of: {column: task} of all labels.
    """
    entry: dict[str, Any] = {'name': names_of[self.column]}
    if self.told_by is None:
      entry['column'] = self.column
    if self.after:
      entry['after'] = names_of[self.after]
    if self.told_by is not None:
      sentinel = self.told_by.sentinel
      null = {} if sentinel is None else {'null': [f'{sentinel:g}']}
      entry['time_column'] = {'column': self.told_by.name, **null}
      return entry
    one, zero = self.facts.truth or ('true', 'false')
    # Of true and false a schema needs no word.
    if one.lower() != 'true' or not zero:
      spelled = {text: [text] for text in (one, zero)}
      for other in self.facts.spellings:
        spelled[one if other.lower() == one.lower() else zero].append(other)
      entry |= {'positive': spelled[one], 'negative': spelled[zero]}
    if self.facts.unseen:
      entry['null'] = [*self.facts.unseen]
    elif self.kind != 'binary' and self.facts.sentinel is not None:
      entry['null'] = [f'{self.facts.sentinel:g}']
    elif self.facts.filled < self.facts.rows and zero:
      entry['null'] = 'not_observed'
    if self.kind != 'binary':
      entry['kind'] = self.kind
    return entry


def find(
  facts: Sequence[facts_lib.Facts],
  keys: Mapping[str, keys_lib.Key],
  taken: Collection[str],
  given: Collection[str] = (),
  may_be_number: bool = True,
) -> tuple[list[Label], dict[str, str]]:
  """Labels, parents first, and notes about other columns.

  Args:
    keys: of user and item.
    taken: columns that are something else.
    given: columns that are the labels, whatever their names; empty: guessed.
    may_be_number: whether what a row led to is the label of a log without any
      of two values; not of a log of events.

  Returns:
    The labels, and {column: why} of those that might be labels and are not.
  """
  free = [one for one in facts if one.name not in taken]
  chosen = dict.fromkeys(given, 'in --label')
  chosen = chosen or _by_name(free) or _by_place(facts, free, keys)
  free = [
    two_valued.with_words(one) if one.name in chosen else one for one in free
  ]
  binary = [one for one in free if one.is_binary]
  counts = label_counts.count(binary)
  if not given:
    chosen |= _nested_in(counts, chosen)
    chosen |= {
      column: f'named like a label; 1 wherever {label} is'
      for column, label in _around(counts, chosen).items()
      if label_names.may_be_step(column)
    }
  same = {} if given else counts.same(chosen)
  chosen = {name: why for name, why in chosen.items() if name not in same}
  labels = _funnel(counts, [b for b in binary if b.name in chosen], chosen)
  labels += [
    _of_numbers(one, chosen[one.name])
    for one in free
    if one.name in given and not one.is_binary
  ]
  others = two_valued.related(free, chosen, keys)
  others |= _answers(facts, counts, binary, chosen, keys)
  others |= _others(free, chosen) | same
  if not labels and may_be_number:
    labels = _outcome([one for one in free if one.name in others])
    others = {
      name: why
      for name, why in others.items()
      if name not in {label.column for label in labels}
    }
  if len(labels) == 1 and labels[0].kind != 'binary':
    labels = [labels[0]._replace(high=_high(labels[0]))]
  return labels, others


def _by_name(facts: Sequence[facts_lib.Facts]) -> dict[str, str]:
  """Columns of two values that are named like labels."""
  chosen = [
    one.name
    for one in facts
    if label_names.is_label(one.name)
    and (one.is_binary or _is_answer_in_words(one))
  ] or [
    one.name
    for one in facts
    if label_names.may_be_label(one.name) and two_valued.fits(one)
  ]
  return dict.fromkeys(chosen, 'named like a label')


def _is_answer_in_words(facts: facts_lib.Facts) -> bool:
  """Whether two words may be an answer and its contrary, by the name."""
  is_text = facts.kind == 'text' and two_valued.fits(facts)
  is_length = words.of(facts.name)[-1:] == ['time']
  return is_text and not is_length and not label_names.tells_how(facts.name)


def _by_place(
  facts: Sequence[facts_lib.Facts],
  free: Sequence[facts_lib.Facts],
  keys: Mapping[str, keys_lib.Key],
) -> dict[str, str]:
  """Columns of 0 and 1 at the end of the rows, or the first column.

  Those at the end are all numbers, or all words, as the last one is: yes and no
  beside 0 and 1 describe a row. Two other values count in the last column
  alone, and in no log of events. What has one value for every user or every
  item describes these; so does what somebody has or is, but for the last
  column. Dummies of one column are none. Names that may say label come last.
  """
  dummies = _dummies([one for one in free if one.is_binary])
  possible = {
    one.name: one.is_binary and not one.is_mark
    for one in free
    if two_valued.fits(one)
    and (
      number_names.measure(one.name) != 'code'
      or label_names.may_be_state(one.name)
    )
    and not label_names.is_known_before(one.name)
    and (one is facts[-1] or not label_names.is_trait(one.name))
    and one.name not in dummies
    and not two_valued.is_fixed(one, keys)
  }
  chosen: dict[str, str] = {}
  for one in reversed(facts):
    is_other = (one.kind == 'number') != (facts[-1].kind == 'number')
    is_condition = chosen and label_names.is_condition(one.name)
    if is_other or is_condition or not possible.get(one.name):
      break
    chosen[one.name] = '0 and 1 in the last columns'
  has_events = any(
    key_names.rank(one.name, 'event') is not None for one in facts
  )
  if not chosen and facts[-1].name in possible and not has_events:
    chosen[facts[-1].name] = 'the last column, with two values'
  named = (f.name for f in facts if not features.is_row_number(f.name))
  first = next(named, '')
  if not chosen and possible.get(first):
    chosen[first] = '0 and 1 in the first column'
  if not chosen:
    chosen |= {
      one.name: 'named like a label'
      for one in free
      if label_names.may_be_last(one.name) and two_valued.fits(one)
    }
  return chosen


def _dummies(binary: Sequence[facts_lib.Facts]) -> set[str]:
  """Columns of 0 and 1 that were one of more values, such as `city_rome`.

  Their names differ in the last word, and no two are 1 in any row, of rows that
  would have both by chance.
  """
  groups: dict[str, list[facts_lib.Facts]] = {}
  for one in binary:
    if stem := label_names.stem(one.name):
      groups.setdefault(stem, []).append(one)
  found: set[str] = set()
  for group in groups.values():
    counts = label_counts.count(group)
    ones = np.diag(counts.both)
    by_chance = np.triu(np.outer(ones, ones), 1).sum() / group[0].rows
    if (
      counts.both.sum() == ones.sum() and by_chance > label_counts.UNLIKELY_NONE
    ):
      found |= {one.name for one in group}
  return found


def _nested_in(
  counts: label_counts.LabelCounts, chosen: Mapping[str, str]
) -> dict[str, str]:
  """Further columns of 0 and 1 that are 1 only where a label is."""
  return {
    column: f'1 only where {parent} is'
    for column in counts.places
    if column not in chosen
    for parent in chosen
    if counts.is_after(column, parent)
  }


def _around(
  counts: label_counts.LabelCounts, chosen: Collection[str]
) -> dict[str, str]:
  """Further columns that are 1 wherever a label is, {column: label}."""
  return {
    column: label
    for column in counts.places
    if column not in chosen
    for label in chosen
    if label in counts.places and counts.is_after(label, column)
  }


def _answers(
  facts: Sequence[facts_lib.Facts],
  counts: label_counts.LabelCounts,
  binary: Sequence[facts_lib.Facts],
  chosen: Collection[str],
  keys: Mapping[str, keys_lib.Key],
) -> dict[str, str]:
  """Why columns that are 1 wherever a label is, or never, are left out.

  A step before the label, such as the visit before a sale, tells much of it,
  and so does another answer. It stands beside the labels; what describes the
  user or the item is none. Of a table without these, a flag that no positive
  has is rather what tells it, as the smell of mushrooms does; dummies are so.
  """
  dummies = _dummies(binary)
  why = {
    column: f'1 wherever {label} is: may be an earlier answer; --label={label}'
    for column, label in _around(counts, chosen).items()
  } | {
    column: f'never 1 where {label} is: may be another answer; --label={label}'
    for column in counts.places
    if keys and column not in {*chosen, *dummies}
    for label in chosen
    if label in counts.places and counts.exclude(label, column)
  }
  beside = _beside(facts, why, chosen)
  return {
    one.name: f'{why[one.name]} --label={one.name} makes both tasks'
    for one in binary
    if one.name in beside
    and not label_names.is_condition(one.name)
    and not label_names.is_known_before(one.name)
    and not two_valued.is_fixed(one, keys)
  }


def _beside(
  facts: Sequence[facts_lib.Facts],
  answers: Collection[str],
  chosen: Collection[str],
) -> set[str]:
  """The answers between which and a label stand none but such, and labels.

  Nor do columns part them that most rows lack, such as the time of an answer.
  """
  columns = [
    one.name
    for one in facts
    if 2 * one.filled > one.rows or one.name in {*answers, *chosen}
  ]
  found: set[str] = set()
  for places in (columns, columns[::-1]):
    is_near = False
    for column in places:
      is_near = column in chosen or (is_near and column in answers)
      if is_near and column in answers:
        found.add(column)
  return found


def _funnel(
  counts: label_counts.LabelCounts,
  labels: Sequence[facts_lib.Facts],
  why: Mapping[str, str],
) -> list[Label]:
  """Labels with their parents, the most frequent first."""
  columns = sorted((one.name for one in labels), key=counts.rate)[::-1]
  by_name = {one.name: one for one in labels}
  found = []
  for column in columns:
    parents = [c for c in columns if counts.is_after(column, c)]
    # The rarest of several is the step before.
    after = min(parents, key=counts.rate, default='')
    one = (by_name[column].truth or ('1', '0'))[0]
    reason = f'{why[column]}, {counts.rate(column):.1%} are {one}'
    if by_name[column].unseen:
      reason += f' ({", ".join(by_name[column].unseen)}: not observed)'
    if after:
      reason += f'; every 1 has a 1 in {after}, so it is after it'
    else:
      reason += _nearly_after(counts, column, columns)
    found.append(Label(by_name[column], counts.rate(column), reason, after))
  return found


def _nearly_after(
  counts: label_counts.LabelCounts, column: str, columns: Sequence[str]
) -> str:
  """What to say of a label that nearly always implies another."""
  near = [
    (counts.implied(column, other), other)
    for other in columns
    if other != column
    and counts.rate(other) < _NEARLY
    and counts.rate(column) < counts.rate(other)
    and _NEARLY <= counts.implied(column, other) < 1
  ]
  if not near:
    return ''
  share, other = max(near)
  return f'; {share:.1%} of its 1s have a 1 in {other}: not all, so no "after"'


def _others(
  facts: Sequence[facts_lib.Facts], chosen: Mapping[str, str]
) -> dict[str, str]:
  """Why columns that look like labels are none."""
  found = {}
  series = collections.Counter(words.without_digits(f.name) for f in facts)
  for one in facts:
    several = one.kind == 'number' and one.distinct > 2
    # Numbered payments, such as PAY_1 to PAY_6, are of the past.
    in_series = series[words.without_digits(one.name)] >= _SERIES
    in_series &= label_names.is_payment(one.name)
    if (
      one.name in chosen
      or one.is_too_large
      or label_names.tells_how(one.name)
      or (several and (in_series or label_names.is_of_request(one.name)))
    ):
      continue
    is_usual = chosen and label_names.is_usual(one.name)
    if several and label_names.is_outcome(one.name) and not is_usual:
      found[one.name] = (
        f'what a row led to, by its name; could be a task of kind {_kind(one)}'
      )
    elif not label_names.is_label(one.name):
      continue
    elif one.distinct == 1 and one.kind in ('number', 'bool'):
      value = f'{one.least:g}' if one.kind == 'number' else 'the same'
      found[one.name] = f'named like a label, but always {value}'
    elif one.is_binary:
      found[one.name] = 'named like a label that --label does not name'
    elif one.distinct == 2 and number_names.measure(one.name) != 'amount':
      found[one.name] = 'named like a label, with two values, none of them 0'
    elif one.is_key and one.distinct == one.rows:
      continue
    elif one.kind == 'number' and not number_names.measure(one.name):
      found[one.name] = (
        f'named like a label, with {one.distinct:,} values; could be a task of'
        f' kind {_kind(one)}'
      )
  return found


def _kind(facts: facts_lib.Facts) -> str:
  is_level = facts.whole and facts.least >= 0 and facts.largest <= _MOST_LEVEL
  return 'ordinal' if is_level else 'regression'


def _outcome(facts: Sequence[facts_lib.Facts]) -> list[Label]:
  """A number as the only label, of a log without any of 0 and 1."""
  for one in facts:
    if one.kind == 'number' and one.distinct > 2:
      why = 'no column of 0 and 1, and this is what a row led to'
      return [_of_numbers(one, why)]
  return []


def is_rating(facts: facts_lib.Facts) -> bool:
  """Whether a column is what somebody says of an item, on a scale."""
  few = facts.distinct <= _MOST_RATINGS and facts.least >= 0
  return label_names.is_rating(facts.name) and few


def _high(label: Label) -> float | None:
  """The least value that is high: of a rating by its span, else the mean.

  None where hardly any or all are high.
  """
  facts = label.facts
  value = _observed(facts)
  high = float(f'{label.rate:.3g}')
  if is_rating(facts):
    least = facts.least + _LIKE * (facts.largest - facts.least)
    values = facts.sample.fetch(
      f'DISTINCT {value}', f'WHERE {value} IS NOT NULL'
    )
    high = min(v for (v,) in values if v >= least)
  is_high = f'{value} >= {sql.float_literal(high)}'
  share = facts.sample.fetch(f'avg(({is_high})::INT)')[0][0]
  return high if _LEAST_HIGH <= share < 1 else None


def _observed(facts: facts_lib.Facts) -> str:
  """SQL of a label's numbers, NULL where none is observed."""
  value, unseen = facts.number, facts.sentinel
  return value if unseen is None else f'nullif({value}, {unseen})'


def _of_numbers(facts: facts_lib.Facts, why: str) -> Label:
  """A label of more than two numbers."""
  unseen = facts.sentinel
  mean = facts.sample.fetch(f'avg({_observed(facts)})')[0][0]
  span = f'{facts.least:g} to {facts.largest:g}, mean {mean:.3g}'
  span += '' if unseen is None else f'; {unseen:g}: not observed'
  return Label(facts, mean, f'{why} ({span})', kind=_kind(facts))
