"""A step and its compiled loop, and stage 1's for a stage 3 without weights."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Mapping
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import mesh
from rmtl_jax.updates import ahead, loop

_STOP = config_lib.FaultsConfig()


class Program:
  """A step, and its compiled loop.

  Attributes:
    step: step(state, batch, key, *extras) -> (state, metrics).
    skips: whether steps that are not finite are left out.
  """

  def __init__(
    self,
    step: Callable[..., Any],
    faults: config_lib.FaultsConfig = _STOP,
    layout: mesh.Layout | None = None,
    options: Mapping[str, Any] | None = None,
  ):
    """Compiles nothing yet.

    Args:
      step: see the class.
      faults: what is done with steps that are not finite.
      layout: the mesh, or None.
      options: of the compiler.
    """
    self.step = layout.pin_step(step) if layout else step
    self.skips = faults.on_nonfinite == 'skip'
    self._compiled = ahead.Compiled(
      loop.make_loop(self.step, self.skips, options)
    )

  def compile_ahead(
    self,
    pool: concurrent.futures.Executor,
    arguments: Callable[[], tuple[Any, ...]],
  ) -> None:
    """See ahead.Compiled.compile_ahead; arguments are those of `loop`."""
    self._compiled.compile_ahead(pool, arguments)

  @property
  def is_compiled(self) -> bool:
    """Whether the loop has been asked for."""
    return 'loop' in vars(self)

  @functools.cached_property
  def loop(self) -> Callable[..., Any]:
    """See updates/loop.make_loop."""
    return self._compiled.function

  def forget(self) -> None:
    """See ahead.Compiled.forget."""
    self._compiled.forget()


class OfStage1(Program):
  """Stage 3's step of unweighted losses, with the loop of stage 1.

  Both stages descend the same losses by the same optimizer, whose learning rate
  is a number in its state: only the state around the actor's differs. Metrics
  have the weights too, all of which are 1.
  """

  def __init__(
    self,
    step: Callable[..., Any],
    stage_1: Program,
    tasks: int,
    faults: config_lib.FaultsConfig,
    layout: mesh.Layout | None = None,
  ):
    """Compiles nothing, now or later.

    Args:
      step: of a `state.FinetuneState`, the same as stage 1's of its actor.
      stage_1: whose loop is taken.
      tasks: K.
      faults: see `Program`.
      layout: see `Program`.
    """
    super().__init__(step, faults, layout)
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
  def is_compiled(self) -> bool:
    """Whether stage 1's loop has been asked for."""
    return self._stage_1.is_compiled

  @functools.cached_property
  def loop(self) -> Callable[..., Any]:
    """See updates/loop.make_loop."""
    of_stage_1 = self._stage_1.loop

    def run(state, *args):
      new_actor, sums = of_stage_1(state.actor, *args)
      return state._replace(actor=new_actor), (
        with_weights_of_1(sums, self._tasks)
      )

    return run

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
