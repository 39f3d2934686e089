"""An application in the test's own process."""

from __future__ import annotations

import contextlib
import time

from starlette import testclient

from rmtl_jax.server import app, worker
from rmtl_jax.server import options as options_lib


@contextlib.contextmanager
def serving(workdir, **settings):
  """A client of an application that is ready, and its worker."""
  own = worker.Worker(
    options_lib.Settings(
      str(workdir), **{'max_rows': 32, 'reload_seconds': 0.05, **settings}
    )
  )
  with testclient.TestClient(
    app.make(own), raise_server_exceptions=False
  ) as client:
    wait(client)
    yield client, own


def wait(client, seconds=60.0, **until):
  """Waits until the server is ready, and says what is expected of it."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    answer = client.get('/ready')
    if answer.status_code == 200 and until.items() <= answer.json().items():
      return
    time.sleep(0.02)
  raise AssertionError(answer.text)


def metric(client, line):
  """The value of a metric, by its name and labels."""
  for one in client.get('/metrics').text.splitlines():
    name, _, value = one.rpartition(' ')
    if name == line:
      return float(value)
  return 0.0
