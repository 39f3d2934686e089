"""Compiled functions that another thread may compile before they are called."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any


class Compiled:
  """A jitted function, and its compilation in another thread.

  JAX keeps what it has traced, lowered and compiled: a call with arguments of
  the same shapes finds the program, and is the call that it would have been.
  """

  def __init__(self, function: Any):
    """Compiles nothing yet.

    Args:
      function: of `jax.jit`.
    """
    self._function = function
    self._lock = threading.Lock()
    self._is_wanted = False  # compiled, or being compiled
    self._was_called = False
    self._pending: concurrent.futures.Future[Any] | None = None
    # JAX forgets a traced function without a reference.
    self._kept: Any = None

  def compile_ahead(
    self,
    pool: concurrent.futures.Executor,
    arguments: Callable[[], tuple[Any, ...]],
  ) -> None:
    """Has a thread compile the function, unless it is compiled or will be.

    Args:
      arguments: gives arrays, or the shapes of arrays, of a later call; called
        in the thread.
    """
    with self._lock:
      if self._is_wanted:
        return
      self._is_wanted = True
      self._pending = pool.submit(self._compile, arguments)

  def _compile(self, arguments: Callable[[], tuple[Any, ...]]) -> Any:
    traced = self._function.trace(*arguments())
    return traced, traced.lower().compile()

  @property
  def function(self) -> Any:
    """The jitted function, once no thread is compiling it.

    Raises:
      Exception: that of the thread.
    """
    with self._lock:
      self._is_wanted = True
      pending, self._pending = self._pending, None
    # What no thread has begun, the caller compiles.
    if pending is not None and not pending.cancel():
      self._kept = pending.result()
    return self._function

  @property
  def was_called(self) -> bool:
    """Whether a call has waited for the compiler already."""
    return self._was_called

  def __call__(self, *args: Any) -> Any:
    """Calls the function."""
    self._was_called = True
    return self.function(*args)
