"""Compiled programs that are kept on disk, for the next process."""

from __future__ import annotations

import os
import pathlib

import jax
from jax.experimental.compilation_cache import compilation_cache


def directory() -> pathlib.Path | None:
  """Where the user's compiled programs are; None if it can't be written."""
  try:
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    found = pathlib.Path(home) / 'rmtl_jax' / 'xla'
    found.mkdir(parents=True, exist_ok=True)
  except (OSError, RuntimeError):  # a container's user has no home
    return None
  return found if os.access(found, os.W_OK) else None


def keep(least_seconds: float) -> None:
  """Keeps programs from now on, if there is a place for them.

  Args:
    least_seconds: compile time of a program that is worth keeping.
  """
  found = directory()
  if found is None:
    return
  jax.config.update('jax_compilation_cache_dir', str(found))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', least_seconds)
  # Had JAX compiled before, it would have settled on keeping none.
  compilation_cache.reset_cache()


def keep_unless_set(least_seconds: float) -> None:
  """As `keep`, where the process has not been told a place of its own."""
  if getattr(jax.config, 'jax_compilation_cache_dir', None) is None:
    keep(least_seconds)
