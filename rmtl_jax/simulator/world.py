"""Draws the users and items of a simulated log.

Users and items lie in a taste space: a user's taste and an item's vector have
components of unit variance, and their affinity is the scaled dot product. The
features of a model (segment, category, tags, ...) reveal part of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rmtl_jax.simulator import parameters as parameters_lib

DAY_MS = 86_400_000
DEVICES = ('mobile', 'desktop', 'tablet')
AGE_GROUPS = ('18-24', '25-34', '35-44', '45-54', '55+')
COUNTRIES = (
  *('US', 'BR', 'DE', 'IN', 'JP', 'FR', 'GB', 'MX', 'ES', 'IT', 'PL', 'NL'),
  *('SE', 'TR', 'KR', 'AU', 'CA', 'AR', 'CL', 'PT'),
)
NUM_TAGS = 40

# The logit that a device adds, and how users' main devices are spread.
DEVICE_CLICK = np.array([0.2, -0.4, 0.0])
DEVICE_CONVERSION = np.array([-0.2, 0.5, 0.0])
_DEVICE_SHARE = np.array([0.6, 0.3, 0.1])


class Users(NamedTuple):
  """Users, [U] each; the last traits are hidden from models.

  Attributes:
    segment: i64[U].
    country: i64[U], of COUNTRIES.
    age_group: i64[U], of AGE_GROUPS.
    device: i64[U], of DEVICES, the main one.
    born: i64[U], ms since the log's start, negative for old users.
    activity: f64[U], cumulative weights of being a session's user.
    taste: f64[U, D].
    click: f64[U], logit.
    conversion: f64[U], logit.
    wealth: f64[U], logarithm of a typical budget.
  """

  segment: np.ndarray
  country: np.ndarray
  age_group: np.ndarray
  device: np.ndarray
  born: np.ndarray
  activity: np.ndarray
  taste: np.ndarray
  click: np.ndarray
  conversion: np.ndarray
  wealth: np.ndarray


class Items(NamedTuple):
  """Items, [I] each and ordered by category.

  Attributes:
    identity: i64[I], the id in the log (a permutation, so that an id tells
      neither category nor popularity).
    category: i64[I].
    brand: i64[I].
    price: f64[I], two decimals.
    born: i64[I], ms since the log's start, negative for old items.
    tags: bool[I, NUM_TAGS].
    popularity: f64[I + 1], cumulative from 0, weights of being shown.
    first: i64[C + 1], the first item of each category, which is old.
    centres: f64[C, D], what the categories' vectors scatter around, before
      they are centred.
    vector: f64[I, D].
    click: f64[I], logit.
    conversion: f64[I], logit.
  """

  identity: np.ndarray
  category: np.ndarray
  brand: np.ndarray
  price: np.ndarray
  born: np.ndarray
  tags: np.ndarray
  popularity: np.ndarray
  first: np.ndarray
  centres: np.ndarray
  vector: np.ndarray
  click: np.ndarray
  conversion: np.ndarray


class World(NamedTuple):
  """The state of the world before the first session.

  Attributes:
    parameters: of the simulation.
    users: all users.
    items: all items.
  """

  parameters: parameters_lib.Parameters
  users: Users
  items: Items


def make_world(
  rng: np.random.Generator, rows: int, parameters: parameters_lib.Parameters
) -> World:
  """Draws the world of a log of `rows` rows."""
  users = _make_users(rng, rows, parameters)
  items = _make_items(rng, rows, parameters)
  return World(parameters, users, items)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
  """Standard normal draws, f64[shape], by Box and Muller's formula.

  The simulator draws from `rng.random` alone: numpy guarantees its values for a
  bit stream, but may change those of other distributions (NEP 19).
  """
  radius = np.sqrt(-2 * np.log1p(-rng.random(shape)))
  return radius * np.cos(2 * np.pi * rng.random(shape))


def pick(
  rng: np.random.Generator, cumulative: np.ndarray, count: int
) -> np.ndarray:
  """Draws indices i64[count] by weights with these cumulative sums."""
  drawn = rng.random(count) * cumulative[-1]
  index = np.searchsorted(cumulative, drawn, side='right')
  return np.minimum(index, len(cumulative) - 1)


def zipf(count: int, exponent: float) -> np.ndarray:
  """Weights f64[count] of ranks 1, 2, ...: rank to the power -exponent."""
  return np.arange(1, count + 1, dtype=np.float64) ** -exponent


def permutation(rng: np.random.Generator, count: int) -> np.ndarray:
  """A random order of 0 .. count - 1, i64[count]."""
  return np.argsort(rng.random(count), kind='stable')


def _make_users(
  rng: np.random.Generator, rows: int, parameters: parameters_lib.Parameters
) -> Users:
  """Draws the users of a log of `rows` rows."""
  p = parameters
  count = max(1, round(rows / p.rows_per_user))
  segment = pick(rng, np.cumsum(zipf(p.num_segments, 0.5)), count)
  country = pick(rng, np.cumsum(zipf(len(COUNTRIES), 1.0)), count)
  age_group = pick(rng, np.cumsum(np.ones(len(AGE_GROUPS))), count)
  born = _births(rng, count, p)
  alive = 1 - np.maximum(born, 0) / (p.days * DAY_MS)
  weight = alive * np.exp(normal(rng, count))
  wealth = 3.5 + 0.15 * age_group + 0.4 * normal(rng, p.num_segments)[segment]
  centres = normal(rng, p.num_segments, p.taste_dim)
  return Users(
    segment=segment,
    country=country,
    age_group=age_group,
    device=pick(rng, np.cumsum(_DEVICE_SHARE), count),
    born=born,
    activity=np.cumsum(weight),
    taste=_mixture(rng, centres, segment, weight, p.field_share),
    click=p.click_user * _trait(rng, segment, country, weight),
    conversion=p.conversion_user * _trait(rng, segment, country, weight),
    wealth=wealth + 0.4 * normal(rng, count),
  )


def _make_items(
  rng: np.random.Generator, rows: int, parameters: parameters_lib.Parameters
) -> Items:
  """Draws the items of a log of `rows` rows."""
  p = parameters
  kinds = p.num_categories
  count = max(2 * kinds, round(rows / p.rows_per_item))
  # One old item per category comes first: it stands in where the drawn items
  # have not appeared yet.
  category = pick(rng, np.cumsum(zipf(kinds, 0.5)), count)
  category[:kinds] = np.arange(kinds)
  order = np.argsort(category, kind='stable')
  born = _births(rng, count, p)
  born[:kinds] = -DAY_MS
  category, born = category[order], born[order]
  weights = zipf(count, p.zipf)[permutation(rng, count)]
  brand_count = max(10, count // 25)
  brand = pick(rng, np.cumsum(zipf(brand_count, 0.8)), count)
  log_price = 2.8 + 0.6 * normal(rng, kinds)[category]
  log_price += 0.3 * normal(rng, brand_count)[brand] + 0.4 * normal(rng, count)
  centres = normal(rng, kinds, p.taste_dim)
  vector = _mixture(rng, centres, category, weights, p.field_share)
  return Items(
    identity=permutation(rng, count),
    category=category,
    brand=brand,
    price=np.round(np.exp(log_price), 2),
    born=born,
    tags=_tags(rng, vector),
    popularity=np.concatenate([[0.0], np.cumsum(weights)]),
    first=np.searchsorted(category, np.arange(kinds + 1)),
    centres=centres,
    vector=vector,
    click=p.click_item * _trait(rng, category, brand, weights),
    conversion=p.conversion_item * _trait(rng, category, brand, weights),
  )


def _births(
  rng: np.random.Generator, count: int, parameters: parameters_lib.Parameters
) -> np.ndarray:
  """When each appeared: before the log's start, or evenly during it."""
  old = 100.0 * np.log1p(-rng.random(count)) - 1.0
  new = parameters.days * rng.random(count)
  is_new = rng.random(count) < parameters.new_share
  return (np.where(is_new, new, old) * DAY_MS).astype(np.int64)


def _mixture(
  rng: np.random.Generator,
  centres: np.ndarray,
  group: np.ndarray,
  weight: np.ndarray,
  share: float,
) -> np.ndarray:
  """Draws vectors of unit variance; groups explain `share` of it."""
  own = normal(rng, len(group), centres.shape[1])
  drawn = math.sqrt(share) * centres[group] + math.sqrt(1 - share) * own
  return drawn - np.average(drawn, axis=0, weights=weight)


def _trait(
  rng: np.random.Generator,
  first: np.ndarray,
  second: np.ndarray,
  weight: np.ndarray,
) -> np.ndarray:
  """A scalar of unit variance; each of two groups explains a third.

  Centred over the rows, as the vectors are: few users, items and groups have
  most rows, and without centring label rates would depend on the seed.
  """
  one = normal(rng, int(first.max()) + 1)[first]
  two = normal(rng, int(second.max()) + 1)[second]
  drawn = (one + two + normal(rng, len(first))) / math.sqrt(3)
  return drawn - np.average(drawn, weights=weight)


def _tags(rng: np.random.Generator, vector: np.ndarray) -> np.ndarray:
  """Tags bool[I, NUM_TAGS]: each likelier along its own direction."""
  directions = normal(rng, vector.shape[1], NUM_TAGS)
  score = 1.5 * (vector @ directions) / math.sqrt(vector.shape[1]) - 3.2
  return rng.random(score.shape) < 1 / (1 + np.exp(-score))
