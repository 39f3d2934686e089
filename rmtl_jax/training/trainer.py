"""The host's loop: chunks of steps, metrics and predictions back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.training import feed
from rmtl_jax.training import splits as splits_lib

# Distinct rows up to this share of all are worth being looked for.
_WORTH_SKIPPING = 0.9


class Interrupted(Exception):
  """SIGTERM or SIGINT arrived; everything up to the last epoch is saved."""

  def __init__(self, signal_number: int):
    super().__init__(f'interrupted by signal {signal_number}')
    self.signal_number = signal_number


class NotFinite(FloatingPointError):
  """A loss was NaN or infinite.

  Attributes:
    rows: of the train split, that step's and those of the steps before it in
      its dispatch.
  """

  def __init__(self, message: str, rows: np.ndarray):
    super().__init__(message)
    self.rows = rows


class Position(NamedTuple):
  """How far a pass has come.

  Attributes:
    dispatches: that are done.
    steps: of these; i32[P] of a population.
    totals: metrics, summed over these steps.
  """

  dispatches: int = 0
  steps: Any = 0
  totals: Mapping[str, Any] = MappingProxyType({})

  def as_json(self) -> dict[str, Any]:
    """What `position_of` reads, of one state's pass."""
    totals = {name: float(value) for name, value in self.totals.items()}
    return {
      'dispatches': self.dispatches,
      'steps': int(self.steps),
      'totals': totals,
    }


def position_of(record: Mapping[str, Any] | None) -> Position:
  """The position that a checkpoint says, or the start where it says none."""
  return Position(**record) if record else START


START = Position()


def run_epoch(
  loop: Callable[..., Any],
  state: Any,
  split: splits_lib.Split,
  plan: batches.Epoch | batches.Plan,
  key: jax.Array,
  config: config_lib.BatchConfig,
  progress: progress_lib.Progress,
  extras: tuple[Any, ...] = (),
  interrupted: Callable[[], int] = lambda: 0,
  guide: feed.Guide | None = None,
  start: Position = START,
  after: Callable[[Any, Position, bool], None] = lambda *_: None,
) -> tuple[Any, dict[str, float]]:
  """One pass over a plan.

  Args:
    loop: from updates/loop.make_loop; its state argument is donated.
    state: before the pass, or where it goes on.
    split: the data.
    plan: the pass's batches.
    key: of the stage; steps fold in their own number.
    config: `steps_per_dispatch`.
    progress: told the rows that are done.
    extras: f32[R, K] arrays that the step wants beside the batch, from
      `split.beside`.
    interrupted: a signal's number once one has arrived, else 0.
    guide: what the step wants of another split.
    start: where the pass goes on.
    after: told between dispatches, and where a signal has arrived, the state,
      the position and whether that is so.

  Returns:
    (state after the pass, metrics summed over its steps).

  Raises:
    Interrupted: a signal arrived.
    NotFinite: a metric was not finite.
    FloatingPointError: every step was left out because it was not.
  """
  made = feed.dispatches(
    split, plan, config.steps_per_dispatch, start.dispatches, extras, guide
  )
  new_state, totals = _run(
    loop, state, made, key, progress, interrupted, start, after
  )
  return new_state, {name: float(value) for name, value in totals.items()}


def run_epochs(
  loop: Callable[..., Any],
  states: Sequence[Any],
  split: splits_lib.Split,
  plans: Sequence[batches.Epoch | batches.Plan],
  keys: Sequence[jax.Array],
  config: config_lib.BatchConfig,
  progress: progress_lib.Progress,
  extras: Sequence[tuple[Any, ...]] | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  guides: Sequence[feed.Guide] | None = None,
) -> tuple[list[Any], list[dict[str, float]]]:
  """One pass of P members, each over its own plan, in one program.

  Args:
    loop: from updates/loop.make_population_loop.
    states: each member's before the pass; copied, so they stay.
    split: the data, which members share; on the device.
    plans: each member's batches; their numbers may differ.
    keys: each member's, of the stage.
    config: `steps_per_dispatch`.
    progress: told the rows that are done, all members' together.
    extras: each member's f32[R, K] arrays that the step wants beside the
      batch; None means none.
    interrupted: a signal's number once one has arrived, else 0.
    guides: what each member's step wants of another split, which members
      share, or None.

  Returns:
    (each member's state after the pass, each member's metrics summed over its
    steps).

  Raises:
    Interrupted: a signal arrived.
    NotFinite: a metric was not finite; names the first such member by its
      index.
    FloatingPointError: every step of a member was left out because of that.
    ValueError: states, plans, keys or extras are not as many.
  """
  extras = [()] * len(states) if extras is None else extras
  if not len(states) == len(plans) == len(keys) == len(extras):
    raise ValueError(
      f'found {len(states)} states, {len(plans)} plans, {len(keys)} keys and'
      f' {len(extras)} extras, expected one of each per member'
    )
  made = feed.population_dispatches(
    split, plans, config.steps_per_dispatch, stack(*extras), guides
  )
  new_state, totals = _run(
    loop, stack(*states), made, stack(*keys), progress, interrupted
  )
  sums = [
    {name: float(value[p]) for name, value in totals.items()}
    for p in range(len(states))
  ]
  return unstack(new_state, len(states)), sums


def _run(
  loop: Callable[..., Any],
  state: Any,
  made: Iterator[feed.Dispatch],
  key: jax.Array,
  progress: progress_lib.Progress,
  interrupted: Callable[[], int],
  start: Position = START,
  after: Callable[[Any, Position, bool], None] = lambda *_: None,
) -> tuple[Any, dict[str, Any]]:
  """Dispatches what is made; metrics f64[], or f64[P] of a population."""
  position = start
  for one in made:
    signal_number = interrupted()
    if signal_number or position != start:
      after(state, position, bool(signal_number))
    if signal_number:
      raise Interrupted(signal_number)
    state, sums = loop(
      state, one.columns, one.extras, one.slots, one.steps, key
    )
    totals: dict[str, Any] = dict(position.totals)
    for name, value in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64)
    steps = np.asarray(one.steps)
    if 'nonfinite' in totals:
      _check_finite(totals['nonfinite'], state.step, steps, one.row)
    progress.advance(int(np.count_nonzero(one.row >= 0)) * one.shares)
    position = Position(position.dispatches + 1, position.steps + steps, totals)
  sums = dict(position.totals)
  if 'skipped' in sums and np.any(sums['skipped'] >= position.steps):
    raise FloatingPointError('no step of the whole pass was finite')
  return state, sums


def _check_finite(
  nonfinite: np.ndarray, step: jax.Array, counts: np.ndarray, rows: np.ndarray
) -> None:
  """Stops at the first step of a dispatch that was not finite.

  From there on all are not: parameters that a NaN has updated are NaN. Only a
  loss that overflows with a finite gradient is an earlier step's than told.

  Args:
    nonfinite: how many steps were not, f64[] or f64[P].
    step: the state's counter after the dispatch, i32[] or i32[P].
    counts: steps of the dispatch, i32[] or i32[P].
    rows: of its slots, i32[S, L, T] or i32[S, P, L, T].
  """
  bad = np.flatnonzero(nonfinite)
  if not bad.size:
    return
  p = int(bad[0])
  back = int(nonfinite.reshape(-1)[p])
  at = int(jax.device_get(step).reshape(-1)[p]) - back + 1
  seen = rows[: int(counts.reshape(-1)[p]) - back + 1]
  member = f'member {p}: ' if nonfinite.ndim else ''
  seen = seen[:, p] if nonfinite.ndim else seen
  raise NotFinite(
    f'{member}loss or gradient is not finite at step {at}',
    np.unique(np.maximum(seen, 0)),  # padding holds the values of row 0
  )


@jax.jit
def stack(*trees: Any) -> Any:
  """Trees of one form as one, whose leaves get a leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@functools.partial(jax.jit, static_argnums=1)
def unstack(tree: Any, size: int) -> list[Any]:
  """The `size` trees that `stack` joined, bit for bit."""
  return [jax.tree.map(lambda x, p=p: x[p], tree) for p in range(size)]


def map_rows(
  row_map: Callable[..., Any],
  params: Any,
  split: splits_lib.Split,
  config: config_lib.BatchConfig,
  extras: tuple[Any, ...] = (),
  plan: batches.Plan | None = None,
) -> Any:
  """A function of rows over a whole split, in the split's order.

  Args:
    row_map: from updates/loop.make_row_map.
    params: what it takes first.
    split: the data.
    config: `steps_per_dispatch`.
    extras: f32[R, K] arrays that it wants beside the batch, from
      `split.beside`.
    plan: of the rows that are wanted, if not all.

  Returns:
    A tree of numpy arrays, one value per row of the plan, by ascending row.
  """
  plan = split.plan if plan is None else plan
  size = config.steps_per_dispatch
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
  row_map: Callable[..., Any],
  params: Any,
  split: splits_lib.Split,
  config: config_lib.BatchConfig,
) -> Any:
  """As `map_rows`, where equal features give equal values: each once.

  Args:
    row_map: from updates/loop.make_row_map, of a function that looks at a
      row's own features alone.
    params: what it takes first.
    split: the data.
    config: the batch, `steps_per_dispatch`.
  """
  equal = split.equal_rows
  if equal is None or len(equal.first) > _WORTH_SKIPPING * split.host.rows:
    return map_rows(row_map, params, split, config)
  plan = batches.rows_plan(equal.first, config)
  values = map_rows(row_map, params, split, config, plan=plan)
  # Rows after the last session fill the split up; nobody asks for them.
  wanted = equal.number[: split.host.starts[-1]]
  return jax.tree.map(lambda x: x[wanted], values)
