"""The processes of a server: one, or a supervisor and its workers."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from rmtl_jax import types
from rmtl_jax.server import options as options_lib

_BACKLOG = 2048
# What requests get to finish when the server is stopped.
STOP_SECONDS = 10
# A worker that ends sooner than this after its start is started more slowly.
_QUICK = 5.0


def say(line: str) -> None:
  """Prints a line for a person."""
  print(types.one_line(line), file=sys.stderr, flush=True)


def listen(host: str, port: int) -> socket.socket:
  """A socket that listens.

  Args:
    port: 0 for any that is free.

  Raises:
    types.InputError: it can't be had.
  """
  try:
    family, _, _, _, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
    found.listen(_BACKLOG)
  except (OSError, UnicodeError) as error:
    what = getattr(error, 'strerror', '') or types.first_line(error)
    raise types.InputError(f'--host={host} --port={port}: {what}') from None
  found.set_inheritable(True)
  return found


def address(listening: socket.socket) -> str:
  """The URL of a socket."""
  host, port = listening.getsockname()[:2]
  return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


def run(
  settings: options_lib.Settings,
  listening: socket.socket,
  prepare: Callable[[], None],
) -> int:
  """Serves until SIGTERM or SIGINT; returns the exit code.

  Args:
    prepare: sets a process up before it imports JAX; a function that other
      processes can import.
  """
  work = functools.partial(_work, settings, listening, prepare)
  if settings.workers == 1:
    return work()
  with tempfile.TemporaryDirectory(prefix='rmtl-serve-') as directory:
    os.environ[options_lib.SHARED_METRICS] = directory
    return _Supervisor(settings, work).run()


class _Server(uvicorn.Server):
  """A server whose signals are handled by `_work`."""

  @contextlib.contextmanager
  def capture_signals(self) -> Iterator[None]:
    yield


def _work(
  settings: options_lib.Settings,
  listening: socket.socket,
  prepare: Callable[[], None],
) -> int:
  """Serves in this process."""
  # Until there is a model that could be replaced.
  signal.signal(signal.SIGHUP, signal.SIG_IGN)
  signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
  say('starting JAX')
  prepare()
  from rmtl_jax.server import app, worker

  own = worker.Worker(settings, say)
  failed: list[bool] = []
  own.on_failed_start = lambda: failed.append(True)
  # Connections that others could answer are not for a worker without a model.
  if settings.workers > 1:
    own.load()
    if failed:
      return 1
  server = _Server(
    uvicorn.Config(
      app.make(own),
      log_level='warning',
      access_log=False,
      server_header=False,
      timeout_graceful_shutdown=STOP_SECONDS,
    )
  )

  def end() -> None:
    failed.append(True)
    server.should_exit = True

  own.on_failed_start = end

  def stop(number: int, frame: Any) -> None:
    del number, frame
    if server.should_exit:  # asked twice
      server.force_exit = True
    server.should_exit = True

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
  signal.signal(signal.SIGHUP, lambda number, frame: own.reload())
  server.run(sockets=[listening])
  say('stopped')
  return 1 if failed else 0


def _work_in_process(work: Callable[[], int]) -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None

  def follow() -> None:
    # A supervisor that was killed can't say so.
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=follow, daemon=True).start()
  sys.exit(work())


class _Supervisor:
  """Starts workers and starts them again when they end."""

  def __init__(self, settings: options_lib.Settings, work: Callable[[], int]):
    self._settings, self._work = settings, work
    # A forked JAX would hang.
    self._spawn = multiprocessing.get_context('spawn')
    self._workers: dict[int, tuple[Any, float]] = {}
    # Places whose first worker has ended.
    self._ended: set[int] = set()
    # No event: a signal's handler would wait for the lock of one that waits.
    self._stopping = False

  def run(self) -> int:
    """Until a signal stops it; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._ask_to_stop)
    signal.signal(signal.SIGHUP, lambda number, frame: self._signal(number))
    for place in range(self._settings.workers):
      self._start(place)
    while not self._stopping:
      time.sleep(0.2)
      for place, (process, started) in list(self._workers.items()):
        if self._stopping or process.is_alive():
          continue
        if process.exitcode == 1 and place not in self._ended:
          say('stopped: the model can not be loaded')
          self._end()
          return 1
        self._ended.add(place)
        say(f'worker {process.pid} ended ({process.exitcode}); starts again')
        _forget(process.pid)
        if time.monotonic() - started < _QUICK:
          time.sleep(1.0)
        if not self._stopping:
          self._start(place)
    return self._end()

  def _start(self, place: int) -> None:
    process = self._spawn.Process(target=_work_in_process, args=(self._work,))
    # Until it minds the signal itself, one that asks to reload would end it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    self._workers[place] = process, time.monotonic()

  def _signal(self, number: int) -> None:
    for process, _ in self._workers.values():
      if process.is_alive() and process.pid:
        with contextlib.suppress(ProcessLookupError):
          os.kill(process.pid, number)

  def _ask_to_stop(self, number: int, frame: Any) -> None:
    del number, frame
    self._stopping = True

  def _end(self) -> int:
    self._signal(signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS + 5.0
    for process, _ in self._workers.values():
      process.join(max(0.0, until - time.monotonic()))
      if process.is_alive():
        process.kill()
        process.join()
    say('stopped')
    return 0


def _forget(pid: int | None) -> None:
  """Takes a worker that ended out of the metrics of what lives."""
  from prometheus_client import multiprocess

  multiprocess.mark_process_dead(pid)
