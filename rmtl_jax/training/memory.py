"""Memory that compiling took, given back to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

import jax

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
