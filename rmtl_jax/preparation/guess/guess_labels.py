"""Labels, events and leaks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import words

# A column that ranks a label better than this reveals it.
_LEAK_AUC = 0.98
_ROWS_OF_A_CATEGORY = 20
# Positives, and the share of them, that must imply another label.
_POSITIVES, _IMPLIES = 5, 0.999
_KINDS_OF_EVENT = 50
_SHOWN = {'view', 'impression', 'show', 'shown', 'pv', 'display', 'detail'}


class Label(NamedTuple):
  """A task.

  Attributes:
    facts: of its column.
    entry: its entry in the schema, without its name and `after`.
    why: in words.
    rate: share of ones among the rows with a value; of numbers 0.
  """

  facts: facts_lib.Facts
  entry: Mapping[str, Any]
  why: str
  rate: float

  @property
  def is_one(self) -> str:
    """SQL of whether it is positive."""
    one = self.facts
    condition = f'{one.number} = 1'
    if 'positive' in self.entry:
      texts = ', '.join(map(sql.literal, self.entry['positive']))
      condition = f'{one.text} IN ({texts})'
    return f'coalesce({condition}, false)'


def find(
  facts: Sequence[facts_lib.Facts], given: Collection[str]
) -> list[Label]:
  """The labels, the most frequent first.

  Args:
    facts: of the columns that have no other role.
    given: columns that are the labels; empty: found by their names.
  """
  if given:
    named = {one.name: one for one in facts}
    found = [_of(named[name], 'as given') for name in given]
  else:
    found = [
      _of(one, 'named like an outcome')
      for one in facts
      if one.is_binary and words.is_outcome(one.name)
    ]
  return sorted(found, key=lambda one: -one.rate)


def _of(one: facts_lib.Facts, why: str) -> Label:
  if one.kind == 'text' and one.distinct == 2 and not one.is_binary:
    counts = one.sample.fetch(
      f'{one.text} AS v, count(*) AS n',
      f'WHERE {one.text} IS NOT NULL GROUP BY v ORDER BY n, v',
    )
    # The word that the column is named after, else the rarer one.
    counts.sort(key=lambda found: found[0].lower() != one.name.lower())
    (word, count), (_, others) = counts
    entry: dict[str, Any] = {'column': one.name, 'positive': [word]}
    rate = count / (count + others)
    return Label(one, entry, f'{why}, {rate:.1%} are {word!r}', rate)
  if not one.is_binary:
    entry = {'column': one.name}
    if one.kind == 'number':
      entry['kind'] = 'regression'
    return Label(one, entry, why, 0.0)
  entry = {'column': one.name}
  if one.truth not in (None, ('true', 'false')):
    texts = one.sample.fetch(
      f'DISTINCT {one.text}',
      f'WHERE lower({one.text}) = {sql.literal(one.truth[0])}',
    )
    entry['positive'] = sorted(text for (text,) in texts)
  elif one.missing:
    entry['null'] = 'not_observed'
  (rate,) = one.sample.fetch(f'avg({one.number})')[0]
  return Label(one, entry, f'{why}, {rate:.1%} are 1', rate or 0.0)


def entries(labels: Sequence[Label]) -> tuple[list[dict[str, Any]], list[str]]:
  """Entries of the schema with names and `after`; and reasons of `after`."""
  columns = [one.facts.name for one in labels]
  found: list[dict[str, Any]] = []
  reasons: list[str] = []
  for place, one in enumerate(labels):
    name = words.of_task(one.facts.name, columns)
    entry: dict[str, Any] = {'name': name, **one.entry}
    reason = ''
    for earlier in range(place - 1, -1, -1) if one.rate else ():
      parent = labels[earlier]
      if parent.rate <= one.rate or 'null' in parent.entry:
        continue
      (implied,) = one.facts.sample.fetch(
        f'avg(CAST({parent.is_one} AS INT))', f'WHERE {one.is_one}'
      )[0]
      if implied == 1:
        entry['after'] = found[earlier]['name']
        reason = f'; every 1 has a 1 in {parent.facts.name}'
        break
    reasons.append(reason)
    found.append(entry)
  return found, reasons


def left_out(
  facts: Sequence[facts_lib.Facts], labels: Sequence[Label]
) -> dict[str, str]:
  """Why columns are leaks, or outcomes that are no task, by their names."""
  found: dict[str, str] = {}
  for one in facts:
    for label in reversed(labels):  # the rarest is the most telling
      why = _leak(one, label)
      if why:
        found[one.name] = why
        break
    else:
      if one.is_binary and words.is_outcome(one.name):
        found[one.name] = (
          f'named like an outcome; --label={one.name} makes it a label'
        )
      elif words.is_amount_label(one.name) and one.kind == 'number':
        found[one.name] = (
          f'a number that a row led to; --label={one.name} makes it a task'
        )
  return found


def _leak(one: facts_lib.Facts, label: Label) -> str:
  """Why a column reveals a label, or ''."""
  if not 0 < label.rate < 0.9:
    return ''
  (filled, of_ones, ones) = one.sample.fetch(
    f'count({one.text}), count(*) FILTER ({one.text} IS NOT NULL AND'
    f' {label.is_one}), count(*) FILTER ({label.is_one})'
  )[0]
  if filled >= _POSITIVES and of_ones >= _IMPLIES * filled and one.missing:
    return f'filled only where {label.facts.name} is 1'
  if filled == one.sample.rows - ones and not of_ones:
    return f'filled only where {label.facts.name} is 0'
  if one.kind in ('list', 'other', 'time'):
    return ''
  if one.kind == 'number' or one.is_binary:
    some, some_of_ones = one.sample.fetch(
      f'count(*) FILTER ({one.number} <> 0), count(*) FILTER'
      f' ({one.number} <> 0 AND {label.is_one})'
    )[0]
    if some >= _POSITIVES and some_of_ones >= _IMPLIES * some:
      hint = f'; --label={one.name} makes it a label' if one.is_binary else ''
      return f'other than 0 only where {label.facts.name} is 1{hint}'
  auc = _auc(one, label)
  return f'ranks {label.facts.name} alone with an AUC of {auc:.3f}' * (
    auc > _LEAK_AUC
  )


def _auc(one: facts_lib.Facts, label: Label) -> float:
  """How well a column alone ranks a label; 0.5 of too many categories."""
  if one.kind == 'number':
    value, key = one.number, 'v'
  elif one.distinct * _ROWS_OF_A_CATEGORY <= one.sample.rows:
    value, key = one.text, 'p / (p + n)'
  else:
    return 0.5
  ((auc,),) = one.sample.connection.execute(
    f'WITH g AS (SELECT {value} AS v, sum(CAST({label.is_one} AS INT)) AS p,'
    f' sum(CAST(NOT {label.is_one} AS INT)) AS n FROM log GROUP BY v),'
    f' o AS (SELECT p, n, sum(n) OVER (ORDER BY {key} NULLS FIRST ROWS'
    ' UNBOUNDED PRECEDING) - n AS below FROM g)'
    ' SELECT sum(p * (below + n / 2)) / (sum(p) * sum(n)) FROM o'
  ).fetchall()
  return max(auc, 1 - auc) if auc is not None else 0.5


def find_events(
  facts: Sequence[facts_lib.Facts],
) -> tuple[dict[str, Any], str] | None:
  """`events` of the schema and why, if the log is one of events."""
  for one in facts:
    if one.kind != 'text' or not words.has(one.name, words.EVENTS):
      continue
    if one.distinct > _KINDS_OF_EVENT:
      continue
    counts = dict(
      one.sample.fetch(
        f'{one.text} AS v, count(*) AS n',
        f'WHERE {one.text} IS NOT NULL GROUP BY v ORDER BY n DESC, v',
      )
    )
    kinds = list(counts)
    shown = [k for k in kinds if words.has(k, _SHOWN)]
    if not shown and 'click' in kinds:  # clicks lead to what follows
      shown = ['click']
    tasks = [k for k in kinds if k not in shown and words.is_outcome(k)]
    if shown and tasks:
      labels = {words.of_task(kind, tasks): [kind] for kind in tasks}
      entry = {'column': one.name, 'impressions': shown, 'labels': labels}
      listed = ', '.join(f'{kind} ({n:,})' for kind, n in counts.items())
      return entry, f'events: {listed:.200}'
  return None
