"""The report of a run: tables, sentences and page.

`record` is the content of metrics.json.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rich.table

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import metric_registry
from rmtl_jax.report import pages, run_pictures
from rmtl_jax.results import verdict
from rmtl_jax.runtime import workdir, writers
from rmtl_jax.weighting import weighting_registry

Record = Mapping[str, Any]
Table = pages.Table

_CRITIC = (
  ('r2', 'R2 of Q', '.3f'),
  ('mean_q', 'mean Q', '.3f'),
  ('mean_return', 'mean return', '.3f'),
)
_ABOUT_CRITICS = (
  'The critics on the validation rows. R2 is of Q as a prediction of the'
  ' discounted returns that the pre-trained model realised: 1 is perfect, 0 as'
  ' good as their mean, negative worse. A collapsed critic gives constant'
  ' weights, a diverged one noise.'
)
_ABOUT_CALIBRATION = (
  'Rows in bins of nearly equal size by their prediction; on the dotted line'
  ' predictions are calibrated.'
)
_ABOUT_MODELS = (
  'user rate x item rate: rates of the train rows, no network; pre-trained:'
  ' after stage 1; control: stage 3 with constant weights; the last one: with'
  " its weights; oracle: the simulation's true probabilities."
)


def models(record: Record) -> list[tuple[str, Record]]:
  """The rows of a table, from the rates to the oracle: name, {task: metrics}.

  Between them: the paper's model, and what was kept after stage 1, of the
  control and of RMTL. Models with the same figures are one: an arm that keeps
  epoch 0 is the pre-trained model.
  """
  found: list[tuple[str, Record]] = []
  if 'baseline' in record:
    found.append(('user rate x item rate', record['baseline']))
  if 'paper_model' in record:
    of: Record = record['paper_model']
    found.append((f"paper's model: {of['backbone']}", of['metrics']))
  trained: list[tuple[list[str], Record]] = []
  for stage, metrics in record['stages'].items():
    same = next((stages for stages, of in trained if of == metrics), None)
    if same:
      same.append(stage)
    else:
      trained.append(([stage], metrics))
  names = verdict.stage_names(record)
  for stages, metrics in trained:
    name = ' = '.join(names[stage] for stage in stages)
    found.append((name + _kept_note(record, stages[-1]), metrics))
  if 'oracle' in record:
    found.append(('oracle', record['oracle']))
  return found


def _kept_note(record: Record, stage: str) -> str:
  """' (kept: epoch 2)' of stage 3; of an ensemble every member's."""
  epochs = record.get('best_epoch', {}).get(stage)
  if stage == 'pretrain' or epochs is None:
    return ''
  every = sorted({epochs} if isinstance(epochs, int) else set(epochs))
  noun = 'epoch' if len(every) == 1 else 'epochs'
  return f' (kept: {noun} {", ".join(map(str, every))})'


def overview(record: Record) -> Table:
  """AUC, GAUC and logloss, a row per task and model."""
  rows, tasks = models(record), record['tasks']
  shown = dict.fromkeys(
    one for task in tasks for one in metric_registry.short(rows[0][1][task])
  )
  cells = [
    (task, name, *(cell(metrics[task], one) for one in shown))
    for task in tasks
    for name, metrics in rows
  ]
  header = ('task', 'model', *(one.label for one in shown))
  title = (
    f'{record["backbone"]} on the {record["split"]} split ({seed_text(record)})'
  )
  return Table(header, cells, 2, title)


def metrics_table(record: Record) -> rich.table.Table:
  """The metrics of a run, for a terminal or a notebook."""
  return pages.rich_table(overview(record), calibrated(record))


def cell(values: Record, one: metric_registry.Metric) -> str:
  """A figure; the oracle, for example, has no order in lists."""
  if one.name not in values:
    return pages.NOTHING
  return pages.number(values[one.name], one.form, 'undefined')


def calibrated(record: Record) -> str | None:
  """Says that figures are calibrated."""
  if 'calibration' not in record:
    return None
  return 'Trained models are calibrated on validation rows where that helps.'


def members_table(record: Record) -> Table | None:
  """The members of the served model: their weights, and how each ranks alone.

  Their loglosses are not calibrated, so these can't be compared with the
  model's and are left out.
  """
  members = record.get('members')
  if not members:
    return None
  stage = verdict.served_stage(record)
  weights = record.get('member_weights', {}).get(stage, {})
  names = record.get('member_names') or range(1, record['ensemble'] + 1)
  of_tasks, tasks = members[stage], record['tasks']
  every = itertools.chain(*(of_tasks[task] for task in tasks))
  shown = [
    one for one in metric_registry.known(every, True) if one.better == 'higher'
  ]

  def cells(task: str, i: int) -> Iterator[str]:
    yield pages.number(weights[task][i] if task in weights else None, '.2f')
    for one in shown:
      of_members = of_tasks[task].get(one.name)
      yield pages.number(of_members[i] if of_members else None, one.form)

  rows = [
    (task, str(name), *cells(task, i))
    for task in tasks
    for i, name in enumerate(names)
  ]
  header = ('task', 'member', 'weight', *(one.label for one in shown))
  return Table(header, rows, 2, 'Each member alone')


def seed_text(record: Record) -> str:
  """The seed of a run, and the size of its ensemble."""
  members = record.get('ensemble')
  of = f', ensemble of {members}' if members else ''
  return f'seed {record["seed"]}{of}'


def sentences(record: Record) -> list[str]:
  """The verdict, remarks on the figures, and the warnings."""
  warnings = [f'WARNING: {line}.' for line in record.get('warnings', [])]
  return [*verdict.sentences(record), *remarks(record), *warnings]


def remarks(record: Record) -> list[str]:
  """What the run began with, and its gain over the pre-trained model."""
  found = []
  if 'started_from' in record:
    found.append(verdict.started(record['started_from']))
  if 'refit_of' in record:
    found.append(verdict.refit(record['refit_of']))
  stages, of = record['stages'], record.get('difference', {})
  by_task = of.get('finetune_minus_pretrain')
  if by_task and stages.get('finetune') != stages.get('pretrain'):
    parts = [verdict.difference(t, by_task[t]) for t in record['tasks']]
    what = verdict.ranking(by_task)
    found.append(f'{what} against the pre-trained model: {"; ".join(parts)}.')
  return found


def provenance(record: Record) -> pages.Section:
  """Versions, device, commit and times; of a run or of a comparison."""
  versions = ', '.join(f'{k} {v}' for k, v in record['versions'].items())
  lines = [f'Versions: {versions}.', f'Device: {record["device"]}.']
  if 'commit' in record:
    lines.append(f'Commit: {record["commit"] or "unknown"}.')
  times = [
    f'{name} {value:.0f} s'
    for name, value in record.get('seconds', {}).items()
    if isinstance(value, int | float)
  ]
  if times:
    lines.append(f'Time: {", ".join(times)}.')
  return pages.Section('How this was made', lines)


def settings(config: config_lib.Config) -> pages.Section:
  """The settings that differ from the paper's."""
  paper = config_values.flatten(config_lib.preset('paper'))
  rows = [
    (name, *map(config_values.setting_text, (value, paper[name])))
    for name, value in config_values.flatten(config).items()
    if value != paper[name]
  ]
  title = "Settings that differ from the paper's"
  return pages.Section(
    'Settings', tables=[Table(('setting', 'value', 'paper'), rows, 3, title)]
  )


def splits(manifest: manifest_lib.Manifest) -> Table:
  """Rows, sessions and label rates of every split."""
  tasks, rows = manifest.task_names, []
  for name, split in manifest.splits.items():
    seen = {**dict.fromkeys(tasks, split.rows), **(split.observed or {})}
    rates = [
      f'{split.positives[task] / seen[task]:.2%}'
      if seen[task]
      else pages.NOTHING
      for task in tasks
    ]
    rows.append((name, f'{split.rows:,}', f'{split.sessions:,}', *rates))
  header = ('split', 'rows', 'sessions', *(f'{task} rate' for task in tasks))
  return Table(
    header, rows, title='Splits; a rate is the share of labels other than 0'
  )


def page(path: pathlib.Path) -> pages.Page:
  """Builds the page of a run from its metrics.json.

  Args:
    path: RUN.

  Raises:
    types.InputError: not a run, not evaluated yet, or a damaged file.
  """
  run = workdir.read(path)
  if run.kind == workdir.SEARCH:
    raise types.InputError(f'{path}: a search (rmtl tune) has no report')
  if run.kind == workdir.COMPARISON:
    raise types.InputError(
      f'{path}: no finished comparison to report on (rmtl compare resumes it)'
    )
  record = json_files.read(path / 'metrics.json', 'rmtl train writes it')
  with json_files.parsing(f'{path / "metrics.json"} or metrics.jsonl'):
    has_history = (path / 'metrics.jsonl').exists()
    return _page(run, record, writers.read_history(path) if has_history else [])


@pages.style()
def _page(
  run: workdir.Run, record: Record, history: Sequence[Record]
) -> pages.Page:
  headline = verdict.headline(record)
  weighting = weighting_registry.label(
    record['weighting'], record.get('form', '')
  )
  how = f'stage 3 by {weighting}'
  if 'finetune' not in record['stages']:
    how = f'stages: {", ".join(record["stages"])}'
  members = members_table(record)
  sections = [
    pages.Section(
      'In short',
      [
        f'{record["backbone"]} on {run.manifest.source}, {how}'
        f' ({seed_text(record)}). Metrics are of the {record["split"]} split.',
        *verdict.prediction(record),
        *verdict.behind_rates(record),
        *verdict.details(record),
        *filter(None, [calibrated(record)]),
      ],
      tables=[overview(record), *([members] if members else [])],
    ),
    pages.Section(
      'Metrics',
      [*remarks(record), _ABOUT_MODELS],
      tables=[
        *(_task_table(record, task) for task in record['tasks']),
        _differences(record),
      ],
    ),
  ]
  if history:
    sections.append(
      pages.Section(
        'Learning',
        [
          'Each member of an ensemble has a line style. A kept epoch 0 is the'
          ' model before the stage, which is not drawn.'
        ],
        [run_pictures.learning(record, history)],
      )
    )
  sections.append(
    pages.Section(
      'Calibration',
      [f'Of the model that predicts. {_ABOUT_CALIBRATION}'],
      run_pictures.calibration(record),
    )
  )
  if 'critic' in record:
    sections.append(
      pages.Section(
        'Critics and weights',
        [
          _ABOUT_CRITICS,
          'The weights shown are 1 - lambda Q, with lambda ='
          f' {run.config.weighting.lambda_:.4g}, by the critics after stage 2,'
          ' of the pre-trained model without dropout.',
        ],
        [run_pictures.weights(record)],
        [_critics(record)],
      )
    )
  sections += [
    pages.Section('Data', tables=[splits(run.manifest)]),
    settings(run.config),
    provenance(record),
  ]
  return pages.Page(
    f'Run {run.path.resolve().name}',
    [headline] if headline else [],
    record.get('warnings', []),
    sections,
  )


def _task_table(record: Record, task: str) -> Table:
  """Every metric of every model, with the intervals that there are."""
  rows = models(record)
  known = list(itertools.chain(*(metrics[task] for _, metrics in rows)))
  shown = [
    *metric_registry.known(known, True),
    *metric_registry.known(known, False),
  ]
  cells = [
    (name, *(_with_interval(metrics[task], one) for one in shown))
    for name, metrics in rows
  ]
  header = ('model', *(one.label for one in shown))
  title = f'{task}, with 95 % bootstrap intervals over sessions'
  return Table(header, cells, title=title)


def _with_interval(
  values: Record, one: metric_registry.Metric, sign: str = ''
) -> str:
  if one.name not in values:
    return pages.NOTHING
  bounds = values.get(f'{one.name}_interval')
  return pages.interval(values[one.name], bounds, f'{sign}{one.form}')


def _differences(record: Record) -> Table:
  """RMTL minus the control and minus the pre-trained model, paired by row.

  Models that are the same have no difference to show.
  """
  names, found = verdict.stage_names(record), []
  for key, of in record.get('difference', {}).items():
    first, second = key.split('_minus_')
    if record['stages'].get(first) != record['stages'].get(second):
      found.append((f'{names[first]} minus {names[second]}', of))
  known = itertools.chain(*(of[task] for _, of in found for task in of))
  shown = metric_registry.known(known, compared=True)
  rows = [
    (label, task, *(_with_interval(of[task], one, '+') for one in shown))
    for label, of in found
    for task in record['tasks']
  ]
  header = ('difference', 'task', *(one.label for one in shown))
  return Table(header, rows, 2, 'Differences on the same rows')


def _critics(record: Record) -> Table:
  """Statistics of each task's critic on the validation rows."""
  statistics, rows = record['critic'], []
  for task in record['tasks']:
    cells = [
      pages.number(statistics.get(key, {}).get(task), form)
      for key, _, form in _CRITIC
    ]
    state = [
      word
      for word in ('collapsed', 'diverged')
      if statistics.get(word, {}).get(task)
    ]
    rows.append((task, ' and '.join(state) or 'sound', *cells))
  header = ('critic of', 'state', *(label for _, label, _ in _CRITIC))
  return Table(header, rows, 2, 'Critics on the validation rows')
