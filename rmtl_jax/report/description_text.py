"""The text of `rmtl describe`.

`record` is the result of preparation/description/describe.describe.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.description import drift
from rmtl_jax.report import pages

Record = Mapping[str, Any]
Table = pages.Table

SPLITS = manifest_lib.SPLITS
# Fields and pairs of labels that a terminal shows.
_MOST_SHOWN = 20
DRIFT = (
  'Drift is the population stability index against train: below 0.1 two splits'
  ' are alike, above 0.25 they differ much; as-of fields count what came'
  ' before, so they drift by construction. Unseen: the share of values that are'
  ' missing, rare or in no train row.'
)
# A change of a label's rate that gets a sentence, relative to train's,
# and the share of unseen values that is.
_CHANGE, _UNSEEN = 0.1, 0.1
_MOST_NAMES = 5
# Rows without a final label get a sentence from this share on.
_YOUNG = 0.01
# R² of later positives that the item has to add for a weight to use it.
_ADDS = 0.02


def text(record: Record) -> str:
  """The tables in 80 columns, and notable findings."""
  pairs, drifts = together(record), fields(record['fields'])
  first = slice(_MOST_SHOWN)
  parts = [
    splits(record),
    labels(record),
    *([pairs._replace(rows=pairs.rows[first])] if pairs.rows else []),
    *([lateness(record)] if record['lateness'] else []),
    *([look_ahead(record)] if record['look_ahead'] else []),
    drifts._replace(rows=drifts.rows[first]),
  ]
  lines = list(map(pages.text, parts))
  rest = len(drifts.rows) - _MOST_SHOWN
  if rest > 0:
    lines[-1] += f'{rest} more fields drift less\n'
  sentences = (DRIFT, '', *findings(record))
  return '\n'.join([*lines, *map(pages.wrapped, sentences)])


def findings(record: Record) -> list[str]:
  """Sentences about drift, unseen values and labels that change."""
  found = differences(record['fields'])
  means = record['label_means']
  for task in record['tasks']:
    before, after = (means[name][task['name']] for name in ('train', 'test'))
    if before and after is not None and abs(after / before - 1) > _CHANGE:
      what = 'rate' if task['kind'] == 'binary' else 'mean'
      found.append(
        f'The {what} of {task["name"]} goes from'
        f' {label(before, task["kind"])} in train to'
        f' {label(after, task["kind"])} in test.'
      )
  for one in record['lateness']:
    if one['young'] > _YOUNG:
      found.append(
        f'{one["young"]:.0%} of the train rows have no final label of'
        f' {one["task"]} yet; compare --config.delayed=row, critic and zero'
        ' with the default, which leaves them out.'
      )
  gains = [one['row'] - one['state'] for one in record['look_ahead']]
  if gains and max(gains) < _ADDS:
    found.append(
      'The shown item says almost nothing about the rest of the session beyond'
      ' the state, so critic weights have little to order items by.'
    )
  elif gains:
    found.append(
      'The shown item says something about the rest of the session, so compare'
      ' critic weights with their control: rmtl compare.'
    )
  return found


def differences(fields: Sequence[Record]) -> list[str]:
  """Sentences about fields of the log that drift and about unseen values."""
  of_log = [field for field in worst_first(fields) if not field['as_of']]
  drifting = [
    field['name']
    for field in of_log
    if field['psi']['test'] > drift.DIFFERENT + field['chance']['test']
  ]
  unseen = [
    f'{field["name"]} {field["unseen"]["test"]:.1%}'
    for field in of_log
    if field['unseen'].get('test', 0.0)
    > field['unseen'].get('train', 0.0) + _UNSEEN
  ]
  found = ['No field of the log differs much between train and test.']
  if drifting:
    found = [f'Differs much between train and test: {_listed(drifting)}.']
  if unseen:
    found.append(f'Values of test that train has not: {_listed(unseen)}.')
  return found


def _listed(names: list[str]) -> str:
  rest = len(names) - _MOST_NAMES
  more = f' and {rest} more' if rest > 0 else ''
  return ', '.join(names[:_MOST_NAMES]) + more


def splits(record: Record) -> Table:
  """Rows, sessions, rows of a session and the beginning of every split."""
  times = record['times']
  has_time = len({time for ends in times.values() for time in ends}) > 1
  shown = ('median', 'p99', 'longest')
  rows = [
    (
      name,
      f'{split["rows"]:,}',
      f'{split["sessions"]:,}',
      *(f'{record["session_lengths"][name][key]:,}' for key in shown),
      *([time(times[name][0])] if has_time else []),
    )
    for name, split in record['splits'].items()
  ]
  header = (
    'split',
    'rows',
    'sessions',
    'rows of a session: median',
    *shown[1:],
  )
  return Table((*header, *(['from (UTC)'] if has_time else [])), rows, 1)


def label(value: float | None, kind: str) -> str:
  """A rate of binary labels, or a mean of others."""
  return pages.number(value, '.2%' if kind == kinds.BINARY else '.4g')


def labels(record: Record) -> Table:
  """The rate of every task in every split, or the mean of a number."""
  means = record['label_means']
  rows = [
    (
      task['name'],
      'rate' if task['kind'] == kinds.BINARY else 'mean',
      *(label(means[name][task['name']], task['kind']) for name in SPLITS),
    )
    for task in record['tasks']
  ]
  return Table(('label', '', *SPLITS), rows, 2)


def lateness(record: Record) -> Table:
  """When positives of labels with a horizon are known."""
  rows = [
    (
      one['task'],
      f'{one["within_seconds"] / 3600:g} h',
      *(pages.number(share, '.1%') for share in one['known'].values()),
      f'{one["young"]:.1%}',
    )
    for one in record['lateness']
  ]
  known = ('known in an hour', 'a day', 'a week')
  return Table(('label', 'final after', *known, 'rows too young'), rows, 1)


def look_ahead(record: Record) -> Table:
  """R² of a session's later positives, without and with the shown item."""
  rows = [
    (one['task'], f'{one["state"]:.3f}', f'{one["row"]:.3f}')
    for one in record['look_ahead']
  ]
  header = ('R² of later positives', 'from the state', 'and the shown item')
  return Table(header, rows, 1)


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
      pages.number(correlation[i][j], '.3f'),
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
      *(pages.number(field['unseen'].get(name), '.1%') for name in SPLITS),
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


def time(ms: int) -> str:
  """A time as people write it, UTC.

  >>> time(90_000)
  '1970-01-01 00:01'
  """
  epoch = datetime.datetime(1970, 1, 1)
  return f'{epoch + datetime.timedelta(milliseconds=ms):%Y-%m-%d %H:%M}'
