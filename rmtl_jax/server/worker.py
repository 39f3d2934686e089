"""One process of a server: its model, its state, and what keeps them new."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.server import batching, bodies, counters, loading, scoring
from rmtl_jax.server import options as options_lib
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import notes as notes_lib

_LOG = logging.getLogger('rmtl_jax.server')
# Most rows that one commit adds.
_EVENTS = 4096
# Seconds until what could not be loaded is tried again, the first and the
# longest: loading takes the processor from those who predict.
_PAUSES = 4.0, 60.0


class Worker:
  """Predicts for an application.

  Attributes:
    settings: the server's.
    metrics: of this process.
    predictions: batches of rows to predict for.
    appended: batches of rows that were shown.
  """

  def __init__(
    self,
    settings: options_lib.Settings,
    say: Callable[[str], None] = lambda line: None,
  ):
    """Reads nothing yet."""
    self.settings, self._say = settings, say
    self.metrics = counters.Metrics()
    loading.count_compilations(self.metrics)
    self._model: loading.Served | None = None
    self._keeper: keeper_lib.Keeper | None = None
    # What could not be loaded last, and when it is tried again.
    self._failed: tuple[Any, ...] | None = None
    self._pause, self._again = 0.0, 0.0
    self._wake = threading.Event()
    self._stopped = False
    self._seen: tuple[Any, ...] | None = None
    # Called where the first model can't be loaded.
    self.on_failed_start: Callable[[], None] = lambda: None

  def start(self) -> None:
    """Takes requests, within a running event loop; a thread loads models."""
    self.predictions = batching.Batcher(
      self._predict,
      most=self.settings.max_rows,
      observe=self._observe,
    )
    self.appended = batching.Batcher(self._append, most=_EVENTS)
    threading.Thread(target=self._follow, daemon=True).start()

  async def stop(self) -> None:
    """Finishes what waits."""
    self._stopped = True
    self._wake.set()
    await self.predictions.close()
    await self.appended.close()
    self.metrics.ready.set(0)
    if self._keeper is not None:
      self._keeper.close()

  def reload(self) -> None:
    """Loads the model again, even if its files have not changed."""
    self._wake.set()

  def require_model(self) -> loading.Served:
    """The model.

    Raises:
      bodies.Refused: there is none yet.
    """
    if self._model is None:
      # Which file is at fault is for the log alone.
      has_failed = self._failed is not None
      what = 'has no model; its log says why' if has_failed else 'starts'
      raise bodies.Refused(f'server: {what}', 503)
    return self._model

  def require_events(self) -> batching.Batcher:
    """The state that takes events.

    Raises:
      bodies.Refused: the server keeps no state.
    """
    self.require_model()
    if self._keeper is None:
      raise bodies.Refused('server: keeps no state (--state)', 404)
    return self.appended

  def describe_state(self) -> dict[str, Any] | None:
    """The state in the answer of `/v1/model`; None for none."""
    if self._keeper is None:
      return None
    return {'rows': self._keeper.size()}

  def _observe(self, size: int, waited: float) -> None:
    self.metrics.batch_rows.observe(size)
    self.metrics.batch_wait.observe(waited)

  def _predict(
    self, tables: Sequence[pa.Table]
  ) -> list[scoring.Answer | Exception]:
    model = self._model
    assert model is not None
    notes = notes_lib.Notes()
    found = scoring.score(model, self._keeper, tables, notes)
    for name, counts in notes.fields.items():
      self.metrics.values.labels(name).inc(counts.values)
      self.metrics.unseen.labels(name).inc(counts.unseen)
    return found

  def _append(
    self, tables: Sequence[pa.Table]
  ) -> Sequence[dict[str, int] | Exception]:
    assert self._model is not None and self._keeper is not None
    return self._keeper.append(self._model.scorer, tables)

  def _follow(self) -> None:
    """Loads the model, then newer ones, until the worker stops."""
    if self._model is None and self._failed is None:
      self.load()
    while not self._stopped:
      asked = self._wake.wait(self.settings.reload_seconds or None)
      if asked:  # else a signal since then would be lost
        self._wake.clear()
      if self._stopped:
        return
      found = loading.mark(self.settings.workdir)
      if not asked:
        if self._model is not None and found == self._model.mark:
          self._failed = None
          continue
        # Half-written files change again: they are read once they rest.
        if found != self._seen:
          self._seen = found
          continue
        # Where no model stands, trying again finds none.
        again = bool(found) and time.monotonic() >= self._again
        if found == self._failed and not again:
          continue
      self.load()

  def load(self) -> None:
    """Reads the model; the one that serves stays until the new one is warm."""
    first, found = self._model is None, loading.mark(self.settings.workdir)
    self._say(
      f'loading {self.settings.workdir}; compiling for up to'
      f' {self.settings.max_rows:,} rows'
    )
    try:
      served = loading.load(self.settings)
      self._open_state(served)
    # Whatever is wrong with a newer model, the one that serves goes on.
    except Exception as error:
      self.metrics.reloads.labels('failed').inc()
      what = types.one_line(types.first_line(error))
      first_pause, longest = _PAUSES
      self._failed = found
      self._pause = min(max(2 * self._pause, first_pause), longest)
      self._again = time.monotonic() + self._pause
      if not isinstance(error, types.InputError):
        _LOG.exception('%s', self.settings.workdir)
      self._say(f'not loaded: {what}')
      if first:
        self.on_failed_start()
      return
    self._model, self._failed, self._pause = served, None, 0.0
    self.metrics.ready.set(1)
    if not first:
      self.metrics.reloads.labels('done').inc()
    self._say(f'ready: {served.path} (version {served.version})')

  def _open_state(self, served: loading.Served) -> None:
    """Makes the state ready for a model, before it is asked for."""
    scorer = served.scorer
    if not self.settings.state:
      if scorer.needs.sessions:
        raise types.InputError(
          'the model encodes sessions: give --state, where they are kept'
        )
      return
    if self._keeper is None:
      keeper = keeper_lib.Keeper(
        scorer, self.settings.state, self.settings.settle_days
      )
      with contextlib.ExitStack() as unless_done:
        unless_done.callback(keeper.close)
        keeper.take_up(scorer)
        if self.settings.history:
          keeper.load(scorer, self.settings.history, self._say)
        unless_done.pop_all()
      self._keeper = keeper
    else:
      self._keeper.take_up(scorer)
