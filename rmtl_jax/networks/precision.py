"""The precision of products with kernels.

With NetworkConfig.matmul_precision `bfloat16`, both operands of such a product
are rounded to bfloat16 and their products summed in float32, in the forward
pass and in both products of the backward pass, written out: a CPU rounds what
an accelerator rounds for its matrix units. Parameters, activations,
gradients and the optimizer stay float32. `default` leaves float32 operands to
the device, and is exact on CPU.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.extend as jex
import jax.numpy as jnp
from jax import core
from jax.experimental import layout
from jax.interpreters import ad, batching, mlir

_current = contextvars.ContextVar('matmul_precision', default='default')

# Which axes of (x, y) are summed, and which are batches, as lax.dot_general.
Axes = tuple[
  tuple[tuple[int, ...], tuple[int, ...]],
  tuple[tuple[int, ...], tuple[int, ...]],
]


@contextlib.contextmanager
def traced_with(name: str) -> Iterator[None]:
  """Products that are traced inside have this precision."""
  token = _current.set(name)
  try:
    yield
  finally:
    _current.reset(token)


def current() -> str:
  """The precision here. A `custom_vjp` hands it on to its backward pass."""
  return _current.get()


def product(
  x: jax.Array, kernel: jax.Array, name: str | None = None
) -> jax.Array:
  """x @ kernel.

  Args:
    x: f32[T, inputs].
    kernel: f32[inputs, units].
    name: the precision, if not the current one.

  Returns:
    f32[T, units].
  """
  if (name or current()) == 'bfloat16':
    return _rounded(x, kernel, ((1,), (0,)))
  return x @ kernel


# The rounded product is a new primitive, as neither of those that JAX has
# will do. A dot_general of bfloat16 operands has gradients in bfloat16. And a
# custom_vjp that is vmapped over lanes sums a kernel's gradient lane by lane,
# in as many small products, where a primitive is batched before it is
# differentiated, and stays one product over all rows.
_rounded_p = jex.core.Primitive('rounded_dot_general')


def _rounded(
  x: jax.Array,
  y: jax.Array,
  summed: tuple[Sequence[int], Sequence[int]],
  batches: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> jax.Array:
  """lax.dot_general of float32 arrays, rounded to bfloat16, summed in float32.

  Args:
    x: f32.
    y: f32.
    summed: axes of x and of y.
    batches: axes of x and of y.
  """
  sides = [tuple(map(tuple, pair)) for pair in (summed, batches)]
  return _rounded_p.bind(x, y, axes=tuple(sides))


def _round(x: jax.Array) -> jax.Array:
  return x.astype(jnp.bfloat16)


def _dot(x: jax.Array, y: jax.Array, *, axes: Axes) -> jax.Array:
  return jax.lax.dot_general(
    _round(x), _round(y), axes, preferred_element_type=jnp.float32
  )


def _dot_on_cpu(x: jax.Array, y: jax.Array, *, axes: Axes) -> jax.Array:
  """`_dot`, with a fast GEMM for a kernel's gradient.

  That sums over the rows of both operands, the first axes. XLA folds the
  transpose into the product, which oneDNN then does at the rate of float32;
  with x^T written out in its own layout it does 120 GFLOP in a CPU second
  instead of 90 (2,048 x 2,176 x 512), 114 instead of 68 (2,048 x 512 x 256).
  Over several devices the layout would gather all rows on each.
  """
  (of_x, of_y), (batches, _) = axes
  rows = tuple(range(len(of_x)))
  alone = jax.device_count() == 1
  if not alone or batches or of_x != rows or of_y != rows:
    return _dot(x, y, axes=axes)
  count = math.prod(x.shape[: len(rows)])
  by_unit = layout.with_layout_constraint(
    _round(x).reshape(count, -1).T, layout.Layout((0, 1))
  )
  found = jax.lax.dot_general(
    by_unit,
    _round(y).reshape(count, -1),
    (((1,), (0,)), ((), ())),
    preferred_element_type=jnp.float32,
  )
  return found.reshape(x.shape[len(rows) :] + y.shape[len(rows) :])


def _free(rank: int, *taken: Sequence[int]) -> tuple[int, ...]:
  """The axes that are neither summed nor batches."""
  return tuple(i for i in range(rank) if not any(i in axes for axes in taken))


def _abstract(x: Any, y: Any, *, axes: Axes) -> core.ShapedArray:
  (sum_x, sum_y), (batch_x, batch_y) = axes
  shape = [x.shape[i] for i in batch_x + _free(x.ndim, sum_x, batch_x)]
  shape += [y.shape[i] for i in _free(y.ndim, sum_y, batch_y)]
  return core.ShapedArray(tuple(shape), jnp.float32)


def _back_to_x(cotangent, x, y, *, axes: Axes) -> jax.Array:
  """The cotangent of x: products of the result's with y."""
  (sum_x, sum_y), (batch_x, batch_y) = axes
  free_y = _free(y.ndim, sum_y, batch_y)
  last = range(cotangent.ndim - len(free_y), cotangent.ndim)
  found = _rounded(cotangent, y, (last, free_y), (range(len(batch_x)), batch_y))
  free_x = _free(x.aval.ndim, sum_x, batch_x)
  order = batch_x + free_x + _in_order_of(sum_x, sum_y)
  return jnp.transpose(found, _inverse(order))


def _back_to_y(cotangent, x, y, *, axes: Axes) -> jax.Array:
  """The cotangent of y: products of x with the result's, x first."""
  (sum_x, sum_y), (batch_x, batch_y) = axes
  free_x = _free(x.ndim, sum_x, batch_x)
  begin = len(batch_x)
  found = _rounded(
    x,
    cotangent,
    (free_x, range(begin, begin + len(free_x))),
    (batch_x, range(begin)),
  )
  free_y = _free(y.aval.ndim, sum_y, batch_y)
  order = batch_y + _in_order_of(sum_y, sum_x) + free_y
  return jnp.transpose(found, _inverse(order))


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
  return tuple(sorted(range(len(order)), key=order.__getitem__))


def _in_order_of(axes: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
  """Axes, in the order of their partners in the other operand."""
  return tuple(axis for _, axis in sorted(zip(others, axes, strict=True)))


def _batch(args, places, *, axes: Axes) -> tuple[jax.Array, int]:
  """One more axis: of both operands a batch, of one alone a free one."""
  (sum_x, sum_y), (batch_x, batch_y) = axes
  (x, y), (in_x, in_y) = args, places
  begin = len(batch_x)
  at = begin + len(_free(x.ndim - (in_x is not None), sum_x, batch_x))
  if in_x is not None:
    x = jnp.moveaxis(x, in_x, 0)
    sum_x, batch_x = _next(sum_x), _next(batch_x)
    at = begin
  if in_y is not None:
    y = jnp.moveaxis(y, in_y, 0)
    sum_y, batch_y = _next(sum_y), _next(batch_y)
  if in_x is not None and in_y is not None:
    batch_x, batch_y, at = (0, *batch_x), (0, *batch_y), 0
  return _rounded(x, y, (sum_x, sum_y), (batch_x, batch_y)), at


def _next(axes: Sequence[int]) -> tuple[int, ...]:
  return tuple(axis + 1 for axis in axes)


_rounded_p.def_impl(jax.jit(_dot, static_argnames='axes'))
_rounded_p.def_abstract_eval(_abstract)
ad.defbilinear(_rounded_p, _back_to_x, _back_to_y)
batching.primitive_batchers[_rounded_p] = _batch
mlir.register_lowering(_rounded_p, mlir.lower_fun(_dot, False))
mlir.register_lowering(_rounded_p, mlir.lower_fun(_dot_on_cpu, False), 'cpu')
