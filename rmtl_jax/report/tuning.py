"""The result of a search, for a terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import rich.table

from rmtl_jax.evaluation import comparison
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.report import tables
from rmtl_jax.studies.tuning import confirmation

Record = Mapping[str, Any]

_SHOWN = 10


def text(record: Record, path: str | os.PathLike[str] = 'TUNING') -> str:
  """Renders the best trials, the decision and the next command."""
  parts = [tables.text(_trials(record))]
  if record['confirmed']:
    parts.append(tables.text(_confirmed(record)))
  sentences = tables.wrapped(decision(record))
  return '\n'.join([*parts, sentences, *_advice(record, path)])


def decision(record: Record) -> str:
  """Says in one sentence which settings best.json has, and why."""
  seeds = comparison.count(len(record['confirm_seeds']), 'fresh seed')
  kept = 'Kept the settings you started from: '
  if record['base_kept']:
    if len(record['trials']) == 1:  # as given
      return kept + 'no others were tried.'
    if not record['confirmed']:
      return kept + "no trial was better with the search's own seeds."
    if any(_gains(entry) for entry in record['confirmed']):
      return (
        f'{kept}over {seeds} a trial beat them, but lost in one half of the'
        ' validation period.'
      )
    return f'{kept}no trial beat them by more than seed noise over {seeds}.'
  settings = _settings(record['chosen'])
  for entry in record['confirmed']:
    if entry['settings'] == record['chosen']:
      return (
        f'Chosen: {settings}, gain {_gain(entry)} on validation over {seeds}.'
      )
  return f'Chosen: {settings}, not confirmed with fresh seeds.'


def _monitor(record: Record) -> monitor_lib.Monitor:
  return monitor_lib.of(record.get('monitor', monitor_lib.AUC.name))


def _heading(record: Record) -> str:
  """What is monitored, a word on a line: four gains leave it little room."""
  return _monitor(record).word.replace(' ', '\n')


def _trials(record: Record) -> rich.table.Table:
  monitor = _monitor(record)
  seeds = comparison.count(len(record['seeds']), 'seed')
  table = _table(
    f'{_model(record)}, {len(record["trials"]) - 1} trials: mean'
    f' validation {monitor.word} over tasks and {seeds}',
    ('rank', _heading(record)),
  )
  table.add_column('settings')
  base = record['trials'][0]
  for rank, trial in enumerate(_ranked(record), 1):
    if rank <= _SHOWN or trial is base:
      shown = f'{trial[monitor.figure]:.4f}'
      if trial['pruned']:
        shown = f'{shown} (1 seed)' if trial['by_seed'] else 'diverged'
      table.add_row(str(rank), shown, _settings(trial['settings']))
  return table


def _confirmed(record: Record) -> rich.table.Table:
  seeds = comparison.count(len(record['confirm_seeds']), 'fresh seed')
  table = _table(
    f'again with {seeds}, the gain also in each half of the validation period',
    ('rank', _heading(record), 'gain', 'earlier', 'later'),
  )
  ranks = [trial['settings'] for trial in _ranked(record)]
  for entry in record['confirmed']:
    values, halves = entry['by_seed'], entry['halves']
    cells = ['', '', ''] if values else ['diverged', '', '']
    if entry['settings'] and values:
      pair = halves if len(halves) == 2 else [None, None]
      cells = [_gain(each) if each else '' for each in (entry, *pair)]
    mean = f'{sum(values) / len(values):.4f}' if values else ''
    rank = ranks.index(entry['settings']) + 1
    table.add_row(str(rank), mean, *cells)
  return table


def _ranked(record: Record) -> list[Record]:
  """Trials, the best first and the pruned ones last."""
  monitor = _monitor(record)
  return sorted(
    record['trials'],
    key=lambda t: (t['pruned'], -monitor.sign * t[monitor.figure]),
  )


def _model(record: Record) -> str:
  members = record.get('ensemble', 1)
  if members == 1:
    return record['backbone']
  return f'{record["backbone"]}, ensemble of {members}'


def _table(title: str, columns: tuple[str, ...]) -> rich.table.Table:
  table = tables.boxed(title)
  for name in columns:
    table.add_column(name, justify='right', no_wrap=True)
  return table


def _settings(settings: Record) -> str:
  return '  '.join(f'{k}={v}' for k, v in settings.items()) or '(as given)'


def _gain(entry: Record) -> str:
  return f'{entry["gain"]:+.4f} +- {entry["standard_error"]:.4f}'


def _gains(entry: Record) -> bool:
  return bool(entry['by_seed']) and entry['gain'] > entry['standard_error']


def _advice(record: Record, path: str | os.PathLike[str]) -> list[str]:
  if record['base_kept']:
    return []
  used = [*record['seeds'], *record['confirm_seeds']]
  seeds = ','.join(map(str, confirmation.fresh_seeds(used, 16, start=100)))
  method = shlex.quote(record['method'])
  # Without a file, methods are single models.
  if record.get('ensemble', 1) > 1:
    method += f' --config={os.path.join(path, "config.json")}'
  return [
    tables.wrapped(
      'It was chosen on the rows that it was measured on, so its'
      f' {_monitor(record).word} is too good. Whether it gains, other seeds'
      ' tell on the test split:'
    ),
    f'  rmtl compare --methods={method} --seeds={seeds} ...',
  ]
