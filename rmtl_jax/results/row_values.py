"""Q-values and weights of rows, by a run's critics and weighting."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.networks import backbone_registry
from rmtl_jax.ops import task_losses
from rmtl_jax.results import trained_ensemble
from rmtl_jax.training import actors, split_data
from rmtl_jax.weighting import chain as weighting_chain
from rmtl_jax.weighting import weighting_registry


class CriticValues(NamedTuple):
  """Values of rows by one member's critics.

  Attributes:
    config: the member's settings.
    critic: its critics' parameters after stage 2.
    policy: pi(s) of its pre-trained actor, f32[R, K].
    q_values: Q(s, pi(s)), f32[R, K].
    sample_weight: of the rows, f32[R, K], or None.
  """

  config: config_lib.Config
  critic: Any
  policy: np.ndarray
  q_values: np.ndarray
  sample_weight: np.ndarray | None = None


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
    counted = split.host.sample_weight
    found.append(CriticValues(config, critic, policy, q_values, counted))
  return found


def weights(
  config: config_lib.Config,
  rows: Sequence[CriticValues],
  split: split_data.Split,
  train: Callable[[], Sequence[CriticValues]],
) -> list[np.ndarray]:
  """Computes the weights at the start of stage 3, with the rows as one batch.

  The critics are those of stage 2, without dropout.

  Args:
    rows: from `critic_values`.
    train: returns `critic_values` of the train rows, for `constant_mean`.

  Returns:
    f32[R, K] per member; [] if the weighting is not by row.
  """
  record = weighting_registry.find(config.weighting.name)
  if not rows or record.make is None:
    return []
  means: list[Any] = [None] * len(rows)
  if record.takes == weighting_registry.MEANS:
    means = [
      actors.mean_of_weights(
        one.config.weighting, one.q_values, one.sample_weight
      )
      for one in train()
    ]
  return [_weights(*each, split) for each in zip(rows, means, strict=True)]


def _weights(
  one: CriticValues, means: Any, split: split_data.Split
) -> np.ndarray:
  own, ones = split.host.sample_weight, np.ones_like(one.q_values)
  counted = {} if own is None else {'sample_weight': own[None]}
  actions = task_losses.actions(split.host.losses, split.host.labels)
  weighted = _weigh(
    one.config.weighting,
    None if means is None else tuple(np.asarray(means).tolist()),
    one.config.seed,
    ones[None],
    {
      'q_values': one.q_values[None],
      'labels': np.asarray(actions)[None],
      'mask': np.ones((1, len(ones)), bool),
      **counted,
    },
  )
  return np.asarray(weighted)[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _weigh(
  config: config_lib.WeightingConfig,
  means: tuple[float, ...] | None,
  seed: int,
  ones: jax.Array,
  beside: dict[str, jax.Array],
) -> Any:
  chain, key = (
    weighting_chain.make_weighting(config, means),
    jax.random.key(seed),
  )
  return chain.update(ones, chain.init(ones), key=key, **beside)[0]
