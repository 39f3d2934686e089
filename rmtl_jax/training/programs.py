"""A step's compiled loop, and which settings make another one."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rmtl_jax import config as config_lib
from rmtl_jax.balancing import registry as balancers
from rmtl_jax.networks import tables
from rmtl_jax.runtime import mesh
from rmtl_jax.updates import ahead, loop, quick


class Program(Protocol):
  """Runs a step over the batches of a dispatch; see updates/loop.make_loop.

  Attributes:
    step: step(state, batch, key, *extras) -> (state, metrics).
  """

  step: Callable[..., Any]

  def compile_ahead(
    self,
    pool: concurrent.futures.Executor,
    arguments: Callable[[], tuple[Any, ...]],
  ) -> None:
    """Has a thread compile it for such arguments, unless it is compiled."""

  @property
  def was_called(self) -> bool:
    """Whether a call has waited for the compiler already."""
    ...

  def __call__(self, *args: Any) -> Any:
    """Runs it."""


class CompiledLoop(ahead.Compiled):
  """A program with a compiled loop of its own; see `Program`."""

  def __init__(
    self,
    step: Callable[..., Any],
    layout: mesh.Layout | None = None,
    options: Mapping[str, Any] | None = None,
  ):
    """Compiles nothing yet.

    Args:
      layout: the mesh, or None.
    """
    self.step = layout.pin_step(step) if layout else step
    super().__init__(loop.make_loop(self.step, options))


def options(
  config: config_lib.Config, work: int = quick.LARGE
) -> Mapping[str, Any]:
  """Of the compiler, for programs of a run."""
  return quick.options(work) if config.batch.compiling == 'quick' else {}


def row_slots(config: config_lib.Config) -> int:
  """Slots of a batch where steps see its embedding rows alone, else 0."""
  if config.network.embedding_adam == 'dense':
    return 0
  return config.batch.lanes * config.batch.lane_length


def of_prediction(network: config_lib.NetworkConfig) -> Any:
  """The settings of what predicts: products in tables, where that pays."""
  uses = tables.pay(network.first_layer, network.embedding_dim)
  return dataclasses.replace(network, first_layer='tables' if uses else 'plain')


def of_network(critic: config_lib.CriticConfig) -> tuple[Any, ...]:
  """The settings of critics that make another network."""
  return critic.form, critic.head, critic.members, critic.sees_remaining


def of_step(stage: config_lib.StageConfig) -> config_lib.StageConfig:
  """What the step of a stage knows of its settings; the same of stages 1 and 3.

  Learning rate and warmup are numbers in the optimizer's state, a balancer's
  period and weights in the balancer's.
  """
  balancing = dataclasses.replace(stage.balancing, period=1, warmup_steps=1)
  if balancers.find(balancing.name).is_static:
    balancing = dataclasses.replace(balancing, weights='')
  return config_lib.StageConfig(
    learning_rate=0.0,
    l2=stage.l2,
    embedding_l2=stage.embedding_l2,
    clip_norm=stage.clip_norm,
    schedule=stage.schedule,
    warmup_steps=min(stage.warmup_steps, 1),
    balancing=balancing,
  )
