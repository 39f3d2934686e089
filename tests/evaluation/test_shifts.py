import itertools

import numpy as np
import pytest

from rmtl_jax.evaluation import shifts
from rmtl_jax.preparation.description import drift
from tests import tiers

LEVEL = 0.01


def test_an_index_is_that_of_the_counts_of_groups():
  reference = np.array([500.0, 300.0, 200.0])
  group = np.repeat([0, 1, 2], [50, 30, 120])
  found = shifts.shift(reference, group, None, LEVEL)
  index, chance = drift.psi(reference, np.array([50, 30, 120]))
  assert (found.psi, found.chance) == (index, chance)
  assert chance < found.limit < index


def test_small_groups_join_the_last():
  # 20 rows expect 10, 8, 1 and 1: the last two are one group, of 2, which is
  # small still, so the next joins it.
  reference = np.array([50.0, 40.0, 5.0, 5.0])
  group = np.repeat([0, 1, 2, 3], [10, 8, 1, 1])
  found = shifts.shift(reference, group, None, LEVEL)
  expected = drift.psi(np.array([50, 50]), np.array([10, 10]))
  assert (found.psi, found.chance) == pytest.approx(expected)


def test_rows_that_are_copies_tell_as_much_as_one():
  rng = np.random.default_rng(0)
  group = rng.integers(0, 4, 500)
  cluster = np.arange(500)
  assert shifts.design_effect(group, cluster) == 1.0
  copied = shifts.design_effect(np.repeat(group, 8), np.repeat(cluster, 8))
  assert copied == pytest.approx(8.0, rel=0.01)
  # Of what varies within clusters as between them nothing is lost.
  mixed = shifts.design_effect(group, cluster // 10)
  assert 1.0 <= mixed < 1.3


@pytest.mark.parametrize(
  ('rows', 'groups', 'clustered'),
  tiers.some(
    itertools.product((60, 200, 2000), (2, 10, 52), (False, True)),
    [(60, 10, True), (200, 52, False)],
  ),
)
def test_chance_exceeds_the_limit_as_rarely_as_it_says(rows, groups, clustered):
  rng = np.random.default_rng(rows + groups + clustered)
  # Few values are frequent, most are rare, as in logs.
  share = 1.0 / np.arange(1, groups + 1)
  share /= share.sum()
  reference = rng.multinomial(20_000, share).astype(float)
  draws, over, means, chances = 300, 0, [], []
  for _ in range(draws):
    if clustered:  # 4 rows of a user, who has a value of his own half the time
      own = np.repeat(rng.choice(groups, rows // 4, p=share), 4)
      other = rng.choice(groups, rows // 4 * 4, p=share)
      group = np.where(rng.random(len(own)) < 0.5, own, other)
      cluster = np.arange(len(group)) // 4
    else:
      group, cluster = rng.choice(groups, rows, p=share), None
    found = shifts.shift(reference, group, cluster, LEVEL)
    over += found.psi > found.limit
    means.append(found.psi)
    chances.append(found.chance)
  assert over / draws <= 0.04
  assert np.mean(means) == pytest.approx(np.mean(chances), rel=0.35)


def test_the_error_of_a_ratio_is_that_of_repeated_draws():
  rng = np.random.default_rng(0)
  p = rng.beta(1.0, 9.0, 4000)
  ratios, errors = [], []
  for _ in range(200):
    # Clicks come in fours.
    y = (np.repeat(rng.random(1000), 4) < p).astype(float)
    ratios.append(np.log(p.sum() / y.sum()))
    errors.append(shifts.ratio_error(p, y, np.arange(4000) // 4))
  assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.15)
  assert shifts.ratio_error(p, p, np.zeros(4000, int)) == np.inf
