"""The hidden state's equations, by hand-computed numbers."""

import math
from typing import Any

import numpy as np
import pytest

from rmtl_jax.preparation.simulator import parameters as simulated_parameters
from rmtl_jax.preparation.simulator import walk as simulated_walk
from rmtl_jax.preparation.simulator import world as simulated_world

_MINUTE = 60_000


def _world(**changes: Any) -> simulated_world.World:
  """One user and two items of two categories in one dimension."""
  parameters = simulated_parameters.Parameters(
    num_categories=2, taste_dim=1, **changes
  )
  zero, i64 = np.zeros(1), np.zeros(1, np.int64)
  users = simulated_world.Users(
    segment=i64,
    country=i64,
    age_group=i64,
    device=i64,
    born=i64,
    activity=np.ones(1),
    taste=np.array([[2.0]]),
    click=np.array([0.3]),
    conversion=np.array([-0.1]),
    wealth=zero,
  )
  items = simulated_world.Items(
    identity=np.arange(2),
    category=np.arange(2),
    brand=np.zeros(2, np.int64),
    price=np.array([10.0, 40.0]),
    born=np.array([-7 * simulated_world.DAY_MS, 0]),
    tags=np.zeros((2, simulated_world.NUM_TAGS), bool),
    popularity=np.array([0.0, 1.0, 4.0]),
    first=np.arange(3),
    centres=np.array([[1.0], [-1.0]]),
    vector=np.array([[0.5], [-1.5]]),
    click=np.array([0.2, -0.2]),
    conversion=np.array([0.1, 0.0]),
  )
  return simulated_world.World(parameters, users, items)


def _state(budget: float = 20.0) -> simulated_walk._State:
  return simulated_walk._State(
    interest=np.array([[1.0], [1.0]]),
    mood=np.array([0.4, -0.4]),
    fatigue=np.array([0.5, 1.0]),
    budget=np.array([budget, budget]),
    category=np.array([0, 0]),
  )


def _row(hour: int = 20) -> simulated_walk._Row:
  time = np.full(2, hour * simulated_walk.HOUR_MS)
  return simulated_walk._Row(
    user=np.zeros(2, np.int64),
    device=np.array([0, 1]),
    item=np.array([0, 1]),
    time=time,
  )


def test_chances_are_the_logistic_of_their_terms():
  world = _world(
    click_bias=-3.0,
    click_affinity=0.8,
    click_price=0.2,
    click_fatigue=0.5,
    click_novelty=0.5,
    click_evening=0.1,
    conversion_bias=-2.0,
    conversion_affinity=0.4,
    conversion_price=0.5,
    conversion_mood=0.5,
  )
  p_click, p_buy = simulated_walk._chances(world, _state(), _row())
  log2, age = math.log(2.0), 20 / 24 / 7
  # bias, user, item, affinity, mood, price, fatigue, novelty, evening, device
  click = [
    -3 + 0.3 + 0.2 + 0.4 + 0.4 + 0.2 * log2 - 0.25 + 0.1 + 0.2,
    -3 + 0.3 - 0.2 - 1.2 - 0.4 - 0.2 * log2 - 0.5 + 0.1 - 0.4,
  ]
  click = np.array(click) + 0.5 * np.exp([-1 - age, -age])
  buy = np.array(
    [
      -2 - 0.1 + 0.1 + 0.2 + 0.2 + 0.5 * log2 - 0.2,
      -2 - 0.1 + 0.0 - 0.6 - 0.2 - 0.5 * log2 + 0.5,
    ]
  )
  np.testing.assert_allclose(np.log(p_click / (1 - p_click)), click, rtol=1e-9)
  np.testing.assert_allclose(np.log(p_buy / (1 - p_buy)), buy, rtol=1e-9)


def test_an_empty_purse_lowers_the_chances_by_a_bounded_amount():
  world = _world(click_price=1.0)
  full, _ = simulated_walk._chances(world, _state(20.0), _row())
  empty, _ = simulated_walk._chances(world, _state(-500.0), _row())
  logit = lambda p: np.log(p / (1 - p))
  # log(10 / 20) to log(10 / 1), and log(40 / 20) to 3, the bound.
  lost = [math.log(20.0), 3.0 - math.log(2.0)]
  np.testing.assert_allclose(logit(full) - logit(empty), lost, rtol=1e-9)


def test_state_moves_with_what_happened():
  world = _world(
    interest_pull=0.25,
    interest_return=0.1,
    interest_noise=0.0,
    mood_memory=1.0,
    fatigue_rise=0.0,
    fatigue_memory=0.9,
    fatigue_relief=0.5,
  )
  new = simulated_walk._advance(
    np.random.default_rng(0),
    world,
    _state(),
    _row(),
    click=np.array([True, False]),
    conversion=np.array([True, False]),
  )
  # 1 + 0.25 (0.5 - 1) + 0.1 (2 - 1), and without the pull 1 + 0.1 (2 - 1).
  np.testing.assert_allclose(new.interest, [[0.975], [1.1]])
  np.testing.assert_allclose(new.mood, [0.4, -0.4])
  np.testing.assert_allclose(new.fatigue, [0.225, 0.9])
  np.testing.assert_allclose(new.budget, [10.0, 20.0])
  np.testing.assert_array_equal(new.category, [0, 1])


def test_fatigue_rises_twice_as_fast_within_a_category():
  world = _world(fatigue_rise=0.1, fatigue_memory=0.0, fatigue_relief=0.0)
  many = 20_000
  state = simulated_walk._State(
    *(np.repeat(part, many, axis=0) for part in _state())
  )
  row = simulated_walk._Row(*(np.repeat(part, many) for part in _row()))
  none = np.zeros(2 * many, bool)
  rng = np.random.default_rng(0)
  new = simulated_walk._advance(rng, world, state, row, none, none)
  assert new.fatigue[:many].mean() == pytest.approx(0.2, abs=0.005)
  assert new.fatigue[many:].mean() == pytest.approx(0.1, abs=0.0025)
  assert new.fatigue.min() >= 0


def test_mood_keeps_its_spread():
  world = _world(mood_scale=0.6, mood_memory=0.8)
  many = 20_000
  rng = np.random.default_rng(0)
  state = simulated_walk._State(
    *(np.repeat(part, many // 2, axis=0) for part in _state())
  )
  state = state._replace(mood=0.6 * simulated_world.normal(rng, many))
  row = simulated_walk._Row(*(np.repeat(part, many // 2) for part in _row()))
  none = np.zeros(many, bool)
  new = simulated_walk._advance(rng, world, state, row, none, none)
  assert new.mood.std() == pytest.approx(0.6, abs=0.015)
  kept = np.corrcoef(state.mood, new.mood)[0, 1]
  assert kept == pytest.approx(0.8, abs=0.02)


def test_items_are_shown_by_popularity_or_interest():
  many = 40_000
  state = simulated_walk._State(
    interest=np.ones((many, 1)),
    mood=np.zeros(many),
    fatigue=np.zeros(many),
    budget=np.zeros(many),
    category=np.zeros(many, np.int64),
  )
  time = np.zeros(many, np.int64)
  rng = np.random.default_rng(0)
  popular = _world(browse_share=1.0)
  shown = simulated_walk._show(rng, popular, state, time)
  assert shown.mean() == pytest.approx(0.75, abs=0.01)
  # Interest 1 prefers centre 1 to centre -1 by exp(1) to exp(-1).
  wished = _world(browse_share=0.0, focus=1.0)
  shown = simulated_walk._show(rng, wished, state, time)
  assert shown.mean() == pytest.approx(1 / (1 + math.exp(2)), abs=0.01)


def test_items_are_not_shown_before_they_appear():
  world = _world(browse_share=1.0)
  items = world.items._replace(
    category=np.zeros(2, np.int64), first=np.array([0, 2, 2])
  )
  world = world._replace(items=items)
  state = simulated_walk._State(*(part[:1] for part in _state()))
  state = simulated_walk._State(
    *(np.repeat(part, 1_000, axis=0) for part in state)
  )
  time = np.full(1_000, -1)
  shown = simulated_walk._show(np.random.default_rng(0), world, state, time)
  assert (shown == 0).all()


def test_sessions_of_a_user_are_put_apart():
  user = np.array([1, 0, 1, 0, 1])
  wanted = np.array([0, 10, 1, 200, 100]) * _MINUTE
  duration = np.array([5, 20, 30, 7, 1]) * _MINUTE
  start = simulated_walk._keep_apart(user, wanted, duration)
  # User 0: both fit. User 1: 0 to 5, then 50 to 80, then not before 125.
  assert (start // _MINUTE).tolist() == [0, 10, 50, 200, 125]


def test_sessions_longest_first_fill_the_rows():
  rng = np.random.default_rng(0)
  parameters = simulated_parameters.Parameters()
  world = simulated_world.make_world(rng, 5_000, parameters)
  sessions = simulated_walk.make_sessions(rng, 5_000, world)
  assert (np.diff(sessions.length) <= 0).all()
  ends = sessions.first_row + sessions.length
  np.testing.assert_array_equal(sessions.first_row[1:], ends[:-1])
  assert len(sessions.timestamp) == ends[-1] >= 5_000
  np.testing.assert_array_equal(
    sessions.timestamp[sessions.first_row], sessions.start
  )
