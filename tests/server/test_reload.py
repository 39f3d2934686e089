"""A newer model takes over between requests."""

from __future__ import annotations

import concurrent.futures
import os
import shutil

import pytest

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


def test_no_model_at_all(tmp_path):
  from starlette import testclient

  from rmtl_jax.server import app, options, worker

  own = worker.Worker(options.Settings(str(tmp_path), reload_seconds=0.05))
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
