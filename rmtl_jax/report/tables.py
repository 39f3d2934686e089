"""The table and the sentences that end a run."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table

from rmtl_jax.evaluation import metrics as metrics_lib
from rmtl_jax.weighting import registry


def rows(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Yields (label, metrics per task) of every model in a run's record."""
  for name, metrics, _ in _models(record):
    yield name, metrics


def _models(
  record: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
  """Yields (label, metrics per task, stage); the stage is '' of baselines."""
  if 'baseline' in record:
    yield 'user rate x item rate', record['baseline'], ''
  scratch = record.get('start') == 'scratch'
  how = 'from scratch' if scratch else 'fine-tuned'
  for stage, name in (
    ('pretrain', 'pre-trained (stage 1)'),
    ('constant', f'{how}, constant weights (control)'),
    (
      'finetune',
      f'{how}, {registry.label(record["weighting"], record.get("form", ""))}',
    ),
  ):
    if stage in record['stages']:
      yield name, record['stages'][stage], stage
  if 'oracle' in record:
    yield 'oracle: true probabilities', record['oracle'], ''


def metrics_table(record: Mapping[str, Any]) -> rich.table.Table:
  """The metrics that are compared per model and task, AUC with its interval.

  Calibrated models have their logloss in one more column.
  """
  calibrated = record.get('calibrated', {})
  table = rich.table.Table(
    title=(
      f'{record["backbone"]} on the {record["split"]} split'
      f' ({seed_text(record)})'
    ),
    box=rich.box.SIMPLE_HEAD,
    title_justify='left',
  )
  table.add_column('task')
  table.add_column('model')
  shown = metrics_lib.known(
    (name for _, of, _ in _models(record) for name in of[record['tasks'][0]]),
    compared=True,
  )
  for i, one in enumerate(shown):
    table.add_column(one.label, justify='right')
    if not i:
      table.add_column('interval', justify='right')
  if calibrated:
    table.add_column('calibrated\nlogloss', justify='right')
  for task in record['tasks']:
    for name, metrics, stage in _models(record):
      cells = _cells(metrics[task], shown)
      if stage in calibrated:
        cells.append(_cell(calibrated[stage][task]['logloss'], '.4f'))
      table.add_row(task, name, *cells)
    table.add_section()
  return table


def _cells(
  metrics: Mapping[str, Any], shown: Sequence[metrics_lib.Metric]
) -> list[str]:
  cells = []
  for i, one in enumerate(shown):
    cells.append(_cell(metrics.get(one.name), one.form))
    if not i:
      low_high = metrics.get(f'{one.name}_interval')
      cells.append(f'{low_high[0]:.4f} - {low_high[1]:.4f}' if low_high else '')
  return cells


def _cell(value: float | None, form: str) -> str:
  return 'undefined' if value is None else format(value, form)


def sentences(record: Mapping[str, Any]) -> list[str]:
  """Puts differences, warnings and limits of the figures into sentences."""
  lines = []
  for (first, second), label in (
    (('finetune', 'constant'), 'the control with constant weights'),
    (('finetune', 'pretrain'), 'the pre-trained model'),
  ):
    difference = record.get('difference', {}).get(f'{first}_minus_{second}')
    if not difference:
      continue
    parts = [_difference(task, difference[task]) for task in record['tasks']]
    lines.append(f'AUC against {label}: ' + '; '.join(parts) + '.')
  kept = [
    label
    for stage, label in (
      ('constant', 'The control'),
      ('finetune', registry.short(record['weighting'])),
    )
    if _never_improved(record['best_epoch'].get(stage))
  ]
  if kept:
    lines.append(
      f'{" and ".join(kept)} kept the pre-trained parameters: no epoch of'
      ' fine-tuning ranked the validation rows better. Differences between the'
      ' same parameters are 0 by construction.'
    )
  if lines:
    lines.append(
      'One seed says little: the same model with another seed often differs'
      ' by more than these differences.'
    )
  lines += _ensemble_sentences(record)
  lines += left_out(_undefined_draws(record))
  lines += [f'WARNING: {warning}.' for warning in record.get('warnings', [])]
  return lines


def _undefined_draws(record: Mapping[str, Any]) -> dict[str, int]:
  """Counts by task; all models of a run share the draws."""
  first = next(iter(record['stages'].values()), {})
  return {
    task: values.get('undefined_draws', 0)
    for task, values in first.items()
    if values.get('auc_interval')
  }


def left_out(draws: Mapping[str, int]) -> list[str]:
  """Says how many resamples have no AUC, if any.

  Args:
    draws: how many, by task.
  """
  counts = [f'{count} of {task}' for task, count in draws.items() if count]
  if not counts:
    return []
  return [
    'Resamples of sessions that hold one label alone have no AUC and are left'
    f' out of its interval: {", ".join(counts)}.'
  ]


def seed_text(record: Mapping[str, Any]) -> str:
  """The seed of a run, and the size of its ensemble."""
  members = record.get('ensemble')
  return f'seed {record["seed"]}' + (
    f', ensemble of {members}' if members else ''
  )


def _never_improved(best_epoch: int | list[int] | None) -> bool:
  """Whether every member of an actor kept epoch 0."""
  epochs = best_epoch if isinstance(best_epoch, list) else [best_epoch]
  return all(epoch == 0 for epoch in epochs)


def _ensemble_sentences(record: Mapping[str, Any]) -> list[str]:
  """Compares the last stage's ensemble with the mean of its members."""
  members = record.get('members')
  if not members:
    return []
  stage = list(members)[-1]
  parts = []
  for task in record['tasks']:
    for name in ('auc', 'logloss'):
      own = members[stage][task][name]
      value = record['stages'][stage][task][name]
      if value is None or None in own:
        continue
      label = 'AUC' if name == 'auc' else name
      parts.append(
        f'{task} {label} {value - sum(own) / len(own):+.4f} (members'
        f' {min(own):.4f} to {max(own):.4f})'
      )
  if not parts:
    return []
  return [
    f'Ensemble against the mean of its {record["ensemble"]} members: '
    + '; '.join(parts)
    + '.'
  ]


def _difference(task: str, difference: Mapping[str, Any]) -> str:
  value, interval = difference['auc'], difference['auc_interval']
  if value is None:
    return f'{task} undefined'
  if not interval:
    return f'{task} {value:+.4f}'
  inside = interval[0] <= 0.0 <= interval[1]
  return f'{task} {value:+.4f} ({interval[0]:+.4f} to {interval[1]:+.4f}' + (
    ', which includes 0)' if inside else ')'
  )


def text(table: rich.table.Table, width: int = 120) -> str:
  """Renders a table as plain text."""
  buffer = io.StringIO()
  # Cells may come from data: [brackets] are no markup, `:tada:` is no emoji.
  console = rich.console.Console(
    file=buffer, width=width, force_jupyter=False, markup=False, emoji=False
  )
  console.print(table)
  return buffer.getvalue().rstrip() + '\n'


def provenance(record: Mapping[str, Any]) -> list[str]:
  """Lists versions, device, commit and times, one line each.

  Args:
    record: a run's metrics or a comparison's results; only the latter have
      `commit`.
  """
  versions = ', '.join(f'{k} {v}' for k, v in record['versions'].items())
  lines = [f'Versions: {versions}', f'Device: {record["device"]}']
  if 'commit' in record:
    lines.append(f'Commit: {record["commit"] or "unknown"}')
  times = [
    f'{name} {value:.0f} s'
    for name, value in record.get('seconds', {}).items()
    if isinstance(value, int | float)
  ]
  return [*lines, f'Time: {", ".join(times)}'] if times else lines


def text_of_paths(**paths: pathlib.Path) -> str:
  """Lists files that were written, one per line."""
  return '\n'.join(f'{name}: {path}' for name, path in paths.items())
