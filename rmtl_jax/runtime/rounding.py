"""What `network.matmul_precision=auto` becomes, once, when a run starts.

What it became is in the run's config.json: a run that goes on elsewhere, is
evaluated or served there, rounds as it has begun.
"""

from __future__ import annotations

import pathlib
from typing import Literal

import jax

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import mesh, workdir

_PROCESSOR = pathlib.Path('/proc/cpuinfo')
# Linux' names of instructions that multiply bfloat16 and sum in float32.
_INSTRUCTIONS = frozenset(('avx512_bf16',))
# The widest hidden layer, from which on `benchmarks.precision` found bfloat16
# faster: in narrower ones rounding takes what the products save.
LEAST_UNITS = 256


def resolved(
  path: pathlib.Path,
  config: config_lib.Config,
  layout: mesh.Layout | None = None,
) -> config_lib.Config:
  """Sets a `matmul_precision` of `auto` to `bfloat16` or `default`.

  An existing run keeps what it has begun with. A new one gets bfloat16 where
  that was measured to be faster: on one device that is a CPU with AVX512-BF16,
  with layers as wide as half of the paper's.

  Args:
    path: RUN, or the directory of a comparison or a search; may be missing.
    config: settings; a precision other than `auto` stays.
    layout: the mesh, or None: one device.
  """
  if config.network.matmul_precision != 'auto':
    return config
  if (path / 'config.json').exists():
    name = workdir.read(path).config.network.matmul_precision
  else:
    name = 'default' if layout else _best(config.network)
  return config.with_network(matmul_precision=name)


def _best(
  network: config_lib.NetworkConfig,
) -> Literal['default', 'bfloat16']:
  on_cpu = jax.default_backend() == 'cpu' and jax.device_count() == 1
  is_wide = max(network.bottom_units, default=0) >= LEAST_UNITS
  return 'bfloat16' if on_cpu and is_wide and multiplies() else 'default'


def multiplies(processor: pathlib.Path | None = None) -> bool:
  """Whether the CPU has instructions for products of bfloat16.

  Args:
    processor: another description of it than Linux'; False where there is none.
  """
  try:
    text = (processor or _PROCESSOR).read_text(
      encoding='utf-8', errors='replace'
    )
  except OSError:
    return False
  lines = (line for line in text.splitlines() if line.startswith('flags'))
  return not _INSTRUCTIONS.isdisjoint(next(lines, '').split())
