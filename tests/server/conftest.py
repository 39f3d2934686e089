"""Exported models that nothing trained, and a Redis, made once."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from rmtl_jax.serving.export import writer
from tests.server import redis_server
from tests.serving import past_run

PLAIN = {
  'network.session_encoder': 'none',
  'network.history_encoder': 'none',
}


@pytest.fixture(scope='session')
def plain_model(tmp_path_factory):
  """An export that takes no past."""
  directory = tmp_path_factory.mktemp('plain')
  scorer = past_run.untrained(
    past_run.prepare_run(directory, raw=past_run.log(400), as_of=('none',)),
    **PLAIN,
  )
  writer.export(scorer, directory / 'exported')
  return directory / 'exported'


@pytest.fixture(scope='session')
def past_model(tmp_path_factory):
  """An export that takes all as-of features and encodes sessions."""
  directory = tmp_path_factory.mktemp('past')
  scorer = past_run.untrained(
    past_run.prepare_run(
      directory, raw=past_run.log(700, seed=3), schema=past_run.BRANDS
    )
  )
  writer.export(scorer, directory / 'exported')
  return directory / 'exported'


@pytest.fixture(scope='session')
def redis():
  """A Redis for tests that don't stop it."""
  if redis_server.PROGRAM is None:
    pytest.skip(redis_server.REASON)
  with contextlib.closing(redis_server.Redis()) as server:
    yield server


_numbers = itertools.count()


@pytest.fixture(params=['sqlite', 'redis'])
def place(request, tmp_path):
  """Where an empty state may be, of every kind."""
  if request.param == 'sqlite':
    return str(tmp_path / 'state')
  return request.getfixturevalue('redis').url(f'test-{next(_numbers)}')
