"""The report of a comparison: tables, sentences, pictures and page.

`results` is the content of results.json.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import json_files, terminal
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import comparison, metric_registry, validation_monitor
from rmtl_jax.report import pages, run_report

Record = Mapping[str, Any]
Results = Record
Table = pages.Table

# Of differences between AUCs.
UNIT = 1e-4
_ABOUT_DIFFERENCES = (
  'Paired by seed, ± standard error. The interval over seeds is'
  " Student's; the interval over sessions is the bootstrap's, of the mean over"
  ' the same seeds. Seeds and sessions are two kinds of noise: a difference is'
  ' clear where both intervals leave 0 out.'
)
_ABOUT_LEARNING = (
  'Mean over tasks and tuning seeds, on validation, at every learning rate that'
  ' was tried; then, over all seeds, the epoch of stage 3 that was kept (0: the'
  ' pre-trained model).'
)


def text(results: Results) -> str:
  """The metrics, the gains and the verdicts, in 80 columns."""
  parts = [pages.text(_metrics(results, task)) for task in results['tasks']]
  gains = _gains(results)
  if gains.rows:
    parts.append(pages.text(gains))
  sentences = headlines(results)
  if any(v['passes'] is not None for v in results['verdicts']):
    sentences += _reasons(results)
  sentences += [f'WARNING: {warning}.' for warning in results['warnings']]
  return '\n'.join([*parts, *map(terminal.filled, sentences)]) + '\n'


def page(path: pathlib.Path) -> pages.Page:
  """Builds the page of a comparison.

  Args:
    path: COMPARISON, finished.

  Raises:
    types.InputError: a damaged file.
  """
  file = path / 'results.json'
  results = json_files.read(file)
  with json_files.parsing(str(file)):
    config = config_values.from_dict(results['config'], path=f'{file}: config')
    verdicts = results['verdicts']
    differences = [
      _differences(results, task, one)
      for one in _compared(results)
      for task in results['tasks']
    ]
    return pages.Page(
      f'Comparison {path.resolve().name}',
      headlines(results),
      results['warnings'],
      [
        pages.Section(
          'Verdict', [_RULE, *_reasons(results)] if verdicts else []
        ),
        pages.Section(
          'Metrics',
          ['Mean ± standard error over seeds. Only the differences below tell'
           ' whether two rows differ, because they are paired by seed.'],
          tables=[_metrics(results, task) for task in results['tasks']],
        ),
        pages.Section(
          'Differences to the controls',
          [_ABOUT_DIFFERENCES, *_about_tests(results)],
          tables=differences,
        ),
        pages.Section(
          'Learning', [_ABOUT_LEARNING], tables=[_learning_rates(results)]
        ),
        pages.Section(
          'Data',
          _setting(results),
          tables=[run_report.splits(manifest_file.read_copy(path))],
        ),
        run_report.settings(config),
        run_report.provenance(results),
      ],
    )  # fmt: skip


def _compared(results: Results) -> list[metric_registry.Metric]:
  """The metrics of a comparison's tables."""
  names = dict.fromkeys(s['metric'] for s in results['summary'])
  return [metric_registry.describe(name) for name in names]


def _by_backbone(results: Results) -> list[Record]:
  """Sorts the methods by backbone, stably."""
  order = list(dict.fromkeys(m['backbone'] for m in results['methods']))
  return sorted(results['methods'], key=lambda m: order.index(m['backbone']))


def _metrics(results: Results, task: str) -> Table:
  """Mean and standard error of every method on one task, by backbone."""
  found = {
    (s['method'], s['metric']): s
    for s in results['summary']
    if s['task'] == task
  }
  shown = [
    one for one in _compared(results) if any(k[1] == one.name for k in found)
  ]

  def reference(name: str, values: Record) -> tuple[str, ...]:
    """A row of no seed: one figure per metric."""
    cells = (run_report.cell(values, one) for one in shown)
    return (name, pages.NOTHING, *cells)

  rows = []
  if results['baseline']:
    rates = results['baseline'][task]
    rows.append(reference('user rate x item rate', rates))
  for method in _by_backbone(results):
    records = [found[method['name'], one.name] for one in shown]
    seeds = str(max(record['n'] for record in records))
    cells = map(_mean_error, records, (one.form for one in shown))
    rows.append((method['name'], seeds, *cells))
  if results['oracle']:
    rows.append(reference('oracle', results['oracle'][task]))
  header = ('method', 'seeds', *(one.label for one in shown))
  return Table(header, rows, title=f'{task}, {results["split"]} split')


def _differences(
  results: Results, task: str, one: metric_registry.Metric
) -> Table:
  """Every tested method minus each of its controls on one task.

  In 1e-4; errors that have the label's units are in these.
  """
  records = [
    d
    for d in results['differences']
    if d['task'] == task and d['metric'] == one.name
  ]
  tests = ('p', 'p_holm')
  tested = any(d['p'] is not None for d in records)
  unit, form = (UNIT, '+.1f') if one.form.endswith('f') else (1.0, '+.4g')
  rows = [
    (
      d['method'],
      d['control'],
      str(d['pairs']),
      _mean_error(d, form, unit),
      _interval((d['low'], d['high']), form, unit),
      _interval(d['bootstrap'], form, unit),
      *([_p_value(d[name]) for name in tests] if tested else []),
    )
    for d in records
  ]
  header = (
    *('method', 'minus', 'seeds'),
    f'{one.label}, 1e-4' if unit == UNIT else one.label,
    *('interval: seeds', 'interval: sessions'),
    *(('p', 'p after Holm') if tested else ()),
  )
  better = f' ({one.better} is better)' if one.better else ''
  return Table(header, rows, 2, f'{task}: difference of {one.label}{better}')


def _gains(results: Results) -> Table:
  """AUC, or XAUC, minus each control on every task, in 1e-4."""
  cells: dict[tuple[str, str], dict[str, str]] = {}
  labels = {}
  for d in _ranking(results):
    labels[metric_registry.describe(d['metric']).label] = True
    cell = _mean_error(d, '+.1f', UNIT)
    if d['low'] is not None and d['low'] <= 0.0 <= d['high']:
      cell += ' (0)'
    cells.setdefault((d['method'], d['control']), {})[d['task']] = cell
  tasks = results['tasks']
  rows = [
    (*names, *(row.get(task, pages.NOTHING) for task in tasks))
    for names, row in cells.items()
  ]
  title = (
    f'{" or ".join(labels)} minus each control, 1e-4; (0): the interval'
    ' includes 0'
  )
  return Table(('method', 'minus', *tasks), rows, 2, title)


def _ranking(results: Results) -> list[Record]:
  """The differences that verdicts are about."""
  ranking = metric_registry.RANKING
  return [d for d in results['differences'] if d['metric'] in ranking]


def _learning_rates(results: Results) -> Table:
  """Monitored value by learning rate, the choice, and the kept epochs."""
  monitor = validation_monitor.of_record(results)
  seen = {
    (t['method'], t['learning_rate']): t.get(monitor.figure)
    for t in results['tuning']
  }
  rates = sorted({rate for _, rate in seen}, reverse=True)
  rows = []
  for method in _by_backbone(results):
    epochs = [run['best_epoch'] for run in _runs(results, method)]
    if not method['weighting'] or not epochs:
      continue
    rows.append(
      (
        method['name'],
        *(
          pages.number(seen.get((method['name'], rate)), '.5f')
          for rate in rates
        ),
        pages.number(method['learning_rate'], 'g'),
        f'{sum(epochs) / len(epochs):.1f}',
        f'{epochs.count(0)} of {len(epochs)}',
      )
    )
  header = (
    'method',
    *(f'{monitor.word} at {rate:g}' for rate in rates),
    *('chosen', 'best epoch', 'kept pre-trained'),
  )
  return Table(header, rows, title='Learning rates and epochs')


def _runs(results: Results, method: Record) -> list[Record]:
  return [run for run in results['runs'] if run['method'] == method['name']]


def _mean_error(record: Record, form: str, unit: float = 1.0) -> str:
  """Formats 'mean ± standard error'; one seed has no error."""
  mean, error = record['mean'], record['standard_error']
  if mean is None:
    return 'undefined'
  shown = format(mean / unit, form)
  return (
    shown if error is None else f'{shown} ± {error / unit:{form.lstrip("+")}}'
  )


def _interval(
  bounds: Sequence[float | None] | None, form: str, unit: float
) -> str:
  low, high = bounds or (None, None)
  if low is None or high is None:
    return pages.NOTHING
  shown = f'{low / unit:{form}} to {high / unit:{form}}'
  return f'{shown}, includes 0' if low <= 0.0 <= high else shown


def _p_value(value: float | None) -> str:
  if value is None:
    return 'not tested'
  return '< 1e-9' if value < 1e-9 else f'{value:.3g}'


def _setting(results: Results) -> list[str]:
  """Describes data, seeds and budget."""
  rows, config = results['data']['rows'], results['config']
  sizes = ', '.join(f'{rows[split]:,} {split}' for split in rows)
  names = ', '.join(str(seed) for seed in results['seeds'])
  lines = [
    f'Data: {results["data"]["source"]}; rows: {sizes}; figures are of the'
    f' {results["split"]} split.',
    f'Seeds: {len(results["seeds"])} ({names}).',
  ]
  if not any(method['weighting'] for method in results['methods']):
    return lines
  rates = config['compare']['learning_rates']
  shown = ', '.join(f'{rate:g}' for rate in rates)
  how = 'the same for all'
  if len(rates) > 1:
    seeds = min(config['compare']['tuning_seeds'], len(results['seeds']))
    how = (
      'chosen for every method and control by the best mean validation'
      f' {validation_monitor.of_record(results).word} over'
      f' {comparison.count(seeds, "tuning seed")}'
    )
  return [
    *lines,
    'Weighted methods of one backbone and seed start from the same pre-trained'
    f' parameters and train for {config["finetune"]["max_epochs"]} epochs; the'
    ' best on validation is kept, the pre-trained model (epoch 0) included.',
    f'Learning rate of stage 3: {shown}, {how}.',
  ]


_RULE = (
  'A method passes on a task where its AUC exceeds that of every one of its'
  f' controls by at least {comparison.MIN_EFFECT:g} on average over at least'
  f' {comparison.MIN_PAIRS} paired seeds, with p < {comparison.LEVEL:g} in the'
  ' two-sided paired t-test after Holm over all tests of the comparison. The'
  ' controls of weights are the pre-trained model, constant weights, the mean'
  " of RMTL's weights 1 - lambda Q, and the weights shuffled over rows. The"
  ' control of other settings of stage 1 is the backbone without them, and of'
  ' backbones alone the first of them.'
)


def headlines(results: Results) -> list[str]:
  """Lists the methods that pass."""
  verdicts = results['verdicts']
  if not verdicts:
    return ['No method is judged: none of them has controls.']
  if all(v['passes'] is None for v in verdicts):
    seeds = comparison.count(len(results['seeds']), 'seed')
    return [
      f'Not tested: {seeds}, and {comparison.MIN_PAIRS} pairs with a defined'
      ' AUC are needed against every control. There are means and intervals,'
      ' and no claims.',
    ]
  groups: dict[str, list[str]] = {}
  for method, group in itertools.groupby(verdicts, lambda v: v['method']):
    records = list(group)
    passes = [v['passes'] for v in records]
    word, name = 'Does not pass', method
    if all(passes):
      word = 'Passes on every task'
    elif any(passes):
      tasks = ', '.join(v['task'] for v in records if v['passes'])
      word, name = 'Passes on some tasks', f'{method} ({tasks})'
    elif any(p is None for p in passes):
      word = 'Not tested'
    groups.setdefault(word, []).append(name)
  return [f'{word}: {", ".join(names)}.' for word, names in groups.items()]


def _reasons(results: Results) -> list[str]:
  """A sentence about the verdict of every method and task."""
  words = {True: 'passes', False: 'does not pass', None: 'no verdict'}
  return [
    f'{v["method"]}, {v["task"]}: {words[v["passes"]]} ({v["reason"]}).'
    for v in results['verdicts']
  ]


def _about_tests(results: Results) -> list[str]:
  """Explains the p-values."""
  tests = sum(d['p'] is not None for d in results['differences'])
  if not tests:
    return []
  return [
    f'p: two-sided paired t-test; after Holm over all {tests} tests of this'
    ' page.'
  ]
