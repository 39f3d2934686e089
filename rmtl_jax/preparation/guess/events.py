"""Recognises logs of events, and the logs that other sources read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rmtl_jax.preparation import sources
from rmtl_jax.preparation.guess import (
  event_names,
  key_names,
  schema_names,
  words,
)
from rmtl_jax.preparation.guess import facts as facts_lib
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

  @property
  def are_known(self) -> bool:
    """Whether most rows hold words that are known."""
    known = sum(n for kind, n in self.counts.items() if event_names.event(kind))
    return 2 * known >= sum(self.counts.values())

  def listed(self) -> str:
    """The most frequent kinds and their rows."""
    return ', '.join(f'{v} ({n:,})' for v, n in [*self.counts.items()][:6])

  def text(self) -> str:
    """The column and its values, in words."""
    return f'column {self.column!r} holds {self.listed()}'


def find(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> Events | None:
  """The column that says what happened, of a log with a row per event.

  Of several it is the one whose kinds are of most sorts: beside Coveo's
  `event_type` (a page or a product) its `product_action`.
  """
  best, most = None, 0
  for one in facts:
    named = key_names.rank(one.name, 'event') is not None
    if not (named or words.of(one.name) == ['type']) or not one.is_key:
      continue
    is_number = one.kind == 'number'
    if not 2 <= one.distinct <= (_MOST_CODES if is_number else _MOST_EVENTS):
      continue
    value = one.text
    counts = dict(
      sample.fetch(
        f'{value} AS v, count(*) AS n',
        f'WHERE {value} IS NOT NULL GROUP BY v ORDER BY n DESC, v',
      )
    )
    known = [event_names.event(value) for value in counts]
    sold = {'cart', 'purchase'} & {*known}
    is_event = named and (is_number or any(known))
    sorts = 1 + len({*known} - {''})
    if (is_event or (sold and all(known))) and sorts > most:
      best, most = Events(one.name, counts), sorts
  return best


def declare(happened: Events) -> tuple[dict[str, Any], list[dict[str, Any]]]:
  """What a schema says of events, and its tasks.

  Kinds that nobody knows are labels too, but for the most frequent kind of a
  log without impressions, which takes their place. A purchase makes the cart
  positive as well, as the readers of shops have it.

  Returns:
    The values of `events` and of `tasks`.
  """
  kinds = {kind: event_names.event(kind) for kind in happened.counts}
  shown = [kind for kind, what in kinds.items() if what == 'impression']
  shown = shown or [next(iter(kinds))]
  answers = [
    kind
    for kind in kinds
    if kind not in shown and not event_names.takes_back(kind)
  ]
  bought = [kind for kind in answers if kinds[kind] == 'purchase']
  # Codes are no names.
  named = {k: k if kinds[k] else f'{happened.column}_{k}' for k in answers}
  task_names = schema_names.unique(named.values())
  labels, tasks = {}, []
  for kind in sorted(answers, key=lambda kind: kinds[kind] == 'purchase'):
    task = task_names[named[kind]]
    also = bought if kinds[kind] == 'cart' else []
    labels[task] = [kind, *also]
    carts = [t['name'] for t in tasks if len(labels[t['name']]) > 1]
    is_after = kind in bought and carts
    tasks.append({'name': task, **({'after': carts[0]} if is_after else {})})
  events = {'column': happened.column, 'impressions': shown, 'labels': labels}
  return events, tasks


def of_some(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts], happened: Events
) -> dict[str, str]:
  """Why columns that only some events fill are leaks of these, by column."""
  event = sample.column(happened.column)
  first = next(iter(happened.counts))
  found = {}
  for one in facts:
    if not one.missing or not one.filled:
      continue
    value = one.text
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
  """The source that reads a log with such columns; '' if none does."""
  fitting = [
    (len(record.columns), record.name)
    for record in sources.RECORDS.values()
    if record.columns and set(record.columns) <= set(columns)
  ]
  return max(fitting, default=(0, ''))[1]
