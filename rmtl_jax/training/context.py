"""What the stages of a run share: settings, data, networks, history."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.runtime import checkpoints, processes, progress
from rmtl_jax.training import models, suspects
from rmtl_jax.training import splits as splits_lib

# Stage numbers tell the stages' keys and shuffles apart.
NUMBERS = {'pretrain': 1, 'critic': 2, 'finetune': 3}
_ACTOR_INIT, _CRITIC_INIT = 101, 102


@dataclasses.dataclass
class Context:
  """What every stage of a run needs.

  Attributes:
    config: the run's settings.
    tasks: names of the tasks.
    train: the split that is learnt from.
    validation: the split that early stopping looks at.
    models: networks and compiled loops; runs on the same data may share them.
    progress: the live line.
    history: one record per epoch or pass, all stages, oldest first.
    store: checkpoints of unfinished stages, or None (nothing is saved).
    on_record: told every record that is added to the history.
    interrupted: a signal's number once one has arrived, else 0.
    member: its number in an ensemble, or None where the run is one model.
    numeric: names of the numeric fields, in the order of their columns.
  """

  config: config_lib.Config
  tasks: tuple[str, ...]
  train: splits_lib.Split
  validation: splits_lib.Split
  models: models.Models
  progress: progress.Progress
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  store: checkpoints.Store | checkpoints.LateStore | None = None
  on_record: Callable[[dict[str, Any]], None] = lambda record: None
  interrupted: Callable[[], int] = lambda: 0
  member: int | None = None
  numeric: tuple[str, ...] = ()
  _saved: float = dataclasses.field(default_factory=time.monotonic)

  def title(self, text: str) -> str:
    """A line of progress, with the member that it is about."""
    return text if self.member is None else f'member {self.member}: {text}'

  def key(self, stage: str) -> jax.Array:
    """The stage's key; steps fold in their own number."""
    return self._key(NUMBERS[stage])

  def _key(self, number: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(self.config.seed), number)

  def init_actor(self, epoch: int = 0) -> Any:
    """The actor's initial parameters; others for every epoch that asks."""
    key = self._key(_ACTOR_INIT)
    if epoch:
      key = jax.random.fold_in(key, epoch)
    return self.models.init_actor(self.config, key)

  def init_critic(self, actor_params: Any) -> Any:
    """The critics' initial parameters, embeddings copied from the actor."""
    key = self._key(_CRITIC_INIT)
    return self.models.init_critic(self.config, key, actor_params)

  def predict(self, params: Any, split: splits_lib.Split) -> np.ndarray:
    """pi(s) of every row of a split, f32[R, K], in its order."""
    return self.models.predict(self.config, params, split)

  def values(
    self, params: Any, split: splits_lib.Split, policy: np.ndarray
  ) -> np.ndarray:
    """Q_k(s, a_k) of every row of a split, f32[R, K], in its order."""
    return self.models.values(self.config, params, split, policy)

  def epoch(self, stage: str, number: int) -> batches.Epoch:
    """One pass over the train rows."""
    return batches.Epoch(
      self.train.host.starts,
      (self.config.seed, NUMBERS[stage]),
      number,
      self.config.batch,
      self.train.cuts,
    )

  def record(self, **values: Any) -> None:
    """Adds a record to the history."""
    if self.member is not None:
      values['member'] = self.member
    self.history.append(values)
    self.on_record(values)

  def suspects(self, rows: np.ndarray | None = None) -> str:
    """Words about train rows that may have broken the numbers; None is all."""
    host = self.train.host
    rows = np.arange(host.rows) if rows is None else rows
    return suspects.describe(host, rows, self.numeric, self.tasks)

  def begin(self, stage: str, finished: Sequence[str]) -> None:
    """Takes up a stage that is not finished.

    Where the store holds a later one (the stage's own checkpoint was lost),
    that is dropped: numbers of checkpoints rise.

    Args:
      stage: of NUMBERS.
      finished: names in the history whose records stay.
    """
    if self.store is None:
      return
    newest = self.store.restore(lambda record: None)
    if newest and NUMBERS[newest.record['stage']] > NUMBERS[stage]:
      self.store.clear()
    self.history[:] = [e for e in self.history if e['stage'] in finished]

  def due(self) -> bool:
    """Whether the last checkpoint is so old that a pass saves within itself."""
    passed = time.monotonic() - self._saved
    due = passed > 60.0 * self.config.faults.checkpoint_minutes
    return bool(processes.all_max(int(due)))

  def save(
    self,
    stage: str,
    epoch: int,
    arrays: Any,
    dispatches: int = 0,
    **host: Any,
  ) -> None:
    """Saves an unfinished stage.

    Args:
      stage: of NUMBERS.
      epoch: passes that are done.
      arrays: what `resume` gives back.
      dispatches: of passes that are not.
      **host: what JSON can hold.
    """
    if self.store is None:
      return
    self._saved = time.monotonic()
    record = {'stage': stage, 'epoch': epoch, 'history': self.history, **host}
    number = (NUMBERS[stage] * 10**6 + epoch) * 10**6 + dispatches
    try:
      self.store.save(number, arrays, record)
    except FloatingPointError as error:
      # Of a step whose gradient broke, but not the losses after it.
      told = f'{stage} epoch {epoch}: {error}; {self.suspects()}'
      raise FloatingPointError(self.title(told)) from None

  def wait(self) -> None:
    """Returns when what is saved is on disk."""
    if isinstance(self.store, checkpoints.Store):
      self.store.wait()

  def resume(self, stage: str, arrays: Any) -> checkpoints.Restored | None:
    """The stage's newest checkpoint, if it is this stage that was cut off.

    The history is then what it was when that was saved.
    """
    if self.store is None:
      return None
    try:
      restored = self.store.restore(
        lambda record: arrays if record['stage'] == stage else None
      )
    except checkpoints.Damaged as error:
      self.progress.say(
        self.title(f'WARNING: {error}; {stage} is trained from its start')
      )
      self.store.clear()
      return None
    if restored is None or restored.record['stage'] != stage:
      return None
    self.history[:] = restored.record['history']
    epoch = restored.record['epoch']
    where = (
      f'in pass {epoch + 1}' if restored.step % 10**6 else f'after pass {epoch}'
    )
    self.progress.say(self.title(f'{stage}: going on {where}'))
    return restored

  def drop_store(self) -> None:
    """Deletes the checkpoints of what is finished, where they are its own."""
    if isinstance(self.store, checkpoints.LateStore):
      self.store.remove()


def finite(value: float) -> float | None:
  """A number for JSON: None where it is not finite."""
  return float(value) if np.isfinite(value) else None
