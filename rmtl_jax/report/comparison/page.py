"""The page of `rmtl report` on a comparison: results.md as HTML.

Sentences, tables and pictures are those of results.md. `results` is the
content of results.json and what results/report_record.py adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import plain
from rmtl_jax.report.comparison import formats, pictures, tables, words
from rmtl_jax.report.page import content, sections, vector

Results = Mapping[str, Any]
Drawn = Mapping[str, content.Picture]

_ALT = {
  'differences': (
    "Each method's mean AUC difference to each control, with the interval over"
    ' seeds and over sessions; the tables of this section hold the figures.'
  ),
  'weights': (
    'One line per critic: the mean of 1 - lambda Q at row 1, 2, ... of the'
    " session, with the standard error over seeds. It is RMTL's weight,"
    ' whatever the methods use.'
  ),
  'q_values': (
    'One ridge per critic: how Q is distributed over the validation rows; the'
    ' table of what the critics knew has mean and deviation.'
  ),
  'learning': (
    'What the stages stop on, the mean over tasks on validation, by epoch,'
    ' averaged over seeds, one panel for stage 1 and one per backbone for stage'
    ' 3.'
  ),
}


def build(results: Results) -> content.Page:
  """Builds the page: verdict and warnings, then the setting and figures."""
  drawn = _draw(results)
  chapters = [
    _verdict(results),
    _setting(results),
    _data(results),
    _metrics(results),
    _differences(results, drawn),
    _learning(results, drawn),
    _critics(results, drawn),
    sections.provenance(results),
  ]
  lead: list[content.Block] = [
    content.Text(line, strong=True) for line in words.headlines(results)
  ]
  if results['warnings']:
    lead.append(content.Alert(results['warnings']))
  return content.Page(
    f'Comparison {results["name"]}',
    lead,
    [chapter for chapter in chapters if chapter is not None],
  )


@plain.figures()
def _draw(results: Results) -> Drawn:
  return {
    name: content.Picture(
      name,
      vector.draw(figure),
      formats.CAPTIONS[f'{name}.png'],
      _ALT[name],
      wide=True,
    )
    for name, figure in pictures.figures(results).items()
  }


def _verdict(results: Results) -> content.Section | None:
  if not results['verdicts']:
    return None
  reasons = words.reasons(results)
  return content.Section(
    'Verdict',
    [
      content.Text(words.rule()),
      content.Items([f'{method}, {why}' for method, why in reasons]),
    ],
  )


def _setting(results: Results) -> content.Section:
  return content.Section(
    'Setting',
    [
      content.Items(words.setting(results)),
      *sections.settings(
        results['settings'],
        results['defaults'],
        "Settings that differ from the paper's, of all methods",
        'Settings before those of the methods',
      ),
    ],
  )


def _data(results: Results) -> content.Section:
  return content.Section(
    'Data', [sections.splits(results['splits'], results['tasks'])]
  )


def _metrics(results: Results) -> content.Section:
  blocks: list[content.Block] = [
    content.Text(text) for text in formats.about_metrics(results)
  ]
  for task in results['tasks']:
    table = tables.metrics(results, task)
    caption = f'{task}, {results["split"]} split'
    blocks += [
      content.Heading(task),
      content.Grid(caption, table, formats.CODE),
    ]
  return content.Section('Metrics', blocks)


def _differences(results: Results, drawn: Drawn) -> content.Section | None:
  if not results['differences']:
    return None
  blocks = [*_pictures(drawn, 'differences'), content.Text(formats.DIFFERENCES)]
  tests = formats.about_tests(results)
  blocks += [content.Text(tests)] if tests else []
  blocks += map(content.Text, formats.about_draws(results))
  for one in tables.compared(results):
    for task in results['tasks']:
      table = tables.differences(results, task, one.name)
      if not table.rows:
        continue
      title = f'{formats.titled(one)}, {task}'
      blocks += [
        content.Heading(title),
        content.Grid(title, table, formats.CODE),
      ]
  return content.Section('Differences to the controls', blocks)


def _learning(results: Results, drawn: Drawn) -> content.Section | None:
  table = tables.learning_rates(results)
  blocks: list[content.Block] = [*_pictures(drawn, 'learning')]
  if table.rows:
    blocks += [
      content.Text(formats.LEARNING),
      content.Grid('Learning rates and epochs', table, formats.CODE),
    ]
  return content.Section('Learning', blocks) if blocks else None


def _critics(results: Results, drawn: Drawn) -> content.Section | None:
  blocks: list[content.Block] = []
  table = tables.critics(results)
  if table.rows:
    blocks += [
      content.Text(formats.CRITICS),
      content.Grid('What the critics knew', table, formats.CODE),
    ]
  table = tables.weights(results)
  if table.rows:
    caption = 'Weights of the rows, means over seeds ± standard error'
    blocks.append(content.Grid(caption, table, formats.CODE))
  blocks += _pictures(drawn, 'weights', 'q_values')
  return content.Section('Critics and weights', blocks) if blocks else None


def _pictures(drawn: Drawn, *wanted: str) -> list[content.Block]:
  return [content.Pictures([drawn[name]]) for name in wanted if name in drawn]
