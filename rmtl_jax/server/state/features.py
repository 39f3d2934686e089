"""As-of features of rows to predict for, from the state.

The values are those of rmtl_jax.preparation.as_of, whose names and details say
which: of windows, rates, tastes, recency, feedback and histories.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation import ranks, source
from rmtl_jax.preparation.as_of import (
  feedback,
  groups,
  history,
  rates,
  recency,
  tastes,
  windows,
)
from rmtl_jax.server.state import records
from rmtl_jax.server.state import state as state_lib
from rmtl_jax.serving import vocabulary as vocabulary_lib

_Value = Callable[[state_lib.Look, records.Row], float | None]


def column(
  field: source.SourceField,
  shape: state_lib.Shape,
  items: vocabulary_lib.Vocabulary | None,
) -> Callable[[state_lib.Look, Sequence[records.Row]], pa.Array]:
  """The function that computes a field of rows.

  Args:
    items: the vocabulary of items; None if the model reads none.

  Raises:
    types.InputError: there is no such feature.
  """
  if field.details['as_of'] == history.GROUP:
    assert items is not None
    return lambda look, rows: _histories(look, rows, items, field.width)
  value = _value(field, shape)
  # What it reads of a row.
  names = ['session', 'user', 'time']
  if groups.window_of(field) in ('item', 'pair'):
    names.append('item')
  if field.details['as_of'] == tastes.GROUP:
    names.append('values')
  read = operator.attrgetter(*names)

  def values(look: state_lib.Look, rows: Sequence[records.Row]) -> pa.Array:
    # Candidates of one moment have most of their past in common.
    found: dict[Any, float | None] = {}
    column = []
    for row in rows:
      at = read(row)
      if at not in found:
        found[at] = value(look, row)
      column.append(found[at])
    return pa.array(column, pa.float64())

  return values


def _value(field: source.SourceField, shape: state_lib.Shape) -> _Value:
  name = field.column.removeprefix(groups.PREFIX)
  tasks = shape.tasks
  names = [task.name for task in tasks]
  task = field.details.get('task')
  place = names.index(task) if task in names else -1
  group = field.details['as_of']
  if group == 'rates' and place >= 0:
    return _rate(str(field.details['key']), place, tasks[place], _prior(field))
  if group == tastes.GROUP and place >= 0:
    by = shape.tastes.index(str(field.details['by']))
    return _rate(by, place, tasks[place], _prior(field))
  if group == recency.GROUP and place >= 0:
    return lambda look, row: _user_gap(look, row, f'k{place}')
  if group == 'feedback' and place >= 0 and tasks[place].is_ranked:
    return _session_rank(place, tasks[place], _prior(field))
  if group == 'feedback' and place >= 0:
    if 'counts' in field.details:
      return lambda look, row: _since(look, row, place)
    if 'train_rate' in field.details:
      prior = _prior(field)
      return lambda look, row: _session_rate(look, row, place, prior)
    return lambda look, row: _positives(look, row, place)
  window = windows.named(name)
  if window is None:
    raise types.InputError(
      f'field {field.name!r}: no such as-of feature; prepare the data again'
    )
  return _WINDOWS[window.window, window.what]


def _prior(field: source.SourceField) -> float:
  return float(field.details['train_rate'])


def _number(count: int) -> float | None:
  return float(count) if count else None


def _session_gap(look: state_lib.Look, row: records.Row) -> float | None:
  last = look.session(row).last
  return None if last is None else float(row.time - last)


def _pair_gap(look: state_lib.Look, row: records.Row) -> float | None:
  last = look.pair(row)[1]
  return None if last is None else float(row.time - last)


def _user_gap(
  look: state_lib.Look, row: records.Row, what: str
) -> float | None:
  """Since the last of a user's rows or positives; see labels.dated."""
  last = look.last(row, what)
  return None if last is None else float(row.time - last)


_WINDOWS: dict[tuple[str, str], _Value] = {
  ('session', 'rows'): lambda look, row: _number(look.session(row).count),
  ('session', 'first'): lambda look, row: _number(
    row.time - look.session(row).start
  ),
  ('session', 'last'): _session_gap,
  ('pair', 'rows'): lambda look, row: _number(look.pair(row)[0]),
  ('pair', 'last'): _pair_gap,
  ('user', 'rows'): lambda look, row: _number(look.rows(row, 'user')),
  ('user', 'last'): lambda look, row: _user_gap(look, row, 'rows'),
  ('item', 'rows'): lambda look, row: _number(look.rows(row, 'item')),
}


def _rate(
  key: str | int, place: int, task: source.SourceTask, prior: float
) -> _Value:
  """As rates.rates_sql."""

  def value(look: state_lib.Look, row: records.Row) -> float | None:
    return _smoothed(task, prior, *look.rate(row, key, place))

  return value


def _smoothed(
  task: source.SourceTask, prior: float, total: int, count: int
) -> float | None:
  """As rates.smoothed_sql."""
  weight, parts = rates.weight(task), ranks.PARTS if task.is_ranked else 1
  if not count:
    return None
  return (total / parts + weight * prior) / (count + weight)


def _session_rank(place: int, task: source.SourceTask, prior: float) -> _Value:
  """As feedback.features_sql."""

  def value(look: state_lib.Look, row: records.Row) -> float | None:
    told = look.told(row, place)
    return _smoothed(task, prior, told.total, told.labels)

  return value


def _positives(
  look: state_lib.Look, row: records.Row, place: int
) -> float | None:
  if not look.session(row).count:
    return None
  return float(look.told(row, place).positives)


def _session_rate(
  look: state_lib.Look, row: records.Row, place: int, prior: float
) -> float | None:
  """As feedback.features_sql."""
  count = look.session(row).count
  if not count:
    return None
  known = look.told(row, place).positives
  return (known + feedback.WEIGHT * prior) / (count + feedback.WEIGHT)


def _since(look: state_lib.Look, row: records.Row, place: int) -> float | None:
  last = look.told(row, place).last
  # Rows of one time have one position: that of the first of them.
  return None if last is None else float(look.rows_since(row, last))


def _histories(
  look: state_lib.Look,
  rows: Sequence[records.Row],
  items: vocabulary_lib.Vocabulary,
  width: int,
) -> pa.Array:
  """As history.encode_histories, by values."""
  found: dict[tuple[str, int], list[str] | None] = {}
  lists = []
  for row in rows:
    if row.user is None:
      lists.append(None)
      continue
    at = row.user, look.session(row).start
    if at not in found:
      found[at] = _history(look, *at, items, width) or None
    lists.append(found[at])
  return pa.array(lists, pa.list_(pa.string()))


def _history(
  look: state_lib.Look,
  user: str,
  start: int,
  items: vocabulary_lib.Vocabulary,
  width: int,
) -> list[str]:
  """A user's last known items before a session, the last one last."""
  kept: list[str] = []
  shown = iter(look.shown(user, start))
  while len(kept) < width:
    page = list(itertools.islice(shown, 2 * width))
    if not page:
      break
    known = items.rows(pa.array(page, pa.string()), is_text=True) > 0
    kept += [
      item for item, is_known in zip(page, known, strict=True) if is_known
    ]
  return kept[:width][::-1]
