"""Signals that arrive while a run is trained, at questions for them."""

from __future__ import annotations

import signal


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
