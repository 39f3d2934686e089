"""What a stage is, and the one loop over passes that all stages share."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax

from rmtl_jax.data import batches
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import feed, models, saved, trainer

# Loops that have run, so that no later call waits for the compiler.
_called: weakref.WeakSet[Any] = weakref.WeakSet()


class Pass(NamedTuple):
  """One pass over the train rows that a stage still has to make.

  Attributes:
    name: of what it trains: 'pretrain', 'critic', 'constant' or 'finetune'.
    label: what progress and errors call the pass.
    program: the step that trains it.
    state: before the pass, or where it goes on.
    plan: its batches.
    key: of the stage; steps fold in their own number.
    extras: f32[R, K] arrays that the step wants beside the batch.
    start: how far the pass had come when it was cut off.
  """

  name: str
  label: str
  program: models.Loop
  state: Any
  plan: batches.Epoch
  key: jax.Array
  extras: tuple[Any, ...] = ()
  start: trainer.Position = trainer.START


class Stage(Protocol):
  """Stage 1, 2 or 3 of a run while it trains."""

  name: str
  context: context_lib.Context

  @property
  def goes_on(self) -> bool:
    """Whether there is another epoch to train."""
    ...

  @property
  def rows_left(self) -> int:
    """Rows of all passes that may still come, for the time that is left."""
    ...

  def passes(self) -> Sequence[Pass]:
    """The passes that are missing in the current epoch, one per arm."""
    ...

  def validate(
    self, one: Pass, new_state: Any, sums: Mapping[str, float], seconds: float
  ) -> None:
    """Early stopping, the record and the new best after a pass.

    Args:
      sums: the step's metrics, summed over its steps.
    """

  def end_epoch(self) -> None:
    """Counts an epoch once every arm has made its pass."""

  def cut(self, one: Pass, state: Any, position: trainer.Position) -> None:
    """Takes the place inside of a pass, between two of its dispatches."""

  def to_save(self) -> saved.StageCheckpoint:
    """What a checkpoint holds, between epochs or where a pass was cut."""
    ...

  def resume(self, record: Mapping[str, Any], arrays: Any) -> None:
    """Goes on from such a checkpoint: its JSON and its arrays."""

  def summary(self) -> Iterable[str]:
    """The lines that stay when the stage has ended, one per arm."""
    ...

  def result(self) -> dict[str, saved.Result]:
    """What the stage leaves, by the names of the finished checkpoints."""
    ...


def run(stage: Stage) -> dict[str, saved.Result]:
  """Trains a stage until it has ended; goes on where it was cut off.

  Raises:
    trainer.Interrupted: a signal arrived; the stage is saved.
    FloatingPointError: a loss was not finite; names the pass and rows.
  """
  context = stage.context
  # Whole epochs come back, and the place inside of a pass that was cut off:
  # steps fold their own number into the key, so that what follows is what an
  # undisturbed run would have drawn.
  resume(stage)
  with context.progress.stage(stage.rows_left, stage.summary):
    while stage.goes_on:
      for one in stage.passes():
        begin = time.perf_counter()
        context.progress.start(
          one.label, context.train.host.rows, one.program not in _called
        )
        _called.add(one.program)
        # Rows of the next dispatches are read while this one runs.
        dispatches = feed.dispatches(
          context.train,
          one.plan,
          context.config.batch.steps_per_dispatch,
          one.start.dispatches,
          one.extras,
        )
        with named_errors(one.label):
          new_state, sums = trainer.run_epoch(
            one.program,
            one.state,
            dispatches,
            one.key,
            context.progress,
            context.interrupted,
            one.start,
            _saver(stage, one),
          )
        # `one.state` is gone: the loop has donated its buffers. From here on
        # only the new state may be used.
        stage.validate(one, new_state, sums, time.perf_counter() - begin)
      # Only when every arm has made its pass: saved between them, a method
      # could go on an epoch ahead of its control.
      stage.end_epoch()
      if saved.is_due(context, ends_pass=True):
        save(stage)
  return stage.result()


def _saver(
  stage: Stage, one: Pass
) -> Callable[[Any, trainer.Position, bool], None]:
  """Saves inside of a long pass where it is time, and where a signal came."""

  def between_dispatches(
    state: Any, position: trainer.Position, interrupted: bool
  ) -> None:
    if interrupted or saved.is_due(stage.context):
      stage.cut(one, state, position)
      save(stage)

  return between_dispatches


def save(stage: Stage) -> None:
  """A checkpoint of the unfinished stage; see `Stage.to_save`."""
  saved.save(stage.context, stage.name, stage.to_save())


def resume(stage: Stage) -> None:
  """Takes up the stage's newest sound checkpoint, if it has one."""
  arrays = stage.to_save().arrays  # of the shapes that were saved
  restored = saved.resume(stage.context, stage.name, arrays)
  if restored is not None:
    stage.resume(restored.record, restored.arrays)


@contextlib.contextmanager
def named_errors(label: str) -> Iterator[None]:
  """Says of a loss that is not finite in which pass it was.

  Raises:
    FloatingPointError: in place of every such error.
  """
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{label}: {error}') from None
