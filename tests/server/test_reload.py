"""A newer model takes over between requests."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import threading
from unittest import mock

import pytest

import rmtl_jax
from tests.server import client as client_lib
from tests.server import test_app


@pytest.fixture
def links(plain_model, tmp_path):
  """A link to one of two models."""
  for name in ('one', 'two'):
    shutil.copytree(plain_model, tmp_path / name)
  (tmp_path / 'now').symlink_to('one')
  return tmp_path


def move(links, name):
  (links / 'next').symlink_to(name)
  os.replace(links / 'next', links / 'now')


def test_a_link_that_is_moved(links):
  with client_lib.serving(links / 'now') as (client, _):
    first = client.get('/ready').json()['version']
    with concurrent.futures.ThreadPoolExecutor(4) as threads:

      def ask(n):
        return client.post('/v1/predict', json=[test_app.ROW])

      early = list(threads.map(ask, range(8)))
      move(links, 'two')
      asked = [threads.submit(ask, n) for n in range(200)]
      answers = early + [one.result() for one in asked]
    assert {answer.status_code for answer in answers} == {200}
    for _ in range(1000):
      second = client.get('/ready').json()['version']
      if second != first:
        break
      client_lib.time.sleep(0.02)
    assert second != first
    last = client.post('/v1/predict', json=[test_app.ROW]).json()
    assert last['version'] == second
    assert last['predictions'] == answers[0].json()['predictions']
    assert client_lib.metric(client, 'rmtl_reloads_total{result="done"}') == 1
    assert client_lib.metric(client, test_app.COMPILED) == 0


@pytest.mark.parametrize('damaged', ['model.bin', 'nothing is there'])
def test_a_damaged_model_does_not_take_over(links, damaged):
  if damaged == 'model.bin':
    (links / 'two' / damaged).write_bytes(b'damaged')
  else:
    shutil.rmtree(links / 'two')
  with client_lib.serving(links / 'now') as (client, _):
    first = client.get('/ready').json()['version']
    move(links, 'two')
    failed = 'rmtl_reloads_total{result="failed"}'
    for _ in range(500):
      if client_lib.metric(client, failed):
        break
      client_lib.time.sleep(0.02)
    assert client_lib.metric(client, failed) >= 1
    assert client.get('/ready').json()['version'] == first
    answer = client.post('/v1/predict', json=[test_app.ROW])
    assert answer.status_code == 200


def test_a_model_that_is_replaced_while_it_is_read_is_not_served(
  tmp_path, monkeypatch
):
  """Half of either may have been read; the next look finds the newer one."""
  from rmtl_jax import types
  from rmtl_jax.server import models, settings

  def load(path, *options, **more):
    if len(loads) == 1:
      (tmp_path / 'metrics.json').write_text('newer')
    loads.append(path)
    return mock.Mock()

  loads = []
  monkeypatch.setattr(rmtl_jax, 'load', load)
  (tmp_path / 'metrics.json').write_text('old')
  first = models.load(settings.Settings(str(tmp_path)))
  with pytest.raises(types.InputError, match='was replaced while it was read'):
    models.load(settings.Settings(str(tmp_path)))
  second = models.load(settings.Settings(str(tmp_path)))
  assert second.mark == models.mark(str(tmp_path)) != first.mark
  assert first.version != second.version


def test_no_model_at_all(tmp_path):
  from starlette import testclient

  from rmtl_jax.server import app, settings, worker

  own = worker.Worker(settings.Settings(str(tmp_path), reload_seconds=0.05))
  with testclient.TestClient(app.make(own)) as client:
    assert client.get('/health').status_code == 200
    for _ in range(200):
      answer = client.get('/ready')
      if 'no model' in answer.text:
        break
      client_lib.time.sleep(0.02)
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    answer = client.post('/v1/predict', json=[test_app.ROW])
    assert answer.status_code == 503


def test_what_can_not_be_loaded_is_not_tried_all_the_time(
  tmp_path, monkeypatch
):
  from rmtl_jax import types
  from rmtl_jax.server import models, settings, worker

  (tmp_path / 'config.json').write_text('{}')
  loads = []

  def load(settings):
    loads.append(settings)
    raise types.InputError('no model')

  monkeypatch.setattr(models, 'load', load)
  own = worker.Worker(settings.Settings(str(tmp_path), reload_seconds=0.01))
  thread = threading.Thread(target=own._follow)
  thread.start()

  def wait_for(count):
    for _ in range(500):
      if len(loads) >= count:
        return
      client_lib.time.sleep(0.02)
    raise AssertionError(loads)

  wait_for(1)
  client_lib.time.sleep(0.3)
  assert len(loads) == 1
  own.reload()
  wait_for(2)
  (tmp_path / 'config.json').write_text('{"another": 1}')
  wait_for(3)
  client_lib.time.sleep(0.3)
  assert len(loads) == 3
  own._again = 0.0
  wait_for(4)
  own._stopped = True
  own._wake.set()
  thread.join()


def test_a_state_that_can_not_be_filled_is_closed(
  past_model, tmp_path, monkeypatch
):
  from rmtl_jax.server import settings, worker
  from rmtl_jax.server.state import store

  closed = []
  monkeypatch.setattr(store.Store, 'close', lambda self: closed.append(self))
  own = worker.Worker(
    settings.Settings(
      str(past_model),
      max_rows=8,
      state=str(tmp_path / 'state'),
      history=str(tmp_path / 'none.parquet'),
    )
  )
  own.load()
  assert len(closed) == 2
