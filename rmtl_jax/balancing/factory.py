"""From settings to the Optax transformation that balances tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.balancing import registry
from rmtl_jax.config import limits


def make_balancer(
  config: config_lib.BalancingConfig,
  num_tasks: int,
  epoch_steps: int = 1,
  tasks: Sequence[str] = (),
  label: str = 'balancing',
) -> optax.GradientTransformationExtraArgs | None:
  """The transformation of what its record acts on.

  Args:
    config: name and settings.
    num_tasks: K.
    epoch_steps: steps of an epoch; only `init` uses it.
    tasks: names of the tasks, which `weights` may name.
    label: of the settings, for errors.

  Returns:
    None where nothing is balanced (`equal`).

  Raises:
    types.InputError: no such balancer, or weights that are not these tasks'.
  """
  record = registry.find(config.name)
  if record.make is None:
    return None
  given = {name: getattr(config, name) for name in record.settings}
  # A number below 0 means the value of the balancer's paper.
  settings = {k: v for k, v in given.items() if k == 'weights' or v >= 0}
  if 'weights' in settings:
    settings['weights'] = task_weights(config.weights, num_tasks, tasks, label)
  if record.by_epoch:
    settings['epoch_steps'] = max(epoch_steps, 1)
  return record.make(num_tasks, **settings)


def task_weights(
  text: str,
  num_tasks: int,
  tasks: Sequence[str] = (),
  label: str = 'balancing',
) -> tuple[float, ...] | None:
  """K weights from `config.*.balancing.weights`; None for an empty text.

  Examples:
    >>> task_weights('1,3', 2)
    (1.0, 3.0)
    >>> task_weights('buy=3,click=1', 2, ('click', 'buy'))
    (1.0, 3.0)

  Args:
    text: numbers in the order of the tasks, or TASK=NUMBER, joined by commas or
      plus signs.
    num_tasks: K.
    tasks: their names.
    label: of the settings, for errors.

  Raises:
    types.InputError: no such task, too few or too many numbers, or one that
      is negative or not finite, or all 0.
  """
  if not text:
    return None
  parts = [part.strip() for part in re.split('[,+]', text)]
  named = [part.rpartition('=') for part in parts]
  if any(name for name, _, _ in named):
    names = [name.strip() for name, _, _ in named]
    if sorted(names) != sorted(tasks):
      raise types.InputError(
        f'{label}.weights: {text!r:.80} does not name each task once'
        f' ({", ".join(tasks) or "unknown here"})'
      )
    by_name = dict(zip(names, (number for _, _, number in named), strict=True))
    parts = [by_name[task] for task in tasks]
  if len(parts) != num_tasks:
    raise types.InputError(
      f'{label}.weights: {text!r:.80} has {len(parts)} numbers, expected'
      f' one for each of {num_tasks} tasks'
    )
  weights = tuple(map(limits.number, parts))
  if not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
    raise types.InputError(
      f'{label}.weights: {text!r:.80}: expected numbers that are at least 0,'
      ' not all 0'
    )
  return weights
