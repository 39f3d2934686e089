"""The report of `rmtl report` on a comparison: results.md as a page.

Words, tables and pictures are those that `rmtl compare` writes itself.
`results` is everywhere what results.json holds, with what
training/report_record.py adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import (
  comparison,
  comparison_pictures,
  comparison_tables,
  comparison_words,
  page,
  plain,
  run_tables,
  vector,
)

Results = Mapping[str, Any]
Drawn = Mapping[str, page.Picture]

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
    'Mean validation AUC over tasks by epoch, averaged over seeds, one panel'
    ' for stage 1 and one per backbone for stage 3.'
  ),
}


def build(results: Results) -> page.Page:
  """The report: verdict and warnings first, then the setting and figures."""
  drawn = _draw(results)
  sections = [
    _verdict(results),
    _setting(results),
    _data(results),
    _metrics(results),
    _differences(results, drawn),
    _learning(results, drawn),
    _critics(results, drawn),
    page.Section(
      'How this was made',
      [page.Items(list(comparison_words.provenance(results)))],
    ),
  ]
  lead: list[page.Block] = [
    page.Text(line, strong=True) for line in comparison_words.headlines(results)
  ]
  if results['warnings']:
    lead.append(page.Alert(results['warnings']))
  return page.Page(
    f'Comparison {results["name"]}',
    lead,
    [section for section in sections if section is not None],
  )


@plain.figures()
def _draw(results: Results) -> Drawn:
  return {
    name: page.Picture(
      name,
      vector.draw(figure),
      comparison.CAPTIONS[f'{name}.png'],
      _ALT[name],
      wide=True,
    )
    for name, figure in comparison_pictures.figures(results).items()
  }


def _verdict(results: Results) -> page.Section | None:
  if not results['verdicts']:
    return None
  reasons = comparison_words.reasons(results)
  return page.Section(
    'Verdict',
    [
      page.Text(comparison_words.rule()),
      page.Items([f'{method}, {why}' for method, why in reasons]),
    ],
  )


def _setting(results: Results) -> page.Section:
  flat, defaults = results['settings'], results['defaults']
  code = ('setting', 'value', 'default')
  changed = run_tables.config(flat, defaults, changed_only=True)
  whole = run_tables.config(flat, defaults, changed_only=False)
  blocks: list[page.Block] = [page.Items(comparison_words.setting(results))]
  if changed.rows:
    caption = 'Settings that differ from the defaults, of all methods'
    blocks.append(page.Grid(caption, changed, code))
  blocks.append(
    page.Folded(
      f'All {len(whole.rows)} settings',
      [page.Grid('Settings before those of the methods', whole, code)],
    )
  )
  return page.Section('Setting', blocks)


def _data(results: Results) -> page.Section:
  table = run_tables.splits(results['splits'], results['tasks'])
  return page.Section('Data', [page.Grid('Splits, by time', table)])


def _metrics(results: Results) -> page.Section:
  blocks: list[page.Block] = [page.Text(comparison.METRICS)]
  for task in results['tasks']:
    table = comparison_tables.metrics(results, task)
    caption = f'{task}, {results["split"]} split'
    blocks += [
      page.Heading(task),
      page.Grid(caption, table, comparison.CODE),
    ]
  return page.Section('Metrics', blocks)


def _differences(results: Results, drawn: Drawn) -> page.Section | None:
  if not results['differences']:
    return None
  blocks = [*_pictures(drawn, 'differences'), page.Text(comparison.DIFFERENCES)]
  tests = comparison.about_tests(results)
  blocks += [page.Text(tests)] if tests else []
  blocks += map(page.Text, comparison.about_draws(results))
  for metric, label in comparison.SHOWN:
    for task in results['tasks']:
      table = comparison_tables.differences(results, task, metric)
      title = f'{label}, {task}'
      blocks += [page.Heading(title), page.Grid(title, table, comparison.CODE)]
  return page.Section('Differences to the controls', blocks)


def _learning(results: Results, drawn: Drawn) -> page.Section | None:
  table = comparison_tables.learning_rates(results)
  blocks: list[page.Block] = [*_pictures(drawn, 'learning')]
  if table.rows:
    blocks += [
      page.Text(comparison.LEARNING),
      page.Grid('Learning rates and epochs', table, comparison.CODE),
    ]
  return page.Section('Learning', blocks) if blocks else None


def _critics(results: Results, drawn: Drawn) -> page.Section | None:
  blocks: list[page.Block] = []
  table = comparison_tables.critics(results)
  if table.rows:
    blocks += [
      page.Text(comparison.CRITICS),
      page.Grid('What the critics knew', table, comparison.CODE),
    ]
  table = comparison_tables.weights(results)
  if table.rows:
    caption = 'Weights of the rows, means over seeds ± standard error'
    blocks.append(page.Grid(caption, table, comparison.CODE))
  blocks += _pictures(drawn, 'weights', 'q_values')
  return page.Section('Critics and weights', blocks) if blocks else None


def _pictures(drawn: Drawn, *wanted: str) -> list[page.Block]:
  return [page.Pictures([drawn[name]]) for name in wanted if name in drawn]
