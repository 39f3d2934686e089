"""Columns with two values, each of which may be an answer to a row."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence

from rmtl_jax import types
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import label_names, number_names

# Least users that come back with either value of a label.
_LEAST_OF_EACH = 10
# Columns that an error names.
_MOST_SHOWN = 30


def fits(facts: facts_lib.Facts) -> bool:
  """Whether a column holds two values, of any kind that a label may have."""
  two = facts.distinct == 2 and facts.kind in ('number', 'bool', 'text')
  return facts.is_binary or two


def with_words(facts: facts_lib.Facts) -> facts_lib.Facts:
  """Two values that are not 0 and 1 as a label: the rarer one is positive."""
  if facts.is_binary or not fits(facts):
    return facts
  value = facts.text
  rows = facts.sample.fetch(
    f'{value} AS v, count(*) AS n',
    f'WHERE {value} IS NOT NULL GROUP BY v ORDER BY n, v',
  )
  return dataclasses.replace(facts, truth=(rows[0][0], rows[1][0]))


def check_given(
  facts: Sequence[facts_lib.Facts], given: Collection[str]
) -> None:
  """Raises InputError unless each column in --label can be a label."""
  by_name = {one.name: one for one in facts}
  for name in given:
    if name not in by_name:
      near = difflib.get_close_matches(name, by_name, n=3)
      hint = f' (did you mean {" or ".join(near)}?)' if near else ''
      raise types.InputError(f'--label: no column {name!r:.80}{hint}')
    one = by_name[name]
    several = one.kind in ('number', 'time') and one.distinct > 2
    if not (fits(one) or several):
      raise types.InputError(
        f'--label: column {name!r:.80} holds {one.distinct:,} different'
        f' value{"" if one.distinct == 1 else "s"} of kind {one.kind}; expected'
        ' two values, numbers, or times of some rows'
      )


def check_times(given: Mapping[str, facts_lib.Facts]) -> None:
  """Raises InputError if a time in --label does not tell that it happened."""
  for name, one in given.items():
    if one.kind == 'time' and not one.timed:
      raise types.InputError(
        f'--label: column {name!r:.80} holds times; as a label it means that it'
        ' happened, and some rows have none, the others one in the form of the'
        " rows' time and not before it"
      )


def is_fixed(facts: facts_lib.Facts, keys: Mapping[str, keys_lib.Key]) -> bool:
  """Whether every user, or every item, that comes back has one value."""
  return 0 in keys_lib.varied(facts, keys, ('user', 'item')).values()


def is_same_for(facts: facts_lib.Facts, key: str) -> bool:
  """Whether a label is one for all rows of each user or session, and differs.

  Only users and sessions with several rows count; each value needs several.
  """
  value, key = facts.number, facts.sample.column(key)
  varied, ones, zeros = facts.sample.connection.execute(
    'SELECT count(*) FILTER (low < high), count(*) FILTER (low = 1),'
    ' count(*) FILTER (high = 0) FROM (SELECT'
    f' min({value}) AS low, max({value}) AS high FROM {facts.sample.table}'
    f' WHERE {key} IS NOT NULL GROUP BY {key} HAVING count(*) > 1)'
  ).fetchall()[0]
  return varied == 0 and min(ones, zeros) >= _LEAST_OF_EACH


def related(
  facts: Sequence[facts_lib.Facts],
  labels: Collection[str],
  keys: Mapping[str, keys_lib.Key],
) -> dict[str, str]:
  """Why columns that are named half like a label are left out.

  A second answer among the features would tell the first.

  Args:
    facts: of the columns that might be features.
    labels: columns of the labels.
    keys: of user and item; what describes one of them is no answer.
  """
  found = {}
  for one in facts:
    is_amount = number_names.measure(one.name) == 'amount'
    if one.name in labels or is_amount or not fits(one):
      continue
    for label in labels:
      word = label_names.shared_end(one.name, label)
      if word and not is_fixed(one, keys):
        found[one.name] = (
          f'two values, and {word!r} in its name as in {label}: may be another'
          f' answer; --label={label} --label={one.name} makes both tasks'
        )
        break
  return found


def candidates(facts: Iterable[facts_lib.Facts], taken: Collection[str]) -> str:
  """What an error says of columns that may be labels; the last come first."""
  found = [one.name for one in facts if fits(one) and one.name not in taken]
  if not found:
    return 'no column holds two values; --label=COLUMN may name one of numbers'
  shown = ', '.join(found[::-1][:_MOST_SHOWN])
  more = len(found) - _MOST_SHOWN
  others = f' and {more} more' if more > 0 else ''
  return f'--label=COLUMN says which is; with two values: {shown}{others}'
