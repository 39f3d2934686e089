"""The report of `rmtl report` on a run of `rmtl train`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import (
  page,
  run_pictures,
  run_tables,
  run_words,
  tables,
  vector,
)
from rmtl_jax.weighting import registry

Record = Mapping[str, Any]

_CRITICS = (
  'Of the validation rows. R2 is of Q as a prediction of the discounted returns'
  ' that the pre-trained model realised: 1 is perfect, 0 as good as their mean,'
  ' negative worse. The dead share is that of rows where Q is exactly 0. A'
  ' collapsed critic gives constant weights, a diverged one noise.'
)
_CALIBRATION = (
  'Rows in bins of nearly equal size by their probability; on the dotted line'
  ' a probability means what it says. Bars: Wilson intervals that take rows as'
  ' independent, so they are narrow. The calibration was fitted on the'
  ' validation rows.'
)


@vector.style()
def build(record: Record) -> page.Page:
  """The report.

  Args:
    record: what training/report_record.py gathered.

  Returns:
    Warnings first, then the setting, the data, and what was measured.
  """
  metrics = record['metrics']
  weighting = registry.label(metrics['weighting'], metrics.get('form', ''))
  sections = [
    _setting(record),
    _data(record),
    _metrics(record),
    _learning(record),
    _calibration(record),
    _weights(record),
    _critics(record),
    _provenance(record),
  ]
  return page.Page(
    f'Run {record["name"]}',
    [
      page.Text(
        f'{metrics["backbone"]} on {record["data"]["source"]}, stage 3 by'
        f' {weighting}'
        f' ({tables.seed_text(metrics)}). Metrics are of the'
        f' {metrics["split"]} split.'
      ),
      *_warnings(record),
    ],
    [section for section in sections if section is not None],
  )


def _warnings(record: Record) -> list[page.Block]:
  lines = list(record['metrics'].get('warnings', []))
  wanted = ['pretrain', 'critic', 'finetune']
  if not registry.asks_critics(record['config']['weighting.name']):
    wanted.remove('critic')
  lacking = [stage for stage in wanted if stage not in record['stages']]
  if lacking:
    lines.append(f'not finished, so not on this page: {", ".join(lacking)}')
  if record['missing']:
    lines.append(
      'the data of the run was not read, so there are no calibration plot and'
      f' no weights here ({record["missing"]}); --data_dir says where it is'
    )
  return [page.Alert(lines)] if lines else []


def _setting(record: Record) -> page.Section:
  changed = run_tables.settings(record, changed_only=True)
  code = ('setting', 'value', 'default')
  blocks: list[page.Block] = [
    page.Grid('Settings that differ from the defaults', changed, code)
    if changed.rows
    else page.Text('Every setting has its default.')
  ]
  whole = run_tables.settings(record, changed_only=False)
  blocks.append(
    page.Folded(
      f'All {len(whole.rows)} settings',
      [page.Grid('Settings of the run', whole, code)],
    )
  )
  return page.Section('Setting', blocks)


def _data(record: Record) -> page.Section:
  fields = run_tables.fields(record)
  return page.Section(
    'Data',
    [
      page.Grid('Splits, by time', run_tables.data(record)),
      page.Folded(
        f'{len(fields.rows)} fields',
        [page.Grid('Features', fields, ('field',))],
      ),
    ],
  )


def _metrics(record: Record) -> page.Section:
  metrics = record['metrics']
  lines = tables.sentences({**metrics, 'warnings': []})
  blocks: list[page.Block] = [
    *([page.Items(lines)] if lines else []),
    page.Items(run_words.key(metrics)),
    *run_pictures.per_task(run_pictures.auc, record, metrics['tasks']),
  ]
  confidence = record['config']['evaluation.confidence']
  for task in metrics['tasks']:
    blocks += [
      page.Heading(task),
      page.Grid(
        f'{task}, {metrics["split"]} split; in brackets the'
        f' {100 * confidence:g} % bootstrap interval over sessions',
        run_tables.ranking(record, task),
      ),
      page.Grid(f'{task}, further metrics', run_tables.further(record, task)),
    ]
  differences = run_tables.differences(record)
  if differences.rows:
    blocks += [
      page.Heading('Differences'),
      page.Grid('Differences on the same rows', differences),
    ]
  return page.Section('Metrics', blocks)


def _learning(record: Record) -> page.Section | None:
  if not record['history']:
    return None
  drawn = [
    picture
    for picture in (run_pictures.stage_1(record), run_pictures.stage_3(record))
    if picture
  ]
  table = run_tables.epochs(record)
  blocks: list[page.Block] = [page.Pictures(drawn)] if drawn else []
  kept = record['metrics']['best_epoch']
  names = run_words.stage_names(record['metrics'])
  blocks.append(
    page.Text(
      'Kept: '
      + '; '.join(
        f'{names[stage]}, {_epochs(epoch)}' for stage, epoch in kept.items()
      )
      + '. Epoch 0 is the model before the stage.'
    )
  )
  blocks.append(
    page.Folded(
      f'{len(table.rows)} epochs and passes',
      [page.Grid('Epochs and passes, in order', table)],
    )
  )
  return page.Section('Learning', blocks)


def _epochs(kept: int | list[int]) -> str:
  """The epoch that was kept, or those of an ensemble's members."""
  if isinstance(kept, int):
    return f'epoch {kept}'
  return f'epochs {", ".join(map(str, kept))} of its members'


def _calibration(record: Record) -> page.Section | None:
  tasks = record['metrics']['tasks']
  drawn = run_pictures.per_task(run_pictures.calibration, record, tasks)
  if not drawn:
    return None
  stage = run_words.stage_names(record['metrics'])[
    record['reliability']['stage']
  ]
  return page.Section(
    'Calibration',
    [
      page.Text(f'Of the model after the last stage ({stage}). {_CALIBRATION}'),
      *drawn,
      page.Grid('Calibration, test split', run_tables.calibration(record)),
    ],
  )


def _weights(record: Record) -> page.Section | None:
  metrics = record['metrics']
  if 'critic' not in metrics and not record['weights']:
    return None
  blocks: list[page.Block] = [
    page.Items(run_words.weights(record)),
    *run_pictures.per_task(run_pictures.weights, record, metrics['tasks']),
  ]
  applied = run_tables.applied_weights(record)
  if applied.rows and record['weights']:
    blocks.append(
      page.Grid(
        'Weights that stage 3 applied: mean ± deviation over the rows', applied
      )
    )
  return page.Section('Weights', blocks)


def _critics(record: Record) -> page.Section | None:
  metrics = record['metrics']
  if 'critic' not in metrics:
    return None
  blocks: list[page.Block] = [
    page.Text(_CRITICS),
    page.Grid('What the critics knew', run_tables.critics(record)),
    *run_pictures.per_task(run_pictures.q_values, record, metrics['tasks']),
  ]
  picture = run_pictures.td_error(record)
  if picture:
    blocks.append(page.Pictures([picture]))
  return page.Section('Critics', blocks)


def _provenance(record: Record) -> page.Section:
  metrics = record['metrics']
  named = metrics['versions'].items()
  lines = [
    'Versions: ' + ', '.join(f'{name} {value}' for name, value in named),
    f'Device: {metrics["device"]}',
  ]
  times = run_tables.seconds(metrics.get('seconds', {}))
  if times:
    lines.append('Time: ' + ', '.join(times))
  return page.Section('How this was made', [page.Items(lines)])
