"""The processes of a server: a supervisor, and workers that it starts again."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable

import uvicorn
from starlette import applications
from uvicorn import config as uvicorn_config
from uvicorn import supervisors

from rmtl_jax import types
from rmtl_jax.server import options as options_lib

_BACKLOG = 2048
# What requests get to finish when the server is stopped.
_STOP_SECONDS = 10
# A worker without an answer for longer is started again, and a newer model may
# take as long to load.
_SILENT_SECONDS, _LOAD_SECONDS = 30, 600


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

  SIGHUP replaces the workers one after the other, each once its successor has
  loaded the model that is now at `settings.workdir`.

  Args:
    prepare: sets a process up before it imports JAX; a function that other
      processes can import.
  """
  with tempfile.TemporaryDirectory(prefix='rmtl-serve-') as directory:
    os.environ[options_lib.SHARED_METRICS] = directory
    config = uvicorn.Config(
      functools.partial(_app, settings, prepare),
      factory=True,
      workers=settings.workers,
      log_level='warning',
      access_log=False,
      server_header=False,
      timeout_graceful_shutdown=_STOP_SECONDS,
      timeout_worker_healthcheck=_SILENT_SECONDS,
    )
    supervisor = _Supervisor(config, [listening])
    supervisor.run()
  say('stopped')
  failed = uvicorn_config.STARTUP_FAILURE
  return int(any(one.exitcode == failed for one in supervisor.processes))


class _Supervisor(supervisors.Multiprocess):
  """Uvicorn's, which gives a newer model the time that it takes to load."""

  def restart_all(self) -> None:
    self.config.timeout_worker_healthcheck = _LOAD_SECONDS
    super().restart_all()
    self.config.timeout_worker_healthcheck = _SILENT_SECONDS


def _app(
  settings: options_lib.Settings, prepare: Callable[[], None]
) -> applications.Starlette:
  """Makes the application of a worker; ends the process if it can't be."""
  threading.Thread(target=_follow_parent, daemon=True).start()
  say('starting JAX')
  prepare()
  from rmtl_jax.server import app, worker

  try:
    return app.make(worker.Worker(settings, say))
  except types.InputError as error:
    say(f'not loaded: {types.first_line(error)}')
    sys.exit(uvicorn_config.STARTUP_FAILURE)


def _follow_parent() -> None:
  """Stops this process when its supervisor was killed."""
  parent = multiprocessing.parent_process()
  assert parent is not None
  parent.join()
  os.kill(os.getpid(), signal.SIGTERM)
