"""Programs that run once, or now and then: compiled soon, not to fast code.

Of a small network compiling takes longer than training. On a CPU, XLA compiles
a program in a third to a fifth of the time if it optimises little, and products
of matrices stay as fast, since libraries compute them.
"""

from __future__ import annotations

import functools
from typing import Any

import jax

# What runs once over arrays as large as the parameters are: as fast as ever
# within a fifth, compiled in a third of the time.
LARGE = 1
# What runs over a few rows: compiled in a fifth, five times as slow where it
# does not multiply matrices.
SMALL = 0


def options(work: int) -> dict[str, Any]:
  """Options of `jax.jit` for a program that hardly runs.

  Args:
    work: LARGE or SMALL.

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
  try:
    jax.jit(lambda x: x, compiler_options=found).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return found
