"""The result of a search, for a terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import comparison, validation_monitor
from rmtl_jax.report import pages

Record = Mapping[str, Any]

_SHOWN = 10


def text(record: Record, path: str | os.PathLike[str] = 'TUNING') -> str:
  """Renders the best trials, the decision and the next command."""
  parts = [pages.text(_trials(record))]
  if record['confirmed']:
    parts.append(pages.text(_confirmed(record)))
  return '\n'.join(
    [*parts, pages.wrapped(decision(record)), *_advice(record, path)]
  )


def decision(record: Record) -> str:
  """Says in one sentence which settings best.json has, and why."""
  seeds = comparison.count(len(record['confirm_seeds']), 'fresh seed')
  if record['base_kept']:
    kept = 'Kept the settings you started from: '
    if not record['confirmed']:
      return f"{kept}no trial was better with the search's own seeds."
    return f'{kept}no trial beat them over {seeds} by more than seed noise.'
  settings = _settings(record['chosen'])
  for entry in record['confirmed']:
    if entry['settings'] == record['chosen']:
      gain = _gain(entry)
      return f'Chosen: {settings}, gain {gain} on validation over {seeds}.'
  return f'Chosen: {settings}, not confirmed with fresh seeds.'


def _ranked(record: Record) -> list[Record]:
  """Trials, the best first and the pruned ones last."""
  monitor = validation_monitor.of(record['monitor'])
  return sorted(
    record['trials'],
    key=lambda t: (t['pruned'], -monitor.sign * t[monitor.figure]),
  )


def _trials(record: Record) -> pages.Table:
  monitor, base = validation_monitor.of(record['monitor']), record['trials'][0]
  rows = []
  for rank, trial in enumerate(_ranked(record), 1):
    if rank <= _SHOWN or trial is base:
      shown = f'{trial[monitor.figure]:.4f}'
      if trial['pruned']:
        shown = f'{shown} (pruned)' if trial['by_seed'] else 'diverged'
      rows.append((str(rank), shown, _settings(trial['settings'])))
  members = record['ensemble']
  model = f', ensemble of {members}' if members > 1 else ''
  seeds = comparison.count(len(record['seeds']), 'seed')
  return pages.Table(
    ('rank', monitor.word, 'settings'),
    rows,
    3,
    f'{record["backbone"]}{model}, {len(record["trials"]) - 1} trials: mean'
    f' validation {monitor.word} over tasks and {seeds}',
  )


def _confirmed(record: Record) -> pages.Table:
  ranks = [trial['settings'] for trial in _ranked(record)]
  rows = []
  for entry in record['confirmed']:
    values = entry['by_seed']
    mean = f'{sum(values) / len(values):.4f}' if values else 'diverged'
    gain = _gain(entry) if entry['settings'] and values else ''
    rank = ranks.index(entry['settings']) + 1
    rows.append((str(rank), mean, gain))
  seeds = comparison.count(len(record['confirm_seeds']), 'fresh seed')
  return pages.Table(('rank', 'mean', 'gain'), rows, 1, f'again with {seeds}')


def _settings(settings: Record) -> str:
  return '  '.join(f'{k}={v}' for k, v in settings.items()) or '(as given)'


def _gain(entry: Record) -> str:
  return f'{entry["gain"]:+.4f} ± {entry["standard_error"]:.4f}'


def _advice(record: Record, path: str | os.PathLike[str]) -> list[str]:
  if record['base_kept']:
    return []
  first = max([99, *record['seeds'], *record['confirm_seeds']]) + 1
  seeds = ','.join(str(seed) for seed in range(first, first + 16))
  method = shlex.quote(record['method'])
  # Without a file, methods are single models.
  if record['ensemble'] > 1:
    method += f' --config={os.path.join(path, "config.json")}'
  monitor = validation_monitor.of(record['monitor'])
  return [
    pages.wrapped(
      'These settings were chosen on the validation rows, so their'
      f' {monitor.word} there is too good. To measure the gain with other seeds'
      ' on the test split:'
    ),
    f'  rmtl compare --methods={method} --seeds={seeds} ...',
  ]
