"""Walks all simulated sessions at once, row by row, with their hidden state.

A session carries an interest (a point of the taste space), a mood, a fatigue
and a budget. They decide what is shown and the chances of its labels, and they
move with what happened. Row t of every session is one vectorised step, so the
true probabilities are exact.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rmtl_jax.simulator import parameters as parameters_lib
from rmtl_jax.simulator import world as world_lib

HOUR_MS = 3_600_000
# Sessions of a user lie further apart, and rows of a session lie closer, than
# the half hour that cuts sessions where a log has no session ids.
SESSION_GAP_MS = 45 * 60_000
_ROW_GAP_MS = (1_000, 600_000)


class Sessions(NamedTuple):
  """Sessions, [S] each, longest first; their rows lie session by session.

  Attributes:
    length: i64[S], rows.
    first_row: i64[S], where the session's rows start.
    user: i64[S].
    device: i64[S], of world_lib.DEVICES.
    start: i64[S], ms since the log's start.
    timestamp: i64[R], ms since the log's start, of each row.
  """

  length: np.ndarray
  first_row: np.ndarray
  user: np.ndarray
  device: np.ndarray
  start: np.ndarray
  timestamp: np.ndarray


class _Row(NamedTuple):
  """One row of n sessions: who sees what, on what and when, i64[n] each."""

  user: np.ndarray
  device: np.ndarray
  item: np.ndarray
  time: np.ndarray


class Log(NamedTuple):
  """Shown items and their labels, [R] each.

  Attributes:
    item: i64[R], index of an item.
    click: bool[R].
    conversion: bool[R].
    p_click: f64[R], P(click | all of the past and the hidden state).
    p_conversion: f64[R], likewise P(click and conversion | ...).
  """

  item: np.ndarray
  click: np.ndarray
  conversion: np.ndarray
  p_click: np.ndarray
  p_conversion: np.ndarray


class _State(NamedTuple):
  """The hidden state of n sessions just before a row.

  Attributes:
    interest: f64[n, D].
    mood: f64[n], a logit.
    fatigue: f64[n], >= 0.
    budget: f64[n], money left.
    category: i64[n], last one shown, -1 before the first row.
  """

  interest: np.ndarray
  mood: np.ndarray
  fatigue: np.ndarray
  budget: np.ndarray
  category: np.ndarray


def make_sessions(
  rng: np.random.Generator, rows: int, world: world_lib.World
) -> Sessions:
  """Draws whole sessions until there are at least `rows` rows."""
  parameters, users = world.parameters, world.users
  length = _lengths(rng, rows, parameters)
  first_row = np.cumsum(length) - length
  count, total = len(length), int(length.sum())
  user = world_lib.pick(rng, users.activity, count)
  other = world_lib.pick(rng, np.cumsum(np.ones(len(world_lib.DEVICES))), count)
  device = np.where(rng.random(count) < 0.8, users.device[user], other)

  mean_ms = 1_000 * parameters.gap_seconds
  gap = np.clip(-mean_ms * np.log1p(-rng.random(total)), *_ROW_GAP_MS)
  elapsed = np.cumsum(gap.astype(np.int64))
  elapsed -= np.repeat(elapsed[first_row], length)
  duration = elapsed[first_row + length - 1]

  born = np.maximum(users.born[user], 0)
  span = parameters.days * world_lib.DAY_MS
  day = (born + rng.random(count) * (span - born)) // world_lib.DAY_MS
  hours = np.arange(24)
  profile = np.cumsum(1 + 0.8 * np.cos(2 * np.pi * (hours - 20) / 24))
  hour = world_lib.pick(rng, profile, count) + rng.random(count)
  drawn_start = (day * world_lib.DAY_MS + hour * HOUR_MS).astype(np.int64)
  start = _keep_apart(user, drawn_start, duration)
  timestamp = np.repeat(start, length) + elapsed
  return Sessions(length, first_row, user, device, start, timestamp)


def walk(
  rng: np.random.Generator, world: world_lib.World, sessions: Sessions
) -> Log:
  """Shows an item in every row and draws its labels."""
  rows = int(sessions.length.sum())
  log = Log(
    item=np.empty(rows, np.int64),
    click=np.empty(rows, bool),
    conversion=np.empty(rows, bool),
    p_click=np.empty(rows),
    p_conversion=np.empty(rows),
  )
  steps = np.arange(sessions.length[0])
  # Longest first: the sessions that reach a row are the first n.
  reaching = np.searchsorted(-sessions.length, -steps, side='left')
  state = _begin(rng, world, sessions)
  for step, n in zip(steps.tolist(), reaching.tolist(), strict=True):
    at = sessions.first_row[:n] + step
    state = _State(*(part[:n] for part in state))
    time = sessions.timestamp[at]
    item = _show(rng, world, state, time)
    row = _Row(sessions.user[:n], sessions.device[:n], item, time)
    p_click, p_buy = _chances(world, state, row)
    click = rng.random(n) < p_click
    conversion = (rng.random(n) < p_buy) & click
    log.item[at] = item
    log.click[at] = click
    log.conversion[at] = conversion
    log.p_click[at] = p_click
    log.p_conversion[at] = p_click * p_buy
    state = _advance(rng, world, state, row, click, conversion)
  return log


def _lengths(
  rng: np.random.Generator, rows: int, parameters: parameters_lib.Parameters
) -> np.ndarray:
  """Session lengths i64[S], longest first, that sum to `rows` or a bit more."""
  drawn: list[np.ndarray] = []
  total = 0
  while total < rows:
    size = max(16, rows // 8)
    spread = np.exp(parameters.length_sigma * world_lib.normal(rng, size))
    block = np.ceil(parameters.length_median * spread)
    block = np.minimum(block, parameters.length_max).astype(np.int64)
    drawn.append(block)
    total += int(block.sum())
  length = np.concatenate(drawn)
  enough = int(np.searchsorted(np.cumsum(length), rows)) + 1
  return np.sort(length[:enough])[::-1]


def _keep_apart(
  user: np.ndarray, drawn_start: np.ndarray, duration: np.ndarray
) -> np.ndarray:
  """Delays starts i64[S] so that a user's sessions keep SESSION_GAP_MS apart.

  start_j = max over a user's sessions i <= j of wanted_i + the durations from
  i to j: with those summed from the user's first session on, a running
  maximum. Users are kept apart by an offset that grows with the user.
  """
  order = np.lexsort((drawn_start, user))
  taken = (duration + SESSION_GAP_MS)[order]
  before = np.cumsum(taken) - taken
  is_first = np.diff(user[order], prepend=-1) != 0
  before -= np.maximum.accumulate(np.where(is_first, before, 0))
  slack = drawn_start[order] - before
  offset = np.cumsum(is_first) * (int(slack.max()) - int(slack.min()) + 1)
  start = np.empty_like(drawn_start)
  start[order] = np.maximum.accumulate(slack + offset) - offset + before
  return start


def _begin(
  rng: np.random.Generator, world: world_lib.World, sessions: Sessions
) -> _State:
  """The state before the first rows: the user's traits and the intent."""
  p, users, items = world
  count = len(sessions.length)
  wish = world_lib.pick(rng, np.cumsum(np.ones(p.num_categories)), count)
  taste = users.taste[sessions.user]
  intent = items.centres[wish]
  spread = np.exp(p.budget_spread * world_lib.normal(rng, count))
  return _State(
    interest=math.sqrt(1 - p.intent_share) * taste
    + math.sqrt(p.intent_share) * intent,
    mood=p.mood_scale * world_lib.normal(rng, count),
    fatigue=np.zeros(count),
    budget=np.exp(users.wealth[sessions.user]) * spread,
    category=np.full(count, -1),
  )


def _show(
  rng: np.random.Generator,
  world: world_lib.World,
  state: _State,
  time: np.ndarray,
) -> np.ndarray:
  """Items i64[n]: by popularity, of all or of a category of interest."""
  p, _, items = world
  scale = p.focus / math.sqrt(p.taste_dim)
  score = np.exp(scale * (state.interest @ items.centres.T))
  # The first of exponential clocks of these rates rings with their odds.
  clock = -np.log1p(-rng.random(score.shape)) / score
  wish = np.argmin(clock, axis=1)
  browse = rng.random(len(time)) < p.browse_share
  low = np.where(browse, 0.0, items.popularity[items.first[wish]])
  high = np.where(
    browse, items.popularity[-1], items.popularity[items.first[wish + 1]]
  )

  def draw() -> np.ndarray:
    point = low + rng.random(len(time)) * (high - low)
    index = np.searchsorted(items.popularity, point, side='right') - 1
    return np.minimum(index, len(items.born) - 1)

  item = draw()
  for _ in range(3):  # most of those that have not appeared yet find another
    item = np.where(items.born[item] > time, draw(), item)
  old = items.first[items.category[item]]
  return np.where(items.born[item] > time, old, item)


def _chances(
  world: world_lib.World, state: _State, row: _Row
) -> tuple[np.ndarray, np.ndarray]:
  """P(click) and P(conversion | click), f64[n] each."""
  p, users, items = world
  user, device, item, time = row
  affinity = np.einsum('nd,nd->n', state.interest, items.vector[item])
  affinity /= math.sqrt(p.taste_dim)
  # Log of the price over the budget, bounded: an empty purse is no abyss.
  dear = np.log(items.price[item]) - np.log(np.maximum(state.budget, 1.0))
  dear = np.clip(dear, -3.0, 3.0)
  age_days = (time - items.born[item]) / world_lib.DAY_MS
  hour = (time // HOUR_MS) % 24
  click = (
    p.click_bias
    + users.click[user]
    + items.click[item]
    + p.click_affinity * affinity
    + state.mood
    - p.click_price * dear
    - p.click_fatigue * state.fatigue
    + p.click_novelty * np.exp(-age_days / 7)
    + p.click_evening * np.cos(2 * np.pi * (hour - 20) / 24)
    + world_lib.DEVICE_CLICK[device]
  )
  conversion = (
    p.conversion_bias
    + users.conversion[user]
    + items.conversion[item]
    + p.conversion_affinity * affinity
    + p.conversion_mood * state.mood
    - p.conversion_price * dear
    + world_lib.DEVICE_CONVERSION[device]
  )
  return 1 / (1 + np.exp(-click)), 1 / (1 + np.exp(-conversion))


def _advance(
  rng: np.random.Generator,
  world: world_lib.World,
  state: _State,
  row: _Row,
  click: np.ndarray,
  conversion: np.ndarray,
) -> _State:
  """The state after a row."""
  p, users, items = world
  user, item = row.user, row.item
  interest, n = state.interest, len(user)
  pull = np.where(click, p.interest_pull, 0.0)[:, None]
  new_interest = (
    interest
    + pull * (items.vector[item] - interest)
    + p.interest_return * (users.taste[user] - interest)
    + p.interest_noise * world_lib.normal(rng, *interest.shape)
  )
  fresh = p.mood_scale * math.sqrt(1 - p.mood_memory**2)
  new_mood = p.mood_memory * state.mood + fresh * world_lib.normal(rng, n)
  category = items.category[item]
  rise = p.fatigue_rise * np.where(category == state.category, 2.0, 1.0)
  rise *= 2.0 * rng.random(n)
  kept = np.where(click, 1 - p.fatigue_relief, 1.0)
  return _State(
    interest=new_interest,
    mood=new_mood,
    fatigue=kept * (p.fatigue_memory * state.fatigue + rise),
    budget=state.budget - np.where(conversion, items.price[item], 0.0),
    category=category,
  )
