"""The actor and the critics of a run, with their compiled row functions."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.training import trainer
from rmtl_jax.updates import forward, loop

# Beside the stages' numbers (training/context.py).
_ACTOR_INIT, _CRITIC_INIT = 101, 102


class Models:
  """Networks for some data and settings; each is compiled once.

  Attributes:
    config: the run's settings.
    actor: the actor's network.
    critic: the critics' network.
  """

  def __init__(self, spec: types.FeatureSpec, config: config_lib.Config):
    """Builds the networks for features `spec`."""
    self.config = config
    self.actor = functional.make_actor(spec, config.backbone, config.network)
    self.critic = functional.make_critic(spec, config.network, config.critic)

  def key(self, number: int) -> jax.Array:
    """A stage's key; its steps fold in their own number."""
    return jax.random.fold_in(jax.random.key(self.config.seed), number)

  def init_actor(self) -> Any:
    """The actor's initial parameters."""
    return jax.jit(self.actor.init)(self.key(_ACTOR_INIT))

  def init_critic(self, actor_params: Any) -> Any:
    """The critics' initial parameters, embeddings copied from the actor."""
    params = jax.jit(self.critic.init)(self.key(_CRITIC_INIT))
    return functional.critic_from_actor(params, actor_params)

  def predict(self, params: Any, split: trainer.Split) -> np.ndarray:
    """pi(s) of every row of a split, f32[R, K], in its order."""
    return trainer.map_rows(self._policy_map, params, split, self.config.batch)

  def values(
    self, params: Any, split: trainer.Split, policy: np.ndarray
  ) -> np.ndarray:
    """Q_k(s, a_k) of every row of a split, f32[R, K], in its order."""
    return trainer.map_rows(
      self._value_map,
      params,
      split,
      self.config.batch,
      (trainer.on_device(policy),),
    )

  @functools.cached_property
  def _policy_map(self) -> Any:
    return loop.make_row_map(
      lambda params, batch: forward.policy(self.actor, params, batch.inputs)
    )

  @functools.cached_property
  def _value_map(self) -> Any:
    return loop.make_row_map(
      lambda params, batch, actions: forward.values(
        self.critic, params, batch.inputs, actions
      )
    )
