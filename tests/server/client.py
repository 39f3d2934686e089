"""An application in the test's own process."""

from __future__ import annotations

import contextlib

from starlette import testclient

from rmtl_jax.server import app, worker
from rmtl_jax.server import options as options_lib


@contextlib.contextmanager
def serving(workdir, **settings):
  """A client of an application that is ready."""
  given = options_lib.Settings(str(workdir), **{'max_rows': 32, **settings})
  with testclient.TestClient(
    app.make(worker.Worker(given)), raise_server_exceptions=False
  ) as client:
    yield client


def metric(client, line):
  """The value of a metric, by its name and labels."""
  for one in client.get('/metrics').text.splitlines():
    name, _, value = one.rpartition(' ')
    if name == line:
      return float(value)
  return 0.0
