"""What a search found, for a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import rich.box
import rich.table

from rmtl_jax.report import tables

_SHOWN = 10


def text(record: Mapping[str, Any]) -> str:
  """The best trials and what to do next.

  Args:
    record: what tuning.json holds.
  """
  table = rich.table.Table(
    title=(
      f'{record["backbone"]}, {len(record["trials"]) - 1} trials: mean'
      f' validation AUC over tasks and {len(record["seeds"])} seeds'
    ),
    box=rich.box.SIMPLE_HEAD,
    title_justify='left',
  )
  table.add_column('rank', justify='right')
  table.add_column('AUC', justify='right')
  table.add_column('settings')
  ranked = sorted(record['trials'], key=lambda t: -t['validation_auc'])
  base = record['trials'][0]
  for rank, trial in enumerate(ranked, 1):
    if rank <= _SHOWN or trial is base:
      settings = '  '.join(f'{k}={v}' for k, v in trial['settings'].items())
      table.add_row(
        str(rank), f'{trial["validation_auc"]:.4f}', settings or '(as given)'
      )
  return '\n'.join([tables.text(table), *_advice(record)])


def _advice(record: Mapping[str, Any]) -> list[str]:
  if not record['best']['settings']:
    return ['No trial was better than the settings as given.']
  fresh = itertools.islice(
    (seed for seed in itertools.count(100) if seed not in record['seeds']), 16
  )
  seeds = ','.join(map(str, fresh))
  return [
    'The best value was chosen on the rows that it was measured on, so it is'
    ' too good. Whether the settings gain, other seeds tell on the test split:',
    f'  rmtl compare --methods={record["method"]} --seeds={seeds} ...',
  ]
