"""TensorBoard: RUN/tensorboard, rewritten on every start of the run."""

from __future__ import annotations

import functools
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import durable


@functools.cache
def _tensorboard() -> tuple[Any, Any, Any]:
  """Imports the file, summary and event modules of tensorboardX.

  tensorboardX imports PyTorch where it is installed, which takes a second and
  190 MiB and has no use here, so PyTorch is hidden from it.
  """
  hides = 'torch' not in sys.modules
  if hides:
    sys.modules['torch'] = None  # pyright: ignore[reportArgumentType]
  try:
    from tensorboardX import event_file_writer, summary
    from tensorboardX.proto import event_pb2

    return event_file_writer, summary, event_pb2
  finally:
    if hides:
      del sys.modules['torch']


class Board:
  """See registry.Tracker."""

  run_id = ''

  def __init__(self, workdir: pathlib.Path, run_id: str):
    """Removes what an earlier start has left."""
    del run_id
    board = workdir / 'tensorboard'
    for old in board.glob('events.out.tfevents.*'):
      old.unlink()
    board.mkdir(exist_ok=True)
    # Not a SummaryWriter: it writes in a thread, which prints errors (a full
    # disk) and does not raise them.
    self._path, self._parameters = board, {}
    files, self._summary, self._events = _tensorboard()
    with durable.name_errors(board):
      self._board = files.EventsWriter(str(board / 'events'))

  def parameters(self, values: Mapping[str, Any]) -> None:
    """A table as text, and hparams once there are metrics of the run."""
    rows = [f'| {name} | {value} |' for name, value in values.items()]
    table = '\n'.join(['| setting | value |', '|---|---|', *rows])
    self._add(self._summary.text('config', table), 0)
    self._parameters = {
      name: value if isinstance(value, str | bool | int | float) else str(value)
      for name, value in values.items()
    }

  def metrics(self, values: Mapping[str, float], step: int | None) -> None:
    """Scalars; those of the run are listed with the hparams too."""
    for name, value in values.items():
      self._add(self._summary.scalar(name, value), step or 0)
    if step is None:
      for content in self._summary.hparams(self._parameters, dict(values)):
        self._add(content, 0)
    with durable.name_errors(self._path):
      self._board.flush()

  def artifacts(self, paths: Sequence[pathlib.Path]) -> None:
    """Nothing: they are in RUN."""

  def _add(self, content: Any, step: int) -> None:
    event = self._events.Event(
      wall_time=time.time(), step=step, summary=content
    )
    with durable.name_errors(self._path):
      self._board.write_event(event)

  def close(self) -> None:
    """Flushes everything."""
    with durable.name_errors(self._path):
      self._board.close()
