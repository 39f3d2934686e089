"""Q-values and weights of rows, by a run's critics and weighting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.config import variants
from rmtl_jax.networks import factory as networks
from rmtl_jax.networks import registry as networks_registry
from rmtl_jax.ops import task_losses
from rmtl_jax.results import ensemble
from rmtl_jax.training import actor_stage, trainer
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import forward, quick
from rmtl_jax.weighting import factory, registry


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
  trained: ensemble.Ensemble, split: splits_lib.Split
) -> list[CriticValues]:
  """Computes Q(s, pi(s)) of every row, by member with critics.

  Each member's critics evaluate its own policy.

  Args:
    trained: finished stages; the critics' may be missing.
  """
  if not trained.has_critics:
    return []
  found = []
  for config, one in zip(trained.configs, trained.members, strict=True):
    if networks_registry.is_fitted(config):
      continue
    actor, critic = (one.results[n].params for n in ('pretrain', 'critic'))
    policy = trained.models.policy(config, actor, split)
    q_values = trained.models.values(config, critic, split, policy)
    counted = split.host.sample_weight
    found.append(CriticValues(config, critic, policy, q_values, counted))
  return found


def lambdas(
  config: config_lib.Config,
  history: Sequence[Mapping[str, Any]],
  best_epochs: Sequence[int] = (),
) -> list[float]:
  """Lambda of each member with critics: as set, or as learnt at its best epoch.

  Args:
    history: one record per epoch.
    best_epochs: of stage 3, one per member; () if it has not finished.
  """
  members = variants.of_members(config)
  values = [one.weighting.lambda_ for one in members]
  for entry in history:
    member = entry.get('member', 0)
    is_kept = (
      member < len(best_epochs) and best_epochs[member] == entry['epoch']
    )
    if entry['stage'] == 'finetune' and is_kept and 'lambda' in entry:
      values[member] = entry['lambda']
  return [
    value
    for value, one in zip(values, members, strict=True)
    if not networks_registry.is_fitted(one)
  ]


def weights(
  config: config_lib.Config,
  models: models_lib.Models,
  rows: Sequence[CriticValues],
  split: splits_lib.Split,
  lambdas: Sequence[float],
  train: Callable[[], Sequence[CriticValues]],
) -> list[np.ndarray]:
  """Computes the weights at the start of stage 3, with the rows as one batch.

  Lambda is that between warmup and decay, the critics are those of stage 2, and
  there is no dropout.

  Args:
    rows: from `critic_values`.
    lambdas: one per member.
    train: returns `critic_values` of the train rows, for `constant_mean`.

  Returns:
    f32[R, K] per member; [] if the weighting is not by row.
  """
  record = registry.find(config.weighting.name)
  if not rows or record.make is None:
    return []
  means: list[Any] = [None] * len(rows)
  if record.takes == registry.MEANS:
    means = [
      actor_stage.mean_of_weights(
        one.config.weighting, one.q_values, one.sample_weight
      )
      for one in train()
    ]
  return [
    _weights(*each, split, models)
    for each in zip(rows, lambdas, means, strict=True)
  ]


def _weights(
  one: CriticValues,
  lambda_: float,
  means: Any,
  split: splits_lib.Split,
  models: models_lib.Models,
) -> np.ndarray:
  weighting = dataclasses.replace(
    one.config.weighting,
    lambda_=lambda_,
    lambda_warmup_steps=0,
    lambda_schedule='constant',
  )
  chain = factory.make_weighting(weighting, means)
  ones = jnp.ones((1, *one.q_values.shape), jnp.float32)
  deviation = np.zeros_like(one.q_values)
  if 'q_deviation' in registry.form_of(weighting).needs:
    deviation = _deviation(one, split, models)
  own = split.host.sample_weight
  counted = {} if own is None else {'sample_weight': jnp.asarray(own)[None]}
  actions = task_losses.actions(split.host.losses, split.host.labels)

  def weigh(ones, beside):
    return chain.update(ones, chain.init(ones), **beside)[0]

  weighted = quick.jit(weigh, quick.LARGE)(
    ones,
    {
      'q_values': jnp.asarray(one.q_values)[None],
      'q_deviation': jnp.asarray(deviation)[None],
      'labels': jnp.asarray(actions)[None],
      'mask': jnp.ones(ones.shape[:2], bool),
      'key': jax.random.key(one.config.seed),
      **counted,
    },
  )
  return np.asarray(weighted)[0]


def _deviation(
  one: CriticValues, split: splits_lib.Split, models: models_lib.Models
) -> np.ndarray:
  """Deviation of Q over each critic's ensemble, f32[R, K]."""
  network = networks.make_critic(
    dataclasses.replace(models.spec, distinct=()),
    dataclasses.replace(one.config.network, first_layer='plain'),
    one.config.critic,
  )
  row_map = models.row_map(
    one.config,
    lambda params, batch, actions: forward.values_and_deviation(
      network, params, batch.inputs, actions
    )[1],
    network.prepare,
  )
  extras = (split.beside(one.policy),)
  return trainer.map_rows(row_map, one.critic, split, extras)
