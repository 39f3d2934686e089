"""Trees that part categories, against a search in plain NumPy."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.contrib.trees import boosting, candidates, category_splits, forms

# Two columns of numbers, then two of categories.
FORM = category_splits.CategorySplits(forms.BINS)
LIMITS = forms.make_limits(FORM, 2, range(2))


def rows(count, seed=0):
  """Each category of the first field likes one of the second's."""
  draw = np.random.default_rng(seed)
  bins = draw.integers(0, 8, (4, count)).astype(np.uint8)
  bins[3] = draw.integers(1, 4, count)
  likes = bins[2] % 3 + 1 == bins[3]
  labels = (draw.random(count) < np.where(likes, 0.8, 0.1)).astype(np.float32)
  return boosting.Rows(bins, labels[None], np.ones((1, count), np.float32))


def answers(tree, bins):
  """Leaves of rows, node by node."""
  leaf = np.zeros(bins.shape[1], int)
  for level in range(category_splits.DEPTH):
    node = leaf + 2**level - 1
    value = bins[tree.columns[node], np.arange(bins.shape[1])]
    leaf = leaf * 2 + tree.yes[node, value]
  return leaf


def score(g, h, l2):
  return g * g / (h + l2)


def gain(slope, curve, yes, more):
  """Of parting rows; 0 where a part has too few."""
  g, h = ([of[side].sum() for side in (yes, ~yes)] for of in (slope, curve))
  if min(h) < 5:
    return 0.0
  parts = sum(score(a, b, 20 + more) for a, b in zip(g, h, strict=True))
  return parts - score(slope.sum(), curve.sum(), 20)


def best_gain(bins, slope, curve):
  """Over thresholds of numbers, and over all sets of categories in order."""
  found = [0.0]
  for column in bins[:2]:
    found += [gain(slope, curve, column > b, 0) for b in range(7)]
  for column in bins[2:]:
    means = np.full(forms.BINS, np.inf)
    for value in np.unique(column):
      at = column == value
      if curve[at].sum() >= 1:
        means[value] = slope[at].sum() / (curve[at].sum() + 10)
    for mean in np.unique(means):
      found.append(gain(slope, curve, means[column] > mean, 10))
  return max(found)


def test_nodes_ask_what_a_plain_search_would(monkeypatch):
  monkeypatch.setattr(category_splits, '_SHARE', 1.0)
  found = rows(700)
  slope = (0.3 - found.labels[0]).astype(np.float32)
  curve = np.full_like(slope, 0.21)
  tree = FORM.grow(
    jnp.asarray(found.bins),
    jnp.asarray(np.stack([slope, curve], 1)),
    LIMITS,
    jax.random.key(0),
  )
  tree = jax.tree.map(np.asarray, tree)
  leaf, asked = np.zeros(700, int), 0
  for level in range(category_splits.DEPTH):
    for number in range(2**level):
      at, node = leaf == number, number + 2**level - 1
      own = found.bins[:, at]
      yes = tree.yes[node, own[tree.columns[node]]]
      more = 10 * (tree.columns[node] >= 2)
      best = best_gain(own, slope[at], curve[at])
      chosen = gain(slope[at], curve[at], yes, more) if yes.any() else 0
      assert chosen == pytest.approx(best, rel=1e-3, abs=1e-4)
      asked += yes.any()
    node = leaf + 2**level - 1
    value = found.bins[tree.columns[node], np.arange(700)]
    leaf = leaf * 2 + tree.yes[node, value]
  assert asked > 5 and {2, 3} <= {*tree.columns}
  for number in np.unique(leaf):
    at = leaf == number
    step = -slope[at].sum() / (curve[at].sum() + 20)
    assert tree.leaves[number] == pytest.approx(step, abs=1e-5)


def test_a_set_by_hand():
  """Categories 1 and 3 against 2 and 4, which no threshold parts."""
  column = np.repeat([1, 2, 3, 4], 30).astype(np.uint8)
  slope = np.where(column % 2, 0.5, -0.5).astype(np.float32)
  both = jnp.asarray(np.stack([slope, np.full_like(slope, 0.25)], 1))
  gain, place, yes = category_splits._set(
    FORM,
    jnp.asarray(column[None]),
    jnp.array([7]),
    jnp.zeros(120, jnp.int32),
    both,
    LIMITS,
    1,
  )
  # Each side has 60 rows, of slope 30 and curve 15; the whole has none.
  assert gain[0] == pytest.approx(2 * 30**2 / (15 + 30), rel=1e-5)
  assert place.tolist() == [7]
  # Categories that no row has are with the later ones.
  np.testing.assert_array_equal(yes[0, :6], [1, 1, 0, 1, 0, 1])


def test_categories_with_too_few_rows_stay_together():
  """To part these from each other would gain most, but says nothing."""
  rare = np.repeat(np.arange(3, 83), 3)  # curve 0.75 each
  column = np.concatenate([np.repeat([1, 2], 40), rare])
  slope = np.select([column == 1, column == 2, column < 43], [0.5, -0.5, -0.5])
  slope = np.where(column >= 43, 0.5, slope).astype(np.float32)
  gain, _, yes = category_splits._set(
    category_splits.CategorySplits(100),
    jnp.asarray(column[None].astype(np.uint8)),
    jnp.array([0]),
    jnp.zeros(len(column), jnp.int32),
    jnp.asarray(np.stack([slope, np.full_like(slope, 0.25)], 1)),
    LIMITS,
    1,
  )
  # Category 2 against all others, of curve 10 and 70, slope -20 and 20.
  assert gain[0] == pytest.approx(20**2 / 40 + 20**2 / 100, rel=1e-5)
  np.testing.assert_array_equal(yes[0], np.arange(100) != 2)


def test_trees_keep_their_limits():
  """10 rows of curve 2.5 each: too few for one form, enough for the other."""
  column = np.repeat([1, 2], 10).astype(np.uint8)
  slope = np.where(column == 1, 0.5, -0.5).astype(np.float32)
  both = jnp.asarray(np.stack([slope, np.full_like(slope, 0.25)], 1))
  tight = forms.make_limits(FORM, 1, range(1))
  loose = forms.make_limits(FORM, 1, range(1), 1.0, 1.0)

  def gain(limits, question):
    leaf, place = jnp.zeros(20, jnp.int32), jnp.array([0])
    of = jnp.asarray(column[None]), place, leaf, both, limits
    return float(question(FORM, *of, 1)[0][0])

  # Each side has 10 rows, of slope 5 and curve 2.5.
  for question, more in (
    (category_splits._threshold, 0),
    (category_splits._set, 10),
  ):
    assert gain(tight, question) == 0
    expected = 2 * 5**2 / (2.5 + 1 + more)
    assert gain(loose, question) == pytest.approx(expected, rel=1e-5)
  trees = [
    FORM.grow(
      jnp.asarray(np.stack([column, column])), both, limits, jax.random.key(0)
    )
    for limits in (tight, loose)
  ]
  np.testing.assert_allclose(trees[0].leaves, 0)
  assert np.abs(trees[1].leaves).max() == pytest.approx(5 / 3.5, rel=1e-5)


def test_places_of_a_large_table_do_not_overflow(monkeypatch):
  """From 2^31 cells on a value is looked up by its column and its row."""

  def looked_up(columns, count):
    made = jax.make_jaxpr(category_splits._values)(
      jax.ShapeDtypeStruct((columns, count), np.uint8),
      jax.ShapeDtypeStruct((count,), np.int32),
    )
    return str(made)

  assert 'mul' in looked_up(2**5, 2**26 - 1)
  # Exports know no number of rows.
  (symbol,) = jax.export.symbolic_shape('b')
  assert 'mul' in looked_up(2**5, symbol)
  assert 'mul' not in looked_up(2**5, 2**26)
  assert 'mul' not in looked_up(2**5, 2**27)
  table = jnp.asarray(rows(50).bins)
  column = jnp.asarray(np.random.default_rng(0).integers(0, 4, 50), jnp.int32)
  flat = category_splits._values(table, column)
  np.testing.assert_array_equal(flat, table[column, np.arange(50)])
  monkeypatch.setattr(category_splits, '_MOST_PLACES', 199)
  found = category_splits._values(table, column)
  assert found.dtype == flat.dtype == jnp.int32
  np.testing.assert_array_equal(found, flat)


def test_trees_tell_what_each_category_likes():
  train, validation, test = (rows(3000, seed) for seed in range(3))
  grown = boosting.boost(FORM, LIMITS, train, validation, 40, seed=0)
  logits = sum(
    grown.trees.leaves[0, n, answers(tree, test.bins)]
    for n in range(40)
    for tree in [jax.tree.map(lambda part, n=n: part[0, n], grown.trees)]
  )
  likes = test.bins[2] % 3 + 1 == test.bins[3]
  assert logits[likes].mean() > logits[~likes].mean() + 1.0
  again = boosting.boost_again(FORM, LIMITS, train, grown.rounds, 40, seed=0)
  jax.tree.map(np.testing.assert_array_equal, again, grown.trees)


def test_more_categories_than_bytes_number():
  form = category_splits.CategorySplits(400)
  assert form.dtype == np.uint16
  draw = np.random.default_rng(0)
  column = draw.integers(0, 400, 4000)
  labels = (draw.random(4000) < np.where(column % 2, 0.9, 0.1)).astype('f4')
  bins = np.stack([column % 7, column]).astype(form.dtype)
  train = boosting.Rows(bins, labels[None], np.ones((1, 4000), np.float32))
  limits = forms.make_limits(form, 1, range(1))
  grown = boosting.boost(form, limits, train, train, 10, seed=0)
  assert grown.logits[0, column % 2 == 1].mean() > 0.2
  assert grown.logits[0, column % 2 == 0].mean() < -0.2


def test_without_a_gain():
  """Nodes that gain nothing send all rows to the same side."""
  found = rows(200)
  slope = np.zeros((200, 2), np.float32)
  slope[:, 1] = 0.25
  tree = FORM.grow(
    jnp.asarray(found.bins), jnp.asarray(slope), LIMITS, jax.random.key(0)
  )
  assert not np.any(tree.yes) and not np.any(tree.leaves)


@pytest.mark.parametrize('numbers', [0, 2])
def test_without_numbers(numbers):
  """There are none, or none may be asked of."""
  found = rows(700)
  slope = np.stack([0.3 - found.labels[0], np.full(700, 0.21)], 1)
  limits = forms.make_limits(FORM, numbers, ())
  tree = FORM.grow(
    jnp.asarray(found.bins[2 - numbers :]),
    jnp.asarray(slope, jnp.float32),
    limits,
    jax.random.key(0),
  )
  asked = tree.columns[np.any(tree.yes, 1)]
  assert len(asked) > 3 and np.all(asked >= numbers)


def test_ranks_follow_the_means():
  """Of both signs; category 3 has too few rows, category 4 none."""
  first = np.array([2.0, -3.0, 0.0, -0.9, 0.0, 1.0, -0.5])
  second = np.array([3.0, 4.0, 2.0, 0.9, 0.0, 5.0, 1.0])
  sums = jnp.asarray(first), jnp.asarray(second)
  ranks = np.asarray(category_splits._ranks(sums))
  assert [*np.argsort(ranks)] == [1, 6, 2, 5, 0, 3, 4]
  rare = ranks >= category_splits._RARE
  np.testing.assert_array_equal(np.flatnonzero(rare), [3, 4])


def test_ranks_of_as_many_categories_as_may_be_parted():
  """A mean keeps 10 bits, and a rank has its category in the last 13."""
  width = candidates.MOST_PARTED + 1
  first = np.random.default_rng(0).normal(size=width).astype(np.float32)
  sums = jnp.asarray(first), jnp.full(width, 10.0)
  ranks = np.sort(category_splits._ranks(sums))
  order = ranks & (2**13 - 1)
  np.testing.assert_array_equal(np.sort(order), np.arange(width))
  ordered = first[order]
  assert np.all(np.diff(ordered) > -(2**-10) * np.abs(ordered[1:]))
  assert np.all(ranks < category_splits._RARE)


def test_answers_are_kept_in_numbers_of_16_bits():
  draw = np.random.default_rng(0)
  yes = draw.random((5, category_splits.NODES)) < 0.5
  words = category_splits.packed(yes)
  assert words.shape == (5, category_splits.WORDS) == (5, 4)
  assert words.max() < 2**16
  assert words[0, 0] == sum(2**i for i in range(16) if yes[0, i])
  # However they lie in memory.
  turned = np.ascontiguousarray(yes.T).T[None]
  np.testing.assert_array_equal(category_splits.packed(turned), words[None])
  both = list(itertools.product(range(5), range(category_splits.NODES)))
  row, node = map(np.array, zip(*both, strict=True))
  found = category_splits.is_yes(
    jnp.asarray(words.astype(np.int32)), jnp.asarray(row), jnp.asarray(node)
  )
  np.testing.assert_array_equal(found, yes[row, node])
