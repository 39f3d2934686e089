"""Simulated sessions: a log whose true label probabilities are known.

Users with tastes meet items by category and popularity, session by session;
a hidden state (interest, mood, fatigue, budget) moves along every session. The
features of a model reveal part of the traits, and the session so far reveals
part of the hidden state; `p_click` and `p_conversion` are computed from all of
it, so metrics of these (the oracle's) bound those of any model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.simulator import parameters as parameters_lib
from rmtl_jax.simulator import walk as walk_lib
from rmtl_jax.simulator import world as world_lib

DEFAULT = parameters_lib.Parameters()

CATEGORICAL = (
  'user_id',
  'user_segment',
  'country',
  'age_group',
  'device',
  'item_id',
  'item_category',
  'brand',
  'hour',
  'weekday',
)
MULTI_VALUED = ('item_tags',)
NUMERIC = ('price', 'item_age', 'user_age')

# 2024-01-01T00:00:00Z, a Monday.
_EPOCH_MS = 1_704_067_200_000
_DIGEST_ROWS = 2_000


def simulate(rows: int, seed: int) -> pa.Table:
  """Simulates a log of whole sessions.

  Args:
    rows: impressions wanted; the last session is kept whole, so there can be
      up to `DEFAULT.length_max - 1` more.
    seed: of everything that is drawn.

  Returns:
    The log, ordered by session start, then session, then time. Columns:
    session_id, user_id, item_id int64; timestamp int64 (ms, UTC, increasing
    within a session); the rest of CATEGORICAL (int64 or string);
    item_tags list<int64>; price, item_age and user_age (days since first
    seen) float64; click and conversion int8, conversion implies click;
    p_click and p_conversion float64, P(click) and P(click and conversion)
    given all that is known just before the row, hidden state included.

  Raises:
    types.InputError: rows or seed out of range.
  """
  if rows < 1:
    raise types.InputError(f'simulated rows: {rows!r} is not at least 1')
  if seed < 0:
    raise types.InputError(f'simulated seed: {seed!r} is below 0')
  rng = np.random.Generator(np.random.PCG64(seed))
  world = world_lib.make_world(rng, rows, DEFAULT)
  sessions = walk_lib.make_sessions(rng, rows, world)
  log = walk_lib.walk(rng, world, sessions)
  return _table(world, sessions, log)


def parameters_digest() -> str:
  """SHA-256 of the default parameters and of a sample of their log.

  Floating-point columns of the sample are rounded to six decimals, so that
  platforms may differ in the last bits. A change of the simulator that changes
  its data changes the digest: figures before and after are not comparable.
  """
  sample = simulate(_DIGEST_ROWS, seed=0).to_pydict()
  for values in sample.values():
    if isinstance(values[0], float):
      values[:] = [round(v, 6) for v in values]
  record = {
    'parameters': dataclasses.asdict(DEFAULT),
    'sample': sample,
  }
  text = json.dumps(record, sort_keys=True, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def _table(
  world: world_lib.World, sessions: walk_lib.Sessions, log: walk_lib.Log
) -> pa.Table:
  """The log's columns, rows ordered by session start."""
  _, users, items = world
  by_start = np.argsort(sessions.start, kind='stable')
  length = sessions.length[by_start]
  step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
  row = np.repeat(sessions.first_row[by_start], length) + step
  session = np.repeat(by_start, length)

  user = sessions.user[session]
  item = log.item[row]
  time = sessions.timestamp[row]
  day_ms, hour_ms = world_lib.DAY_MS, walk_lib.HOUR_MS
  item_age = np.round((time - items.born[item]) / day_ms, 3)
  user_age = np.round((time - users.born[user]) / day_ms, 3)
  return pa.table(
    {
      'session_id': np.repeat(np.arange(len(length)), length),
      'user_id': user,
      'item_id': items.identity[item],
      'timestamp': time + _EPOCH_MS,
      'user_segment': users.segment[user],
      'country': _named(world_lib.COUNTRIES, users.country[user]),
      'age_group': _named(world_lib.AGE_GROUPS, users.age_group[user]),
      'device': _named(world_lib.DEVICES, sessions.device[session]),
      'item_category': items.category[item],
      'brand': items.brand[item],
      'hour': (time // hour_ms) % 24,
      'weekday': (time // day_ms) % 7,
      'item_tags': _tag_lists(items.tags).take(pa.array(item)),
      'price': items.price[item],
      'item_age': item_age,
      # A new user's first session may be put before the drawn hour of birth.
      'user_age': np.maximum(user_age, 0.0),
      'click': log.click[row].astype(np.int8),
      'conversion': log.conversion[row].astype(np.int8),
      'p_click': log.p_click[row],
      'p_conversion': log.p_conversion[row],
    }
  )


def _named(names: tuple[str, ...], index: np.ndarray) -> pa.Array:
  return pa.array(names).take(pa.array(index))


def _tag_lists(tags: np.ndarray) -> pa.ListArray:
  """One list of tag numbers per item, from bool[I, NUM_TAGS]."""
  offsets = np.concatenate([[0], np.cumsum(tags.sum(axis=1))])
  return pa.ListArray.from_arrays(
    pa.array(offsets, pa.int32()), pa.array(np.nonzero(tags)[1])
  )
