"""A pass of one state, or of many that one compiled program trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax

from rmtl_jax.data import batches
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models, trainer

_Member = TypeVar('_Member')


class Pass(NamedTuple):
  """What a pass over the train rows needs.

  Attributes:
    state: before it.
    plan: its batches.
    key: of the stage.
    extras: f32[R, K] arrays that the step wants beside the batch.
    guide: what the step wants of another split.
  """

  state: Any
  plan: batches.Plan
  key: jax.Array
  extras: tuple[jax.Array, ...] = ()
  guide: trainer.Guide | None = None


def by_program(
  members: Iterable[tuple[models.Program, _Member]], most: int
) -> Iterator[tuple[models.Program, list[_Member]]]:
  """Members in groups of one program each, at most `most` in a group."""
  found: dict[models.Program, list[_Member]] = {}
  for program, member in members:
    found.setdefault(program, []).append(member)
  for program, own in found.items():
    for begin in range(0, len(own), most):
      yield program, own[begin : begin + most]


class Groups:
  """Cuts members into groups that one program trains together.

  A program's groups keep the size of the first one, so that it is compiled
  once though members finish one by one: `run` fills them with copies, whose
  results are thrown away.
  """

  def __init__(self, population: int):
    """At most `population` members a group; 1 trains one after the other."""
    self._population = population
    self._sizes: dict[models.Program, int] = {}

  def cut(
    self, members: Sequence[tuple[models.Program, _Member]]
  ) -> Iterator[tuple[models.Program, list[_Member]]]:
    """Groups of one program each."""
    for program, group in by_program(members, self._population):
      self._sizes.setdefault(program, len(group))
      yield program, group

  def run(
    self,
    context: context_lib.Context,
    label: str,
    program: models.Program,
    passes: Sequence[Pass],
  ) -> list[tuple[Any, dict[str, float]]]:
    """One pass of a group.

    Args:
      context: data, settings and progress, which the group shares.
      label: for the live line.
      program: what trains it.
      passes: one per member.

    Returns:
      Per member (state after the pass, metrics summed over its steps).
    """
    size = max(self._sizes[program], len(passes))
    common = (context.config.batch, context.progress)
    rows = context.train.host.rows
    if size == 1:
      context.progress.start(label, rows)
      one = passes[0]
      return [
        trainer.run_epoch(
          program.loop,
          one.state,
          context.train,
          one.plan,
          one.key,
          *common,
          one.extras,
          context.interrupted,
          one.guide,
        )
      ]
    filled = [*passes, *[passes[0]] * (size - len(passes))]
    context.progress.start(f'{label}, {size} together', rows * size)
    states, sums = trainer.run_epochs(
      program.population_loop,
      [one.state for one in filled],
      context.train,
      [one.plan for one in filled],
      [one.key for one in filled],
      *common,
      [one.extras for one in filled],
      context.interrupted,
      # One program: either every pass has a guide or none has.
      [one.guide for one in filled if one.guide is not None] or None,
    )
    return list(zip(states, sums, strict=True))[: len(passes)]
