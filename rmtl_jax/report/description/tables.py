"""The tables of a description, as cells of plain text.

`record` is the result of preparation/description/describe.describe.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.description import drift
from rmtl_jax.report.page import content

Record = Mapping[str, Any]
Table = content.Table

SPLITS = manifest_lib.SPLITS


def splits(record: Record) -> Table:
  """Rows, sessions and times of every split."""
  has_time = record['over_time']['span_ms'] is not None
  rows = []
  for name, split in record['splits'].items():
    # Rows that a random split holds out beside test have no ends of their own.
    ends = record['over_time']['ends'].get(name)
    shown = map(time, ends) if ends else (content.NOTHING,) * 2
    rows.append(
      (
        name,
        f'{split["rows"]:,}',
        f'{split["sessions"]:,}',
        *(shown if has_time else ()),
      )
    )
  times = ('from (UTC)', 'to') if has_time else ()
  return Table(('split', 'rows', 'sessions', *times), rows, 1)


def mean(points: Iterable[Record], task: str) -> float | None:
  """The mean of a task's observed labels over the points of a split."""
  found = [(p['observed'][task], p['mean'][task]) for p in points]
  rows = sum(count for count, _ in found)
  if not rows:
    return None
  return sum(count * value for count, value in found if count) / rows


def label(value: float | None, kind: str) -> str:
  """A rate of binary labels, or a mean of others."""
  return content.number(value, '.2%' if kind == kinds.BINARY else '.4g')


def labels(record: Record) -> Table:
  """The rate of every task in every split, or the mean of a number."""
  points = record['over_time']['points']
  rows = [
    (
      task['name'],
      'rate' if task['kind'] == kinds.BINARY else 'mean',
      *(
        label(mean(points[name], task['name']), task['kind']) for name in SPLITS
      ),
    )
    for task in record['tasks']
  ]
  return Table(('label', '', *SPLITS), rows, 2)


def together(record: Record) -> Table:
  """A row per pair of labels, the most correlated first."""
  tasks, given = record['tasks'], record['together']['given']
  correlation = record['together']['correlation']
  pairs = sorted(
    itertools.combinations(range(len(tasks)), 2),
    key=lambda pair: -abs(correlation[pair[0]][pair[1]] or 0.0),
  )
  rows = [
    (
      tasks[i]['name'],
      tasks[j]['name'],
      content.number(correlation[i][j], '.3f'),
      label(given[i][j], tasks[j]['kind']),
      label(given[j][i], tasks[i]['kind']),
    )
    for i, j in pairs
  ]
  header = ('A', 'B', 'correlation', 'B where A', 'A where B')
  return Table(header, rows, 2)


def fields(of: Sequence[Record]) -> Table:
  """Drift and unseen values of every field, the worst first."""
  rows = [
    (
      field['name'],
      f'{field["size"]:,}' if field['size'] else 'number',
      *(f'{field["psi"][name]:.3f}' for name in drift.OTHERS),
      *(content.number(field['unseen'].get(name), '.1%') for name in SPLITS),
    )
    for field in worst_first(of)
  ]
  header = (
    'field',
    'values',
    *(f'drift: {name}' for name in drift.OTHERS),
    *(f'unseen: {name}' for name in SPLITS),
  )
  return Table(header, rows, 1)


def worst_first(of: Sequence[Record]) -> list[Record]:
  """The fields, those that drift most first."""
  return sorted(of, key=drift.order, reverse=True)


def moves(of: Sequence[Record]) -> Table:
  """What changes most in every field: a value's share, or a number's mean."""
  rows = []
  for field in worst_first(of):
    if field['kind'] == 'numeric':
      means = field['mean']['train'], field['mean']['test']
      cells = 'mean, normalised', *(f'{value:.3f}' for value in means)
    else:
      value, before, after = field['moved']
      cells = str(value), f'{before:.1%}', f'{after:.1%}'
    rows.append((field['name'], *cells))
  return Table(('field', 'value', 'train', 'test'), rows, 2)


def seen(of: Sequence[Record]) -> Table:
  """Different values of every field in every split."""
  rows = [
    (
      field['name'],
      field['kind'],
      f'{field["size"]:,}',
      *(f'{field["seen"][name]:,}' for name in SPLITS),
    )
    for field in of
    if field['seen']
  ]
  header = ('field', 'kind', 'vocabulary rows', *(f'in {n}' for n in SPLITS))
  return Table(header, rows, 2)


def sessions(record: Record) -> Table:
  """Rows of a session in every split."""
  shown = ('median', 'p90', 'p99', 'longest')
  rows = [
    (
      name,
      f'{record["splits"][name]["sessions"]:,}',
      f'{of["mean"]:.2f}',
      *(f'{of[quantile]:,}' for quantile in shown),
    )
    for name, of in record['session_lengths'].items()
  ]
  return Table(('split', 'sessions', 'mean rows', *shown), rows, 1)


def time(ms: int) -> str:
  """A time as people write it, UTC.

  >>> time(90_000)
  '1970-01-01 00:01'
  """
  epoch = datetime.datetime(1970, 1, 1)
  return f'{epoch + datetime.timedelta(milliseconds=ms):%Y-%m-%d %H:%M}'
