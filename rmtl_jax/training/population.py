"""A pass of one state, or of many that one compiled program trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax

from rmtl_jax.data import batches
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import feed, models, trainer

_Member = TypeVar('_Member')


class Pass(NamedTuple):
  """What a pass over the train rows needs.

  Attributes:
    state: before it.
    plan: its batches.
    key: of the stage.
    extras: f32[R, K] arrays that the step wants beside the batch.
    guide: what the step wants of another split.
    start: where the pass goes on.
    after: see trainer.run_epoch; members that are trained together tell
      nothing.
  """

  state: Any
  plan: batches.Epoch
  key: jax.Array
  extras: tuple[Any, ...] = ()
  guide: feed.Guide | None = None
  start: trainer.Position = trainer.START
  after: Callable[[Any, trainer.Position, bool], None] = lambda *_: None


def most(wanted: int, members: int) -> int:
  """How many members are trained together at most.

  Args:
    wanted: `config.compare.population`; 0 chooses: one on CPU, where a
      population of usual networks is no faster, else all.
    members: how many there are.
  """
  if wanted:
    return wanted
  return 1 if jax.default_backend() == 'cpu' else members


def by_program(
  members: Iterable[tuple[models.Program, _Member]], limit: int
) -> Iterator[tuple[models.Program, list[_Member]]]:
  """Members in groups of one program each, at most `limit` in a group."""
  found: dict[models.Program, list[_Member]] = {}
  for program, member in members:
    found.setdefault(program, []).append(member)
  for program, own in found.items():
    for begin in range(0, len(own), limit):
      yield program, own[begin : begin + limit]


class Groups:
  """Cuts members into groups that one program trains together.

  A program's groups keep the size of the first one, so that it is compiled
  once though members finish one by one: `run` fills them with copies, whose
  results are thrown away. `reserve` fixes that size beforehand: a job that
  goes on after some members have finished then runs what it ran before, to
  the last bit.
  """

  def __init__(self, population: int):
    """At most `population` members a group; 1 trains one after the other."""
    self._population = population
    self._sizes: dict[models.Program, int] = {}

  def reserve(self, programs: Iterable[models.Program]) -> None:
    """Fixes the size of every program's groups.

    Args:
      programs: of all members, also of those that have finished.
    """
    members = ((program, None) for program in programs)
    for program, group in by_program(members, self._population):
      self._sizes.setdefault(program, len(group))

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

    Raises:
      FloatingPointError: a loss was not finite; names the stage, the step and
        rows of its batch that stand out.

    Args:
      context: data, settings and progress, which the group shares.
      label: for the live line.
      program: what trains it.
      passes: one per member.

    Returns:
      Per member (state after the pass, metrics summed over its steps).
    """
    try:
      return self._run(context, label, program, passes)
    except trainer.NotFinite as error:
      told = context.suspects(error.rows)
      raise FloatingPointError(
        f'{context.title(label)}: {error}; {told}'
      ) from None
    except FloatingPointError as error:
      raise FloatingPointError(f'{context.title(label)}: {error}') from None

  def _run(
    self,
    context: context_lib.Context,
    label: str,
    program: models.Program,
    passes: Sequence[Pass],
  ) -> list[tuple[Any, dict[str, float]]]:
    size = max(self._sizes[program], len(passes))
    if size == 1 or context.train.device is None:
      return [_run_alone(context, label, program, one) for one in passes]
    common = (context.config.batch, context.progress)
    rows = context.train.host.rows
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


def _run_alone(
  context: context_lib.Context, label: str, program: models.Program, one: Pass
) -> tuple[Any, dict[str, float]]:
  context.progress.start(context.title(label), context.train.host.rows)
  return trainer.run_epoch(
    program.loop,
    one.state,
    context.train,
    one.plan,
    one.key,
    context.config.batch,
    context.progress,
    one.extras,
    context.interrupted,
    one.guide,
    one.start,
    one.after,
  )
