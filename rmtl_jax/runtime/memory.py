"""Memory: what compiling takes is released, what can't fit is refused."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import pathlib
import sys
from typing import Any

import jax

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.runtime import programs

# A compiled program has three mappings per function, some hundreds in all.
_MAPPINGS = pathlib.Path('/proc/self/maps')
_MOST_MAPPINGS = pathlib.Path('/proc/sys/vm/max_map_count')
# Memory limits of a container, by version 2 and 1 of Linux' control groups.
_CONTAINER = (
  pathlib.Path('/sys/fs/cgroup/memory.max'),
  pathlib.Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
)
# Rows of all tables together are indexed by 32-bit integers.
_MOST_ROWS = 2**31


def release() -> bool:
  """Returns freed memory to the system.

  glibc keeps what threads have freed, so that a run's memory grows from pass to
  pass: by 30 to 60 MiB in three stages of ESMM. This takes 1 to 2 ms
  (docs/speed.md).

  Returns:
    Whether the C library is glibc, which alone can.
  """
  trim = _trimmer()
  if trim is not None:
    trim(0)
  return trim is not None


@functools.cache
def release_after_compiling() -> bool:
  """Returns freed memory to the system after every compilation from now on.

  XLA compiles in threads: what they free is 200 MiB after a step of ESMM and
  310 MiB after one of MMoE.

  Returns:
    Whether the C library is glibc, which alone can.
  """
  if _trimmer() is None:
    return False
  programs.on_compiled(release)
  return True


def _trimmer() -> Any:
  """glibc's malloc_trim, or None."""
  if sys.platform != 'linux':
    return None
  return getattr(ctypes.CDLL(None), 'malloc_trim', None)


def clear_programs(fraction: float = 0.5) -> bool:
  """Clears JAX's caches where compiled programs have too many mappings.

  Linux allows a process some 65,000 memory mappings (vm.max_map_count), and
  LLVM aborts the process at the first one that is refused: after about twenty
  trials with different networks. Programs that run again are compiled again.

  Args:
    fraction: of the allowed mappings, above which caches are cleared.

  Returns:
    Whether they were; never outside of Linux.
  """
  try:
    allowed = int(_MOST_MAPPINGS.read_text())
    used = _MAPPINGS.read_bytes().count(b'\n')
  except (OSError, ValueError):
    return False
  if used <= fraction * allowed:
    return False
  jax.clear_caches()
  gc.collect()
  return True


def of_device() -> int:
  """Memory of the first device in bytes; a CPU's is the machine's."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get('bytes_limit', of_machine())


def of_machine() -> int:
  """Memory that this process may use, in bytes."""
  limits = [os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')]
  for file in _CONTAINER:
    try:
      limits.append(int(file.read_text()))
    except (OSError, ValueError):  # another system, or `max`
      continue
  return min(limits)


def check_tables(
  where: str, manifest: manifest_lib.Manifest, dim: int, copies: int
) -> None:
  """Refuses embedding tables that can't fit, before they are allocated.

  Linux overcommits: the allocation would succeed, and the process be killed
  when it writes to it.

  Args:
    where: path of the manifest, for the error.
    dim: length of an embedding.
    copies: number of tables, 3 with Adam's moments.

  Raises:
    types.InputError: names the largest vocabulary.
  """
  rows = sum(
    field.size for field in manifest.fields if field.vocabulary_owner is None
  )
  needed, there = 4 * copies * rows * dim, of_device()
  if needed <= there and rows < _MOST_ROWS:
    return
  largest = max(manifest.fields, key=lambda field: field.size)
  raise types.InputError(
    f'{where}: embedding tables of {rows:,} rows x {dim} would take'
    f' {needed / 1e9:,.1f} GB, and there are {there / 1e9:,.1f} GB of memory;'
    f' the largest vocabulary is that of {largest.name!r}, {largest.size:,}'
    ' rows: lower config.network.embedding_dim, or prepare with a higher'
    ' --min_count'
  )


def check_rows(where: str, manifest: manifest_lib.Manifest, rows: int) -> None:
  """Refuses multi-valued fields too wide for the rows in memory at once.

  Args:
    where: path of the manifest, for the error.
    rows: number in memory at once.

  Raises:
    types.InputError: names the widest field.
  """
  lists = manifest.of_kind('multi_valued')
  needed = 4 * rows * sum(field.width for field in lists)
  if needed <= (there := of_machine()):
    return
  widest = max(lists, key=lambda field: field.width)
  raise types.InputError(
    f'{where}: {rows:,} rows of the slots of lists would take'
    f' {needed / 1e9:,.1f} GB, and there are {there / 1e9:,.1f} GB of memory;'
    f' the widest field is {widest.name!r} with {widest.width:,} slots: prepare'
    ' with a lower --max_values'
  )
