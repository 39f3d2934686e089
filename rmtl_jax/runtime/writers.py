"""Logs of a run: JSON lines and TensorBoard."""

from __future__ import annotations

import functools
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

from rmtl_jax import durable

# Of a histogram.
_BINS = 50


@functools.cache
def _tensorboard() -> tuple[Any, Any, Any]:
  """Files, summaries and events of tensorboardX, loaded without PyTorch.

  Where PyTorch is installed tensorboardX would load it, for tensors that it
  never sees here: about a second, and 190 MiB.
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


def write_json(path: pathlib.Path, record: Any) -> None:
  """Writes a JSON file atomically; NaN and infinity are refused."""
  text = json.dumps(record, indent=2, allow_nan=False)
  durable.write_text(path, text + '\n')


class Writer:
  """RUN/metrics.jsonl and RUN/tensorboard/, one record per epoch or pass.

  Both are started anew whenever the run is, from its history: however often
  that happens they hold every epoch once.
  """

  def __init__(self, workdir: pathlib.Path, history: list[dict[str, Any]]):
    """Starts the logs anew from what the checkpoint remembers.

    Args:
      workdir: the run's directory.
      history: records of the epochs that the checkpoint includes; later
        lines, of epochs that a killed run had not saved, are dropped.
    """
    self._path = workdir / 'metrics.jsonl'
    board = workdir / 'tensorboard'
    for old in board.glob('events.out.tfevents.*'):
      old.unlink()
    self.rewrite(history)
    board.mkdir(exist_ok=True)
    # Not a SummaryWriter: its thread can only print what went wrong.
    self._board_path = board
    files, self._summary, self._events = _tensorboard()
    with durable.name_errors(board):
      self._board = files.EventsWriter(str(board / 'events'))
    for record in history:
      self._plot(record)

  def rewrite(self, history: list[dict[str, Any]]) -> None:
    """Puts these records in place of what metrics.jsonl holds, atomically."""
    lines = ''.join(_line(record) for record in history)
    durable.write_text(self._path, lines)

  def write(self, record: dict[str, Any]) -> None:
    """Appends one record; its numbers go to TensorBoard by stage, member."""
    with (
      durable.name_errors(self._path),
      self._path.open('a', encoding='utf-8') as file,
    ):
      file.write(_line(record))
    self._plot(record)

  def _plot(self, record: dict[str, Any]) -> None:
    step = int(record.get('epoch', 0))
    tag = record['stage']
    if 'member' in record:
      tag += f'/member_{record["member"]}'
    for name, value in record.items():
      if isinstance(value, int | float) and name not in ('epoch', 'member'):
        content = self._summary.scalar(f'{tag}/{name}', value)
        self._add(content, step)
    with durable.name_errors(self._board_path):
      self._board.flush()

  def _add(self, content: Any, step: int) -> None:
    event = self._events.Event(
      wall_time=time.time(), step=step, summary=content
    )
    with durable.name_errors(self._board_path):
      self._board.write_event(event)

  def text(self, name: str, text: str) -> None:
    """A text for TensorBoard."""
    self._add(self._summary.text(name, text), 0)

  def histogram(self, name: str, values: np.ndarray) -> None:
    """How numbers are distributed, for TensorBoard.

    Args:
      name: its tag.
      values: [R], finite, R >= 1.
    """
    content = self._summary.histogram(name, np.asarray(values), _BINS)
    self._add(content, 0)

  def close(self) -> None:
    """Flushes everything."""
    with durable.name_errors(self._board_path):
      self._board.close()


class NoWriter:
  """A Writer of a process that writes nothing: another one does."""

  def rewrite(self, history: list[dict[str, Any]]) -> None:
    """Nothing."""

  def write(self, record: dict[str, Any]) -> None:
    """Nothing."""

  def text(self, name: str, text: str) -> None:
    """Nothing."""

  def histogram(self, name: str, values: np.ndarray) -> None:
    """Nothing."""

  def close(self) -> None:
    """Nothing."""


def _line(record: dict[str, Any]) -> str:
  return json.dumps(record, allow_nan=False) + '\n'


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of RUN/metrics.jsonl, one per epoch or pass."""
  lines = (path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return [json.loads(line) for line in lines]
