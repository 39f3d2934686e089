"""A shop's traffic against the server: how quick is it, what does it keep?

    python -m benchmarks.traffic --minutes=60 --output=traffic.json

yields all figures of docs/serving.md, with a small model that has all as-of
features and encodes sessions. It takes the minutes, and some ten more.

traffic: 20,000 users ask over HTTP, 5 requests a second, for 50 candidates
  each, drawn from 20,000 items by Zipf's law; the first ten are reported as
  shown. One worker. The first minute after one to warm up, and the last.
heavy: then one item is shown 30,000 times within ten minutes, one session gets
  4,000 rows and one 16,000, and one user 32,000 rows of one item. One row each.
workers: two workers, 40 requests a second for a minute, eight clients.
growth: the state alone; rows of 40 days arrive within some minutes.

Figures are milliseconds of wall time at the client, and CPU milliseconds of the
server a request. `--parts=growth` computes one part.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags

import rmtl_jax
from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import run
from rmtl_jax.config import prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.preparation import prepare_log
from rmtl_jax.runtime import progress
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.simulator import log as simulated

_PAPER = config_lib.preset('paper')

_SCHEMA = {
  'session': 'session_id',
  'user': 'user_id',
  'item': 'item_id',
  'time': {'column': 'timestamp'},
  'categorical': ['user_id', 'item_id', 'device', 'brand'],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'click', 'known_after_seconds': 0},
    {'name': 'conversion', 'column': 'conversion', 'after': 'click'},
  ],
}
_NETWORK = {
  'embedding_dim': 16,
  'bottom_units': [64, 32],
  'tower_units': [16],
}
_RATE, _CANDIDATES, _SHOWN, _NAMES = 5, 50, 10, 20_000
_DAY_MS = 86_400_000
Rows = list[dict[str, Any]]


def train(log: pa.Table, place: pathlib.Path) -> pathlib.Path:
  """A small model of a log; RUN."""
  (place / 'schema.json').write_text(json.dumps(_SCHEMA))
  pq.write_table(log, place / 'log.parquet')
  prepare_log.prepare(
    prepare_settings.PrepareConfig(
      source='table',
      raw_dir=str(place / 'log.parquet'),
      schema=str(place / 'schema.json'),
      data_dir=str(place / 'data'),
      as_of=('all',),
    )
  )
  settings = {'network': _NETWORK, 'pretrain': {'max_epochs': 1}}
  config = config_values.from_dict(settings, _PAPER)
  quiet = progress.Progress(quiet=True)
  stages = ('pretrain',)
  run.train(config, place / 'run', place / 'data', stages=stages, live=quiet)
  return place / 'run'


class Server:
  """`rmtl serve` as a process, with a state."""

  def __init__(self, run_dir: pathlib.Path, state: pathlib.Path, workers: int):
    """Starts it."""
    command = [sys.executable, '-m', 'rmtl_jax', 'serve', '--port=0']
    command += [f'--workdir={run_dir}', f'--state={state}']
    command += [f'--workers={workers}']
    log = state.with_suffix('.log')
    with open(log, 'wb') as file:
      self._process = subprocess.Popen(command, stderr=file, stdout=file)
    while 'ready: ' not in log.read_text():
      if self._process.poll() is not None:
        raise RuntimeError(log.read_text())
      time.sleep(0.1)
    (port,) = re.findall(r'listening: http://127.0.0.1:(\d+)', log.read_text())
    self.port = int(port)

  def client(self) -> Callable[[str, Rows], None]:
    """post(path, rows) by a connection that stays open."""
    connection = http.client.HTTPConnection('127.0.0.1', self.port)
    headers = {'content-type': 'application/json'}

    def post(path: str, rows: Rows) -> None:
      connection.request('POST', path, json.dumps(rows), headers)
      answer = connection.getresponse()
      text = answer.read()
      if answer.status != 200:
        raise RuntimeError(text)

    return post

  def cpu_ms(self) -> float:
    """CPU time of its processes so far."""
    pids, ticks = [self._process.pid], 0
    for pid in pids:
      place = pathlib.Path(f'/proc/{pid}')
      pids += map(int, (place / f'task/{pid}/children').read_text().split())
      used = (place / 'stat').read_text().rpartition(') ')[2].split()
      ticks += int(used[11]) + int(used[12])
    return 10.0 * ticks

  def stop(self) -> None:
    """Ends it."""
    self._process.send_signal(signal.SIGTERM)
    self._process.wait()


@contextlib.contextmanager
def serving(
  run_dir: pathlib.Path, state: pathlib.Path, workers: int = 1
) -> Iterator[Server]:
  """A server until the block ends."""
  server = Server(run_dir, state, workers)
  try:
    yield server
  finally:
    server.stop()


class Shop:
  """Rows of users and items; some of them are requested far more often."""

  def __init__(self, log: pa.Table):
    """Draws nothing yet."""
    self._rng = np.random.default_rng(0)
    shares = np.cumsum(1 / np.arange(1, _NAMES + 1))
    self._shares = shares / shares[-1]
    self._items = self._rng.permutation(_NAMES)
    self._pattern = log.slice(0, 1).to_pylist()[0]

  def row(self, who: int, item: int, at: int, session: str) -> dict[str, Any]:
    """One row."""
    return self._pattern | {
      'user_id': who,
      'session_id': session,
      'item_id': item,
      'timestamp': at,
    }

  def candidates(self, at: int) -> Rows:
    """What one user may be shown; sessions are of one day."""
    drawn = np.searchsorted(self._shares, self._rng.random(_CANDIDATES))
    who = 10**6 + int(self._rng.integers(0, _NAMES))
    session = f'{who}-{at // _DAY_MS}'
    return [self.row(who, int(i), at, session) for i in self._items[drawn]]


def figures(what: str, wall: Sequence[float], cpu: float) -> dict[str, Any]:
  """p50 and p99 of seconds, and CPU milliseconds."""
  p50, p99 = 1e3 * np.percentile(wall, [50, 99])
  found = {'what': what, 'p50_ms': p50, 'p99_ms': p99, 'cpu_ms': cpu}
  print(machine.table([found]).splitlines()[1], flush=True)
  return found


def asked(rows: Rows) -> Rows:
  """Rows to predict for, without labels."""
  labels = ('click', 'conversion')
  return [{k: v for k, v in r.items() if k not in labels} for r in rows]


def traffic(server: Server, shop: Shop, minutes: float) -> list[dict[str, Any]]:
  """Figures of the second and of the last minute."""
  post, found = server.client(), []
  begun, count = time.monotonic(), round(60 * minutes * _RATE)
  minute = 60 * _RATE
  last = max(count - minute, minute)
  walls: dict[str, list[float]] = {}
  used: dict[str, float] = {}
  for number in range(last + minute):
    time.sleep(max(0.0, begun + number / _RATE - time.monotonic()))
    rows = shop.candidates(int(1000 * time.time()))
    shown = rows[:_SHOWN]
    for path, sent in (('/v1/predict', asked(rows)), ('/v1/events', shown)):
      before, at = server.cpu_ms(), time.perf_counter()
      post(path, sent)
      wall = time.perf_counter() - at
      if number < minute or 2 * minute <= number < last:
        continue
      name = f'{path}, {"second" if number < last else "last"} minute'
      walls.setdefault(name, []).append(wall)
      used[name] = used.get(name, 0.0) + server.cpu_ms() - before
  for name, wall in walls.items():
    found.append(figures(name, wall, used[name] / len(wall)))
  return found


def heavy(server: Server, shop: Shop) -> list[dict[str, Any]]:
  """Figures of one row each, of what is popular, long or old."""
  now, hot, post = int(1000 * time.time()), 10**7, server.client()

  def fill(count: int, make: Callable[[int], tuple[int, int, str]]) -> None:
    rows = []
    for n in range(count):
      who, item, session = make(n)
      at = now - 600_000 + n * 600_000 // count
      rows.append(shop.row(who, item, at, session))
    for start in range(0, count, 500):
      post('/v1/events', rows[start : start + 500])

  fill(30_000, lambda n: (2 * 10**6 + n // 10, hot, f'h{n // 10}'))
  for size in (4000, 16_000):
    fill(size, lambda n, size=size: (size, n % 500, f's{size}'))
  fill(32_000, lambda n: (32_000, 7, 's32000'))
  cases = {
    'a new user': (77, 3, 'new'),
    'an item shown 30,000 times': (77, hot, 'new'),
    'a session of 4,000 rows': (4000, 3, 's4000'),
    'a session of 16,000 rows': (16_000, 3, 's16000'),
    'a user of 32,000 rows of the item': (32_000, 7, 'another'),
    'a new user ten days later': (77, 3, 'new'),
  }
  walls: dict[str, list[float]] = {what: [] for what in cases}
  used = dict.fromkeys(cases, 0.0)
  # In turn, so that all of them meet the same machine.
  for number in range(61):
    for what, (who, item, session) in cases.items():
      at = now + 1 + 864_000_000 * what.endswith('later')
      before, begun = server.cpu_ms(), time.perf_counter()
      post('/v1/predict', asked([shop.row(who, item, at, session)]))
      wall = time.perf_counter() - begun
      if number:
        walls[what].append(wall)
        used[what] += server.cpu_ms() - before
  found = [figures(w, walls[w], used[w] / len(walls[w])) for w in cases]
  for one in found:
    one['ratio'] = one['p50_ms'] / found[0]['p50_ms']
  return found


def two_workers(server: Server, shop: Shop) -> list[dict[str, Any]]:
  """Figures of 40 requests a second by eight clients, for a minute."""
  walls: list[float] = []
  clients, rate, seconds = 8, 40, 60
  lock = threading.Lock()

  def ask(begun: float) -> None:
    post = server.client()
    for number in range(rate * seconds // clients):
      at = begun + number * clients / rate
      time.sleep(max(0.0, at - time.monotonic()))
      with lock:
        rows = asked(shop.candidates(int(1000 * time.time())))
      # From when it was due: a server that is too slow can't hide it.
      due = time.perf_counter() - (time.monotonic() - at)
      post('/v1/predict', rows)
      walls.append(time.perf_counter() - due)

  before, start = server.cpu_ms(), time.monotonic() + 0.5
  threads = [
    threading.Thread(target=ask, args=(start + n / rate,))
    for n in range(clients)
  ]
  for one in threads:
    one.start()
  for one in threads:
    one.join()
  cpu = (server.cpu_ms() - before) / len(walls)
  took = time.monotonic() - start
  found = figures('two workers, 40 requests a second', walls, cpu)
  return [found | {'requests_a_second': len(walls) / took}]


def growth(scorer: Any, shop: Shop, state: pathlib.Path, count: int):
  """Bytes and CPU time of a row, of rows that come within 40 days."""
  keeper = keeper_lib.Keeper(scorer, str(state))
  # Days that have passed: rows of the future don't settle.
  begun = int(1000 * time.time()) - 50 * _DAY_MS
  found, span = [], 40 * _DAY_MS
  parts = 8
  rng = np.random.default_rng(1)
  for part in range(parts):
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = 0.0
    for number in range(count // parts // 100):
      rows: Rows = []
      for n in range(100 // _SHOWN):
        place = part * (count // parts) + number * 100 + n * _SHOWN
        rows += shop.candidates(begun + place * span // count)[:_SHOWN]
      for row in rows:
        row['click'] = int(rng.random() < 0.1)
        row['conversion'] = row['click'] * int(rng.random() < 0.2)
      table = pa.Table.from_pylist(rows)
      at = time.process_time()
      keeper.append(table)
      spent += time.process_time() - at
    del used
    size = sum(f.stat().st_size for f in state.iterdir())
    rows_so_far = (part + 1) * (count // parts)
    found.append(
      {
        'what': f'day {(part + 1) * 40 // parts}',
        'rows': rows_so_far,
        'bytes_a_row': size / rows_so_far,
        'cpu_ms_a_row': 1e3 * spent / (count // parts),
      }
    )
    print(machine.table(found[-1:]).splitlines()[1], flush=True)
  keeper.close()
  with contextlib.closing(sqlite3.connect(state / 'state.sqlite')) as kept:
    shares = kept.execute(
      'SELECT name, count(*), sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 3'
    ).fetchall()
  for name, _, size in reversed(shares):
    found.append({'what': name, 'bytes_a_row': size / count})
    print(f'  {name}: {size / count:.1f} bytes a row')
  return found


def main(argv: list[str]) -> None:
  """Prints the figures, writes the file."""
  del argv
  parts, record = flags.FLAGS.parts, {}
  log = simulated.simulate(4000, seed=0).sort_by('timestamp')
  log = log.drop_columns(['p_click', 'p_conversion'])
  shop = Shop(log)
  with tempfile.TemporaryDirectory() as directory:
    place = pathlib.Path(directory)
    run_dir = train(log, place)
    if {'traffic', 'heavy'} & {*parts}:
      with serving(run_dir, place / 'one') as server:
        if 'traffic' in parts:
          record['traffic'] = traffic(server, shop, flags.FLAGS.minutes)
        if 'heavy' in parts:
          record['heavy'] = heavy(server, shop)
    if 'workers' in parts:
      with serving(run_dir, place / 'two', workers=2) as server:
        record['workers'] = two_workers(server, shop)
    if 'growth' in parts:
      scorer = rmtl_jax.load(run_dir, warm_up=0)
      record['growth'] = growth(
        getattr(scorer, 'model_', scorer),
        shop,
        place / 'growth',
        flags.FLAGS.growth_rows,
      )
  machine.write(flags.FLAGS.output, record)


if __name__ == '__main__':
  _PARTS = ['traffic', 'heavy', 'workers', 'growth']
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_float('minutes', 10.0, 'Of traffic; at least 3.')
  flags.DEFINE_list('parts', _PARTS, f'Which of {", ".join(_PARTS)}.')
  flags.DEFINE_integer('growth_rows', 400_000, 'Rows of the state that grows.')
  app.run(main)
