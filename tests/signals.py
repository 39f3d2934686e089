"""Signals that arrive while a run is trained, at questions for them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from rmtl_jax import run
from rmtl_jax.training import epoch_loop


class After:
  """Says SIGTERM from some question on: an interruption between dispatches."""

  def __init__(self, questions: int):
    """Args: questions: that are answered with 0."""
    self._left = questions

  def __call__(self) -> int:
    """The number of a signal, or 0."""
    self._left -= 1
    return signal.SIGTERM if self._left < 0 else 0


class At(After):
  """Says SIGTERM at one of the questions for it, from 1."""

  def __call__(self) -> int:
    """The number of a signal, or 0."""
    self._left -= 1
    return signal.SIGTERM if not self._left else 0


def train_in_pieces(
  train: Callable[..., dict[str, Any]],
  questions: Callable[[int], int],
  most: int = 60,
) -> tuple[dict[str, Any], int]:
  """Trains until the run ends, however often it is interrupted.

  Args:
    train: is given `options`, of a run.
    questions: of a start, by how often it was interrupted before.
    most: interruptions; a run that has not ended then never does.

  Returns:
    The record, and how often the run was interrupted.
  """
  for interruptions in range(most):
    try:
      asked = After(questions(interruptions))
      options = run.RunOptions(interrupted=asked)
      return train(options=options), interruptions
    except epoch_loop.Interrupted as stop:
      assert stop.signal_number == signal.SIGTERM
  raise AssertionError(f'not at its end after {most} interruptions')


def without_times(record: dict[str, Any]) -> dict[str, Any]:
  """A record of metrics without what may differ between two runs."""
  vary = ('seconds', 'device', 'record_digest')
  return {k: v for k, v in record.items() if k not in vary}
