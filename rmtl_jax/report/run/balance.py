"""The chapter of a run's page on its tasks: do they conflict, who weighs more.

What it shows is in the history of every epoch (training/conflicts.py). An epoch
of an ensemble's member is one of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from rmtl_jax.balancing import registry
from rmtl_jax.report.page import content
from rmtl_jax.report.run import pictures

Record = Mapping[str, Any]

_STAGES = {'pretrain': 'stage 1', 'finetune': 'stage 3', 'constant': 'control'}


def section(record: Record) -> content.Section | None:
  """Words, a picture of the cosines, and every epoch's figures."""
  tasks = record['metrics']['tasks']
  pairs = list(itertools.combinations(tasks, 2))
  entries = [
    entry
    for entry in record['history']
    if any(_cosine(*pair) in entry for pair in pairs)
  ]
  if not entries:
    return None
  table = _table(entries, tasks, pairs)
  return content.Section(
    'Tasks',
    [
      content.Items(_words(record, entries, pairs)),
      *content.side_by_side([pictures.cosines(record, entries, pairs)]),
      content.Folded(
        f'{len(table.rows)} epochs',
        [content.Grid("The tasks' gradients and weights", table)],
      ),
    ],
  )


def _cosine(first: str, second: str) -> str:
  return f'gradient_cosine_{first}_and_{second}'


def _words(record: Record, entries: list[Any], pairs: list[Any]) -> list[str]:
  """What balances the tasks, and whether any two conflict."""
  lines = []
  for stage in ('pretrain', 'finetune'):
    name = record['config'][f'{stage}.balancing.name']
    if name in registry.RECORDS and any(e['stage'] == stage for e in entries):
      lines.append(
        f'{_STAGES[stage].capitalize()}: {registry.find(name).label}.'
      )
  # Of stage 1, by member; stage 3 alone has its own.
  first_stage = [e for e in entries if e['stage'] == 'pretrain'] or entries
  last = {entry.get('member'): entry for entry in first_stage}.values()
  for first, second in pairs:
    conflict = f'gradient_conflict_{first}_and_{second}'
    shares = [entry[conflict] for entry in entries if conflict in entry]
    # Of a pair that no batch has both of, nothing is known.
    known = [e for e in last if _cosine(first, second) in e]
    if not known:
      continue
    share = sum(shares) / len(shares)
    conflicts = (
      f'in {100 * share:.0f} % of the batches that were looked at they conflict'
      if share
      else 'in no batch that was looked at do they conflict'
    )
    cosines = ' and '.join(f'{e[_cosine(first, second)]:.2f}' for e in known)
    lines.append(
      f'{first} and {second}: the cosine of their gradients is {cosines} after'
      f' the last epoch of {_STAGES[first_stage[0]["stage"]]}; {conflicts} (a'
      ' cosine below 0).'
    )
  lines.append(
    'Of the parameters that tasks share, on the same few train batches after'
    ' every epoch, without dropout.'
  )
  return lines


def _table(
  entries: list[Any], tasks: list[str], pairs: list[Any]
) -> content.Table:
  """A row per epoch: weights, gradient norms, cosines."""
  weighs = any(f'weight_mean_{tasks[0]}' in entry for entry in entries)
  rows = []
  for entry in entries:
    member = f', member {entry["member"] + 1}' if 'member' in entry else ''
    stage = _STAGES.get(entry['stage'], entry['stage'])
    cells = [f'{stage}{member}', str(entry['epoch'])]
    if weighs:
      cells += [
        content.number(entry.get(f'weight_mean_{task}'), '.3f')
        for task in tasks
      ]
    cells += [
      content.number(entry.get(f'gradient_norm_{task}'), '.4g')
      for task in tasks
    ]
    cells += [
      content.number(entry.get(_cosine(*pair)), '.2f') for pair in pairs
    ]
    rows.append(tuple(cells))
  header = (
    'stage',
    'epoch',
    *(f'weight {task}' for task in tasks if weighs),
    *(f'norm {task}' for task in tasks),
    *(f'cosine {first}, {second}' for first, second in pairs),
  )
  return content.Table(header, rows, 1)
