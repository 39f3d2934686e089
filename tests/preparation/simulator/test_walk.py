"""The hidden state's equations, by hand-computed numbers."""

import math
from typing import Any

import numpy as np

from rmtl_jax.preparation.simulator import parameters as simulated_parameters
from rmtl_jax.preparation.simulator import walk as simulated_walk
from rmtl_jax.preparation.simulator import world as simulated_world


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
