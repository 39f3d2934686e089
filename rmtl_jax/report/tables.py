"""The table and the sentences that end a run.

`record` is the content of metrics.json.
"""

from __future__ import annotations

import io
import itertools
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.measure
import rich.table

from rmtl_jax import terminal
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import models as models_lib
from rmtl_jax.report.page import content
from rmtl_jax.results import served, verdict
from rmtl_jax.weighting import registry

Record = Mapping[str, Any]

# The metrics of the short table where all tasks are binary.
SHOWN = tuple(metric_registry.RECORDS[name] for name in ('auc', 'logloss'))


def metrics_table(record: Record) -> rich.table.Table:
  """AUC and logloss of every model and task, in 80 columns.

  Tasks stand side by side where that fits, else one below the other; where
  even that is too wide, metrics of several kinds of tasks share columns.
  Trained models have the figures of their calibrated probabilities, if there
  are any.
  """
  rows = models_lib.models(record)
  for table in (_beside(record, rows), _below(record, rows, shared=False)):
    if _natural_width(table) <= terminal.COLUMNS:
      return table
  return _below(record, rows, shared=True)


def _beside(
  record: Record, rows: Sequence[models_lib.Model]
) -> rich.table.Table:
  """One row per model, two columns per task."""
  table = _empty(record)
  table.add_column('model')
  for task in record['tasks']:
    for i, one in enumerate(columns_of(rows, task)):
      heading = f'{"" if i else task}\n{one.label}'
      table.add_column(heading, justify='right', no_wrap=True)
  for row in rows:
    cells = [
      cell
      for task in record['tasks']
      for cell in cells_of(row, task, columns_of(rows, task))
    ]
    table.add_row(row.folded, *cells)
  return table


def columns_of(
  rows: Sequence[models_lib.Model], task: str
) -> Sequence[metric_registry.Metric]:
  """The two metrics of the short table that a task has."""
  return metric_registry.short(rows[0].metrics[task]) if rows else SHOWN


def _below(
  record: Record, rows: Sequence[models_lib.Model], shared: bool
) -> rich.table.Table:
  """One row per task and model; shared: AUC has the column of XAUC, say."""
  table = _empty(record)
  table.add_column('task', overflow='fold')
  table.add_column('model')
  of_tasks = [
    metric_registry.short(row.metrics[task])
    for row in rows
    for task in row.metrics
  ] or [list(SHOWN)]
  if shared:
    columns = [
      dict.fromkeys(filter(None, column))
      for column in itertools.zip_longest(*of_tasks)
    ]
  else:
    columns = [[one] for one in dict.fromkeys(itertools.chain(*of_tasks))]
  for column in columns:
    heading = '\n'.join(one.label for one in column)
    table.add_column(heading, justify='right', no_wrap=True)
  for task in record['tasks']:
    for row in rows:
      shown = metric_registry.short(row.metrics[task])
      found = dict(zip(shown, cells_of(row, task, shown), strict=True))
      cells = [
        next((found[one] for one in column if one in found), content.NOTHING)
        for column in columns
      ]
      table.add_row(task, row.folded, *cells)
    table.add_section()
  return table


def _empty(record: Record) -> rich.table.Table:
  return boxed(
    f'{record["backbone"]} on the {record["split"]} split'
    f' ({seed_text(record)})',
    calibrated(record),
  )


def calibrated(record: Record) -> str | None:
  """Says that figures are calibrated, and for which tasks nothing was kept."""
  if 'calibration' not in record:
    return None
  of = record['calibration'].get(served.of_record(record), {})
  without = [task for task, one in of.items() if one['kind'] == 'none']
  but = ''
  if without:
    but = (
      f', except {" and ".join(without)}, where calibration on the first half'
      ' did not help on the second'
    )
  return f'Trained models are calibrated on validation rows{but}.'


def boxed(title: str, caption: str | None = None) -> rich.table.Table:
  """A table without columns, with a line below its header."""
  return rich.table.Table(
    title=title,
    caption=caption,
    box=rich.box.SIMPLE_HEAD,
    title_justify='left',
    caption_justify='left',
  )


def cells_of(
  row: models_lib.Model, task: str, shown: Sequence[metric_registry.Metric]
) -> list[str]:
  """A cell per metric, of the predictions that are used.

  A model may lack some: the oracle, which is of rows, has no order in lists.
  """
  values = row.metrics[task]
  return [
    content.number(values[one.name], one.form, 'undefined')
    if one.name in values
    else content.NOTHING
    for one in shown
  ]


def _natural_width(table: rich.table.Table) -> int:
  """Columns of the terminal that a table takes if nothing is folded."""
  console = _console(io.StringIO(), 10_000)
  return rich.measure.Measurement.get(console, console.options, table).maximum


def sentences(record: Record) -> list[str]:
  """The verdict, remarks on the figures, and the warnings."""
  warnings = [f'WARNING: {line}.' for line in record.get('warnings', [])]
  return [*verdict.sentences(record), *remarks(record), *warnings]


def remarks(record: Record) -> list[str]:
  """What was kept and how it differs, and limits of the figures."""
  started, paper = record.get('started_from'), record.get('paper_model')
  refit = record.get('refit_of')
  return [
    *([verdict.started(started)] if started else []),
    *([verdict.refit(refit)] if refit else []),
    *([verdict.paper_model(paper['backbone'])] if paper else []),
    *_kept(record),
    *_unmoved(record),
    *left_out(_undefined_draws(record)),
  ]


def _kept(record: Record) -> list[str]:
  """Says how the kept models differ, where the verdict does not."""
  lines = []
  last = record.get('finetuned_at', {}).get('epoch')
  is_told = last is None or all(
    record['best_epoch'].get(arm) == last for arm in ('constant', 'finetune')
  )
  for other, label in (
    ('constant', 'the control with constant weights'),
    ('pretrain', 'the pre-trained model'),
  ):
    key = f'finetune_minus_{other}'
    by_task = record.get('difference', {}).get(key)
    if not by_task or models_lib.same(record, 'finetune', other):
      continue
    if other == 'constant' and is_told and verdict.headline(record):
      continue
    parts = [verdict.difference(t, by_task[t]) for t in record['tasks']]
    what = verdict.ranking(by_task)
    lines.append(f'As kept, {what} against {label}: {"; ".join(parts)}.')
  if lines:
    lines.append(
      'One seed says little: the same model with another seed often differs'
      ' by more than these differences.'
    )
  return lines


def _unmoved(record: Record) -> list[str]:
  """Says which arms kept the pre-trained parameters."""
  kept = []
  for stage, label in (
    ('constant', 'The control'),
    ('finetune', registry.short(record['weighting'])),
  ):
    epochs = record['best_epoch'].get(stage)
    members = epochs if isinstance(epochs, list) else [epochs]
    if all(epoch == 0 for epoch in members):
      kept.append(label)
  if not kept:
    return []
  return [
    f'{" and ".join(kept)} kept the pre-trained parameters: no epoch of'
    ' fine-tuning was better on the validation rows.'
  ]


def _undefined_draws(record: Record) -> dict[str, int]:
  """Counts by task; all models of a run share the draws."""
  first = next(iter(record['stages'].values()), {})
  return {
    task: values.get('undefined_draws', 0)
    for task, values in first.items()
    if values.get('auc_interval')
  }


def left_out(draws: Mapping[str, int]) -> list[str]:
  """Says how many resamples have no AUC, if any."""
  counts = [f'{count} of {task}' for task, count in draws.items() if count]
  if not counts:
    return []
  return [
    'Resamples of sessions that hold one label alone have no AUC and are left'
    f' out of its interval: {", ".join(counts)}.'
  ]


def seed_text(record: Record) -> str:
  """The seed of a run, and the size of its ensemble."""
  members = record.get('ensemble')
  return f'seed {record["seed"]}' + (
    f', ensemble of {members}' if members else ''
  )


def members_table(record: Record) -> content.Table | None:
  """What the members of the served model weigh, and how each ranks alone.

  Their loglosses are not calibrated, so that they are no figures beside the
  model's.
  """
  members = record.get('members')
  if not members:
    return None
  stage = served.of_record(record)
  weights = record.get('member_weights', {}).get(stage, {})
  header, columns = ['member'], []
  for task in record['tasks']:
    if task in weights:
      header.append(f'{task}: weight')
      columns.append([f'{w:.2f}' for w in weights[task]])
    for name, values in members[stage][task].items():
      one = metric_registry.describe(name)
      if one.better == 'higher' and values:
        header.append(f'{task}: {one.label}')
        columns.append([content.number(v, one.form) for v in values])
  names = record.get('member_names') or range(1, record['ensemble'] + 1)
  return content.Table(
    tuple(header),
    [(str(name), *cells) for name, *cells in zip(names, *columns, strict=True)],
    1,
  )


def text(table: rich.table.Table, width: int = terminal.COLUMNS) -> str:
  """Renders a table as plain text."""
  buffer = io.StringIO()
  _console(buffer, width).print(table)
  lines = (line.rstrip() for line in buffer.getvalue().splitlines())
  return '\n'.join(lines).strip('\n') + '\n'


def plain(
  cells: content.Table, title: str = '', numbers: Collection[str] = ()
) -> str:
  """A table without lines, in 80 columns; text is folded, numbers are not.

  Args:
    cells: the table; of `unseen: test` the terminal makes two lines.
    numbers: further columns of numbers, among those of names.
  """
  made = rich.table.Table(title=title or None, title_justify='left', box=None)
  for i, name in enumerate(cells.header):
    is_name = i < cells.names and name not in numbers
    made.add_column(
      name.replace(': ', ':\n'),
      justify='left' if is_name else 'right',
      no_wrap=not is_name,
      overflow='fold',
      vertical='top',
    )
  for row in cells.rows:
    made.add_row(*row)
  made.padding = (0, 2, 0, 0)
  if _natural_width(made) > terminal.COLUMNS:
    made.padding = (0, 1, 0, 0)
  return text(made)


def _console(file: io.StringIO, width: int) -> rich.console.Console:
  # Cells may come from data: [brackets] are no markup, `:tada:` is no emoji.
  return rich.console.Console(
    file=file, width=width, force_jupyter=False, markup=False, emoji=False
  )


def wrapped(sentence: str) -> str:
  """A sentence in lines that fit a terminal; paths and names stay whole."""
  return terminal.filled(sentence, rest='')


def provenance(record: Record) -> list[str]:
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
