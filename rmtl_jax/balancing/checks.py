"""What balancers refuse: losses of other tasks, settings out of range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import types
from rmtl_jax.balancing import tasks


def check_losses(updates: Any, losses: Any, num_tasks: int) -> None:
  """Raises ValueError unless there are losses, and the cotangent has K."""
  if losses is None:
    raise ValueError('losses: expected those of the rows, found none')
  check_tasks(updates, num_tasks)


def check_tasks(updates: Any, num_tasks: int) -> None:
  """Raises ValueError unless the cotangent has K tasks."""
  found = tasks.count(updates)
  if found != num_tasks:
    raise ValueError(f'row losses: expected {num_tasks} tasks, found {found}')


def numbers_of_tasks(
  name: str,
  setting: str,
  values: Sequence[float] | None,
  num_tasks: int,
  default: float,
) -> np.ndarray:
  """One number per task, f64[K]; None is the default for all."""
  if values is None:
    return np.full(num_tasks, default)
  found = np.asarray(values, np.float64)
  if found.shape != (num_tasks,):
    raise types.InputError(
      f'{name}: {setting}: expected {num_tasks} numbers, found {found.size}'
    )
  return found


def check_above_0(name: str, setting: str, value: float) -> None:
  """Raises InputError unless a balancer's setting is above 0."""
  if not value > 0:
    raise types.InputError(f'{name}: {setting}={value}: expected above 0')


def check_share(name: str, setting: str, value: float) -> None:
  """Raises InputError unless a balancer's setting is from 0 to 1."""
  if not 0 <= value <= 1:
    raise types.InputError(f'{name}: {setting}={value}: expected from 0 to 1')


def check_at_least(name: str, setting: str, value: float, least: float) -> None:
  """Raises InputError if a balancer's setting is below its least value."""
  if not value >= least:
    raise types.InputError(
      f'{name}: {setting}={value}: expected at least {least}'
    )
