"""The pages of a comparison: results.md, and what `rmtl report` makes of it.

`results` is the content of results.json, for the report with what
results/report_record.py adds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rmtl_jax.report import plain
from rmtl_jax.report import tables as report_tables
from rmtl_jax.report.comparison import pictures, tables, words
from rmtl_jax.report.page import content, sections, vector

Results = Mapping[str, Any]
Drawn = Mapping[str, content.Picture]

_DIFFERENCES = """\
Paired by seed, in units of 1e-4, ± standard error. The interval over seeds is
Student's; the interval over sessions is the bootstrap's, of the mean over the
same seeds. Seeds and sessions are two kinds of noise: a difference is clear
where both intervals leave 0 out. An interval that holds 0 says so."""
_CRITICS = """\
Means over seeds, on the validation rows. R2 is of Q as a prediction of the
realised returns: 0 is as good as their mean, negative is worse. The dead share
is that of rows where Q is exactly 0. A collapsed critic gives constant
weights."""
_LEARNING = """\
Mean over tasks and tuning seeds, on validation, at every learning rate that was
tried (a logloss in units of that of the mean rate); then, over all seeds, the
epoch of stage 3 that was kept (0: the pre-trained model)."""
_METRICS = """\
Mean ± standard error over seeds. The errors of two rows do not tell whether
they differ: seeds are paired, see the differences below."""
# The columns whose cells are set as code.
_CODE = ('method', 'minus', 'critic')
# Caption and description of each picture.
_ABOUT = {
  'differences': (
    'AUC minus each control',
    "Each method's mean AUC difference to each control, with the interval over"
    ' seeds and over sessions; the tables of this section hold the figures.',
  ),
  'weights': (
    'Weight over the position in the session',
    'One line per critic: the mean of 1 - lambda Q at row 1, 2, ... of the'
    " session, with the standard error over seeds. It is RMTL's weight,"
    ' whatever the methods use.',
  ),
  'q_values': (
    'Distribution of Q',
    'One ridge per critic: how Q is distributed over the validation rows; the'
    ' table of what the critics knew has mean and deviation.',
  ),
  'learning': (
    'Learning curves',
    'What the stages stop on, the mean over tasks on validation, by epoch,'
    ' averaged over seeds, one panel for stage 1 and one per backbone for stage'
    ' 3.',
  ),
}


def build(results: Results) -> content.Page:
  """Builds the report: verdict and warnings, then the setting and figures."""
  drawn = _draw(results)
  setting = [
    content.Items(words.setting(results)),
    *sections.settings(
      results['settings'],
      results['defaults'],
      "Settings that differ from the paper's, of all methods",
      'Settings before those of the methods',
    ),
  ]
  data = [sections.splits(results['splits'], results['tasks'])]
  return content.Page(
    f'Comparison {results["name"]}',
    _lead(results),
    [
      *_verdict(results),
      content.Section('Setting', setting),
      content.Section('Data', data),
      *_figures(results, drawn),
    ],
  )


def summary(results: Results, names: Collection[str] = ()) -> content.Page:
  """Builds results.md.

  Args:
    names: of the pictures beside it; see pictures.draw.
  """
  drawn = {name: content.Picture(name, '', *_ABOUT[name]) for name in names}
  setting = content.Section('Setting', [content.Items(words.setting(results))])
  return content.Page(
    f'Comparison on {results["data"]["source"]}',
    _lead(results),
    [*_verdict(results), setting, *_figures(results, drawn)],
  )


@plain.figures()
def _draw(results: Results) -> Drawn:
  return {
    name: vector.picture(name, figure, *_ABOUT[name], wide=True)
    for name, figure in pictures.figures(results).items()
  }


def _lead(results: Results) -> list[content.Block]:
  warnings = results['warnings']
  return [
    *(content.Text(line, strong=True) for line in words.headlines(results)),
    *([content.Alert(warnings)] if warnings else []),
  ]


def _figures(results: Results, drawn: Drawn) -> list[content.Section]:
  chapters = [
    _metrics(results),
    _differences(results, drawn),
    _learning(results, drawn),
    _critics(results, drawn),
    sections.provenance(results),
  ]
  return [chapter for chapter in chapters if chapter is not None]


def _verdict(results: Results) -> list[content.Section]:
  if not results['verdicts']:
    return []
  lines = [f'{method}, {why}' for method, why in words.reasons(results)]
  blocks = [content.Text(words.rule()), content.Items(lines)]
  return [content.Section('Verdict', blocks)]


def _metrics(results: Results) -> content.Section:
  blocks: list[content.Block] = [content.Text(_METRICS)]
  for task in results['tasks']:
    table = tables.metrics(results, task)
    caption = f'{task}, {results["split"]} split'
    blocks += [content.Heading(task), content.Grid(caption, table, _CODE)]
  return content.Section('Metrics', blocks)


def _differences(results: Results, drawn: Drawn) -> content.Section | None:
  if not results['differences']:
    return None
  blocks = [*_pictures(drawn, 'differences'), content.Text(_DIFFERENCES)]
  tests = _about_tests(results)
  blocks += [content.Text(tests)] if tests else []
  undefined = {
    d['task']: d.get('undefined_draws') or 0
    for d in results['differences']
    if d['metric'] == 'auc'
  }
  blocks += map(content.Text, report_tables.left_out(undefined))
  for one in tables.compared(results):
    for task in results['tasks']:
      table = tables.differences(results, task, one.name)
      if not table.rows:
        continue
      better = f' ({one.better} is better)' if one.better else ''
      title = f'{one.label}{better}, {task}'
      blocks += [content.Heading(title), content.Grid(title, table, _CODE)]
  return content.Section('Differences to the controls', blocks)


def _learning(results: Results, drawn: Drawn) -> content.Section | None:
  table = tables.learning_rates(results)
  blocks: list[content.Block] = [*_pictures(drawn, 'learning')]
  if table.rows:
    blocks += [
      content.Text(_LEARNING),
      content.Grid('Learning rates and epochs', table, _CODE),
    ]
  return content.Section('Learning', blocks) if blocks else None


def _critics(results: Results, drawn: Drawn) -> content.Section | None:
  blocks: list[content.Block] = []
  table = tables.critics(results)
  if table.rows:
    blocks += [
      content.Text(_CRITICS),
      content.Grid('What the critics knew', table, _CODE),
    ]
  table = tables.weights(results)
  if table.rows:
    caption = 'Weights of the rows, means over seeds ± standard error'
    blocks.append(content.Grid(caption, table, _CODE))
  blocks += _pictures(drawn, 'weights', 'q_values')
  return content.Section('Critics and weights', blocks) if blocks else None


def _pictures(drawn: Drawn, *wanted: str) -> list[content.Block]:
  return [content.Pictures([drawn[name]]) for name in wanted if name in drawn]


def _about_tests(results: Results) -> str:
  """Explains the p-values; '' where nothing was tested."""
  tests = sum(d['p'] is not None for d in results['differences'])
  if not tests:
    return ''
  return (
    f'p: two-sided paired t-test; after Holm over all {tests} tests of this'
    " page; Wilcoxon's signed-rank test stands beside it, uncorrected."
  )
