"""Renders a comparison as Markdown, as CSV and for a terminal."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmtl_jax import terminal
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import plain, tables
from rmtl_jax.report.comparison import tables as comparison_tables
from rmtl_jax.report.comparison import words
from rmtl_jax.report.page import content
from rmtl_jax.report.page import markdown as page_markdown

CAPTIONS = {
  'differences.png': 'AUC minus each control',
  'weights.png': 'Weight over the position in the session',
  'q_values.png': 'Distribution of Q',
  'learning.png': 'Learning curves',
}
DIFFERENCES = """\
Paired by seed, in units of 1e-4, ± standard error. The interval over seeds is
Student's; the interval over sessions is the bootstrap's, of the mean over the
same seeds. Seeds and sessions are two kinds of noise: a difference is clear
where both intervals leave 0 out. An interval that holds 0 says so."""
CRITICS = """\
Means over seeds, on the validation rows. R2 is of Q as a prediction of the
realised returns: 0 is as good as their mean, negative is worse. The dead share
is that of rows where Q is exactly 0. A collapsed critic gives constant
weights."""
LEARNING = """\
Mean over tasks and tuning seeds, on validation, at every learning rate that was
tried (a logloss in units of that of the mean rate); then, over all seeds, the
epoch of stage 3 that was kept (0: the pre-trained model)."""
METRICS = """\
Mean ± standard error over seeds. The errors of two rows do not tell whether
they differ: seeds are paired, see the differences below."""
INVERSE = """\
IPS: over the rows where the label is seen, each weighed by the inverse of the
logged probability of that, so that figures are of all rows. They are not
tested."""
# The columns whose cells are set as code.
CODE = ('method', 'minus', 'critic')
# On a terminal, what a column of names has at least, and what the heading of
# one of numbers has at most.
_NAME, _HEADING = 16, 18


def markdown(results: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
  """Renders results.md: setting, verdicts, then all figures.

  Args:
    results: the content of results.json.
    pictures: names of the PNG files beside results.md; see pictures.draw.

  Returns:
    GitHub-flavoured Markdown.
  """
  blocks = [
    f'# Comparison on {plain.markdown(results["data"]["source"])}',
    page_markdown.bullets(words.setting(results)),
    *_verdict(results),
    *_warnings(results),
    *_metrics(results),
    *_pictures(pictures, 'differences.png'),
    *_differences(results),
    *_learning(results),
    *_pictures(pictures, 'learning.png'),
    *_critics(results),
    *_pictures(pictures, 'weights.png', 'q_values.png'),
    '## How this was made',
    page_markdown.bullets(tables.provenance(results)),
  ]
  return '\n\n'.join(blocks) + '\n'


def runs_csv(results: Mapping[str, Any]) -> str:
  """Renders results.csv, one line per run and task."""
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator='\n')
  names = [*metric_registry.RECORDS.names()]
  names += [one.name for one in comparison_tables.inverse(results)]
  writer.writerow(
    ['method', 'seed', 'learning_rate', 'best_epoch', 'task', *names]
  )
  for run in results['runs']:
    own = [run['method'], run['seed'], run['learning_rate'], run['best_epoch']]
    for task in results['tasks']:
      metrics = run['metrics'][task]
      writer.writerow([*own, task, *(metrics.get(name) for name in names)])
  return buffer.getvalue()


def _verdict(results: Mapping[str, Any]) -> list[str]:
  blocks = ['## Verdict']
  blocks += [f'**{plain.markdown(line)}**' for line in words.headlines(results)]
  if results['verdicts']:
    blocks.append(words.rule())
    blocks.append(
      '\n'.join(
        f'- {plain.code(method)}, {plain.markdown(why)}'
        for method, why in words.reasons(results)
      )
    )
  return blocks


def _warnings(results: Mapping[str, Any]) -> list[str]:
  if not results['warnings']:
    return []
  return ['## Warnings', page_markdown.bullets(results['warnings'])]


def _metrics(results: Mapping[str, Any]) -> list[str]:
  blocks = ['## Metrics', *about_metrics(results)]
  for task in results['tasks']:
    table = comparison_tables.metrics(results, task)
    blocks += [f'### {plain.markdown(task)}', _table(table)]
  return blocks


def about_metrics(results: Mapping[str, Any]) -> list[str]:
  """Explains the tables of metrics."""
  return [METRICS, *([INVERSE] if comparison_tables.inverse(results) else [])]


def _differences(results: Mapping[str, Any]) -> list[str]:
  if not results['differences']:
    return []
  blocks = ['## Differences to the controls', DIFFERENCES]
  tests = about_tests(results)
  if tests:
    blocks.append(tests)
  blocks += about_draws(results)
  for one in comparison_tables.compared(results):
    for task in results['tasks']:
      table = comparison_tables.differences(results, task, one.name)
      if not table.rows:
        continue
      label = plain.markdown(f'{titled(one)}, {task}')
      blocks += [f'### {label}', _table(table)]
  return blocks


def titled(metric: metric_registry.Metric) -> str:
  """A metric's label, and which way is better."""
  better = f' ({metric.better} is better)' if metric.better else ''
  return metric.label + better


def about_tests(results: Mapping[str, Any]) -> str:
  """Explains the p-values; '' where nothing was tested."""
  tests = sum(d['p'] is not None for d in results['differences'])
  if not tests:
    return ''
  return (
    f'p: two-sided paired t-test; after Holm over all {tests} tests of this'
    " page; Wilcoxon's signed-rank test stands beside it, uncorrected."
  )


def about_draws(results: Mapping[str, Any]) -> list[str]:
  """Counts the resamples that the intervals leave out, if any."""
  return tables.left_out(
    {
      d['task']: d.get('undefined_draws') or 0
      for d in results['differences']
      if d['metric'] == 'auc'
    }
  )


def _learning(results: Mapping[str, Any]) -> list[str]:
  table = comparison_tables.learning_rates(results)
  if not table.rows:
    return []
  return [
    '## Learning rates and early stopping',
    LEARNING,
    _table(table),
  ]


def _critics(results: Mapping[str, Any]) -> list[str]:
  blocks = []
  table = comparison_tables.critics(results)
  if table.rows:
    blocks += ['## What the critics knew', CRITICS, _table(table)]
  table = comparison_tables.weights(results)
  if table.rows:
    blocks += [
      '## Weights',
      'Mean and deviation of the weights of the rows, means over seeds ±'
      ' standard error.',
      _table(table),
    ]
  return blocks


def _pictures(pictures: Sequence[str], *wanted: str) -> list[str]:
  return [f'![{CAPTIONS[name]}]({name})' for name in wanted if name in pictures]


def _table(table: content.Table) -> str:
  return page_markdown.table(table, CODE)


def text(results: Mapping[str, Any]) -> str:
  """Renders the metrics, the gains and the verdicts for a terminal.

  Args:
    results: as for `markdown`.

  Returns:
    Lines of 80 columns, unless names are longer.
  """
  blocks = []
  for task in results['tasks']:
    table = comparison_tables.metrics(results, task, described=False)
    blocks += _plain(table, f'{task}, {results["split"]} split')
  gains = comparison_tables.gains(results)
  if gains.rows:
    is_mixed = any(d['metric'] == 'xauc' for d in results['differences'])
    name = 'AUC or XAUC' if is_mixed else 'AUC'
    title = f'{name} minus each control, 1e-4; (0): the interval includes 0'
    blocks += _plain(gains, title)
  sentences = words.headlines(results)
  if any(v['passes'] is not None for v in results['verdicts']):
    sentences += [f'{method}, {why}' for method, why in words.reasons(results)]
  sentences += [f'WARNING: {warning}.' for warning in results['warnings']]
  return '\n'.join([*blocks, *map(terminal.filled, sentences)]) + '\n'


def _plain(table: content.Table, title: str) -> Iterator[str]:
  """The table as text; where it is too wide, in parts."""
  lines = '\n'.join(terminal.lines(title))
  for part in _parts(table):
    yield f'{lines}\n\n{tables.text(tables.plain(part))}'


def _parts(table: content.Table) -> Iterator[content.Table]:
  """As many columns of numbers as 80 columns have beside those of names."""
  names = table.names
  header = [
    name if i < names else '\n'.join(textwrap.wrap(name, _HEADING))
    for i, name in enumerate(table.header)
  ]
  columns = list(zip(header, *table.rows, strict=True))
  room = terminal.COLUMNS - names * (_NAME + 1)
  part: list[tuple[str, ...]] = []
  used = 0
  for column in columns[names:]:
    needs = 1 + max(len(line) for cell in column for line in cell.split('\n'))
    if part and used + needs > room:
      yield _of_columns([*columns[:names], *part], names)
      part, used = [], 0
    part.append(column)
    used += needs
  yield _of_columns([*columns[:names], *part], names)


def _of_columns(
  columns: Sequence[tuple[str, ...]], names: int
) -> content.Table:
  header, *rows = zip(*columns, strict=True)
  return content.Table(header, rows, names)
