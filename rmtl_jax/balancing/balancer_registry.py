"""The registry of loss balancers.

This module imports no JAX, so that command lines are checked before anything
heavy starts. All balancers keep two conventions: weights of K tasks average
1, so that equal weights leave the mean of the losses as it is; and losses
[..., K] have the tasks on the last axis, task gradients on the first.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry, types
from rmtl_jax.config import limits

# A balancer turns the cotangent of the row losses, [..., K], into a weighted
# one, before the one backward pass; or the K gradients of the tasks, a tree
# with a leading axis, into one gradient.
LOSSES, GRADIENTS = 'losses', 'gradients'


@dataclasses.dataclass(frozen=True)
class Balancer:
  """One loss balancer.

  Attributes:
    name: of `config.pretrain.balancing.name`.
    label: in tables.
    paper: with equation or algorithm.
    acts_on: LOSSES or GRADIENTS.
    make: make(num_tasks, **settings) -> an Optax transformation with extra
      arguments `losses` (like the updates under LOSSES: of rows; f32[K] under
      GRADIENTS) and `key`; None leaves all as it is.
    settings: fields of BalancingConfig that `make` takes.
    by_epoch: whether `make` takes `epoch_steps`, steps of an epoch.
    observe: observe(state, losses f32[K]) -> state, called with the losses of
      the same batch after the step; None if it needs none.
    is_static: whether weights never change: then it is no method that learns.
  """

  name: str
  label: str
  paper: str = ''
  acts_on: str = LOSSES
  make: Callable[..., Any] | None = None
  settings: tuple[str, ...] = ()
  by_epoch: bool = False
  observe: Callable[[Any, Any], Any] | None = None
  is_static: bool = False

  def __post_init__(self):
    """Raises types.InputError for an unknown `acts_on` or setting."""
    what = f'balancer {self.name}'
    registry.check(f'{what}: acts_on', [self.acts_on], (LOSSES, GRADIENTS))
    fields = dataclasses.fields(config_lib.BalancingConfig)
    allowed = (field.name for field in fields)
    registry.check(f'{what}: settings', self.settings, allowed)


def _of(
  module: str, acts_on: str, name: str, label: str, paper: str, **details: Any
) -> Balancer:
  """A balancer made by the function of its name in a module of this package."""
  make = registry.lazy(f'rmtl_jax.balancing.{module}', name)
  return Balancer(name, label, paper, acts_on, make, **details)


RECORDS = registry.Registry(
  'balancer',
  (
    Balancer('equal', 'equal weights', is_static=True),
    _of(
      *('by_losses', LOSSES, 'static', 'constant weights', ''),
      settings=('weights',),
      is_static=True,
    ),
    _of(
      *('by_losses', LOSSES, 'rlw', 'random weights'),
      'Lin et al., TMLR 2022, Algorithm 2',
    ),
    _of(
      *('by_losses', LOSSES, 'homoscedastic_uncertainty'),
      'weights from learnt noise of the tasks',
      'Kendall et al., CVPR 2018, Equation 10',
      settings=('learning_rate',),
    ),
    _of(
      *('by_losses', LOSSES, 'dwa', 'weights by how fast losses fall'),
      'Liu et al., CVPR 2019, Equation 7',
      by_epoch=True,
    ),
    _of(
      *('by_losses', LOSSES, 'gls', 'geometric mean of the losses'),
      'Chennupati et al., CVPR workshops 2019',
    ),
    _of(
      *('by_losses', LOSSES, 'imtl_l', 'learnt scales that make losses equal'),
      'Liu et al., ICLR 2021, IMTL-L',
      settings=('learning_rate',),
    ),
    _of(
      *('by_losses', LOSSES, 'famo'),
      'weights that make losses fall at one rate',
      'Liu et al., NeurIPS 2023, Algorithm 1',
      settings=('learning_rate',),
      observe=registry.lazy('rmtl_jax.balancing.by_losses', 'observe_famo'),
    ),
    _of(
      *('gradnorm', GRADIENTS, 'gradnorm'),
      'learnt weights that even out gradient norms',
      'Chen et al., ICML 2018, Equations 1 and 2, Algorithm 1',
      settings=('alpha', 'learning_rate'),
    ),
    _of(
      *('by_gram', GRADIENTS, 'mgda', 'least norm'),
      'Sener and Koltun, NeurIPS 2018, Eq. (3)',
    ),
    _of(
      *('by_gram', GRADIENTS, 'pcgrad', 'conflicts projected out'),
      'Yu et al., NeurIPS 2020, Algorithm 1',
    ),
    _of(
      *('by_gram', GRADIENTS, 'cagrad'),
      'near the mean, best for the worst task',
      'Liu et al., NeurIPS 2021, Algorithm 1',
      settings=('alpha',),
    ),
    _of(
      *('by_gram', GRADIENTS, 'aligned_mtl'),
      'gradients made orthogonal and equal',
      'Senushkin et al., CVPR 2023, Algorithm 1',
    ),
    _of(
      *('by_gram', GRADIENTS, 'conflict_free'),
      'ConFIG: the same angle to every gradient',
      'Liu et al., ICLR 2025, Eq. (2)',
    ),
    _of(
      *('by_gram', GRADIENTS, 'imtl_g', 'equal projections'),
      'Liu et al., ICLR 2021',
    ),
    _of(
      *('by_gram', GRADIENTS, 'upgrad'),
      'mean of gradients projected on the dual cone',
      'Quinton and Rey, 2024, Equation 3',
      settings=('weights',),
    ),
    _of(
      *('by_gram', GRADIENTS, 'dualproj'),
      'the mean projected on the dual cone',
      'Lopez-Paz and Ranzato, NeurIPS 2017, Eq. (11)',
      settings=('weights',),
    ),
  ),
)


def register_balancer(record: Balancer) -> None:
  """Adds a balancer under a new name, in this process.

  Raises:
    types.InputError: the name is taken.
  """
  RECORDS.register(record)


find = RECORDS.find


def make_balancer(
  config: config_lib.BalancingConfig,
  num_tasks: int,
  epoch_steps: int = 1,
  tasks: Sequence[str] = (),
  label: str = 'balancing',
) -> Any:
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
  record = find(config.name)
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
