"""Collective operations over the processes of one job.

Every process calls these in the same order; with one process they do nothing.
The numbers are few: they go over the devices, as the job's own arrays do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

_Value = TypeVar('_Value')


def is_first() -> bool:
  """Whether this is process 0, the one that writes shared files."""
  return jax.process_index() == 0


def barrier(name: str) -> None:
  """Waits until all processes have come here.

  Args:
    name: of the place, the same in all of them.
  """
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def all_gather(values: np.ndarray) -> np.ndarray:
  """Stacks the processes' arrays on a new leading axis.

  Args:
    values: of one shape, and of a type of at most 32 bits.
  """
  if jax.process_count() == 1:
    return values[None]
  return np.asarray(multihost_utils.process_allgather(values))


def all_max(value: int) -> int:
  """The maximum over the processes; each value is an i32."""
  if jax.process_count() == 1:
    return value
  return int(all_gather(np.array([value], np.int32)).max())


def broadcast(make: Callable[[], Any]) -> Any:
  """The first process's make(), as JSON carries it.

  Args:
    make: called in the first process alone.
  """
  if jax.process_count() == 1:
    return make()
  text = json.dumps(make()).encode() if is_first() else b''
  size = all_max(len(text))
  padded = np.frombuffer(text.ljust(size), np.uint8)
  return json.loads(all_gather(padded)[0].tobytes())


def on_first(work: Callable[[], Any], error: type[Exception]) -> None:
  """Runs work() in the first process, before the others continue.

  Args:
    work: may raise an `error`.
    error: raised in all processes if it does.
  """
  message = 'another process of this job reports the error'
  all_or_raise(lambda: work() if is_first() else None, error, message)


def all_or_raise(
  work: Callable[[], _Value],
  error: type[Exception],
  message: str = 'another process of this job could not read it',
) -> _Value:
  """Runs work() in every process; raises in all if it fails in one.

  Args:
    work: may raise an `error`.
    error: raised here if it failed in another process only.
    message: of that error.
  """
  failed, value = None, None
  try:
    value = work()
  except error as raised:
    failed = raised
  # Processes that succeeded must learn of a failure elsewhere: going on
  # alone, they would wait at the next collective operation for ever.
  if not all_max(int(failed is not None)):
    return value  # pyright: ignore[reportReturnType]
  raise failed or error(message)
