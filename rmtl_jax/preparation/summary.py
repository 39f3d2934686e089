"""A text summary of prepared data: counts, rates, lengths, dropped rows."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from rich import cells

from rmtl_jax import terminal
from rmtl_jax.data import manifest as manifest_lib

# Fields that a sentence names; `rmtl describe` has all of them.
_MOST_NAMED = 30


def summary(manifest: manifest_lib.Manifest) -> str:
  """A table of the splits, and lines about fields and dropped rows.

  Returns:
    Text of several lines, as wide as 80 columns unless names are long.
  """
  lines = [f'source {manifest.source}', *splits(manifest), '']
  report = manifest.report
  lengths = report.get('session_rows')
  if lengths:
    shown = ', '.join(f'{name} {value:g}' for name, value in lengths.items())
    lines += terminal.lines(f'rows of a session: {shown}')
  lines += _fields(manifest)
  lines += _as_of(manifest)
  if 'raw_rows' in report:
    lines.append(f'raw rows: {report["raw_rows"]:,}')
  for name, count in report.items():
    if isinstance(count, int) and name != 'raw_rows':
      lines.append(f'{name.replace("_", " ")}: {count:,}')
  for reason, count in report.get('dropped', {}).items():
    lines += terminal.lines(f'dropped, {reason}: {count:,}')
  for name, count in report.get('cut_values', {}).items():
    if count:
      lines.append(f'values cut from {name}: {count:,}')
  lines += _extension(report)
  lines += warnings(report.get('warnings', []))
  return '\n'.join(lines)


def warnings(sentences: Iterable[str]) -> list[str]:
  """Lines of warnings."""
  return [
    line
    for sentence in sentences
    for line in terminal.lines(f'warning: {sentence}')
  ]


def splits(manifest: manifest_lib.Manifest) -> list[str]:
  """Lines of two tables: rows and start of every split, rates of every task.

  A number that is never 0, or a level, has no rate but a mean, below.
  """
  rated = {
    task.name: task.name if task.is_binary else f'{task.name} not 0'
    for task in manifest.tasks
    if task.is_binary or task.statistics.get('zeros')
  }
  counts = [['split', 'rows', 'sessions', 'from (UTC)']]
  for name, split in manifest.splits.items():
    shown = [f'{split.rows:,}', f'{split.sessions:,}', _time(split.start_ms)]
    counts.append([name, *shown])
  rates = [['label', *manifest.splits]]
  for task, name in rated.items():
    of_splits = [_rate(split, task) for split in manifest.splits.values()]
    rates.append([name, *of_splits])
  return [*_table(counts), '', *_table(rates), *_means(manifest)]


def _means(manifest: manifest_lib.Manifest) -> list[str]:
  """A sentence about labels that are numbers or levels; none without any."""
  shown = []
  for task in manifest.tasks:
    of = task.statistics
    if not task.is_binary and of:
      ends = task.levels or (of['least'], of['largest'])
      shown.append(
        f'{task.name} {of["mean"]:.4g} ({ends[0]:g} to {ends[-1]:g})'
      )
  return (
    terminal.lines(f'mean label in train: {", ".join(shown)}') if shown else []
  )


def _rate(split: manifest_lib.Split, task: str) -> str:
  """The share of labels that are not 0; '-' where none is observed."""
  known = split.rows_of(task)
  return f'{split.positives.get(task, 0) / known:.2%}' if known else '-'


def _table(rows: list[list[str]]) -> list[str]:
  """Lines of a table; the first column is text, the others are numbers."""
  length = cells.cell_len  # a Chinese letter is as wide as two others
  widths = [max(map(length, column)) for column in zip(*rows, strict=True)]
  return [
    '  '.join(
      cells.set_cell_size(cell, width)
      if i == 0
      else ' ' * (width - length(cell)) + cell
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  ]


def _fields(manifest: manifest_lib.Manifest) -> list[str]:
  shown = []
  for field in manifest.fields:
    if field.kind == 'numeric':
      shown.append(f'{field.name} (number)')
    elif field.kind == 'multi_valued':
      shown.append(f'{field.name} {field.size:,} x {field.width}')
    else:
      shown.append(f'{field.name} {field.size:,}')
  return terminal.lines(f'fields and vocabulary rows: {_first(shown)}')


def _first(parts: Sequence[str]) -> str:
  """Some of the parts of a sentence, and how many more there are."""
  rest = len(parts) - _MOST_NAMED
  shown = ', '.join(parts[:_MOST_NAMED])
  return f'{shown}, and {rest:,} more' if rest > 0 else shown


def _as_of(manifest: manifest_lib.Manifest) -> list[str]:
  """A sentence about as-of features; none if none were asked for."""
  made = manifest.options.get('as_of', ())
  left_out = manifest.report.get('as_of_left_out', {})
  if not made and not left_out:
    return []
  line = f'as-of features: {", ".join(made) or "none"}'
  names: dict[str, list[str]] = {}
  for name, why in left_out.items():
    names.setdefault(why, []).append(name)
  if names:
    reasons = (f'{", ".join(some)} ({why})' for why, some in names.items())
    line += f'; left out: {", ".join(reasons)}'
  return terminal.lines(line)


def _extension(report: dict[str, Any]) -> list[str]:
  """New values of rows that extended prepared data."""
  lines = []
  added = {n: c for n, c in report.get('new_values', {}).items() if c}
  if 'new_values' in report:
    shown = [f'{name} {count:,}' for name, count in added.items()]
    lines += terminal.lines(f'new values: {_first(shown) or "none"}')
  return lines


def _time(ms: int | None) -> str:
  if ms is None:
    return '-'
  epoch = datetime.datetime(1970, 1, 1)
  return f'{epoch + datetime.timedelta(milliseconds=ms):%Y-%m-%d %H:%M}'
