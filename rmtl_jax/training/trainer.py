"""The host's loop over dispatches: metrics and predictions come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax.data import batches
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.training import feed
from rmtl_jax.training import splits as splits_lib

# Distinct rows up to this share of all are worth being looked for.
_WORTH_SKIPPING = 0.9


class Interrupted(Exception):
  """SIGTERM or SIGINT arrived; the unfinished stage is saved."""

  def __init__(self, signal_number: int):
    super().__init__(f'interrupted by signal {signal_number}')
    self.signal_number = signal_number


class Position(NamedTuple):
  """How far a pass has come.

  Attributes:
    dispatches: that are done.
    totals: metrics, summed over their steps.
  """

  dispatches: int = 0
  totals: Mapping[str, float] = {}  # never written to


START = Position()


def run_epoch(
  loop: Callable[..., Any],
  state: Any,
  dispatches: Iterable[feed.Dispatch],
  key: jax.Array,
  progress: progress_lib.Progress,
  interrupted: Callable[[], int] = lambda: 0,
  start: Position = START,
  between: Callable[[Any, Position, bool], None] = lambda *_: None,
) -> tuple[Any, dict[str, float]]:
  """One pass: a compiled loop of steps after the other.

  Args:
    loop: from updates/loop.make_loop; its state argument is donated.
    state: before the pass, or where it goes on.
    dispatches: the steps that are left of it, from feed.dispatches.
    key: of the stage; steps fold in their own number.
    progress: told the rows that are done.
    interrupted: a signal's number once one has arrived, else 0.
    start: where the pass goes on.
    between: called between dispatches, and where a signal has arrived, with
      the state, the position and whether that is so.

  Returns:
    (state after the pass, metrics summed over its steps in f64).

  Raises:
    Interrupted: a signal arrived.
    FloatingPointError: a metric was not finite.
  """
  position = start
  for one in dispatches:
    signal_number = interrupted()
    if signal_number or position != start:
      between(state, position, bool(signal_number))
    if signal_number:
      raise Interrupted(signal_number)
    state, sums = loop(
      state, one.columns, one.extras, one.slots, one.steps, key
    )
    # Sums of a dispatch are f32 on the device; those of a pass would lose
    # digits there, so they are added up here.
    totals = dict(position.totals)
    for name, value in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0.0) + float(value)
    _check_finite(int(totals['nonfinite']), state.step)
    progress.advance(int(np.count_nonzero(one.row >= 0)) * one.num_readers)
    position = Position(position.dispatches + 1, totals)
  return state, dict(position.totals)


def _check_finite(nonfinite: int, step: jax.Array) -> None:
  """Stops at the first step of a dispatch that was not finite.

  From there on all are not: parameters that a NaN has updated are NaN. Only a
  loss that overflows with a finite gradient is an earlier step's than told.

  Args:
    nonfinite: how many steps were not.
    step: the state's counter after the dispatch, i32[].
  """
  if not nonfinite:
    return
  raise FloatingPointError(
    f'loss or gradient is not finite at step {int(step) - nonfinite + 1} (a'
    ' smaller learning_rate may help)'
  )


def map_rows(
  row_map: Callable[..., Any],
  params: Any,
  split: splits_lib.Split,
  extras: tuple[Any, ...] = (),
  plan: batches.Plan | None = None,
) -> Any:
  """A function of rows over a whole split, in the split's order.

  Args:
    row_map: from updates/loop.make_row_map.
    params: what it takes first.
    extras: f32[R, K] arrays that it wants beside the batch, from
      `split.beside`.
    plan: of the rows that are wanted, if not all.

  Returns:
    A tree of numpy arrays, one value per row of the plan, by ascending row.
  """
  plan = split.plan if plan is None else plan
  size = split.config.steps_per_dispatch
  rows, values = [], []
  for one in feed.dispatches(split, plan, size, extras=extras):
    out = row_map(params, one.columns, one.extras, one.slots, one.steps)
    mask = one.row >= 0
    rows.append(one.row[mask])
    values.append(jax.tree.map(lambda x, m=mask: np.asarray(x)[m], out))
  order = np.argsort(np.concatenate(rows))

  def in_order(*parts):
    return np.concatenate(parts)[order]

  return jax.tree.map(in_order, *values)


def map_distinct_rows(
  row_map: Callable[..., Any], params: Any, split: splits_lib.Split
) -> Any:
  """As `map_rows`, where equal features give equal values: each once.

  Args:
    row_map: from updates/loop.make_row_map, of a function that looks at a
      row's own features alone.
    params: what it takes first.
  """
  equal = split.equal_rows
  if equal is None or len(equal.first) > _WORTH_SKIPPING * split.host.rows:
    return map_rows(row_map, params, split)
  plan = batches.rows_plan(equal.first, split.config)
  values = map_rows(row_map, params, split, plan=plan)
  # Rows after the last session are padding of the split.
  wanted = equal.number[: split.host.starts[-1]]
  return jax.tree.map(lambda x: x[wanted], values)
