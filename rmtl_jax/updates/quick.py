"""Programs that run once, or now and then: compiled soon, not to fast code.

Of a small network compiling takes longer than training. On a CPU, XLA compiles
a program in a third to a fifth of the time if it optimises little, and products
of matrices stay as fast, since libraries compute them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax

# What trains a small network: all but the kernels of elementwise operations is
# as fast, compiled in two thirds of the time.
STEPS = 3
# What runs once over large arrays: as fast as ever within a fifth, compiled in
# a third of the time.
LARGE = 1
# What runs over few numbers: compiled in a fifth, five times as slow where it
# does not multiply matrices.
SMALL = 0
_FEW = 2**22


def jit(function: Callable[..., Any], work: int) -> Callable[..., Any]:
  """`jax.jit` of what hardly runs; see `options`."""
  return jax.jit(function, compiler_options=options(work))


def once(function: Callable[..., Any], *args: Any) -> Any:
  """function(*args), for a function that draws or copies initial values.

  Few numbers are computed one operation after the other: their programs, most
  of which are shared (networks/draws.py), take half the time to compile of one
  program of all.
  """
  work = work_of(jax.eval_shape(function, *args))
  if work == SMALL and jax.default_backend() == 'cpu':
    return function(*args)
  return jit(function, work)(*args)


def work_of(shapes: Any) -> int:
  """SMALL or LARGE, by the numbers of a program's results.

  Args:
    shapes: tree of arrays or their shapes.
  """
  numbers = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
  return SMALL if numbers <= _FEW else LARGE


def options(work: int) -> dict[str, Any]:
  """Options of `jax.jit` for a program that hardly runs.

  Args:
    work: STEPS, LARGE or SMALL.

  Returns:
    `compiler_options`; {} on accelerators, which have a compiler of their own.
  """
  if jax.default_backend() != 'cpu':
    return {}
  return {'xla_backend_optimization_level': work, **_older_kernels()}


@functools.cache
def _older_kernels() -> dict[str, Any]:
  """Kernels made without MLIR, where this XLA can still do that."""
  found = {'xla_cpu_use_fusion_emitters': False}
  lowered = jax.jit(lambda x: x, compiler_options=found).lower(0.0)
  try:
    lowered.compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return found
