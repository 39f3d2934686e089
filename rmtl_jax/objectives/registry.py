"""The registry of objectives: what an actor descends, row by row.

An objective gives every row of a lane a loss of every task, so that critics and
other weightings weigh it, and balancers balance it, like any other. This module
imports no JAX, so that command lines are checked before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import registry


@dataclasses.dataclass(frozen=True)
class Objective:
  """One objective.

  Attributes:
    name: what `config.objective.name` says.
    label: what it is, in tables.
    paper: whose, and which equation.
    function: function(logits f32[T, K], labels f32[T, K], lane, **settings) ->
      row losses f32[T, K]; see `within_session.Lane`. None: the point-wise loss
      alone.
    settings: of ObjectiveConfig that the function takes, by name.
    needs_parents: whether it is about tasks that come after others.
    below_0: whether the loss of a row may be below 0.
  """

  name: str
  label: str
  paper: str = ''
  function: Callable[..., Any] | None = None
  settings: tuple[str, ...] = ()
  needs_parents: bool = False
  below_0: bool = False


def _selection(
  name: str, label: str, paper: str, below_0: bool = False
) -> Objective:
  function = registry.lazy('rmtl_jax.objectives.selection', name)
  settings = ('least_propensity',)
  return Objective(name, label, paper, function, settings, True, below_0)


def _within_session(name: str) -> Callable[..., Any]:
  return registry.lazy('rmtl_jax.objectives.within_session', name)


RECORDS = registry.Registry(
  'objective',
  (
    Objective('pointwise', "each row's own loss"),
    Objective(
      'bpr',
      'pairs of a session in the right order',
      'Rendle et al., UAI 2009, Section 4.1, within sessions',
      _within_session('pairwise'),
    ),
    Objective(
      'softmax',
      "a positive's share of its session",
      'Cao et al., ICML 2007, with labels for relevance',
      _within_session('listwise'),
    ),
    Objective(
      'jrc',
      "a row's share of its session, among rows as its class sees them",
      'Sheng et al., KDD 2023, with one logit a task',
      _within_session('by_class'),
    ),
    _selection(
      'escm2_ips',
      'conversions over all rows, by inverse propensities',
      'Wang et al., SIGIR 2022, ESCM2-IPS',
    ),
    _selection(
      'escm2_dr',
      'conversions over all rows, doubly robust',
      'Wang et al., SIGIR 2022, ESCM2-DR',
      below_0=True,
    ),
    _selection(
      'dcmt',
      'conversions over clicked rows and, counterfactually, all others',
      'Zhu et al., ICDE 2023',
    ),
  ),
)


find = RECORDS.find
