"""Stages of several runs trained together, in one program where they share it.

The step is vmapped over a leading axis: its states, keys, extras and slots are
stacked, the columns are shared. Each run ends where it would alone, up to
rounding.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from rmtl_jax.data import batches
from rmtl_jax.networks import ensemble
from rmtl_jax.training import feed, programs, saved, stage, trainer
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import loop as loop_lib

_Member = TypeVar('_Member')
# A program is compiled once, however many calls train its stages.
_LOOPS: weakref.WeakKeyDictionary[programs.Program, Callable[..., Any]] = (
  weakref.WeakKeyDictionary()
)


def size(setting: int, runs: int) -> int:
  """How many runs are trained together at most.

  Args:
    setting: `config.compare.population`; 0 chooses: one on CPU, where a
      population of usual networks is no faster, else all.
  """
  if setting:
    return setting
  return 1 if jax.default_backend() == 'cpu' else runs


def by_program(
  members: Iterable[tuple[programs.Program, _Member]], limit: int
) -> Iterator[tuple[programs.Program, list[_Member]]]:
  """Members in groups of one program each, at most `limit` in a group."""
  found: dict[programs.Program, list[_Member]] = {}
  for program, member in members:
    found.setdefault(program, []).append(member)
  for program, own in found.items():
    for begin in range(0, len(own), limit):
      yield program, own[begin : begin + limit]


def fit_together(
  stages: Sequence[stage.Stage], limit: int
) -> list[dict[str, saved.Result]]:
  """Trains stages of one arm each until all have ended: what each leaves.

  Args:
    stages: on the same data; changed in place. One that was cut off goes on
      from its checkpoint.
    limit: most runs of one program that are trained together; with 1, and
      where data are streamed, each is trained by itself.

  Raises:
    trainer.Interrupted: a signal arrived; the last whole epoch is saved.
    FloatingPointError: a loss was not finite.
  """
  results: dict[int, dict[str, saved.Result]] = {}
  programs = [each.passes()[0].program for each in stages]
  numbers = zip(programs, range(len(stages)), strict=True)
  for _, group in by_program(numbers, limit):
    own = [stages[i] for i in group]
    if len(own) > 1 and own[0].context.train.device is not None:
      found = _fit_group(own)
    else:
      found = [stage.run(each) for each in own]
    results.update(zip(group, found, strict=True))
  return [results[i] for i in range(len(stages))]


def _fit_group(
  stages: Sequence[stage.Stage],
) -> list[dict[str, saved.Result]]:
  """Trains stages of one program, an epoch of all at a time."""
  for each in stages:
    stage.resume(each)
    if each.passes()[0].start.dispatches:
      # It was trained by itself before, and cut off inside of a pass, which
      # only the loop of one can go on with.
      stage.run(each)
  live = stages[0].context.progress
  with live.stage(
    sum(each.rows_left for each in stages),
    lambda: (line for each in stages for line in each.summary()),
  ):
    while running := [each for each in stages if each.goes_on]:
      _fit_epoch(running, len(stages))
      for each in running:
        each.end_epoch()
        stage.save(each)
  return [each.result() for each in stages]


def _fit_epoch(running: Sequence[stage.Stage], size: int) -> None:
  """One pass of the stages that still run, and each one's validation.

  Args:
    size: what the program is compiled for: all stages of the group, also those
      that have ended. Another size would be compiled again and round
      otherwise. Copies of the first pass fill it up; their results are thrown
      away.
  """
  begin = time.perf_counter()
  context = running[0].context
  passes = [each.passes()[0] for each in running]
  filled = [*passes, *[passes[0]] * (size - len(passes))]
  rows = context.train.host.rows * size
  context.progress.start(f'{passes[0].label}, {size} together', rows)
  with stage.named_errors(context, passes[0].label):
    states, sums = run_epochs(
      filled,
      context.train,
      context.config.batch.steps_per_dispatch,
      context.progress,
      context.interrupted,
    )
  seconds = (time.perf_counter() - begin) / len(running)
  for each, one, new_state, own in zip(
    running, passes, states, sums, strict=False
  ):
    each.validate(one, new_state, own, seconds)


def run_epochs(
  passes: Sequence[stage.Pass],
  split: splits_lib.Split,
  steps: int,
  progress: Any,
  interrupted: Callable[[], int] = lambda: 0,
) -> tuple[list[Any], list[dict[str, float]]]:
  """One pass of P members, each over its own plan, in one program.

  Args:
    passes: one per member, of one program; their states are copied, so they
      stay.
    split: the data, which members share; on the device.
    progress: told the rows that are done, all members' together.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    (each member's state after the pass, each member's metrics summed over its
    steps).

  Raises:
    trainer.Interrupted: a signal arrived.
    trainer.NotFinite: a metric was not finite; names the first such member by
      its index.
    FloatingPointError: every step of a member was left out because of that.
  """
  program = passes[0].program
  if program not in _LOOPS:
    _LOOPS[program] = loop_lib.make_population_loop(program.step)
  # One program: every pass has validation rows or none has.
  validation = [one.validation for one in passes if one.validation is not None]
  stacked, totals = trainer.run_epoch(
    _LOOPS[program],
    ensemble.stack(*(one.state for one in passes)),
    _dispatches(
      split,
      [one.plan for one in passes],
      steps,
      ensemble.stack(*(one.extras for one in passes)),
      validation,
    ),
    ensemble.stack(*(one.key for one in passes)),
    progress,
    interrupted,
  )
  sums = [
    {name: float(value[p]) for name, value in totals.items()}
    for p in range(len(passes))
  ]
  return ensemble.unstack(stacked, len(passes)), sums


def _dispatches(
  split: splits_lib.Split,
  epochs: Sequence[batches.Epoch | batches.Plan],
  size: int,
  extras: tuple[Any, ...],
  validation: Sequence[feed.ValidationBatches],
) -> Iterator[feed.Dispatch]:
  """Passes of P members side by side, extras f32[P, R, K]; see feed.py."""
  columns = feed.columns_of(split, validation[0] if validation else None)
  plans = [feed.whole_plan(one) for one in epochs]
  for slots, counts in chunks(plans, size, validation):
    placed, steps = jax.device_put((slots, counts))
    yield feed.Dispatch(columns, extras, placed, steps, feed.train_row(slots))


def chunks(
  plans: Sequence[batches.Plan],
  size: int,
  validation: Sequence[feed.ValidationBatches] = (),
) -> list[tuple[Any, np.ndarray]]:
  """The plans side by side, in pieces of `size` batches.

  Args:
    plans: one per member, of S_p batches.
    size: batches of a piece.
    validation: one per member, or none.

  Returns:
    (slots [size, P, L, T], WithValidation where there is validation; each
    member's count i32[P]); the pieces go on to the end of the longest plan,
    with counts of 0 for members that are done.
  """
  pieces = []
  for begin in range(0, max(len(plan.row) for plan in plans), size):
    members, counts = zip(
      *(
        feed.piece(plan, begin, size, rows)
        for plan, rows in zip(
          plans, validation or [None] * len(plans), strict=True
        )
      ),
      strict=True,
    )
    slots = jax.tree.map(lambda *x: np.stack(x, axis=1), *members)
    pieces.append((slots, np.array(counts, np.int32)))
  return pieces
