"""Compiled programs: of 32 bits, heard of, and kept for the next process."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import time
import warnings
import zlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax.monitoring
from jax.experimental.compilation_cache import compilation_cache

# Compile time of a program that is worth keeping.
_LEAST_SECONDS = 0.1
_ENDING = '-cache'  # of JAX's files
_CHECKED = '.checked'
_SETTLED = 60.0  # seconds; an older file is not being written any more
_COMPILED = '/jax/core/compile/backend_compile_duration'
_ZSTD = b'\x28\xb5\x2f\xfd'
_Given = ParamSpec('_Given')
_Found = TypeVar('_Found')


def on_compiled(work: Callable[[], object]) -> None:
  """Calls work() after every compilation from now on, in its thread."""

  def heard(event: str, duration_secs: float, **more: object) -> None:
    del duration_secs, more
    if event == _COMPILED:
      work()

  jax.monitoring.register_event_duration_secs_listener(heard)


def in_32_bits(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
  """The function, whose arrays are of 32 bits where JAX was told of 64.

  Networks, checkpoints and exports are of 32 bits. A thread that the function
  starts is not: `enter_32_bits` is for it.
  """

  @functools.wraps(function)
  def computed(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
    if not jax.enable_x64.value:  # as it is told: nothing compiles anew
      return function(*args, **kwargs)
    with jax.enable_x64(False):
      return function(*args, **kwargs)

  return computed


def enter_32_bits() -> None:
  """What this thread computes from now on is of 32 bits."""
  if jax.enable_x64.value:
    jax.enable_x64(False).__enter__()


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
    least_seconds: compile time of a program that is worth keeping.
  """
  found = directory()
  if found is None:
    return
  with contextlib.suppress(OSError):
    drop_cut(found)
  # One that can't be read or written is compiled, or not kept: a person need
  # not know. Another process may be writing it just now.
  warnings.filterwarnings(
    'ignore', 'Error (reading|writing) persistent compilation cache entry'
  )
  jax.config.update('jax_compilation_cache_dir', str(found))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', least_seconds)
  # Had JAX compiled before, it would have settled on keeping none.
  compilation_cache.reset_cache()


def keep_unless_set(least_seconds: float = _LEAST_SECONDS) -> None:
  """As `keep`, where the process has not been told a place of its own."""
  if getattr(jax.config, 'jax_compilation_cache_dir', None) is None:
    keep(least_seconds)


def drop_cut(place: pathlib.Path) -> None:
  """Deletes programs that a full disk or a killed process has cut short.

  JAX can't read them, and never writes over a file that is there. A program is
  checked once; those of zstd, JAX's choice where it finds zstandard, are not.

  Raises:
    OSError: it can't be read or written.
  """
  mark, until = place / _CHECKED, time.time() - _SETTLED
  since = mark.stat().st_mtime if mark.exists() else 0.0
  with os.scandir(place) as entries:
    for entry in entries:
      if not entry.name.endswith(_ENDING):
        continue
      if since <= entry.stat().st_mtime < until and not _is_whole(entry.path):
        pathlib.Path(entry.path).unlink(missing_ok=True)
  mark.touch()
  os.utime(mark, (until, until))


def _is_whole(path: str) -> bool:
  packed = pathlib.Path(path).read_bytes()
  if packed.startswith(_ZSTD):
    return True
  unpacked = zlib.decompressobj()
  try:
    unpacked.decompress(packed)
  except zlib.error:
    return False
  return unpacked.eof
