"""The loop over epochs: stages 1, 2 and 3 are three calls of `fit`."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import clock, json_files
from rmtl_jax.runtime import checkpoints, collectives
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import feed, models, saved
from rmtl_jax.updates import state as state_lib

# An epoch of a small log takes less time than saving it: one that ends within
# so many seconds of a checkpoint saves no other.
_SECONDS_TO_SPARE = 10.0
# More than the dispatches of an epoch: numbers of checkpoints rise.
_ARM = 200_000
# Programs that have run, so that no later call waits for the compiler.
_called: weakref.WeakSet[Any] = weakref.WeakSet()


class Interrupted(Exception):
  """SIGTERM or SIGINT arrived; the unfinished stage is saved."""

  def __init__(self, signal_number: int):
    super().__init__(f'interrupted by signal {signal_number}')
    self.signal_number = signal_number


@dataclasses.dataclass
class Arm:
  """A model that a stage trains: an actor, its control, or all critics.

  Attributes:
    program: the compiled loop of its step; donates the state.
    state: state of the step.
    best: a copy of the parameters at the best epoch, or () where the last
      epoch is kept.
    values: what early stopping wants high, of every epoch from 0 on, which is
      before the first; -inf where epoch 0 is no candidate.
    dispatches: that are done of the epoch in training.
    totals: the step's metrics, summed over them.
  """

  program: models.Loop
  state: Any
  best: Any
  values: list[float]
  dispatches: int = 0
  totals: dict[str, float] = dataclasses.field(default_factory=dict)

  @property
  def epoch(self) -> int:
    """Epochs that are done."""
    return len(self.values) - 1

  @property
  def best_epoch(self) -> int:
    """The first epoch with the highest value."""
    return int(np.argmax(self.values))

  @property
  def params(self) -> Any:
    """Parameters as they are now; the next dispatch donates them."""
    return getattr(self.state, 'actor', self.state).params


class Stopping(NamedTuple):
  """When a stage ends, and which parameters it keeps.

  Attributes:
    validate: (an arm's name, the arm) -> (a value that should rise, figures for
      the history, words for the screen), after every epoch.
    is_done: arms -> whether they need no other epoch.
    most: epochs, at most.
    words: text of a value, for the screen.
    keeps_last: whether the last epoch is kept, and not the best.
    unit: name of an epoch on the screen.
  """

  validate: Callable[[str, Arm], tuple[float, dict[str, Any], list[str]]]
  is_done: Callable[[Mapping[str, Arm]], bool]
  most: int
  words: Callable[[float], str]
  keeps_last: bool = False
  unit: str = 'epoch'


def fit(
  context: context_lib.Context,
  stage: str,
  arms: dict[str, Arm],
  stopping: Stopping,
  extras: tuple[Any, ...] = (),
) -> dict[str, saved.Result]:
  """Trains the arms of a stage until it is done.

  All arms see the same batches and keys and train for as many epochs, so that
  they differ only in their steps. A stage that was cut off resumes within
  its epoch: steps fold their own number into the key, so what
  follows is what an undisturbed run would have drawn.

  Args:
    stage: of `stages.ORDER`.
    arms: by name, before the first epoch; they are changed.
    extras: further f32[R, K] arrays of the train rows for the step, from
      `split.put`.

  Returns:
    The kept parameters of each arm.

  Raises:
    Interrupted: a signal arrived; the stage is saved.
    FloatingPointError: a loss was not finite; names the epoch.
  """
  _resume(context, stage, arms)

  def summary() -> list[str]:
    return [_summary(name, arm, stopping) for name, arm in arms.items()]

  epochs_left = (stopping.most - _epochs(arms)) * len(arms)
  rows_left = max(epochs_left, 0) * context.train.host.rows
  with context.progress.stage(rows_left, summary):
    while _epochs(arms) < stopping.most and not stopping.is_done(arms):
      epoch = _epochs(arms) + 1
      for name, arm in arms.items():
        if arm.epoch < epoch:  # else it was ahead when the stage was cut off
          label = f'{name} {stopping.unit} {epoch}'
          begin = time.perf_counter()
          with _named_errors(label), clock.part(name):
            _train_epoch(context, stage, arms, name, label, extras)
            _validate(context, arm, name, label, stopping, begin)
      # Only when all arms have trained the epoch: saved between them, a method
      # could resume an epoch ahead of its control.
      if _is_due(context, ends_epoch=True):
        _save(context, stage, arms)
  return {name: _result(arm, stopping.keeps_last) for name, arm in arms.items()}


def _epochs(arms: Mapping[str, Arm]) -> int:
  """Epochs that all arms have trained."""
  return min(arm.epoch for arm in arms.values())


def _train_epoch(
  context: context_lib.Context,
  stage: str,
  arms: Mapping[str, Arm],
  name: str,
  label: str,
  extras: tuple[Any, ...],
) -> None:
  """One pass over the train rows, or the rest of one."""
  arm, draws, first = arms[name], context.draws(stage), arms[name].dispatches
  context.progress.start(
    label, context.train.host.rows, arm.program not in _called
  )
  _called.add(arm.program)
  # Rows of the next dispatches are read while this one runs.
  for one in feed.dispatches(
    context.train,
    context.epoch(stage, arm.epoch + 1),
    context.config.batch.steps_per_dispatch,
    first,
    extras,
  ):
    signal_number = context.interrupted()
    if signal_number or (arm.dispatches > first and _is_due(context)):
      _save(context, stage, arms)
    if signal_number:
      raise Interrupted(signal_number)
    arm.state, sums = arm.program(
      arm.state, one.columns, one.extras, one.slots, one.steps, draws
    )
    # Sums of a dispatch are f32 on the device; those of an epoch would lose
    # digits there, so they are added up here.
    for metric, value in jax.device_get(sums).items():
      arm.totals[metric] = arm.totals.get(metric, 0.0) + float(value)
    _check_finite(int(arm.totals['nonfinite']), arm.state.step)
    arm.dispatches += 1
    context.progress.advance(int(np.count_nonzero(one.row >= 0)))


def _check_finite(nonfinite: int, step: jax.Array) -> None:
  """Stops at the first step of a dispatch that was not finite.

  From there on all are not: parameters that a NaN has updated are NaN. Only a
  loss that overflows with a finite gradient is from an earlier step.

  Args:
    nonfinite: how many steps were not.
    step: the state's counter after the dispatch, i32[].
  """
  if not nonfinite:
    return
  raise FloatingPointError(
    f'loss or gradient is not finite at step {int(step) - nonfinite + 1} (a'
    ' smaller learning_rate may help)'
  )


def _validate(
  context: context_lib.Context,
  arm: Arm,
  name: str,
  label: str,
  stopping: Stopping,
  begin: float,
) -> None:
  """The value of an epoch, its record and the new best."""
  value, figures, words = stopping.validate(name, arm)
  note = words[min(1, len(words) - 1)]
  if not stopping.keeps_last and value > max(arm.values):
    # A copy: the next dispatch donates the state, and its buffers are gone.
    arm.best = state_lib.copy(arm.params)
    words = [*words, 'best']
  arm.values.append(value)
  arm.dispatches, arm.totals = 0, {}
  context.progress.finish('  '.join(words), label=label, note=note)
  context.record(
    stage=name,
    epoch=arm.epoch,
    **figures,
    seconds=time.perf_counter() - begin,
  )


def _summary(name: str, arm: Arm, stopping: Stopping) -> str:
  """The line that stays of an arm when the stage has ended."""
  epoch = arm.epoch if stopping.keeps_last else arm.best_epoch
  unit = stopping.unit
  kept = f'{unit} {epoch}' if epoch else f'as before {unit} 1'
  value = stopping.words(arm.values[epoch])
  return f'{name}  {arm.epoch} {unit}s  kept: {kept}  {value}'.rstrip()


def _result(arm: Arm, keeps_last: bool) -> saved.Result:
  """The parameters that are kept of an arm."""
  if keeps_last or arm.best_epoch == arm.epoch > 0:
    return saved.Result(arm.params, arm.epoch)
  return saved.Result(arm.best, arm.best_epoch)


# --- Checkpoints of a stage in training.


def _is_due(context: context_lib.Context, ends_epoch: bool = False) -> bool:
  """Whether the last checkpoint is so old that there should be another."""
  period = 60.0 * context.config.checkpoint_minutes
  if ends_epoch:
    period = min(period, _SECONDS_TO_SPARE)
  passed = time.monotonic() - context.saved_at
  return bool(collectives.all_max(int(passed > period)))


def _arrays(arms: Mapping[str, Arm]) -> dict[str, tuple[Any, Any]]:
  return {name: (arm.state, arm.best) for name, arm in arms.items()}


@clock.part('checkpoints')
def _save(
  context: context_lib.Context, stage: str, arms: Mapping[str, Arm]
) -> None:
  """Saves every arm, its place in the epoch, and the history so far.

  Raises:
    FloatingPointError: an array is not finite; nothing is saved.
  """
  if context.store is None:
    return
  context.saved_at = time.monotonic()
  epoch = _epochs(arms)
  # Copies: the record is written in the background, while the arms train.
  record = {
    'stage': stage,
    'epoch': epoch,
    'history': list(context.history),
    'arms': {
      name: {
        'values': list(arm.values),
        'dispatches': arm.dispatches,
        'totals': dict(arm.totals),
      }
      for name, arm in arms.items()
    },
  }
  # Whole epochs of some arms, and a part of another's.
  within = sum(
    arm.dispatches + _ARM * (arm.epoch > epoch) for arm in arms.values()
  )
  number = saved.number(stage, epoch, within)
  try:
    context.store.save(number, _arrays(arms), record)
  except FloatingPointError as error:
    # A gradient overflowed, and no loss after it.
    raise FloatingPointError(f'{stage} epoch {epoch}: {error}') from None


def _resume(
  context: context_lib.Context, stage: str, arms: dict[str, Arm]
) -> None:
  """Restores the newest intact checkpoint, if it is of this stage.

  The history is then what it was when that was saved.
  """
  if context.store is None:
    return
  try:
    restored = context.store.restore(
      lambda record: _arrays(arms) if record['stage'] == stage else None
    )
  except checkpoints.Damaged as error:
    context.progress.say(f'WARNING: {error}; {stage} is trained from its start')
    context.store.clear()
    return
  if restored is None or restored.record['stage'] != stage:
    return
  with json_files.parsing(f'checkpoint of {stage}'):
    for name, (arm_state, best) in restored.arrays.items():
      place = restored.record['arms'][name]
      arms[name] = Arm(arms[name].program, arm_state, best, **place)
  context.history[:] = restored.record['history']
  epoch = _epochs(arms)
  is_within = any(arm.dispatches or arm.epoch > epoch for arm in arms.values())
  where = f'in pass {epoch + 1}' if is_within else f'after pass {epoch}'
  context.progress.say(f'{stage}: resumes {where}')


@contextlib.contextmanager
def _named_errors(label: str) -> Iterator[None]:
  """Names the epoch in errors of losses that are not finite."""
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{label}: {error}') from None
