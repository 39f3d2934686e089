"""Recognises logs of events, and the logs that other sources read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rmtl_jax.preparation import sources
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import names
from rmtl_jax.preparation.guess import sample as sample_lib

# Most kinds of events, of texts and of numbers.
_MOST_EVENTS, _MOST_CODES = 30, 10


class Events(NamedTuple):
  """A column that says what happened.

  Attributes:
    column: its name.
    counts: rows of each value, the most frequent first.
  """

  column: str
  counts: dict[str, int]

  def text(self) -> str:
    """The column and its values, in words."""
    listed = ', '.join(f'{v} ({n:,})' for v, n in [*self.counts.items()][:6])
    return f'column {self.column!r} holds {listed}'


def find(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> Events | None:
  """The column that says what happened, of a log with a row per event."""
  for one in facts:
    if names.rank(one.name, 'event') is None or not one.is_key:
      continue
    is_number = one.kind == 'number'
    if not 2 <= one.distinct <= (_MOST_CODES if is_number else _MOST_EVENTS):
      continue
    value = facts_lib.text(sample, one)
    counts = dict(
      sample.fetch(
        f'{value} AS v, count(*) AS n',
        f'WHERE {value} IS NOT NULL GROUP BY v ORDER BY n DESC, v',
      )
    )
    if is_number or any(names.is_event(value) for value in counts):
      return Events(one.name, counts)
  return None


def of_some(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  happened: Events,
) -> dict[str, str]:
  """Why columns that only some events fill are leaks of these, by column."""
  event = sample.column(happened.column)
  first = next(iter(happened.counts))
  found = {}
  for one in facts:
    if not one.missing or not one.filled:
      continue
    value = facts_lib.text(sample, one)
    rows = sample.fetch(
      f'{event}, count({value}) AS n', 'GROUP BY 1 HAVING n > 0 ORDER BY 1'
    )
    of = [str(row[0]) for row in rows]
    if first not in of:
      found[one.name] = (
        f'filled only where {happened.column} is {", ".join(of)}'
      )
  return found


def source_of(columns: Sequence[str]) -> str:
  """The source whose log has such columns; '' if none has."""
  fitting = [
    (len(record.columns), record.name)
    for record in sources.RECORDS.values()
    if record.columns and set(record.columns) <= set(columns)
  ]
  return max(fitting, default=(0, ''))[1]
