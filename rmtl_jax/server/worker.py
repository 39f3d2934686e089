"""One process of a server: its model, its state and its threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import rmtl_jax
from rmtl_jax.server import bodies, counters, scoring
from rmtl_jax.server import options as options_lib
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import raw_fields

# What is written last, of an export and of a run.
_RECORDS = ('export.json', 'metrics.json', 'config.json')
# Bytes of bodies that may wait for one thread.
_MOST_WAITING = 64_000_000


class Worker:
  """Predicts for an application, and takes events.

  Attributes:
    settings: the server's.
    metrics: of this process.
    scorer: the model, which is ready.
    version: of the model, which a newer one at its path changes.
    keeper: the state; None for none.
  """

  def __init__(
    self,
    settings: options_lib.Settings,
    say: Callable[[str], None] = lambda line: None,
  ):
    """Reads the model and compiles all programs that requests need.

    Raises:
      types.InputError: no model that can predict, or no usable state.
    """
    self.settings, self.metrics = settings, counters.Metrics()
    path = os.path.realpath(settings.workdir)
    say(f'loading {path}; compiling for up to {settings.max_rows:,} rows')
    model = rmtl_jax.load(path, settings.stage, warm_up=0)
    # A Ranker serves by the model inside of it.
    scorer = model.model_ if isinstance(model, rmtl_jax.Ranker) else model
    scorer.warm_up(settings.max_rows)
    self.scorer, self.version = scorer, _version(path)
    self.keeper: keeper_lib.Keeper | None = None
    if settings.state:
      self.keeper = keeper_lib.Keeper(
        scorer, settings.state, settings.settle_days
      )
      if settings.history:
        self.keeper.load(settings.history, say)
    self._predictions, self._events = _Queue(), _Queue()
    say(f'ready: {path} (version {self.version})')

  def close(self) -> None:
    """Finishes what waits."""
    for queue in (self._predictions, self._events):
      queue.thread.shutdown()
    if self.keeper is not None:
      self.keeper.close()

  async def predict(self, body: bytes, kind: str) -> np.ndarray:
    """Predictions for the rows of a body of a content type, f32[R, K].

    Raises:
      types.InputError: a body that can't be used; `bodies.Refused` with another
        status than 422.
    """
    return await self._predictions.run(self._predict, body, kind)

  async def append(self, body: bytes, kind: str) -> dict[str, int]:
    """Adds rows that were shown; returns what became of them.

    Raises:
      types.InputError: as for `predict`.
    """
    if self.keeper is None:
      raise bodies.Refused('server: keeps no state (--state)', 404)
    return await self._events.run(self._append, body, kind)

  def _predict(self, body: bytes, kind: str) -> np.ndarray:
    most, notes = self.settings.max_rows, notes_lib.Notes()
    table = bodies.read(body, kind, most)
    found = scoring.score(self.scorer, self.keeper, table, notes)
    self.metrics.rows.labels('/v1/predict').inc(len(found))
    for name, counts in notes.fields.items():
      self.metrics.values.labels(name).inc(counts.values)
      self.metrics.unseen.labels(name).inc(counts.unseen)
    return found

  def _append(self, body: bytes, kind: str) -> dict[str, int]:
    assert self.keeper is not None
    table = bodies.read(body, kind, self.settings.max_rows)
    found = self.keeper.append(table)
    self.metrics.rows.labels('/v1/events').inc(table.num_rows)
    return {'rows': table.num_rows, **found}

  def described(self) -> dict[str, Any]:
    """The answer of `/v1/model`."""
    scorer, manifest = self.scorer, self.scorer.manifest
    encoder = scorer.encoder
    read = {field.name for field in encoder.read} | encoder.tastes.keys()
    columns = [
      raw_fields.source_field(field, manifest)
      for field in manifest.fields
      if field.name in read and 'as_of' not in field.details
    ]
    state = None if self.keeper is None else {'rows': self.keeper.size()}
    return {
      'version': self.version,
      'package': rmtl_jax.__version__,
      'stage': scorer.stage,
      'source': manifest.source,
      'tasks': [
        {'name': task.name, 'kind': task.kind} for task in manifest.tasks
      ],
      'columns': [
        {'name': field.column, 'field': field.name, 'kind': field.kind}
        for field in columns
      ],
      'as_of': list(scorer.computed),
      'state': state,
    }


class _Queue:
  """One thread, and what waits for it."""

  def __init__(self):
    self.thread = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    self._waiting = 0

  async def run(
    self, work: Callable[[bytes, str], Any], body: bytes, kind: str
  ) -> Any:
    """The result of work(body, kind), which may wait for others."""
    # One that is alone is taken, or it would be refused for ever.
    if self._waiting and self._waiting + len(body) > _MOST_WAITING:
      raise bodies.Refused('server: too much waits; try again later', 503)
    self._waiting += len(body)
    try:
      loop = asyncio.get_running_loop()
      return await loop.run_in_executor(self.thread, work, body, kind)
    finally:
      self._waiting -= len(body)


def _version(path: str) -> str:
  """An identifier of the model at a path."""
  files = [pathlib.Path(path, name) for name in _RECORDS]
  record = next((file.read_bytes() for file in files if file.exists()), b'')
  return hashlib.sha256(path.encode() + b'\0' + record).hexdigest()[:12]
