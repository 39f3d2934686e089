"""The registry of loss balancers: all that the package knows of each.

A balancer is one `Balancer`. Settings, steps, comparisons and reports ask its
record; none of them tests for a name. This module imports no JAX, so that
command lines are checked before anything heavy starts.

Two conventions hold for all. Weights of K tasks average 1, so that equal
weights leave the mean of the losses as it is. And K balanced tasks are those
whose losses [..., K] have the tasks on the last axis, or whose gradients have
them on the first.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry

# What a balancer turns into what: the cotangent of the row losses, [..., K],
# into a weighted one, before the one backward pass; or the K gradients of the
# tasks, a tree with a leading axis, into one gradient.
LOSSES, GRADIENTS = 'losses', 'gradients'
# As a value of `period` and `warmup_steps`: the steps of an epoch.
EPOCH = 0


@dataclasses.dataclass(frozen=True)
class Balancer:
  """One loss balancer.

  Attributes:
    name: what `config.pretrain.balancing.name` says.
    label: what it is, in tables.
    paper: whose, and which equation or algorithm.
    acts_on: LOSSES or GRADIENTS.
    make: make(num_tasks, **settings) -> an Optax transformation with extra
      arguments `losses` (like the updates under LOSSES: of rows; f32[K] under
      GRADIENTS) and `key`; None leaves all as it is.
    settings: fields of BalancingConfig that it takes, with its paper's values.
    cost: of a step, in forward and backward passes, in words.
    needs: what it is told beside what it acts on, in words; '' for nothing.
    invariant: to what its result does not react, in words; '' for nothing.
    groups: parts of a batch's rows whose task gradients it wants apart; above
      1 the gradients have a leading axis of groups before that of tasks, and
      sum over both to the whole.
    observe: observe(state, losses f32[K]) -> state, told the losses of the
      same batch after the step; None if it does not ask.
    is_static: whether weights never change: then it is no method that learns.
  """

  name: str
  label: str
  paper: str = ''
  acts_on: str = LOSSES
  make: Callable[..., Any] | None = None
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  cost: str = '1 forward, 1 backward'
  needs: str = ''
  invariant: str = ''
  groups: int = 1
  observe: Callable[[Any, Any], Any] | None = None
  is_static: bool = False

  def __post_init__(self):
    """Raises types.InputError for what it can't act on, or no such setting."""
    what = f'balancer {self.name}'
    registry.check(f'{what}: acts_on', [self.acts_on], (LOSSES, GRADIENTS))
    fields = dataclasses.fields(config_lib.BalancingConfig)
    allowed = (field.name for field in fields)
    registry.check(f'{what}: settings', self.settings, allowed)


def _in_module(
  module: str, acts_on: str, name: str, label: str, paper: str, **details: Any
) -> Balancer:
  """One whose maker has its name, in a module of this package."""
  make = registry.lazy(f'rmtl_jax.balancing.{module}', name)
  return Balancer(name, label, paper, acts_on, make, **details)


def _by_gram(name: str, label: str, paper: str, **details: Any) -> Balancer:
  """One whose weights rest on the products of task gradients alone."""
  settings = {**details.pop('settings', {}), 'averaging': 0.0}
  details = {
    'cost': _K_PASSES,
    'invariant': 'scale of all losses: weights',
    **details,
    'settings': settings,
  }
  return _in_module('by_gram', GRADIENTS, name, label, paper, **details)


_K_PASSES = '1 forward, K backward'
_by_losses = functools.partial(_in_module, 'by_losses', LOSSES)
_by_rows = functools.partial(_in_module, 'by_rows', LOSSES)
# These read the gradients themselves, or have weights that learn.
_by_gradients = functools.partial(
  _in_module, 'by_gradients', GRADIENTS, cost=_K_PASSES
)
RECORDS = registry.Registry(
  'balancer',
  (
    Balancer('equal', 'equal weights', is_static=True),
    _by_losses(
      'static',
      'constant weights',
      '',
      settings={'weights': ''},
      is_static=True,
    ),
    _by_losses(
      'rlw',
      'random weights',
      'Lin et al., TMLR 2022, Algorithm 2',
      needs='a key',
    ),
    _by_losses(
      'homoscedastic_uncertainty',
      'weights from learnt noise of the tasks',
      'Kendall et al., CVPR 2018, Equations 7 and 10',
      settings={'learning_rate': 1e-3, 'noise': 'classification'},
    ),
    _by_losses(
      'dwa',
      'weights by how fast losses fall',
      'Liu et al., CVPR 2019, Equation 7',
      settings={'temperature': 2.0, 'period': EPOCH},
      invariant='weights: the scale of any loss',
    ),
    _by_losses(
      'gls',
      'geometric mean of the losses',
      'Chennupati et al., CVPR workshops 2019',
      invariant='direction: the scale of any loss',
    ),
    _by_losses(
      'imtl_l',
      'learnt scales that make losses equal',
      'Liu et al., ICLR 2021, IMTL-L',
      settings={'learning_rate': 1e-3},
    ),
    _by_losses(
      'famo',
      'weights that make losses fall at one rate',
      'Liu et al., NeurIPS 2023, Algorithm 1',
      settings={'learning_rate': 0.025, 'decay': 1e-3},
      cost='2 forward, 1 backward',
      invariant='direction: the scale of any loss',
      observe=registry.lazy('rmtl_jax.balancing.by_losses', 'observe_famo'),
      needs='losses after the step',
    ),
    _by_losses(
      'stch',
      'smooth largest loss',
      'Lin et al., ICML 2024',
      settings={'temperature': 1.0, 'warmup_steps': EPOCH},
      invariant='direction: the scale of any loss',
    ),
    _by_rows(
      'focal',
      'hard rows count more',
      'Lin et al., ICCV 2017, Equation 4',
      settings={'alpha': 2.0},
      needs='losses of rows',
    ),
    _by_rows(
      'hard_examples',
      'only rows with the largest losses',
      'Shrivastava et al., CVPR 2016, section 4',
      settings={'alpha': 0.5},
      invariant='weights: the scale of any loss',
      needs='losses of rows',
    ),
    _by_gradients(
      'excess_mtl',
      'weights by estimated excess risk',
      'He et al., ICML 2024, Equations 6, 7 and 9',
      settings={'learning_rate': 0.01, 'warmup_steps': EPOCH},
      cost='1 forward, K backward; K squares of every parameter',
      invariant='weights: the scale of any loss',
    ),
    _by_gram(
      'pareto',
      'least norm with least weights',
      'Lin et al., RecSys 2019',
      settings={'minimum': 0.0},
    ),
    _by_gradients(
      'gradnorm',
      'learnt weights that even out gradient norms',
      'Chen et al., ICML 2018, Equations 1 and 2, Algorithm 1',
      settings={'alpha': 1.5, 'learning_rate': 0.025},
      invariant='weights: the common scale of the losses',
      needs='losses',
    ),
    _by_gram(
      'mgda',
      'least norm',
      'Sener and Koltun, NeurIPS 2018, Eq. (3)',
    ),
    _by_gram(
      'pcgrad',
      'conflicts projected out',
      'Yu et al., NeurIPS 2020, Algorithm 1',
      needs='a key where K > 2',
    ),
    _by_gram(
      'gradvac',
      'gradients turned to a usual angle',
      'Wang et al., ICLR 2021, Algorithm 1, whole model',
      settings={'decay': 0.01},
      needs='a key where K > 2',
    ),
    _by_gradients(
      'graddrop',
      'signs drawn by what tasks agree on',
      'Chen et al., NeurIPS 2020, Algorithm 1',
      settings={'alpha': 0.0},
      needs='a key',
    ),
    _by_gram(
      'cagrad',
      'near the mean, best for the worst task',
      'Liu et al., NeurIPS 2021, Algorithm 1',
      settings={'alpha': 0.5},
    ),
    _by_gram(
      'aligned_mtl',
      'gradients made orthogonal and equal',
      'Senushkin et al., CVPR 2023, Algorithm 1',
    ),
    _by_gram(
      'conflict_free',
      'ConFIG: the same angle to every gradient',
      'Liu et al., ICLR 2025, Eq. (2)',
      invariant='scale of each loss: direction',
    ),
    _by_gram(
      'imtl_g',
      'equal projections',
      'Liu et al., ICLR 2021',
      invariant='scale of each loss: direction',
    ),
    _by_gram(
      'nash_mtl',
      'a bargain of the tasks',
      'Navon et al., ICML 2022, Claim 3.1',
      settings={'period': 1},
      invariant='scale of each loss: direction',
    ),
    _by_gram(
      'fairgrad',
      'alpha-fair decrease of the losses',
      'Ban and Ji, ICML 2024, Eq. (4)',
      settings={'alpha': 2.0},
    ),
    _by_gram(
      'upgrad',
      'mean of gradients projected on the dual cone',
      'Quinton and Rey, 2024, Equation 3',
      settings={'weights': ''},
    ),
    _by_gram(
      'dualproj',
      'the mean projected on the dual cone',
      'Lopez-Paz and Ranzato, NeurIPS 2017, Eq. (11)',
      settings={'weights': ''},
    ),
    _by_gradients(
      'db_mtl',
      'log losses, gradients of one norm',
      'Lin et al., 2023, Algorithm 1',
      settings={'decay': 0.9},
      cost='1 forward, K backward; K averages of every parameter',
      invariant='the scale of any loss',
      needs='losses',
    ),
    _by_gram(
      'sdmgrad',
      'direction with a preference, from two samples',
      'Xiao et al., NeurIPS 2023, Algorithm 1',
      settings={'alpha': 0.3},
      groups=2,
      cost='1 forward, 2 K backward',
      needs='gradients of two halves of the batch',
    ),
    _by_gram(
      'modo',
      'weights by double sampling',
      'Chen et al., JMLR 2024, Equation 2.9',
      settings={'learning_rate': 0.1, 'decay': 0.1},
      invariant='',
      groups=2,
      cost='1 forward, 2 K backward',
      needs='gradients of two halves of the batch',
    ),
    _by_gradients(
      'metabalance',
      "gradient norms near the first task's, layer by layer",
      'He et al., WWW 2022',
      settings={'alpha': 0.7, 'decay': 0.9},
      invariant='the scale of the other losses, at alpha 1',
    ),
    _by_gradients(
      'multibalance',
      'gradient norms near their mean',
      'after He et al., 2024 (arXiv:2411.11871)',
      settings={'alpha': 0.7, 'decay': 0.9},
      invariant='direction: the scale of any loss, at alpha 1',
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
