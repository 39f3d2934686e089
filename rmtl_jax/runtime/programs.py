"""Compiled programs: counted, of 32 bits, kept by JAX for the next process."""

from __future__ import annotations

import functools
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax.monitoring
from jax.experimental.compilation_cache import compilation_cache

from rmtl_jax import clock

# Compile time above which a program is kept.
_LEAST_SECONDS = 0.1
_COMPILED = '/jax/core/compile/backend_compile_duration'
_Given = ParamSpec('_Given')
_Found = TypeVar('_Found')


def _heard(event: str, duration_secs: float, **more: object) -> None:
  del more
  if event == _COMPILED:
    clock.add('compiling', duration_secs)


jax.monitoring.register_event_duration_secs_listener(_heard)


def in_32_bits(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
  """The function in 32 bits, even if JAX is set to 64.

  Networks, checkpoints and exports are of 32 bits. A thread that the function
  starts is not.
  """

  @functools.wraps(function)
  def computed(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
    if not jax.enable_x64.value:  # unchanged, so nothing compiles again
      return function(*args, **kwargs)
    with jax.enable_x64(False):
      return function(*args, **kwargs)

  return computed


def directory() -> pathlib.Path | None:
  """Where the user's compiled programs are; None if it can't be written."""
  try:
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    found = pathlib.Path(home) / 'rmtl_jax' / 'xla'
    found.mkdir(parents=True, exist_ok=True)
  except (OSError, RuntimeError):  # a container's user has no home
    return None
  return found if os.access(found, os.W_OK) else None


def keep(least_seconds: float = _LEAST_SECONDS) -> None:
  """Keeps programs from now on, if there is a place for them.

  Args:
    least_seconds: compile time above which a program is kept.
  """
  found = directory()
  if found is None:
    return
  # One that can't be read or written is compiled, or not kept: a person need
  # not know.
  warnings.filterwarnings(
    'ignore', 'Error (reading|writing) persistent compilation cache entry'
  )
  jax.config.update('jax_compilation_cache_dir', str(found))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', least_seconds)
  # Had JAX compiled before, it would have settled on keeping none.
  compilation_cache.reset_cache()


def keep_unless_set(least_seconds: float = _LEAST_SECONDS) -> None:
  """As `keep`, unless the process has set its own place."""
  if getattr(jax.config, 'jax_compilation_cache_dir', None) is None:
    keep(least_seconds)
