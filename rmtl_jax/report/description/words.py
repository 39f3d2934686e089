"""What stands out in prepared data, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rmtl_jax.preparation.as_of import slates
from rmtl_jax.preparation.description import drift
from rmtl_jax.report.description import tables

Record = Mapping[str, Any]

DRIFT = (
  'Drift is the population stability index against train: below 0.1 two splits'
  ' are alike, above 0.25 they differ much. Unseen: the share of values that'
  ' are missing, rare or in no train row.'
)
AS_OF = (
  'As-of fields count what came before, so they grow with the log and drift by'
  ' construction.'
)
TOGETHER = (
  'Over train rows. The correlation is Pearson\'s, of two 0/1 labels phi. "B'
  ' where A": the rate or mean of B over the rows where A is not 0.'
)
# A change of a label's rate that is worth a sentence, as a part of train's,
# and the share of unseen values that is.
_CHANGE, _UNSEEN = 0.1, 0.1
_MOST_NAMES = 5


def findings(record: Record) -> list[str]:
  """Sentences about drift, unseen values and labels that change."""
  found = differences(record['fields'])
  points = record['over_time']['points']
  for task in record['tasks']:
    before, after = (
      tables.mean(points[name], task['name']) for name in ('train', 'test')
    )
    if before and after is not None and abs(after / before - 1) > _CHANGE:
      what = 'rate' if task['kind'] == 'binary' else 'mean'
      found.append(
        f'The {what} of {task["name"]} goes from'
        f' {tables.label(before, task["kind"])} in train to'
        f' {tables.label(after, task["kind"])} in test.'
      )
  if record['over_time']['span_ms'] is None:
    found.append('The data have no times, so there are no rates over time.')
  return found


def differences(fields: Sequence[Record]) -> list[str]:
  """Sentences about fields that drift and about unseen values."""
  return [*_drift(fields), *_unseen(fields)]


def _drift(fields: Sequence[Record]) -> list[str]:
  """Which fields differ much, those apart that count what came before."""
  names: dict[bool, list[str]] = {False: [], True: []}
  for field in tables.worst_first(fields):
    index, chance = field['psi']['test'], field['chance']['test']
    if index > drift.DIFFERENT + chance:
      # Slates count nothing that came before.
      grows = field['as_of'] not in ('', slates.GROUP)
      names[grows].append(field['name'])
  found = []
  if names[False]:
    found.append(
      f'Differs much between train and test: {_listed(names[False])}.'
    )
  else:
    found.append('No field of the log differs much between train and test.')
  if names[True]:
    found.append(f'As-of fields that do: {_listed(names[True])}. {AS_OF}')
  return found


def _unseen(fields: Iterable[Record]) -> list[str]:
  """Fields of the log with many unseen values in test."""
  many = [
    f'{field["name"]} {field["unseen"]["test"]:.1%}'
    for field in fields
    if not field['as_of']
    and field['unseen'].get('test', 0.0)
    > field['unseen'].get('train', 0.0) + _UNSEEN
  ]
  return (
    [f'Values of test that train has not: {_listed(many)}.'] if many else []
  )


def _listed(names: list[str]) -> str:
  rest = len(names) - _MOST_NAMES
  more = f' and {rest} more' if rest > 0 else ''
  return ', '.join(names[:_MOST_NAMES]) + more
