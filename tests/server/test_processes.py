"""Real processes: workers, signals, and what is left when they are killed."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.server import kept_rows
from tests.serving import past_run

pytestmark = pytest.mark.slow

LABELS = ['clicked', 'bought']


class Server:
  """`rmtl serve` as a process."""

  def __init__(self, workdir, log, *flags):
    self.log = log
    with open(log, 'wb') as file:
      self.process = subprocess.Popen(
        [
          *(sys.executable, '-m', 'rmtl_jax', 'serve', f'--workdir={workdir}'),
          *('--port=0', '--max_rows=32', *flags),
        ],
        stderr=file,
        stdout=file,
        cwd=pathlib.Path(__file__).parents[2],
      )
    self.port = int(self._wait(r'listening: http://127.0.0.1:(\d+)'))
    self._wait(r'(ready): ')

  def _wait(self, pattern, seconds=120.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      found = re.search(pattern, self.log.read_text())
      if found:
        return found[1]
      assert self.process.poll() is None, self.log.read_text()
      time.sleep(0.05)
    raise AssertionError(self.log.read_text())

  def post(self, path, rows, timeout=60.0):
    connection = http.client.HTTPConnection(
      '127.0.0.1', self.port, timeout=timeout
    )
    with contextlib.closing(connection):
      headers = {'content-type': 'application/json'}
      connection.request('POST', path, json.dumps(rows), headers)
      answer = connection.getresponse()
      return answer.status, json.loads(answer.read())

  def get(self, path):
    connection = http.client.HTTPConnection('127.0.0.1', self.port)
    with contextlib.closing(connection):
      connection.request('GET', path)
      return json.loads(connection.getresponse().read())

  def metric(self, line):
    connection = http.client.HTTPConnection('127.0.0.1', self.port)
    with contextlib.closing(connection):
      connection.request('GET', '/metrics')
      text = connection.getresponse().read().decode()
    return float(re.search(rf'^{re.escape(line)} (.*)$', text, re.M)[1])

  def workers(self):
    pid = self.process.pid
    path = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
    children = [int(one) for one in path.read_text().split()]
    return [
      child
      for child in children
      if b'spawn_main' in pathlib.Path(f'/proc/{child}/cmdline').read_bytes()
    ]

  def end(self, number=signal.SIGTERM):
    self.process.send_signal(number)
    return self.process.wait(60.0)


@contextlib.contextmanager
def serving(workdir, log, *flags):
  server = Server(workdir, log, *flags)
  try:
    yield server
  finally:
    if server.process.poll() is None:
      server.process.kill()
      server.process.wait()


def test_a_newer_model_takes_over(plain_model, tmp_path):
  """By SIGHUP, and a damaged one leaves the old one in place."""
  link, log = tmp_path / 'model', tmp_path / 'log'
  for name in ('one', 'two', 'damaged'):
    shutil.copytree(plain_model, tmp_path / name)
  (tmp_path / 'damaged' / 'model.bin').write_bytes(b'none')
  link.symlink_to('one')
  with serving(link, log) as server:
    versions = [server.get('/health')['version']]
    for name, line in (('damaged', 'not loaded: '), ('two', '/two .version')):
      link.unlink()
      link.symlink_to(name)
      server.process.send_signal(signal.SIGHUP)
      server._wait(f'({line})')
      version = server.get('/health')['version']
      # For a moment both workers answer, so only one answer is taken.
      end = time.monotonic() + 60.0
      while name == 'two' and version == versions[0]:
        assert time.monotonic() < end
        time.sleep(0.1)
        version = server.get('/health')['version']
      versions.append(version)
    assert versions[0] == versions[1] != versions[2]
    assert server.end() == 0


@pytest.mark.parametrize('workers', [1, 2])
def test_a_damaged_model_ends_the_start(plain_model, tmp_path, workers):
  damaged = tmp_path / 'model'
  shutil.copytree(plain_model, damaged)
  (damaged / 'model.bin').write_bytes(b'none')
  found = subprocess.run(
    [
      *(sys.executable, '-m', 'rmtl_jax', 'serve', '--port=0'),
      *(f'--workdir={damaged}', f'--workers={workers}'),
    ],
    capture_output=True,
    text=True,
    timeout=200,
    check=False,
  )
  assert found.returncode == 1
  assert 'not loaded: ' in found.stderr and 'model.bin' in found.stderr


class Poster(threading.Thread):
  """Posts events one by one until it is stopped."""

  def __init__(self, server, rows):
    super().__init__()
    self._server, self._rows = server, rows
    self.asked, self.kept = [], []
    self.seen = collections.Counter()
    self.stopped = False

  def run(self):
    for row in self._rows:
      if self.stopped:
        return
      self.asked.append(row)
      try:
        status, _ = self._server.post('/v1/events', [row])
        self.seen[status] += 1
        if status == 200:
          self.kept.append(row)
      except (ConnectionError, http.client.IncompleteRead):
        self.seen['broken'] += 1  # before an answer, or between head and body
      except (OSError, http.client.HTTPException) as error:
        self.seen[type(error).__name__] += 1


def test_killed_workers_and_a_killed_server(past_model, place, tmp_path):
  """What was acknowledged is there, and nothing by halves."""
  raw = past_run.log(700, seed=3).slice(0, 690).sort_by('time')
  rows = raw.to_pylist()
  # Times tell rows apart; the year 2000 is far behind the data's splits.
  for n, row in enumerate(rows):
    row['time'] = 10**9 + 40 * n
  flags = (f'--state={place}', '--workers=2')
  with serving(past_model, tmp_path / 'log', *flags) as server:
    posters = [Poster(server, rows[n:-1:2]) for n in range(2)]
    for poster in posters:
      poster.start()
    for _ in range(2):
      time.sleep(1.0)
      alive = server.workers()
      os.kill(alive[0], signal.SIGKILL)
      end = time.monotonic() + 60.0
      while server.workers() == alive and time.monotonic() < end:
        time.sleep(0.1)
    end = time.monotonic() + 60.0
    while sum(len(p.kept) for p in posters) < 40 and time.monotonic() < end:
      time.sleep(0.1)
    # Metrics are of all workers, whoever answers.
    answered = 'rmtl_requests_total{path="/v1/events",status="200"}'
    before = sum(len(poster.kept) for poster in posters)
    counted = server.metric(answered)
    server.process.kill()
    server.process.wait()
    for poster in posters:
      poster.stopped = True
    for poster in posters:
      poster.join()
    found = kept_rows.times(place)
    asked = [row['time'] for poster in posters for row in poster.asked]
    kept = [row['time'] for poster in posters for row in poster.kept]
    assert before <= counted <= len(asked)
    # The others go on; whom a killed worker served learns that it is gone.
    seen = {one for poster in posters for one in poster.seen}
    assert seen <= {200, 'broken'}, seen
    assert len(found) == len({*found})
    assert {*kept} <= {*found} <= {*asked}
    assert len(kept) >= 40
  # And it goes on from there.
  again = (f'--state={place}',)
  with serving(past_model, tmp_path / 'again', *again) as server:
    row = rows[-1]
    assert server.post('/v1/events', [row])[0] == 200
    asked = {k: v for k, v in row.items() if k not in LABELS}
    assert server.post('/v1/predict', [asked])[0] == 200
    assert server.end() == 0
  assert len(kept_rows.times(place)) == len(found) + 1
