"""What the stages of a run share: settings, data, networks, history."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.networks import functional
from rmtl_jax.runtime import checkpoints, processes, progress, stages
from rmtl_jax.training import models, warm_start
from rmtl_jax.training import splits as splits_lib

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
    on_record: called with every record that is added to the history.
    interrupted: a signal's number once one has arrived, else 0.
    saved_at: when the unfinished stage was last saved, of time.monotonic.
    start: the run that this one starts from, or None.
    refit_epochs: of stage 1, where another run has chosen how many and `train`
      has the validation rows too, at its end (training/refit.py); else None.
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
  saved_at: float = dataclasses.field(default_factory=time.monotonic)
  start: warm_start.Start | None = None
  refit_epochs: int | None = None

  def key(self, stage: str) -> jax.Array:
    """The stage's key; steps fold in their own number."""
    return self._key(stages.NUMBERS[stage])

  def _key(self, number: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(self.config.seed), number)

  def init_actor(self, epoch: int = 0) -> Any:
    """The actor's initial parameters; others for every epoch that asks."""
    key = self._key(_ACTOR_INIT)
    if epoch:
      key = jax.random.fold_in(key, epoch)
    elif self.start:
      return self.started_actor()
    return self.models.init_actor(self.config, key)

  def fitted(self, fit: functional.Fit) -> Any:
    """An actor's parameters from `fit`, in place of stage 1's epochs."""
    first, again = None, None
    if self.refit_epochs is not None:
      first = self.train.host.rows - self.validation.host.rows
      again = splits_lib.sampled(self.train)
    params = fit(
      splits_lib.sampled(self.train, first),
      splits_lib.sampled(self.validation),
      self.config.seed,
      lambda done: self.progress.step('fitting', done),
      again,
    )
    self.progress.clear()
    # All processes take the first one's.
    params = jax.tree.map(lambda x: processes.all_gather(x)[0], params)
    return self.models.place(lambda x: x, params)

  def started_actor(self) -> Any:
    """What stage 1 goes on from, of a run that starts from another."""
    assert self.start is not None
    return self.start.actor(self.models, self._key(_ACTOR_INIT))

  def started_critic(self, actor_params: Any) -> Any | None:
    """What stage 2 goes on from; None where its critics begin anew."""
    if self.start is None:
      return None
    key = self._key(_CRITIC_INIT)
    return self.start.critic(self.models, key, actor_params)

  def init_critic(self, actor_params: Any) -> Any:
    """The critics' initial parameters, embeddings copied from the actor."""
    key = self._key(_CRITIC_INIT)
    return self.models.init_critic(self.config, key, actor_params)

  def predict(self, params: Any, split: splits_lib.Split) -> np.ndarray:
    """Predictions of every row of a split, f32[R, K], in its order."""
    return self.models.predict(self.config, params, split)

  def policy(self, params: Any, split: splits_lib.Split) -> np.ndarray:
    """pi(s) of every row of a split, f32[R, K], in its order."""
    return self.models.policy(self.config, params, split)

  def probabilities(self, params: Any, split: splits_lib.Split) -> np.ndarray:
    """Of every row of a split, f32[R, K]: see `Models.probabilities`."""
    return self.models.probabilities(self.config, params, split)

  def values(
    self, params: Any, split: splits_lib.Split, policy: np.ndarray
  ) -> np.ndarray:
    """Q_k(s, a_k) of every row of a split, f32[R, K], in its order."""
    return self.models.values(self.config, params, split, policy)

  def epoch(self, stage: str, number: int) -> batches.Epoch:
    """One pass over the train rows."""
    return batches.Epoch(
      self.train.host.starts,
      (self.config.seed, stages.NUMBERS[stage]),
      number,
      self.config.batch,
      self.train.cuts,
    )

  def record(self, **values: Any) -> None:
    """Adds a record to the history."""
    self.history.append(values)
    self.on_record(values)

  def drop_store(self) -> None:
    """Deletes the checkpoints of what is finished, where they are its own."""
    if isinstance(self.store, checkpoints.LateStore):
      self.store.remove()
