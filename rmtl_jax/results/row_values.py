"""Q-values and weights of rows, by a run's critics and weighting."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.networks import backbone_registry
from rmtl_jax.ops import task_losses
from rmtl_jax.results import trained_ensemble
from rmtl_jax.training import split_data


class CriticValues(NamedTuple):
  """Values of rows by one member's critics.

  Attributes:
    config: the member's settings.
    critic: its critics' parameters after stage 2.
    policy: pi(s) of its pre-trained actor, f32[R, K].
    q_values: Q(s, pi(s)), f32[R, K].
  """

  config: config_lib.Config
  critic: Any
  policy: np.ndarray
  q_values: np.ndarray


def critic_values(
  trained: trained_ensemble.Ensemble, split: split_data.Split
) -> list[CriticValues]:
  """Computes Q(s, pi(s)) of every row, by member with critics.

  Each member's critics evaluate its own policy.

  Args:
    trained: finished stages; the critics' may be missing.
  """
  if not trained.has_critics:
    return []
  found = []
  for m, config in enumerate(trained.configs):
    if backbone_registry.is_fitted(config):
      continue
    critic = trained.members[m].results['critic'].params
    predicted = trained.of_member(m, 'pretrain', split).predictions
    policy = np.asarray(
      task_losses.actions(trained.models.spec.losses, predicted)
    )
    q_values = trained.models.values(config, critic, split, policy)
    found.append(CriticValues(config, critic, policy, q_values))
  return found
