"""The state in a Redis, which servers on several machines share.

A change is one script, which does all of it or nothing, and is acknowledged
once Redis has answered. One writer at a time has a lock; whoever lost it, since
it was too slow, can't commit. What is read is read by one script too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import redis
from redis import backoff, retry

from rmtl_jax import types
from rmtl_jax.server.state import (
  records,
  redis_change,
  redis_keys,
  redis_look,
  redis_scripts,
  redis_url,
)

_LOG = logging.getLogger('rmtl_jax.server')
_VERSION = 3
# Seconds until a change of a writer that was killed is given up.
_LEASE = 10.0
# Seconds that a writer waits for others.
_PATIENCE = 30.0
# Seconds between two looks whether others are done.
_PAUSE = 0.002, 0.02
# Seconds that an answer may take, and a connection.
_ANSWER, _CONNECT = 5.0, 2.0


class _Lost(redis.RedisError):
  """Others change the state."""


class Store:
  """See `stores.Store`; threads may share it."""

  errors: type[Exception] = redis.RedisError

  def __init__(self, url: str):
    """Connects.

    Raises:
      types.InputError: there is no Redis, or none that a state can be in.
    """
    place = redis_url.read(url)
    self.where, self._prefix = place.shown, place.prefix
    # A connection that was closed meanwhile is made anew at once. All may be
    # asked twice: scripts change nothing without the lock, of which a commit
    # makes an end.
    self._client = redis.Redis(
      **place.options,
      socket_timeout=_ANSWER,
      socket_connect_timeout=_CONNECT,
      retry=retry.Retry(backoff.NoBackoff(), 1),
    )
    self._scripts = redis_scripts.Scripts(self._client, self._prefix)
    try:
      self._check()
    except redis.RedisError as error:
      first = types.first_line(error)
      raise types.InputError(f'{self.where}: not usable: {first}') from None

  def _check(self) -> None:
    facts = self._prefix + 'facts'
    self._client.hsetnx(facts, 'version', str(_VERSION))
    version = self._client.hget(facts, 'version')
    if version != str(_VERSION).encode():
      raise types.InputError(
        f'{self.where}: is of another version than {_VERSION}; name another'
        ' --state, and load the history again'
      )
    try:
      info: Any = self._client.info()
    except redis.ResponseError:  # not for everybody
      return
    policy = info.get('maxmemory_policy', '')
    if policy.startswith('allkeys'):
      raise types.InputError(
        f'{self.where}: would forget keys (maxmemory-policy {policy}); set'
        ' noeviction'
      )
    if not info.get('aof_enabled'):
      _LOG.warning(
        '%s: appendonly is off: events that were acknowledged are lost if it'
        ' ends',
        self.where,
      )

  def close(self) -> None:
    """See `stores.Store`."""
    self._client.close()

  def size(self) -> int:
    """See `stores.Store`."""
    found: Any = self._client.hget(self._prefix + 'facts', 'events')
    return int(found or 0)

  @contextlib.contextmanager
  def alone(self) -> Iterator[None]:
    """See `stores.Store`; for as long as this process lives."""
    lock = self._client.lock(
      self._prefix + 'loading', _LEASE, thread_local=False
    )
    done = threading.Event()

    def stay() -> None:
      while not done.wait(_LEASE / 3):
        with contextlib.suppress(redis.RedisError):
          lock.reacquire()

    with lock:
      thread = threading.Thread(target=stay, daemon=True)
      thread.start()
      try:
        yield
      finally:
        done.set()
        thread.join()

  @contextlib.contextmanager
  def reading(self, asked: records.Asked) -> Iterator[redis_look.Look]:
    """See `stores.Store`."""
    yield redis_look.read(asked, self._scripts)

  @contextlib.contextmanager
  def writing(self, asked: records.Asked) -> Iterator[redis_change.Change]:
    """See `stores.Store`."""
    token = secrets.token_hex(8)
    try:
      change = self._begin(token, asked)
      yield change
      commands = redis_keys.dumps(change.commands())
      if not self._scripts.run(redis_scripts.COMMIT, token, commands):
        raise _Lost('a change took too long, others went on')
    except BaseException:
      # No command: the lock is given back, if it is held.
      with contextlib.suppress(redis.RedisError):
        self._scripts.run(redis_scripts.COMMIT, token, '[]')
      raise

  def _begin(self, token: str, asked: records.Asked) -> redis_change.Change:
    """Takes the lock and reads ahead."""
    spans = _spans(asked)
    question = redis_keys.dumps(
      {
        'identities': [row.identity.hex() for row in asked.rows],
        'owners': [
          (owner, *('' if at is None else str(at) for at in span))
          for owner, span in spans.items()
        ],
      }
    )
    until = time.monotonic() + _PATIENCE
    while True:
      found = self._scripts.run(
        redis_scripts.BEGIN, token, round(1000 * _LEASE), question
      )
      if found is not None:
        break
      if time.monotonic() > until:
        raise _Lost('others are writing')
      time.sleep(random.uniform(*_PAUSE))
    known, events, owners = map(json.loads, found[1:])
    facts = zip(found[0][::2], found[0][1::2], strict=True)
    change = redis_change.Change(
      self._scripts,
      {name.decode(): json.loads(text) for name, text in facts},
    )
    change.learn(
      asked,
      known,
      events,
      {
        owner: (*span, found)
        for (owner, span), found in zip(spans.items(), owners, strict=True)
      },
    )
    return change


def _spans(asked: records.Asked) -> dict[str, tuple[int | None, int | None]]:
  """First times of visits that rows may be near to: of sessions all."""
  found: dict[str, tuple[int | None, int | None]] = {}
  for row in asked.rows:
    high = row.time + asked.idle_ms
    low, last = found.get(row.owner, (high, high))
    if row.session is not None or low is None or last is None:
      found[row.owner] = None, None
    else:
      found[row.owner] = min(low, high), max(last, high)
  return found
