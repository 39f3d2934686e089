"""A Redis of a test's own, on a socket in a temporary directory."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import redis
from redis import backoff, retry

PROGRAM = os.environ.get('RMTL_REDIS_SERVER') or next(
  filter(None, map(shutil.which, ('redis-server', 'valkey-server'))), None
)
REASON = 'no redis-server or valkey-server on PATH or in RMTL_REDIS_SERVER'


class Redis:
  """A server that keeps what it acknowledges."""

  def __init__(self, *options):
    # Paths of sockets are short.
    self._directory = tempfile.TemporaryDirectory(prefix='rmtl-redis-')
    self._place = pathlib.Path(self._directory.name)
    self._options = options
    self.start()

  def url(self, log='log', user=''):
    return f'unix://{user}{self._place}/socket?log={log}'

  def start(self):
    socket = self._place / 'socket'
    socket.unlink(missing_ok=True)
    self._process = subprocess.Popen(
      [
        *(PROGRAM, '--port', '0', '--unixsocket', str(socket)),
        *('--dir', self._directory.name, '--save', ''),
        *('--appendonly', 'yes', '--appendfsync', 'always', *self._options),
      ],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 20.0
    while not self._answers(socket):
      assert self._process.poll() is None and time.monotonic() < end
      time.sleep(0.01)

  def _answers(self, socket):
    once = retry.Retry(backoff.NoBackoff(), 0)
    with redis.Redis(unix_socket_path=str(socket), retry=once) as client:
      try:
        return client.ping()
      except redis.AuthenticationError:
        return True
      except redis.ConnectionError:  # nobody is there, or it reads its file
        return False

  def kill(self):
    self._process.kill()
    self._process.wait()

  def close(self):
    self.kill()
    self._directory.cleanup()
