r"""What a server may be made of, side by side: ASGI servers, stores.

    pip install granian litestar lmdb
    python -m benchmarks.serve_parts \
      --output=benchmarks/results/serve_parts.json

An endpoint that answers a JSON body of one row with JSON, by each framework and
server that is installed, asked by wrk in turn. And a state that gets events
one by one, each on disk before the next, and is asked for what a request needs:
twenty rows of a user and four counters of twenty blocks each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import socket
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from absl import app, flags

from benchmarks import machine

_ROW = {'session_id': 'a', 'user_id': 1, 'item_id': 2, 'timestamp': 3}
_STARLETTE = """
from starlette import applications, responses, routing
async def predict(request):
  return responses.JSONResponse({'rows': len(await request.json())})
app = applications.Starlette(
  routes=[routing.Route('/', predict, methods=['POST'])])
"""
_LITESTAR = """
import json
import litestar
@litestar.post('/', status_code=200)
async def predict(request: litestar.Request) -> dict[str, int]:
  return {'rows': len(json.loads(await request.body()))}
app = litestar.Litestar([predict], openapi_config=None)
"""
_SERVERS = {
  'uvicorn': ('--no-access-log', '--log-level=warning'),
  'granian': ('--interface=asgi', '--log-level=warning', '--no-ws'),
}
_FRAMEWORKS = {'starlette': _STARLETTE, 'litestar': _LITESTAR}
_READS, _BLOCKS, _ROWS = 3000, 20, 20
_KEYS = 50


def _free_port() -> int:
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


def serve(server: str, framework: str, seconds: int) -> dict[str, float]:
  """What wrk measures of an endpoint."""
  with tempfile.TemporaryDirectory() as directory:
    place = pathlib.Path(directory)
    (place / 'one.py').write_text(_FRAMEWORKS[framework])
    (place / 'body.lua').write_text(
      "wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\n"
      f"wrk.body = '{json.dumps([_ROW])}'\n"
    )
    port = _free_port()
    process = subprocess.Popen(
      [
        *(sys.executable, '-m', server, 'one:app', *_SERVERS[server]),
        *('--host', '127.0.0.1', '--port', str(port)),
      ],
      cwd=place,
    )
    try:
      _wait(port)
      before = machine.cpu_seconds(process.pid)
      found = subprocess.run(
        [
          *('wrk', '-t1', '-c8', f'-d{seconds}s', '--latency', '-s'),
          *(str(place / 'body.lua'), f'http://127.0.0.1:{port}/'),
        ],
        capture_output=True,
        text=True,
        check=True,
      ).stdout
      cpu = machine.cpu_seconds(process.pid) - before
    finally:
      process.terminate()
      process.wait(20)
  if 'Non-2xx' in found:
    raise SystemExit(found)
  rate = float(re.search(r'Requests/sec:\s+([\d.]+)', found)[1])
  return {'requests_per_s': rate, 'cpu_us': 1e6 * cpu / (rate * seconds)}


def _wait(port: int) -> None:
  for _ in range(300):
    with socket.socket() as one:
      if not one.connect_ex(('127.0.0.1', port)):
        return
    time.sleep(0.1)


def of_sqlite(place: pathlib.Path) -> tuple[Callable, Callable]:
  """An append and a read by SQLite."""
  place.mkdir()
  connection = sqlite3.connect(place / 'state', isolation_level=None)
  connection.executescript(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;'
    'CREATE TABLE events (user INTEGER, time INTEGER, item INTEGER);'
    'CREATE INDEX by_user ON events (user, time, item);'
    'CREATE TABLE counters (key INTEGER, block INTEGER, n INTEGER,'
    ' PRIMARY KEY (key, block)) WITHOUT ROWID;'
  )

  def append(user: int, time_: int) -> None:
    connection.execute('BEGIN IMMEDIATE')
    connection.execute(
      'INSERT INTO events VALUES (?, ?, ?)', (user, time_, user)
    )
    connection.executemany(
      'INSERT INTO counters VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET'
      ' n = n + 1',
      [(user + key * _KEYS, time_ % _BLOCKS) for key in range(4)],
    )
    connection.execute('COMMIT')

  def read(user: int, time_: int) -> Any:
    rows = connection.execute(
      'SELECT time, item FROM events WHERE user = ? AND time < ?'
      ' ORDER BY time DESC LIMIT ?',
      (user, time_, _ROWS),
    ).fetchall()
    sums = [
      connection.execute(
        'SELECT sum(n) FROM counters WHERE key = ? AND block < ?',
        (user + key * _KEYS, _BLOCKS),
      ).fetchone()
      for key in range(4)
    ]
    return rows, sums

  return append, read


def of_lmdb(place: pathlib.Path) -> tuple[Callable, Callable]:
  """The same by LMDB, its keys sorted as SQLite's."""
  import lmdb

  place.mkdir()
  env = lmdb.open(str(place), map_size=2**30, max_dbs=2)
  events, counters = env.open_db(b'events'), env.open_db(b'counters')
  key_of, number = struct.Struct('>QQ'), struct.Struct('>Q')

  def append(user: int, time_: int) -> None:
    with env.begin(write=True) as change:
      change.put(key_of.pack(user, time_), number.pack(user), db=events)
      for key in range(4):
        at = key_of.pack(user + key * _KEYS, time_ % _BLOCKS)
        old = change.get(at, number.pack(0), db=counters)
        change.put(at, number.pack(number.unpack(old)[0] + 1), db=counters)

  def read(user: int, time_: int) -> Any:
    with env.begin() as seen:
      rows = []
      cursor = seen.cursor(events)
      found = cursor.set_range(key_of.pack(user, time_)) or cursor.last()
      while found and len(rows) < _ROWS:
        owner, when = key_of.unpack(cursor.key())
        if owner == user and when < time_:
          rows.append((when, number.unpack(cursor.value())[0]))
        elif owner < user:
          break
        found = cursor.prev()
      sums = []
      cursor = seen.cursor(counters)
      for key in range(4):
        total, wanted = 0, user + key * _KEYS
        found = cursor.set_range(key_of.pack(wanted, 0))
        while found:
          owner, _ = key_of.unpack(cursor.key())
          if owner != wanted:
            break
          total += number.unpack(cursor.value())[0]
          found = cursor.next()
        sums.append((total,))
      return rows, sums

  return append, read


def store(make: Callable[[pathlib.Path], tuple[Callable, Callable]], to: str):
  """Milliseconds of a durable append and of a read."""
  with tempfile.TemporaryDirectory(dir=to or None) as directory:
    append, read = make(pathlib.Path(directory, 'store'))
    appended, reads = [], []
    for n in range(_KEYS * _ROWS):
      begin = time.perf_counter()
      append(n % _KEYS, n)
      appended.append(time.perf_counter() - begin)
    for n in range(_READS):
      begin = time.perf_counter()
      rows, sums = read(n % _KEYS, 10**9)
      reads.append(time.perf_counter() - begin)
      assert len(rows) == _ROWS and sums[0][0] == _ROWS, (len(rows), sums)
  return {
    'append_ms': 1e3 * statistics.median(appended),
    'read_ms': 1e3 * statistics.median(reads),
  }


def main(argv: list[str]) -> None:
  """Prints the tables, writes the file."""
  del argv

  def there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None

  rows = []
  for turn in range(2):
    for server in filter(there, _SERVERS):
      for framework in filter(there, _FRAMEWORKS):
        found = serve(server, framework, flags.FLAGS.seconds)
        rows.append({'of': f'{framework}, {server}', 'turn': turn, **found})
  stores = {'SQLite': of_sqlite} | ({'LMDB': of_lmdb} if there('lmdb') else {})
  kept = [
    {'of': name, 'turn': turn, **store(make, flags.FLAGS.directory)}
    for turn in range(2)
    for name, make in stores.items()
  ]
  print(machine.table(rows))
  print(machine.table(kept))
  print('load', os.getloadavg())
  machine.write(
    flags.FLAGS.output,
    {'servers': rows, 'stores': kept, 'load': os.getloadavg()},
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_string('directory', '', 'Where stores are made; TMPDIR.')
  flags.DEFINE_integer('seconds', 3, 'Of a figure.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
