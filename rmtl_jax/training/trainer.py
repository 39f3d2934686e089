"""The host's loop: data on the device, chunks of steps, predictions back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.training import progress as progress_lib
from rmtl_jax.updates import loop as loop_lib

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


@dataclasses.dataclass(frozen=True)
class Split:
  """A split on the host, on the device, and the plan that reads it in order.

  Attributes:
    host: the columns as numpy.
    device: the columns that networks and losses need.
    plan: every row once, in order.
  """

  host: columns_lib.SplitColumns
  device: loop_lib.Columns
  plan: batches.Plan

  @functools.cached_property
  def equal_rows(self) -> columns_lib.EqualRows:
    """Which rows have the same features."""
    return columns_lib.equal_rows(self.host)


def place(
  host: columns_lib.SplitColumns, config: config_lib.BatchConfig
) -> Split:
  """Puts a split on the device."""
  inputs = types.Inputs(host.categorical, host.multi_valued, host.numeric)
  device = jax.device_put(loop_lib.Columns(inputs, host.labels))
  return Split(host, device, batches.ordered_plan(host.starts, config))


def with_room(
  spec: types.FeatureSpec, train: Split, config: config_lib.BatchConfig
) -> types.FeatureSpec:
  """The fields, with the room that distinct values of train batches need."""
  host = train.host
  room = batches.distinct_room(host.categorical, host.starts, config)
  return dataclasses.replace(spec, distinct=room)


class Guide(NamedTuple):
  """Rows of another split that every step sees beside its own batch.

  Attributes:
    columns: of that split, on the device.
    plan: its batches, which are taken round and round.
  """

  columns: loop_lib.Columns
  plan: batches.Plan


def chunks(
  plan: batches.Plan, size: int, guide: Guide | None = None
) -> list[tuple[Any, int]]:
  """The plan in pieces of `size` batches, the last one padded, with counts.

  A piece is Slots; with a guide it is Guided, of Slots both.
  """
  return [
    _piece(plan, begin, size, guide) for begin in range(0, len(plan.row), size)
  ]


def population_chunks(
  plans: Sequence[batches.Plan],
  size: int,
  guides: Sequence[Guide] | None = None,
) -> list[tuple[Any, np.ndarray]]:
  """The plans side by side, in pieces of `size` batches.

  Args:
    plans: one per member, of S_p batches.
    size: batches of a piece.
    guides: one per member, or None.

  Returns:
    (slots [size, P, L, T], Guided where there are guides; each member's count
    i32[P]); the pieces go on to the end of the longest plan, with counts of 0
    for members that are done.
  """
  pieces = []
  for begin in range(0, max(len(plan.row) for plan in plans), size):
    members, counts = zip(
      *(
        _piece(plan, begin, size, guide)
        for plan, guide in zip(
          plans, guides or [None] * len(plans), strict=True
        )
      ),
      strict=True,
    )
    slots = jax.tree.map(lambda *x: np.stack(x, axis=1), *members)
    pieces.append((slots, np.array(counts, np.int32)))
  return pieces


def _piece(
  plan: batches.Plan, begin: int, size: int, guide: Guide | None = None
) -> tuple[Any, int]:
  count = min(size, max(len(plan.row) - begin, 0))
  pad = [(0, size - count), (0, 0), (0, 0)]
  end = begin + count
  slots = loop_lib.Slots(
    np.pad(plan.row[begin:end], pad, constant_values=-1),
    np.pad(plan.is_last[begin:end], pad),
    np.pad(plan.segment[begin:end], pad, constant_values=-1),
  )
  if guide is None:
    return slots, count
  at = np.arange(begin, begin + size) % len(guide.plan.row)
  beside = loop_lib.Slots(*(part[at] for part in guide.plan))
  return loop_lib.Guided(slots, beside), count


def _train_part(guided: Any) -> Any:
  return guided.train if isinstance(guided, loop_lib.Guided) else guided


def _columns(split: Split, guide: Guide | None) -> Any:
  if guide is None:
    return split.device
  return loop_lib.Guided(split.device, guide.columns)


def run_epoch(
  loop: Callable[..., Any],
  state: Any,
  split: Split,
  plan: batches.Plan,
  key: jax.Array,
  config: config_lib.BatchConfig,
  progress: progress_lib.Progress,
  extras: tuple[jax.Array, ...] = (),
  interrupted: Callable[[], int] = lambda: 0,
  guide: Guide | None = None,
) -> tuple[Any, dict[str, float]]:
  """One pass over a plan.

  Args:
    loop: from updates/loop.make_loop; its state argument is donated.
    state: before the pass.
    split: the data.
    plan: the pass's batches.
    key: of the stage; steps fold in their own number.
    config: `steps_per_dispatch`.
    progress: told the rows that are done.
    extras: f32[R, K] arrays that the step wants beside the batch.
    interrupted: a signal's number once one has arrived, else 0.
    guide: what the step wants of another split.

  Returns:
    (state after the pass, metrics summed over its steps).

  Raises:
    Interrupted: a signal arrived.
    NotFinite: a metric was not finite.
    FloatingPointError: every step was left out because it was not.
  """
  pieces = chunks(plan, config.steps_per_dispatch, guide)
  columns = _columns(split, guide)
  new_state, totals = _run_pieces(
    loop, state, columns, pieces, key, progress, extras, interrupted
  )
  return new_state, {name: float(value) for name, value in totals.items()}


def run_epochs(
  loop: Callable[..., Any],
  states: Sequence[Any],
  split: Split,
  plans: Sequence[batches.Plan],
  keys: Sequence[jax.Array],
  config: config_lib.BatchConfig,
  progress: progress_lib.Progress,
  extras: Sequence[tuple[jax.Array, ...]] | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  guides: Sequence[Guide] | None = None,
) -> tuple[list[Any], list[dict[str, float]]]:
  """One pass of P members, each over its own plan, in one program.

  Args:
    loop: from updates/loop.make_population_loop.
    states: each member's before the pass; copied, so they stay.
    split: the data, which members share.
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
  pieces = population_chunks(plans, config.steps_per_dispatch, guides)
  new_state, totals = _run_pieces(
    loop,
    stack(*states),
    _columns(split, guides[0] if guides else None),
    pieces,
    stack(*keys),
    progress,
    stack(*extras),
    interrupted,
  )
  sums = [
    {name: float(value[p]) for name, value in totals.items()}
    for p in range(len(states))
  ]
  return unstack(new_state, len(states)), sums


def _run_pieces(
  loop: Callable[..., Any],
  state: Any,
  columns: Any,
  pieces: Sequence[tuple[Any, Any]],
  key: jax.Array,
  progress: progress_lib.Progress,
  extras: tuple[jax.Array, ...],
  interrupted: Callable[[], int],
) -> tuple[Any, dict[str, np.ndarray]]:
  """Dispatches the pieces; metrics f64[], or f64[P] of a population."""
  totals: dict[str, np.ndarray] = {}
  for slots, count in pieces:
    if interrupted():
      raise Interrupted(interrupted())
    counts = np.asarray(count, np.int32)
    state, sums = loop(
      state, columns, extras, *jax.device_put((slots, counts)), key
    )
    for name, value in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64)
    rows = _train_part(slots).row
    if 'nonfinite' in totals:
      _check_finite(totals['nonfinite'], state.step, counts, rows)
    progress.advance(int(np.count_nonzero(rows >= 0)))
  if 'skipped' in totals:
    steps = np.sum([count for _, count in pieces], axis=0)
    if np.any(totals['skipped'] >= steps):
      raise FloatingPointError('no step of the whole pass was finite')
  return state, totals


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
  split: Split,
  config: config_lib.BatchConfig,
  extras: tuple[jax.Array, ...] = (),
) -> Any:
  """A function of rows over a whole split, in the split's order.

  Args:
    row_map: from updates/loop.make_row_map.
    params: what it takes first.
    split: the data.
    config: `steps_per_dispatch`.
    extras: f32[R, K] arrays that it wants beside the batch.

  Returns:
    A tree of numpy arrays, one value per row of the plan, by ascending row.
  """
  pieces = []
  for slots, count in chunks(split.plan, config.steps_per_dispatch):
    out = row_map(
      params, split.device, extras, jax.device_put(slots), np.int32(count)
    )
    mask = slots.row >= 0
    pieces.append(
      (slots.row[mask], jax.tree.map(lambda x, m=mask: np.asarray(x)[m], out))
    )
  order = np.argsort(np.concatenate([row for row, _ in pieces]))

  def in_order(*parts):
    return np.concatenate(parts)[order]

  return jax.tree.map(in_order, *[out for _, out in pieces])


def map_distinct_rows(
  row_map: Callable[..., Any],
  params: Any,
  split: Split,
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
  if len(equal.first) > _WORTH_SKIPPING * split.host.rows:
    return map_rows(row_map, params, split, config)
  plan = batches.rows_plan(equal.first, config)
  values = map_rows(
    row_map, params, dataclasses.replace(split, plan=plan), config
  )
  wanted = equal.number[np.sort(split.plan.row[split.plan.row >= 0])]
  return jax.tree.map(lambda x: x[wanted], values)


def on_device(values: np.ndarray) -> jax.Array:
  """Values of a split's rows as f32 on the device."""
  return jax.device_put(values.astype(np.float32))
