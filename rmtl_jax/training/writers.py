"""Logs of a run: JSON lines and TensorBoard."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorboardX


def write_json(path: pathlib.Path, record: Any) -> None:
  """Writes a JSON file atomically; NaN and infinity are refused."""
  write_text(path, json.dumps(record, indent=2, allow_nan=False) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file that is whole whenever the process ends."""
  partial = path.with_name(path.name + '.partial')
  partial.write_text(text, encoding='utf-8')
  os.replace(partial, path)


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
    self._board = tensorboardX.SummaryWriter(str(board))
    for record in history:
      self._plot(record)

  def rewrite(self, history: list[dict[str, Any]]) -> None:
    """Puts these records in place of what metrics.jsonl holds, atomically."""
    write_text(self._path, ''.join(_line(record) for record in history))

  def write(self, record: dict[str, Any]) -> None:
    """Appends one record; its numbers go to TensorBoard by stage, member."""
    with self._path.open('a', encoding='utf-8') as file:
      file.write(_line(record))
    self._plot(record)

  def _plot(self, record: dict[str, Any]) -> None:
    step = int(record.get('epoch', 0))
    tag = record['stage']
    if 'member' in record:
      tag += f'/member_{record["member"]}'
    for name, value in record.items():
      if isinstance(value, int | float) and name not in ('epoch', 'member'):
        self._board.add_scalar(f'{tag}/{name}', value, step)

  def histogram(self, name: str, values: np.ndarray, step: int) -> None:
    """A histogram for TensorBoard."""
    self._board.add_histogram(name, values, step)

  def text(self, name: str, text: str) -> None:
    """A text for TensorBoard."""
    self._board.add_text(name, text)

  def close(self) -> None:
    """Flushes everything."""
    self._board.close()


def _line(record: dict[str, Any]) -> str:
  return json.dumps(record, allow_nan=False) + '\n'
