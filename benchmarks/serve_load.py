"""Load on `rmtl serve` from wrk on the loopback, beside LightGBM behind it.

    python -m benchmarks.serve_load --output=benchmarks/results/serve_load.json

Trains two small models for one epoch on a simulated log, without a past and
with all as-of features, exports them, and starts a server of each; the second
with the log as its history. A third server has the first one's fields and
look-ups, and LightGBM in place of the network. wrk asks each for 1, 10 and 100
candidates over 1, 8 and 64 connections; each connection asks again as soon as
it is answered. Then events, one row a request. Last, one server answers
`--memory_requests`, and its memory is read meanwhile. With `--redis=URL`, only
the second model is served, with its state in SQLite and in that Redis.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from absl import app, flags
from absl import logging as absl_logging

from benchmarks import latency, machine
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.preparation.simulator import log as simulated
from rmtl_jax.server import models, serve
from rmtl_jax.server import settings as settings_lib
from rmtl_jax.serving import exported, scorer

_SMALL = {
  'embedding_dim': 16,
  'bottom_units': [64, 32],
  'tower_units': [16],
}
_PLAIN = latency.Model('no past', _SMALL)
_PAST = latency.Model('state', _SMALL, ('all',))
_LABELS = ['click', 'conversion']
_MOST_ROWS = 512
_TREES = 200
_UNITS = {'us': 1e-3, 'ms': 1.0, 's': 1e3, 'm': 6e4}
# Requests come from a file, a line each.
_SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv('BODIES')) do bodies[#bodies + 1] = line end
local n = tonumber(os.getenv('FIRST') or '0')
wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
function request()
  n = n + 1
  return wrk.format(nil, os.getenv('WHERE'), nil, bodies[n % #bodies + 1])
end
"""


class Trees(scorer.Scorer):
  """LightGBM on the encoded fields of another model, a booster per task."""

  def __init__(self, place: pathlib.Path):
    """Trains on the prepared data of the model in a place."""
    import lightgbm

    model = exported.load(place / 'export')
    super().__init__(place / 'export', model.manifest, (), False)
    self.stage, self.chunk_rows, self.lane_length = 'trees', 65_536, 64
    train = columns_lib.read_split(place / 'data', model.manifest, 'train')
    inputs = self._stacked(train.categorical, train.multi_valued, train.numeric)
    self._boosters = [
      lightgbm.train(
        {'objective': 'binary', 'num_threads': 1, 'verbose': -1},
        lightgbm.Dataset(inputs, label),
        num_boost_round=_TREES,
      )
      for label in train.labels.T
    ]

  def _stacked(self, *inputs: Any) -> np.ndarray:
    return np.concatenate([np.asarray(x, np.float32) for x in inputs], axis=1)

  def network(self, *inputs: Any) -> np.ndarray:
    """See `Scorer.network`."""
    values = self._stacked(*inputs)
    return np.stack(
      [one.predict(values, num_threads=1) for one in self._boosters], axis=1
    ).astype(np.float32)

  def infer(self, inputs: types.Inputs, starts: np.ndarray) -> np.ndarray:
    """See `Scorer.infer`."""
    del starts
    return self.network(*inputs[:3])


def serve_trees(place: str) -> int:
  """Serves LightGBM as `rmtl serve` serves a model."""
  trees = Trees(pathlib.Path(place))

  def load(settings: settings_lib.Settings) -> models.Served:
    return models.Served(trees, place, 'trees', (), 0.0, settings.max_rows)

  models.load = load
  listening = serve.listen('127.0.0.1', 0)
  serve.say(f'listening: {serve.address(listening)}')
  settings = settings_lib.Settings(
    str(place), max_rows=_MOST_ROWS, reload_seconds=0.0
  )
  return serve.run(settings, listening, lambda: None)


class Server:
  """A server process."""

  def __init__(self, command: Sequence[str], log: pathlib.Path):
    """Starts it and waits until it is ready."""
    self._log = log
    with open(log, 'wb') as file:
      self.process = subprocess.Popen(
        [sys.executable, '-m', *command], stderr=file, stdout=file
      )
    started = time.monotonic()
    while True:
      text = log.read_text()
      found = re.search(r'listening: (http://\S+)', text)
      if found and 'ready: ' in text:
        self.url = found[1]
        return
      if self.process.poll() is not None or time.monotonic() > started + 300:
        raise SystemExit(text)
      time.sleep(0.1)

  def mebibytes(self) -> float:
    """Resident memory."""
    text = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
    return float(text.partition('VmRSS:')[2].split()[0]) / 1024

  def metrics(self) -> dict[str, float]:
    """All metrics."""
    with urllib.request.urlopen(f'{self.url}/metrics') as answer:
      lines = answer.read().decode().splitlines()
    pairs = [line.rpartition(' ') for line in lines if line[:1] != '#']
    return {name: float(value) for name, _, value in pairs}


@contextlib.contextmanager
def serving(*command: str) -> Iterator[Server]:
  """A server until the block ends."""
  with tempfile.TemporaryDirectory() as directory:
    server = Server(command, pathlib.Path(directory, 'log'))
    try:
      yield server
    finally:
      server.process.terminate()
      server.process.wait(60)


def bodies(log: pa.Table, size: int, count: int, labels: bool) -> list[str]:
  """Requests: a row and other items that might be shown in its place."""
  rng = np.random.default_rng(0)
  rows = log if labels else log.drop_columns(_LABELS)
  of_item = ['item_id', 'item_tags', 'brand', 'price']
  found = []
  for start in range(min(count, len(rows) - size)):
    taken = rows.take(pa.array(np.full(size, start)))
    others = rows.take(pa.array(rng.integers(0, len(rows), size)))
    for name in of_item if size > 1 else ():
      at = taken.schema.get_field_index(name)
      taken = taken.set_column(at, name, others[name])
    found.append(json.dumps(taken.to_pylist()))
  return found


def redis_seconds() -> float:
  """CPU time of the Redis, if there is one."""
  if not flags.FLAGS.redis:
    return 0.0
  import redis

  # Only a state's place has a log.
  where = re.sub(r'\?log=[^&]*$', '', flags.FLAGS.redis)
  with redis.Redis.from_url(where) as client:
    used = client.info('cpu')
  return used['used_cpu_user'] + used['used_cpu_sys']


def load(
  server: Server, path: str, requests: list[str], connections: int, seconds: int
) -> dict[str, Any]:
  """What wrk measures."""
  with tempfile.TemporaryDirectory() as directory:
    place = pathlib.Path(directory)
    (place / 'script.lua').write_text(_SCRIPT)
    (place / 'bodies').write_text('\n'.join(requests))
    before, cpu = server.metrics(), machine.cpu_seconds(server.process.pid)
    redis_cpu = redis_seconds()
    found = subprocess.run(
      [
        *('wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--latency'),
        *('--timeout', '20s', '-s', str(place / 'script.lua'), server.url),
      ],
      env={**os.environ, 'BODIES': str(place / 'bodies'), 'WHERE': path},
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    after = server.metrics()
    cpu = machine.cpu_seconds(server.process.pid) - cpu
    redis_cpu = redis_seconds() - redis_cpu
  ends = {}
  for name in ('50%', '99%'):
    value, unit = re.search(rf'{name}\s+([\d.]+)(us|ms|s|m)', found).groups()
    ends[name] = float(value) * _UNITS[unit]
  rate = float(re.search(r'Requests/sec:\s+([\d.]+)', found)[1])
  failed = re.search(r'Non-2xx or 3xx responses: (\d+)', found)
  sockets = re.search(r'Socket errors: (.*)', found)
  compiled = 'rmtl_compilations_total{when="request"}'
  return {
    'p50_ms': ends['50%'],
    'p99_ms': ends['99%'],
    'requests_per_s': rate,
    'cpu_ms_per_request': 1e3 * cpu / max(1.0, rate * seconds),
    'redis_ms_per_request': 1e3 * redis_cpu / max(1.0, rate * seconds),
    'failed': int(failed[1]) if failed else 0,
    'socket_errors': sockets[1] if sockets else '',
    'compiled': after.get(compiled, 0) - before.get(compiled, 0),
    'load': os.getloadavg()[0],
  }


def measure(
  name: str, server: Server, today: pa.Table, seconds: int
) -> list[dict[str, Any]]:
  """The rows of one server."""
  rows = []
  for size in map(int, flags.FLAGS.sizes):
    requests = bodies(today, size, 200, labels=False)
    load(server, '/v1/predict', requests, 1, 1)
    for connections in map(int, flags.FLAGS.connections):
      found = load(server, '/v1/predict', requests, connections, seconds)
      rows.append(
        {
          'server': name,
          'candidates': size,
          'connections': connections,
          'rows_per_s': found['requests_per_s'] * size,
          **found,
        }
      )
      print(machine.table(rows[-1:]).splitlines()[1], flush=True)
  return rows


def measure_events(
  name: str, server: Server, today: pa.Table, seconds: int
) -> list[dict[str, Any]]:
  """Rows that were shown, one a request."""
  events = []
  requests = bodies(today, 1, len(today), labels=True)
  for connections in map(int, flags.FLAGS.connections):
    found = load(server, '/v1/events', requests, connections, seconds)
    # Other rows at every time: known ones change nothing.
    requests = [
      one.replace('"session_id": "', f'"session_id": "{connections}-')
      for one in requests
    ]
    events.append({'server': name, 'connections': connections, **found})
    print(machine.table(events[-1:]).splitlines()[1], flush=True)
  return events


def memory(
  server: Server, today: pa.Table, wanted: int
) -> list[dict[str, float]]:
  """Requests so far and the memory then, until so many were answered."""
  requests = bodies(today, 1, 200, labels=False)
  found = [{'requests': 0.0, 'mebibytes': server.mebibytes()}]
  while found[-1]['requests'] < wanted:
    load(server, '/v1/predict', requests, 64, 30)
    answered = 'rmtl_requests_total{path="/v1/predict",status="200"}'
    found.append(
      {
        'requests': server.metrics()[answered],
        'mebibytes': server.mebibytes(),
      }
    )
    print(found[-1], flush=True)
  return found


def main(argv: list[str]) -> int:
  """Prints the table, writes the file."""
  del argv
  absl_logging.set_verbosity(absl_logging.WARNING)
  if flags.FLAGS.trees:
    return serve_trees(flags.FLAGS.trees)
  if not shutil.which('wrk'):
    raise SystemExit('serve_load: needs wrk')
  seconds = flags.FLAGS.seconds
  log = simulated.simulate(flags.FLAGS.log_rows, seed=0)
  log = log.drop_columns(['p_click', 'p_conversion']).sort_by('timestamp')
  split = int(0.9 * log.num_rows)
  history, today = log.slice(0, split), log.slice(split)
  rows, events = [], []
  with tempfile.TemporaryDirectory() as directory:
    for model in (_PLAIN, _PAST):
      place = pathlib.Path(directory, model.name.replace(' ', '_'))
      place.mkdir()
      latency.make(model, history, place)
    plain, past = (pathlib.Path(directory, n) for n in ('no_past', 'state'))
    command = ('rmtl_jax', 'serve', '--port=0', f'--max_rows={_MOST_ROWS}')
    own = (*command, f'--workdir={plain}/export')
    if not flags.FLAGS.redis:
      with serving(*own) as server:
        rows += measure('no past', server, today, seconds)
      with serving('benchmarks.serve_load', f'--trees={plain}') as server:
        rows += measure('LightGBM', server, today, seconds)
      with serving(*own, '--workers=2') as server:
        time.sleep(5)  # the second worker
        rows += measure('no past, 2 workers', server, today, seconds)
    kept = f'{directory}/kept'
    stores = {'state': kept}
    if flags.FLAGS.redis:
      stores['state in Redis'] = flags.FLAGS.redis
    for name, place in stores.items():
      own = (*command, f'--workdir={past}/export', f'--state={place}')
      with serving(*own, f'--history={past}/log.parquet') as server:
        rows += measure(name, server, today, seconds)
        events += measure_events(name, server, today, seconds)
    own = (*command, f'--workdir={past}/export', f'--state={kept}')
    with serving(*own) as server:
      used = memory(server, today, flags.FLAGS.memory_requests)
  shown = [n for n in rows[0] if n not in ('socket_errors', 'compiled')]
  print(machine.table([{n: row[n] for n in shown} for row in rows]))
  machine.write(
    flags.FLAGS.output,
    {
      'log_rows': flags.FLAGS.log_rows,
      'seconds': seconds,
      'predict': rows,
      'events': events,
      'memory': used,
    },
  )
  return 0


def markdown(results: Sequence[dict[str, Any]]) -> str:
  """The table of docs/server.md."""
  lines = [
    '| server | candidates | connections | p50, ms | p99, ms | requests/s |'
    ' rows/s | CPU ms a request |',
    '|---|---|---|---|---|---|---|---|',
  ]
  for row in results:
    lines.append(
      f'| {row["server"]} | {row["candidates"]} | {row["connections"]} |'
      f' {row["p50_ms"]:.1f} | {row["p99_ms"]:.1f} |'
      f' {row["requests_per_s"]:,.0f} | {row["rows_per_s"]:,.0f} |'
      f' {row["cpu_ms_per_request"]:.2f} |'
    )
  return '\n'.join(lines)


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_integer('seconds', 4, 'Of a figure.')
  flags.DEFINE_integer('memory_requests', 20_000, 'Of the last part.')
  flags.DEFINE_list('sizes', ['1', '10', '100'], 'Candidates of a request.')
  flags.DEFINE_list('connections', ['1', '8', '64'], 'Of the client.')
  flags.DEFINE_integer('log_rows', 60_000, 'Rows of the log.')
  flags.DEFINE_string('redis', '', 'URL of an empty state.')
  flags.DEFINE_string('trees', '', 'Serves LightGBM; for this program itself.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
