"""What several processes of one job agree on; alone, nothing is asked.

Every process calls these in the same order. The numbers are few: they go over
the devices, as the job's own arrays do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

_Value = TypeVar('_Value')


def count() -> int:
  """How many processes the job has."""
  return jax.process_count()


def is_first() -> bool:
  """Whether this one writes what only one may write."""
  return jax.process_index() == 0


def meet(name: str) -> None:
  """Returns when all processes are here.

  Args:
    name: of the place, the same for all of them.
  """
  if count() > 1:
    multihost_utils.sync_global_devices(name)


def everyones(values: np.ndarray) -> np.ndarray:
  """The processes' arrays, one after the other on a new leading axis.

  Args:
    values: of one shape, and of a type of at most 32 bits.
  """
  if count() == 1:
    return values[None]
  return np.asarray(multihost_utils.process_allgather(values))


def largest(value: int) -> int:
  """The largest of the processes' numbers, each an i32."""
  if count() == 1:
    return value
  return int(everyones(np.array([value], np.int32)).max())


def first_says(make: Callable[[], Any]) -> Any:
  """What make() gives in the first process, as JSON gives it back.

  Args:
    make: called there alone; what it gives JSON must be able to hold.
  """
  if count() == 1:
    return make()
  text = json.dumps(make()).encode() if is_first() else b''
  size = largest(len(text))
  padded = np.frombuffer(text.ljust(size), np.uint8)
  return json.loads(everyones(padded)[0].tobytes())


def first(work: Callable[[], Any], error: type[Exception]) -> None:
  """Runs work() in the first process, before the others go on.

  Args:
    work: may raise an `error`.
    error: what is raised in all processes if it does.
  """
  said = 'another process of this job has said what is wrong'
  together(lambda: work() if is_first() else None, error, said)


def together(
  work: Callable[[], _Value],
  error: type[Exception],
  told: str = 'another process of this job could not read it',
) -> _Value:
  """What work() gives, if it has succeeded in every process.

  Args:
    work: may raise an `error`.
    error: what is raised here if it failed in another process alone.
    told: what it then says.
  """
  failed, value = None, None
  try:
    value = work()
  except error as raised:
    failed = raised
  if not largest(int(failed is not None)):
    return value  # pyright: ignore[reportReturnType]
  raise failed or error(told)
