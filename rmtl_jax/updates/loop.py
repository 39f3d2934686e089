"""Many steps in one dispatch: batches gathered from data on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax import types


class Draws(NamedTuple):
  """A random key as two numbers: `random_key` within a program makes it.

  Outside, making a key would compile another program.

  Attributes:
    seed: of the run.
    number: of what draws.
  """

  seed: int
  number: int


def random_key(draws: Draws) -> jax.Array:
  """The random key of a seed and a number."""
  return jax.random.fold_in(jax.random.key(draws.seed), draws.number)


class Columns(NamedTuple):
  """A split's columns on the device.

  Attributes:
    inputs: the features, leading dimension R, without segments.
    labels: f32[R, K].
    sample_weight: f32[R, K] as in types.Batch, or None.
  """

  inputs: types.Inputs
  labels: types.Array
  sample_weight: types.Array | None = None


class SlotRows(NamedTuple):
  """The rows of a dispatch's batches, slot by slot: nothing to gather.

  Attributes:
    inputs: the features, leading dimensions [S, L, T], without segments.
    labels: f32[S, L, T, K].
    sample_weight: f32[S, L, T, K] as in types.Batch, or None.
  """

  inputs: types.Inputs
  labels: types.Array
  sample_weight: types.Array | None = None


class Slots(NamedTuple):
  """Which rows fill the slots; see data/batches.Plan.

  Attributes:
    row: i32[..., L, T], -1 in padding.
    is_last: bool[..., L, T].
    segment: i32[..., L, T], -1 in padding.
  """

  row: types.Array
  is_last: types.Array
  segment: types.Array


def gather(columns: Columns | SlotRows, slots: Slots) -> types.Batch:
  """One batch; padding contains arbitrary rows and has a false mask.

  Args:
    columns: a split's, or the batch's own rows, [L, T, ...].
    slots: of the batch, [L, T].
  """
  if isinstance(columns, Columns):
    row = jnp.maximum(slots.row, 0)
    columns = jax.tree.map(lambda x: x[row], columns)
  inputs, labels, sample_weight = columns
  return types.Batch(
    inputs=inputs._replace(segment=slots.segment),
    labels=labels,
    mask=slots.row >= 0,
    is_last=slots.is_last,
    segment=slots.segment,
    row=slots.row,
    sample_weight=sample_weight,
  )


def _at(i: jax.Array, columns: Any, extras: Any, slots: Any) -> tuple[Any, ...]:
  """The batch and extras of step i of a dispatch."""

  def one(tree):
    return jax.tree.map(lambda x: x[i], tree)

  if isinstance(columns, SlotRows):
    return one((columns, extras, slots))
  return columns, extras, one(slots)


def _rows_of(extras: Any, columns: Columns | SlotRows, slots: Slots) -> Any:
  """Extra values of a batch's rows."""
  if isinstance(columns, SlotRows):
    return extras
  return tuple(x[jnp.maximum(slots.row, 0)] for x in extras)


def make_loop(
  step: Callable[..., tuple[Any, dict[str, jax.Array]]],
) -> Callable[..., tuple[Any, dict[str, jax.Array]]]:
  """Runs a step over a plan, in one compiled loop.

  The number of steps is a traced number, so a short last plan does not
  compile again. Keys are folded from the state's own step counter: a resumed
  run draws what an uninterrupted one draws.

  Args:
    step: step(state, batch, key, *extras) -> (state, metrics), where extras
      are the rows of `extras` below, f32[L, T, K].

  Returns:
    A jitted loop(state, columns, extras, slots, count, draws) -> (state, sums)
    that donates the state. `extras` is a tuple of f32[R, K] arrays, `slots`
    has a leading dimension of at least `count` steps; sums are the metrics
    added up, with `nonfinite` the number of steps in which one was not finite.
  """

  on_slots = _on_slots(step)

  @jax.jit  # so that it is traced once, for its shapes and for the loop
  def one(state, i, columns, extras, slots, key):
    return on_slots(state, *_at(i, columns, extras, slots), key)

  def loop(state, columns, extras, slots, count, draws):
    key = random_key(draws)
    return _sum_steps(one, state, count, columns, extras, slots, key)

  return jit(loop, donate_argnums=0)


def _on_slots(step: Callable[..., Any]) -> Callable[..., Any]:
  """The step on the rows of [L, T] slots; counts itself if not finite."""

  def run(state, columns, extras, slots, key):
    batch = gather(columns, slots)
    rows = _rows_of(extras, columns, slots)
    new_state, metrics = step(
      state, batch, jax.random.fold_in(key, state.step), *rows
    )
    finite = jnp.stack([jnp.isfinite(m) for m in metrics.values()])
    bad = 1.0 - jnp.all(finite).astype(jnp.float32)
    return new_state, metrics | {'nonfinite': bad}

  return run


def _sum_steps(
  one: Callable[..., Any], state: Any, count: jax.Array, *args: Any
) -> tuple[Any, dict[str, jax.Array]]:
  """`count` times one(state, i, *args) -> (state, metrics), metrics added."""
  first = jnp.int32(0)
  shapes = jax.eval_shape(one, state, first, *args)[1]
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

  def body(i, carry):
    new_state, metrics = one(carry[0], i, *args)
    return new_state, jax.tree.map(jnp.add, carry[1], metrics)

  return jax.lax.fori_loop(first, count, body, (state, zeros))


def make_row_map(
  function: Callable[..., Any],
  place: Callable[[Any], Any] = lambda values: values,
) -> Callable[..., Any]:
  """Applies a function of batches over a plan, in one compiled loop.

  Args:
    function: function(params, batch, *extras) -> pytree of [L, T, ...].
    place: puts the values on the devices where they are wanted.

  Returns:
    A jitted map(params, columns, extras, slots, count) -> pytree of
    [S, L, T, ...], zero after the first `count` batches, which alone are
    computed.
  """

  @jax.jit  # so that it is traced once, for its shapes and for the loop
  def one(params, columns, extras, slots, i):
    columns, extras, slots = _at(i, columns, extras, slots)
    rows = _rows_of(extras, columns, slots)
    return function(params, gather(columns, slots), *rows)

  def mapped(params, columns, extras, slots, count):
    first = jnp.int32(0)
    shapes = jax.eval_shape(one, params, columns, extras, slots, first)
    steps = slots.row.shape[0]
    zeros = jax.tree.map(
      lambda s: jnp.zeros((steps, *s.shape), s.dtype), shapes
    )

    def body(i, out):
      values = one(params, columns, extras, slots, i)
      return jax.tree.map(lambda o, v: o.at[i].set(v), out, values)

    return place(jax.lax.fori_loop(first, count, body, zeros))

  return jit(mapped)


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
  """`jax.jit`, compiled in two thirds of the time for a CPU.

  At XLA's first level steps are as fast, at the paper's sizes too: libraries
  compute the products of matrices, and numbers are the same to the bit.
  """
  is_cpu = jax.default_backend() == 'cpu'
  level = {'xla_backend_optimization_level': 1} if is_cpu else {}
  return jax.jit(function, compiler_options=level, **options)
