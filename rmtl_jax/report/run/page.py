"""The page of `rmtl report` on a run of `rmtl train`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import models, tables
from rmtl_jax.report.page import content, sections, vector
from rmtl_jax.report.run import pictures, words
from rmtl_jax.report.run import tables as run_tables
from rmtl_jax.results import served, verdict
from rmtl_jax.runtime import stages
from rmtl_jax.weighting import registry

Record = Mapping[str, Any]

_CRITICS = (
  'Of the validation rows. R2 is of Q as a prediction of the discounted returns'
  ' that the pre-trained model realised: 1 is perfect, 0 as good as their mean,'
  ' negative worse. The dead share is that of rows where Q is exactly 0. A'
  ' collapsed critic gives constant weights, a diverged one noise.'
)
_CALIBRATION = (
  'Rows in bins of nearly equal size by their prediction; on the dotted line'
  ' a prediction means what it says. Bars, of probabilities: Wilson intervals'
  ' that take rows as independent, so they are narrow.'
)


@vector.style()
def build(record: Record) -> content.Page:
  """Builds the page: verdict and warnings, the setting, the data, figures."""
  metrics = record['metrics']
  chapters = [
    _setting(record),
    _data(record),
    _metrics(record),
    _learning(record),
    _calibration(record),
    _weights(record),
    _critics(record),
    sections.provenance(metrics),
  ]
  return content.Page(
    f'Run {record["name"]}',
    [
      *_verdict(record),
      content.Text(
        f'{metrics["backbone"]} on {record["data"]["source"]},'
        f' {_stages(record)} ({tables.seed_text(metrics)}). Metrics are of the'
        f' {metrics["split"]} split.'
      ),
      *_warnings(record),
    ],
    [chapter for chapter in chapters if chapter is not None],
  )


def _stages(record: Record) -> str:
  """What stage 3 weighs by, or which stages the run has trained."""
  metrics = record['metrics']
  if record['ended'] and 'finetune' not in record['stages']:
    trained = [str(stages.NUMBERS[name]) for name in record['stages']]
    return f'stage{"s" * (len(trained) > 1)} {" and ".join(trained)} alone'
  label = registry.label(metrics['weighting'], metrics.get('form', ''))
  return f'stage 3 by {label}'


def _verdict(record: Record) -> list[content.Block]:
  """Whether weighting was worth it, in a headline, and the figures."""
  metrics = record['metrics']
  first = verdict.headline(metrics)
  figures = [*verdict.prediction(metrics), *verdict.details(metrics)]
  caption = f'In short, {metrics["split"]} split.'
  caption += f' {tables.calibrated(metrics) or ""}'
  return [
    *([content.Text(first, strong=True)] if first else []),
    content.Grid(caption, run_tables.short(record)),
    *([content.Text(' '.join(figures))] if figures else []),
  ]


def _warnings(record: Record) -> list[content.Block]:
  lines = list(record['metrics'].get('warnings', []))
  asks_critics = registry.needs_critics(record['config']['weighting.name'])
  lacking = [
    stage
    for stage in stages.ORDER
    if stage not in record['stages'] and (asks_critics or stage != 'critic')
  ]
  if lacking and not record['ended']:
    lines.append(f'not finished, so not on this page: {", ".join(lacking)}')
  return [content.Alert(lines)] if lines else []


def _setting(record: Record) -> content.Section:
  blocks = sections.settings(
    record['config'],
    record['defaults'],
    "Settings that differ from the paper's",
    'Settings of the run',
  )
  if len(blocks) == 1:
    blocks.insert(0, content.Text('Every setting has its default.'))
  return content.Section('Setting', blocks)


def _data(record: Record) -> content.Section:
  fields = run_tables.fields(record)
  return content.Section(
    'Data',
    [
      sections.splits(record['data']['splits'], record['metrics']['tasks']),
      content.Folded(
        f'{len(fields.rows)} fields',
        [content.Grid('Features', fields, ('field',))],
      ),
    ],
  )


def _metrics(record: Record) -> content.Section:
  metrics = record['metrics']
  lines = tables.remarks(metrics)
  blocks: list[content.Block] = [
    *([content.Items(lines)] if lines else []),
    content.Items(words.key(metrics)),
    *pictures.per_task(pictures.auc, record, metrics['tasks']),
  ]
  for task in metrics['tasks']:
    blocks += [
      content.Heading(task),
      content.Grid(
        f'{task}, {metrics["split"]} split; in brackets the'
        ' 95 % bootstrap interval over sessions',
        run_tables.ranking(record, task),
      ),
      content.Grid(
        f'{task}, further metrics', run_tables.further(record, task)
      ),
    ]
  differences = run_tables.differences(record)
  if differences.rows:
    blocks += [
      content.Heading('Differences'),
      content.Grid('Differences on the same rows', differences),
    ]
  return content.Section('Metrics', blocks)


def _learning(record: Record) -> content.Section | None:
  if not record['history']:
    return None
  table = run_tables.epochs(record)
  names = models.stage_names(record['metrics'])
  kept = [
    f'{names[stage]}, {_epochs(epoch)}'
    for stage, epoch in record['metrics']['best_epoch'].items()
  ]
  return content.Section(
    'Learning',
    [
      *content.side_by_side(
        [
          pictures.learning(record, 'Stage 1', ('pretrain',)),
          pictures.learning(record, 'Stage 3', ('constant', 'finetune')),
        ]
      ),
      content.Text(
        f'Kept: {"; ".join(kept)}. Epoch 0 is the model before the stage.'
      ),
      content.Folded(
        f'{len(table.rows)} epochs and passes',
        [content.Grid('Epochs and passes, in order', table)],
      ),
    ],
  )


def _epochs(kept: int | list[int]) -> str:
  """The best epoch of a run, or of each member of an ensemble."""
  if isinstance(kept, int):
    return f'epoch {kept}'
  return f'epochs {", ".join(map(str, kept))} of its members'


def _calibration(record: Record) -> content.Section | None:
  tasks = record['metrics']['tasks']
  drawn = pictures.per_task(pictures.calibration, record, tasks)
  if not drawn:
    return None
  metrics = record['metrics']
  stage = models.stage_names(metrics)[served.of_record(metrics)]
  return content.Section(
    'Calibration',
    [
      content.Text(f'Of the model that predicts ({stage}). {_CALIBRATION}'),
      *drawn,
    ],
  )


def _weights(record: Record) -> content.Section | None:
  metrics = record['metrics']
  if 'critic' not in metrics:
    return None
  by_row = registry.find(metrics['weighting']).by_row
  blocks: list[content.Block] = [
    content.Items(words.weights(record)),
  ]
  if by_row:
    blocks += pictures.per_task(pictures.weights, record, metrics['tasks'])
  applied = run_tables.applied_weights(record)
  if applied.rows and by_row:
    blocks.append(
      content.Grid(
        'Weights that stage 3 applied: mean ± deviation over the rows', applied
      )
    )
  return content.Section('Weights', blocks)


def _critics(record: Record) -> content.Section | None:
  metrics = record['metrics']
  if 'critic' not in metrics:
    return None
  return content.Section(
    'Critics',
    [
      content.Text(_CRITICS),
      content.Grid('What the critics knew', run_tables.critics(record)),
      *pictures.per_task(pictures.q_values, record, metrics['tasks']),
      *content.side_by_side([pictures.td_error(record)]),
    ],
  )
