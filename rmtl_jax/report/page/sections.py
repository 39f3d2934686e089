"""Sections that the pages of a run and of a comparison share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.report import tables
from rmtl_jax.report.page import content

Record = Mapping[str, Any]

_CODE = ('setting', 'value', 'paper')


def settings(
  values: Record,
  defaults: Record,
  changed_caption: str,
  all_caption: str,
) -> list[content.Block]:
  """Shows the settings that differ from the paper's, then all, folded.

  Args:
    values: {'group.field': value}.
    defaults: the same of the defaults.
    changed_caption: of the first table, which is left out where it is empty.
    all_caption: of the second, which leaves the group `compare` out.
  """
  rows = {
    name: (name, _setting(value), _setting(defaults[name]))
    for name, value in values.items()
  }
  changed = [rows[name] for name in rows if values[name] != defaults[name]]
  others = [rows[name] for name in rows if not name.startswith('compare.')]
  blocks: list[content.Block] = []
  if changed:
    table = content.Table(_CODE, changed, 3)
    blocks.append(content.Grid(changed_caption, table, _CODE))
  table = content.Table(_CODE, others, 3)
  grid = content.Grid(all_caption, table, _CODE)
  return [*blocks, content.Folded(f'All {len(others)} settings', [grid])]


def _setting(value: Any) -> str:
  """Formats a setting's value as its flag takes it."""
  if isinstance(value, list | tuple):
    return ','.join(map(str, value)) or '(none)'
  if isinstance(value, bool):
    return str(value).lower()
  return str(value) if value != '' else '(none)'


def splits(of: Record, tasks: Sequence[str]) -> content.Grid:
  """Shows rows, sessions and label rates of every split.

  Args:
    of: {name: {'rows', 'sessions', 'positives': {task: rows}}}, and `observed`
      {task: rows} of tasks that not all rows count for.
    tasks: K names.
  """
  rows = []
  for name, split in of.items():
    count, sessions = split['rows'], split['sessions']
    seen = {**dict.fromkeys(tasks, count), **split.get('observed', {})}
    rates = [
      f'{split["positives"][task] / seen[task]:.2%}'
      if seen[task]
      else content.NOTHING
      for task in tasks
    ]
    mean = f'{count / sessions:.1f}' if sessions else content.NOTHING
    rows.append((name, f'{count:,}', f'{sessions:,}', mean, *rates))
  header = ('split', 'rows', 'sessions', 'rows per session')
  header += tuple(f'{task} rate' for task in tasks)
  return content.Grid(
    'Splits; a rate is the share of labels other than 0',
    content.Table(header, rows, 1),
  )


def provenance(record: Record) -> content.Section:
  """Says how the figures were made; see `tables.provenance`."""
  lines = tables.provenance(record)
  return content.Section('How this was made', [content.Items(lines)])
