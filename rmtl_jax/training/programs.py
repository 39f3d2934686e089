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

  def forget(self) -> None:
    """Drops what is compiled; a later call compiles it again."""


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


class Unweighted:
  """Stage 3's step of unweighted losses, with the loop of stage 1.

  Both stages descend the same losses by the same optimizer, whose learning rate
  is a number in its state: only the state around the actor's differs. Metrics
  have the weights too, all of which are 1.
  """

  def __init__(self, own: Program, stage_1: Program, tasks: int):
    """Compiles nothing, now or later.

    Args:
      own: of a `state.FinetuneState`; its step is stage 1's of its actor.
      stage_1: whose loop is taken.
      tasks: K.
    """
    self.step = own.step
    self._stage_1, self._tasks = stage_1, tasks

  def compile_ahead(
    self,
    pool: concurrent.futures.Executor,
    arguments: Callable[[], tuple[Any, ...]],
  ) -> None:
    """Has stage 1's compiled, unless it is."""

    def of_stage_1():
      state, *others = arguments()
      return state.actor, *others

    self._stage_1.compile_ahead(pool, of_stage_1)

  @property
  def was_called(self) -> bool:
    """Whether stage 1's loop was."""
    return self._stage_1.was_called

  def __call__(self, *args: Any) -> Any:
    """Runs stage 1's loop on the actor."""
    state, *others = args
    new_actor, sums = self._stage_1(state.actor, *others)
    new_sums = with_weights_of_1(sums, self._tasks)
    return state._replace(actor=new_actor), new_sums

  def forget(self) -> None:
    """Forgets stage 1's."""
    self._stage_1.forget()


def with_weights_of_1(sums: Mapping[str, Any], tasks: int) -> dict[str, Any]:
  """Metrics of unweighted steps, with the sums of weights and their squares.

  Args:
    sums: of updates/actor.loss_metrics, over steps; what has weights of tasks
      already, a balancer's, keeps them.
    tasks: K.
  """
  rows = [sums.get(f'rows_{k}', sums['rows']) for k in range(tasks)]
  names = ('weight', 'weight_square')
  of_1 = {f'{name}_{k}': rows[k] for name in names for k in range(tasks)}
  return of_1 | dict(sums)


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
  """The stage with what its step does not know at its default."""
  default = type(stage)()
  balancing = dataclasses.replace(stage.balancing, period=1, warmup_steps=1)
  if balancers.find(balancing.name).is_static:
    balancing = dataclasses.replace(balancing, weights='')
  unknown = ('max_epochs', 'patience', 'start')
  return dataclasses.replace(
    stage,
    # Its number is in the state; a step knows whether there is a warmup.
    warmup_steps=min(stage.warmup_steps, 1),
    # Numbers of a run are in the balancer's state.
    balancing=balancing,
    **{n: getattr(default, n) for n in unknown if hasattr(default, n)},
  )


def steps_alike(config: config_lib.Config) -> bool:
  """Whether stages 1 and 3 have one step, but for the weights of losses."""

  def common(stage: config_lib.StageConfig) -> dict[str, Any]:
    known = of_step(dataclasses.replace(stage, learning_rate=0.0))
    fields = dataclasses.fields(config_lib.StageConfig)
    return {field.name: getattr(known, field.name) for field in fields}

  return common(config.pretrain) == common(config.finetune)
