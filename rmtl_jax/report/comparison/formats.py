"""Renders a comparison as CSV and for a terminal."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmtl_jax import terminal
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import tables
from rmtl_jax.report.comparison import tables as comparison_tables
from rmtl_jax.report.comparison import words
from rmtl_jax.report.page import content

Results = Mapping[str, Any]

# On a terminal, what a column of names has at least, and what the heading of
# one of numbers has at most.
_NAME, _HEADING = 16, 18


def runs_csv(results: Results) -> str:
  """Renders results.csv, one line per run and task."""
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator='\n')
  names = [*metric_registry.RECORDS.names()]
  writer.writerow(
    ['method', 'seed', 'learning_rate', 'best_epoch', 'task', *names]
  )
  for run in results['runs']:
    own = [run['method'], run['seed'], run['learning_rate'], run['best_epoch']]
    for task in results['tasks']:
      metrics = run['metrics'][task]
      writer.writerow([*own, task, *(metrics.get(name) for name in names)])
  return buffer.getvalue()


def text(results: Results) -> str:
  """Renders the metrics, the gains and the verdicts for a terminal.

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
    yield f'{lines}\n\n{tables.plain(part)}'


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
