"""What compiling took of the process, given back."""

from __future__ import annotations

import ctypes
import functools
import gc
import pathlib
import sys
from typing import Any

import jax

# A compiled program has three mappings per function, some hundreds in all.
_MAPPINGS = pathlib.Path('/proc/self/maps')
_MOST_MAPPINGS = pathlib.Path('/proc/sys/vm/max_map_count')
_COMPILED = '/jax/core/compile/backend_compile_duration'


@functools.cache
def release_after_compiling() -> bool:
  """From now on, what a compilation freed is no longer resident.

  XLA compiles in threads, and glibc keeps what they free for later: 200 MiB
  for a step of ESMM and 310 for one of MMoE, which would stay beneath what
  training needs.

  Returns:
    Whether the C library can; only glibc does.
  """
  trim = _trimmer()
  if trim is None:
    return False

  def heard(event: str, duration_secs: float, **_: Any) -> None:
    del duration_secs
    if event == _COMPILED:
      trim(0)

  jax.monitoring.register_event_duration_secs_listener(heard)
  return True


def _trimmer() -> Any:
  """glibc's malloc_trim, or None."""
  if sys.platform != 'linux':
    return None
  return getattr(ctypes.CDLL(None), 'malloc_trim', None)


def forget_programs(share: float = 0.5) -> bool:
  """Forgets all compiled programs where their mappings have become too many.

  Linux allows a process some 65,000 memory mappings (vm.max_map_count), and
  LLVM ends the process at the first that is refused: about twenty trials of a
  search that differ in their networks. What runs again is compiled again.

  Args:
    share: of the mappings allowed, above which programs are forgotten.

  Returns:
    Whether they were; never on other systems.
  """
  try:
    allowed = int(_MOST_MAPPINGS.read_text())
    used = _MAPPINGS.read_bytes().count(b'\n')
  except (OSError, ValueError):
    return False
  if used <= share * allowed:
    return False
  jax.clear_caches()
  gc.collect()
  return True
