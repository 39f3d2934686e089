"""A shop's traffic against the server's state: is a request as quick later?

    python -m benchmarks.traffic --output=benchmarks/results/traffic.json

Trains a small model with all as-of features for one epoch on a simulated log.
Then 20,000 users ask for 50 candidates each, drawn from 20,000 items by Zipf's
law, and the first ten are reported as shown: 5 requests a second by the rows'
own times, however long the machine takes. After that one item is shown 30,000
times, one session gets 4,000 and one 16,000 rows without a rest, and one user
32,000 rows of one item. Every figure is of one process without HTTP:
milliseconds of wall time and of CPU time a request, and CPU time as a multiple
of that of one row of a new user.
"""

from __future__ import annotations

import functools
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags

import rmtl_jax
from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import run
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.config import values as config_values
from rmtl_jax.preparation import prepare
from rmtl_jax.preparation.simulator import log as simulated
from rmtl_jax.runtime import progress
from rmtl_jax.server import models, scoring
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import notes

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
  'session_encoder': 'mean',
}
_RATE, _CANDIDATES, _SHOWN, _NAMES = 5, 50, 10, 20_000


def train(log: pa.Table, place: pathlib.Path) -> Any:
  """A small model of a log."""
  (place / 'schema.json').write_text(json.dumps(_SCHEMA))
  pq.write_table(log, place / 'log.parquet')
  prepare.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(place / 'log.parquet'),
      schema=str(place / 'schema.json'),
      data_dir=str(place / 'data'),
      as_of=('all',),
    )
  )
  settings = {'network': _NETWORK, 'pretrain': {'max_epochs': 1}}
  config = config_values.from_dict(settings, config_lib.Config())
  quiet = progress.Progress(quiet=True)
  stages = ('pretrain',)
  run.train(config, place / 'run', place / 'data', stages=stages, live=quiet)
  return rmtl_jax.load(place / 'run', warm_up=64)


class Shop:
  """A model, its state, and rows of any user, item and time."""

  def __init__(self, scorer: Any, state: str, log: pa.Table):
    """Opens an empty state, at the time at which the log ends."""
    self._served = models.Served(scorer, '', '', (), 0.0, most=64)
    self._pattern = log.slice(0, 1)
    self.keeper = keeper_lib.Keeper(scorer, state)
    self.keeper.take_up(scorer)
    self.now = int(log['timestamp'][-1].as_py())

  def rows(self, **columns: Any) -> pa.Table:
    """Rows of given values in some columns."""
    size = max(len(values) for values in columns.values())
    table = pa.concat_tables([self._pattern] * size).combine_chunks()
    for name, values in columns.items():
      at = table.schema.get_field_index(name)
      kind = table.schema.field(name).type
      table = table.set_column(at, name, pa.array(values).cast(kind))
    return table

  def rows_of(self, who: int, items: Any, times: Any) -> pa.Table:
    """Rows of one session and user."""
    keys = [who] * len(items)
    return self.rows(
      user_id=keys, session_id=keys, item_id=items, timestamp=times
    )

  def predict(self, rows: pa.Table) -> None:
    """One request."""
    (found,) = scoring.score(self._served, self.keeper, [rows], notes.Notes())
    assert isinstance(found, scoring.Answer), found

  def show(self, rows: pa.Table) -> None:
    """One post of events."""
    (found,) = self.keeper.append(self._served.scorer, [rows])
    assert isinstance(found, dict), found

  def fill(self, rows: pa.Table) -> None:
    """Posts of many events."""
    for start in range(0, len(rows), 2000):
      self.show(rows.slice(start, 2000))


def figures(what: str, calls: Sequence[Callable[[], None]]) -> dict[str, Any]:
  """Milliseconds of calls: wall p50 and p99, and the median of CPU time."""
  wall, cpu = [], []
  for call in calls:
    begun, used = time.perf_counter(), time.process_time()
    call()
    wall.append(1e3 * (time.perf_counter() - begun))
    cpu.append(1e3 * (time.process_time() - used))
  p50, p99 = np.percentile(wall, [50, 99])
  found = {'what': what, 'p50_ms': p50, 'p99_ms': p99, 'cpu_ms': np.median(cpu)}
  print(machine.table([found]).splitlines()[1], flush=True)
  return found


def traffic(shop: Shop, minutes: float) -> list[dict[str, Any]]:
  """Figures of the first and of the last hundred requests."""
  rng = np.random.default_rng(0)
  shares = np.cumsum(1 / np.arange(1, _NAMES + 1))
  items, found = rng.permutation(_NAMES), []

  def next_rows() -> pa.Table:
    shop.now += 1000 // _RATE
    drawn = np.searchsorted(shares / shares[-1], rng.random(_CANDIDATES))
    who = 10**6 + int(rng.integers(0, _NAMES))
    return shop.rows_of(who, items[drawn], [shop.now] * _CANDIDATES)

  def measured(name: str) -> None:
    asked = [next_rows() for _ in range(100)]
    shown = [rows.slice(0, _SHOWN) for rows in asked]
    calls = [functools.partial(shop.predict, rows) for rows in asked]
    found.append(figures(f'{_CANDIDATES} candidates, {name}', calls))
    calls = [functools.partial(shop.show, rows) for rows in shown]
    found.append(figures(f'{_SHOWN} events, {name}', calls))

  for _ in range(20):
    rows = next_rows()
    shop.predict(rows)
    shop.show(rows.slice(0, _SHOWN))
  measured('at the start')
  for _ in range(round(60 * minutes * _RATE) - 220):
    shop.show(next_rows().slice(0, _SHOWN))
  measured(f'after {minutes:g} minutes')
  return found


def heavy(shop: Shop) -> list[dict[str, Any]]:
  """Figures of one row each, of what is popular, long or old."""
  now, hot = shop.now, 10**7
  span = lambda count, ms: now + np.arange(count) * ms // count
  many = np.arange(30_000)
  shop.fill(
    shop.rows(
      user_id=2 * 10**6 + many // 10,
      session_id=2 * 10**6 + many // 10,
      item_id=np.full(30_000, hot),
      timestamp=span(30_000, 600_000),
    )
  )
  for who, count in ((4000, 4000), (16_000, 16_000)):
    items = np.arange(count) % 500
    shop.fill(shop.rows_of(who, items, span(count, 600_000)))
  shop.fill(shop.rows_of(32_000, np.full(32_000, 7), span(32_000, 600_000)))
  at = [now + 600_001]
  asked = {
    'a new user': shop.rows_of(77, [3], at),
    'an item shown 30,000 times': shop.rows_of(77, [hot], at),
    'a session of 4,000 rows': shop.rows_of(4000, [3], at),
    'a session of 16,000 rows': shop.rows_of(16_000, [3], at),
    'a user of 32,000 rows of the item': shop.rows(
      user_id=[32_000], session_id=[78], item_id=[7], timestamp=at
    ),
    'a new user ten days later': shop.rows_of(77, [3], [at[0] + 864_000_000]),
  }
  found = []
  for what, rows in asked.items():
    shop.predict(rows)
    found.append(figures(what, [functools.partial(shop.predict, rows)] * 30))
    found[-1]['ratio'] = found[-1]['cpu_ms'] / found[0]['cpu_ms']
  return found


def main(argv: list[str]) -> None:
  """Prints the tables, writes the file."""
  del argv
  log = simulated.simulate(4000, seed=0).sort_by('timestamp')
  log = log.drop_columns(['p_click', 'p_conversion'])
  with tempfile.TemporaryDirectory() as directory:
    place = pathlib.Path(directory)
    shop = Shop(train(log, place), str(place / 'state'), log)
    of_traffic = traffic(shop, flags.FLAGS.minutes)
    of_heavy = heavy(shop)
    kept = sum(f.stat().st_size for f in (place / 'state').iterdir())
    size = kept / shop.keeper.size()
  print(machine.table(of_traffic), machine.table(of_heavy), sep='\n\n')
  print(f'{size:.0f} bytes a row')
  record = {'traffic': of_traffic, 'heavy': of_heavy, 'bytes_per_row': size}
  machine.write(flags.FLAGS.output, record)


if __name__ == '__main__':
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_float('minutes', 10.0, 'Of traffic.')
  app.run(main)
