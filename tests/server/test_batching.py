"""Requests that arrive together are computed together."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rmtl_jax.server import batching, bodies


def serve(work, coroutine, **settings):
  async def run():
    batcher = batching.Batcher(work, **{'most': 8, **settings})
    try:
      return await coroutine(batcher)
    finally:
      await batcher.close()

  return asyncio.run(run())


def test_what_waits_goes_together():
  batches, first = [], threading.Event()

  def work(items):
    batches.append(list(items))
    first.wait(5.0)
    return [item * 10 for item in items]

  async def ask(batcher):
    tasks = [asyncio.create_task(batcher.run(0, 1))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.run(n, 3)) for n in range(1, 5)]
    await asyncio.sleep(0.05)
    first.set()
    return await asyncio.gather(*tasks)

  assert serve(work, ask) == [0, 10, 20, 30, 40]
  # No more than 8 rows.
  assert batches == [[0], [1, 2], [3, 4]]


def test_errors_are_of_one_item_or_of_all():
  def work(items):
    if 3 in items:
      raise ValueError('all')
    return [KeyError('one') if item == 1 else item for item in items]

  async def ask(batcher):
    return await asyncio.gather(
      *(batcher.run(n, 4) for n in (0, 1, 2, 3)), return_exceptions=True
    )

  found = serve(work, ask)
  assert found[0] == 0 and isinstance(found[1], KeyError)
  assert isinstance(found[2], ValueError) and isinstance(found[3], ValueError)


def test_too_much_is_refused():
  release = threading.Event()

  def work(items):
    release.wait(5.0)
    return items

  async def ask(batcher):
    first = asyncio.create_task(batcher.run(0, 1))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(batcher.run(1, 4))
    await asyncio.sleep(0.05)
    with pytest.raises(bodies.Refused, match='too many rows wait'):
      await batcher.run(2, 4)
    release.set()
    return await asyncio.gather(first, second)

  assert serve(work, ask, queue=5) == [0, 1]


def test_a_large_item_is_taken_when_nothing_waits():
  async def ask(batcher):
    return await batcher.run(0, 7)

  assert serve(list, ask, queue=5) == 0


def test_a_client_that_goes_leaves_the_others():
  release = threading.Event()

  def work(items):
    release.wait(5.0)
    return items

  async def ask(batcher):
    first = asyncio.create_task(batcher.run(0, 1))
    gone = asyncio.create_task(batcher.run(1, 1))
    last = asyncio.create_task(batcher.run(2, 1))
    await asyncio.sleep(0.05)
    gone.cancel()
    release.set()
    return await first, await last

  assert serve(work, ask) == (0, 2)
