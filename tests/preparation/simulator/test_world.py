"""The draws that make the simulated users and items."""

import numpy as np
import pytest

from rmtl_jax.preparation.simulator import parameters as simulated_parameters
from rmtl_jax.preparation.simulator import world as simulated_world


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


@pytest.fixture
def world(rng: np.random.Generator) -> simulated_world.World:
  parameters = simulated_parameters.Parameters()
  return simulated_world.make_world(rng, 400_000, parameters)


def test_normal_is_standard_normal(rng: np.random.Generator):
  drawn = simulated_world.normal(rng, 50_000, 2)
  assert drawn.shape == (50_000, 2)
  assert drawn.mean() == pytest.approx(0.0, abs=0.015)
  assert drawn.std() == pytest.approx(1.0, abs=0.01)
  assert (np.abs(drawn) < 1.96).mean() == pytest.approx(0.95, abs=0.005)


def test_pick_follows_the_weights(rng: np.random.Generator):
  cumulative = np.cumsum([1.0, 0.0, 3.0])
  share = np.bincount(simulated_world.pick(rng, cumulative, 40_000)) / 40_000
  np.testing.assert_allclose(share, [0.25, 0.0, 0.75], atol=0.01)


def test_zipf_is_a_power_of_the_rank():
  np.testing.assert_allclose(
    simulated_world.zipf(4, 2.0), [1, 1 / 4, 1 / 9, 1 / 16]
  )


def test_permutation_holds_every_number_once(rng: np.random.Generator):
  order = simulated_world.permutation(rng, 100)
  assert sorted(order.tolist()) == list(range(100))
  assert order.tolist() != list(range(100))


def test_numbers_follow_from_the_rows(world: simulated_world.World):
  assert len(world.users.segment) == 8_000
  assert len(world.items.price) == 10_000


def test_some_users_and_items_appear_late(world: simulated_world.World):
  for born in (world.users.born, world.items.born):
    assert (born >= 0).mean() == pytest.approx(0.3, abs=0.03)
    assert born.max() < 28 * simulated_world.DAY_MS


def test_items_lie_by_category_behind_an_old_one(world: simulated_world.World):
  items = world.items
  assert (np.diff(items.category) >= 0).all()
  assert items.category[items.first[:-1]].tolist() == list(range(24))
  assert items.first[-1] == 10_000
  assert (items.born[items.first[:-1]] < 0).all()
  assert sorted(items.identity.tolist()) == list(range(10_000))


@pytest.mark.parametrize('side', ['users', 'items'])
def test_groups_explain_their_share_of_the_taste(
  world: simulated_world.World, side: str
):
  if side == 'users':
    vector, group = world.users.taste, world.users.segment
  else:
    vector, group = world.items.vector, world.items.category
  within = np.zeros_like(vector)
  for g in np.unique(group):
    within[group == g] = vector[group == g] - vector[group == g].mean(axis=0)
  # field_share is 0.85: what the group leaves open has a variance of 0.15.
  assert within.var() == pytest.approx(0.15, abs=0.005)


def test_what_is_seen_is_centred(world: simulated_world.World):
  users, items = world.users, world.items
  activity = np.diff(users.activity, prepend=0.0)
  popularity = np.diff(items.popularity)
  for drawn, weight in (
    (users.click, activity),
    (users.conversion, activity),
    (users.taste, activity),
    (items.click, popularity),
    (items.conversion, popularity),
    (items.vector, popularity),
  ):
    mean = weight @ drawn / weight.sum()
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)


def test_traits_have_their_scale(world: simulated_world.World):
  for trait, scale in (
    (world.users.click, 0.4),
    (world.users.conversion, 0.4),
    (world.items.click, 0.5),
    (world.items.conversion, 0.4),
  ):
    # The few segments and countries leave the deviation some play.
    assert trait.std() == pytest.approx(scale, rel=0.35)


def test_prices_are_positive_with_two_decimals(world: simulated_world.World):
  price = world.items.price
  assert price.min() > 0
  np.testing.assert_array_equal(price, np.round(price, 2))
