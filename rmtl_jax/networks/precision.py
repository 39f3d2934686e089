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
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

_current = contextvars.ContextVar('matmul_precision', default='default')


@contextlib.contextmanager
def traced_with(name: str) -> Iterator[None]:
  """Products that are traced inside have this precision.

  Args:
    name: NetworkConfig.matmul_precision.
  """
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
    return _rounded(x, kernel)
  return x @ kernel


def _round(x: jax.Array) -> jax.Array:
  return x.astype(jnp.bfloat16)


_sum = functools.partial(jnp.matmul, preferred_element_type=jnp.float32)


@jax.custom_vjp
def _rounded(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return _sum(_round(x), _round(kernel))


def _rounded_forward(x, kernel):
  x, kernel = _round(x), _round(kernel)
  return _sum(x, kernel), (x, kernel)


def _rounded_backward(residuals, cotangent):
  x, kernel = residuals
  cotangent = _round(cotangent)
  return _sum(cotangent, kernel.T), _sum(x.T, cotangent)


_rounded.defvjp(_rounded_forward, _rounded_backward)
