"""Refuses data that do not fit in memory."""

from __future__ import annotations

import gc
import itertools
import os
import pathlib

import jax

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib

# Memory limits of a container, by version 2 and 1 of Linux' control groups.
_CONTAINER = (
  pathlib.Path('/sys/fs/cgroup/memory.max'),
  pathlib.Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
)
# Rows of all tables together are indexed by 32-bit integers.
_MOST_ROWS = 2**31
_models = itertools.count(1)


def clear_programs() -> None:
  """Clears JAX's caches at every eighth call, one per model that is trained.

  Linux allows a process some 65,000 memory mappings, which twenty trials with
  different networks take: LLVM aborts the process at the first one that is
  refused. Programs that run again are compiled again.
  """
  if next(_models) % 8 == 0:
    jax.clear_caches()
    gc.collect()


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
