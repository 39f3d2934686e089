"""Gathers requests that arrive together, so that one call serves them all."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rmtl_jax.server import bodies


class _Waiting(NamedTuple):
  item: Any
  size: int
  since: float
  result: asyncio.Future[Any]


class Batcher:
  """Runs a function on batches of what waits, in its own thread.

  While a batch is computed, others wait and then go together: under load
  batches grow by themselves.
  """

  def __init__(
    self,
    work: Callable[[Sequence[Any]], Sequence[Any]],
    *,
    most: int,
    queue: int = 8192,
    observe: Callable[[int, float], None] = lambda size, seconds: None,
  ):
    """Starts no task yet.

    Args:
      work: gets items and returns as many results; an exception among them is
        raised where its item waits.
      most: sizes of the items of a batch, in all.
      queue: sizes that may wait; more are refused, unless nothing waits.
      observe: called with the size of every batch, and how long its first item
        waited.
    """
    self._work, self._most, self._queue = work, most, queue
    self._observe = observe
    self._waiting: collections.deque[_Waiting] = collections.deque()
    self._size = 0
    self._arrived = asyncio.Event()
    self._thread = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    self._task: asyncio.Task[None] | None = None

  async def run(self, item: Any, size: int) -> Any:
    """The result of an item, once its batch is done.

    Raises:
      bodies.Refused: too much waits already.
    """
    # One that is alone is taken, or it would be refused for ever.
    if self._size and self._size + size > self._queue:
      raise bodies.Refused('server: too many rows wait; try again later', 503)
    if self._task is None:
      self._task = asyncio.get_running_loop().create_task(self._serve())
    result = asyncio.get_running_loop().create_future()
    self._waiting.append(_Waiting(item, size, time.perf_counter(), result))
    self._size += size
    self._arrived.set()
    return await result

  async def close(self) -> None:
    """Ends the task; what waits is finished first."""
    while self._waiting:
      await asyncio.sleep(0.01)
    if self._task is not None:
      self._task.cancel()
    self._thread.shutdown(wait=True)

  async def _serve(self) -> None:
    loop = asyncio.get_running_loop()
    while True:
      await self._arrived.wait()
      batch = self._take()
      if not batch:
        continue
      waited = time.perf_counter() - batch[0].since
      self._observe(sum(one.size for one in batch), waited)
      try:
        found = await loop.run_in_executor(
          self._thread, self._work, [one.item for one in batch]
        )
      # A batch that fails as a whole must not end the server.
      except Exception as error:
        found = [error] * len(batch)
      for one, value in zip(batch, found, strict=True):
        if one.result.done():  # its client has gone
          continue
        if isinstance(value, BaseException):
          one.result.set_exception(value)
        else:
          one.result.set_result(value)

  def _take(self) -> list[_Waiting]:
    """The items that go first and fit together."""
    batch, size = [], 0
    while self._waiting and (
      not batch or size + self._waiting[0].size <= self._most
    ):
      one = self._waiting.popleft()
      self._size -= one.size
      size += one.size
      # Nobody waits for it any more.
      if not one.result.cancelled():
        batch.append(one)
    if not self._waiting:
      self._arrived.clear()
    else:
      self._arrived.set()
    return batch
