"""Trees as terms of the towers, and their features."""

from __future__ import annotations

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.contrib.trees import (
  boosting,
  candidates,
  category_splits,
  features,
  forms,
  growing,
  oblivious,
)
from rmtl_jax.networks import factory, functional
from rmtl_jax.updates import shared, state
from tests.networks import small

SPEC = types.FeatureSpec(
  categorical=(400, 3, 5),
  multi_valued=((4, 2), (900, 2)),
  numeric=1,
  num_tasks=2,
  names=('user', 'segment', 'brand', 'tags', 'seen'),
  numeric_names=('price',),
)
CONFIG = dataclasses.replace(small.CONFIG, trees=20)
PLAIN = dataclasses.replace(CONFIG, trees=0)
# Features of trees: price, then both tasks' rates of the five fields.
COLUMNS = 1 + 5 * 2


def rest(params):
  return {name: leaf for name, leaf in params.items() if name != 'trees'}


def sample(count, seed=0, spec=SPEC):
  """Rows whose labels depend on segment and price."""
  draw = np.random.default_rng(seed)
  given = small.inputs(spec, seed, lanes=1, slots=count)
  given = jax.tree.map(lambda x: x[0], given)
  logit = given.numeric[:, 0] + (given.categorical[:, 1] - 1.0)
  chance = 1 / (1 + np.exp(-np.stack([logit, logit - 1.0], 1)))
  labels = (draw.random(chance.shape) < chance).astype(np.float32)
  return functional.Rows(given, labels)


def fitted(config=CONFIG, backbone='shared_bottom', spec=SPEC):
  network = factory.make_actor(spec, backbone, config)
  params = network.init(jax.random.key(0))
  found = network.fit(sample(3000), sample(1000, 1), 0, lambda done: None)
  assert list(found) == ['trees']
  return network, params, {**params, **found}


@pytest.mark.parametrize('backbone', ['shared_bottom', 'ple', 'linear'])
def test_trees_that_are_not_grown_add_nothing(backbone):
  network = factory.make_actor(SPEC, backbone, CONFIG)
  plain = factory.make_actor(SPEC, backbone, PLAIN)
  params, given = network.init(jax.random.key(3)), small.inputs(SPEC, 0)
  np.testing.assert_array_equal(
    small.run(network, params, given),
    small.run(plain, rest(params), given),
  )


def test_a_row_has_the_leaf_of_its_answers():
  """By hand: one tree, two questions that differ, of the price and a rate."""
  network = factory.make_actor(SPEC, 'shared_bottom', CONFIG)
  params = network.init(jax.random.key(0))
  own = jax.tree.map(np.array, params['trees']['frozen'])
  # Levels 2 to 4 ask of the price too: no rows are above.
  own['columns'][1, 0] = [0, 1 + 2 + 1, 0, 0, 0]
  own['thresholds'][1, 0] = [0.5, 0.2, 9, 9, 9]
  own['rates_1'][2, 1] = 0.2
  own['leaves'][1, 0, [0b00000, 0b01000, 0b10000, 0b11000]] = [1, 2, 3, 4]
  given = small.inputs(SPEC, 0, lanes=1, slots=4)
  given = given._replace(
    numeric=np.array([0.4, 0.4, 0.5, 0.6], np.float32).reshape(1, 4, 1),
    categorical=np.array([[[1, 0, 0], [1, 2, 0], [1, 1, 0], [1, 2, 0]]]),
  )
  grown = {**params, 'trees': {'frozen': own}}
  added = small.run(network, grown, given) - small.run(network, params, given)
  expected = [[[0, 1], [0, 2], [0, 3], [0, 4]]]
  np.testing.assert_allclose(added, expected, atol=1e-6)


def test_columns_are_numbers_and_rates(monkeypatch):
  monkeypatch.setattr(features, 'MOST_VALUES', 100)
  tables = {i: np.arange(2 * n).reshape(n, 2) / 8 for i, n in ((1, 3), (2, 5))}
  tables[3] = np.array([[0, 0], [1, 4], [2, 8], [3, 12]], np.float64)
  given = types.Inputs(
    np.array([[7, 2, 1], [9, 0, 4]]),
    np.array([[1, 3, 5, 6], [2, -1, -1, -1]]),
    np.array([[0.5], [-2.0]], np.float32),
  )
  assert features.fields_with_rates(SPEC) == {1: 3, 2: 5, 3: 4}
  for xp in (np, jnp):
    found = features.columns(
      SPEC, (), given, lambda i, ids, xp=xp: xp.asarray(tables[i])[ids], xp
    )
    assert found.shape == (2, COLUMNS) and found.dtype == np.float32
    np.testing.assert_allclose(
      found,
      [
        [0.5, 0, 0, 0.5, 0.625, 0.25, 0.375, 2, 8, 0, 0],
        [-2, 0, 0, 0, 0.125, 1, 1.125, 2, 8, 0, 0],
      ],
    )


def test_rates_of_train_rows_come_from_other_folds():
  spec = types.FeatureSpec((3,), (), numeric=0, num_tasks=1)
  rows = functional.Rows(
    types.Inputs(
      np.array([[1], [1], [2], [1]]), np.zeros((4, 0), int), np.zeros((4, 0))
    ),
    np.array([[1], [0], [1], [1]], np.float32),
    np.array([[1], [1], [1], [2]], np.float32),
  )
  fold = np.array([0, 1, 1, 4])
  found = features.rates_of(spec, rows, rows.weight, 0, fold)
  prior = 20 * 4 / 5  # 20 rows at the weighted rate
  np.testing.assert_allclose(
    found.all_rows[:, 0], [prior / 20, (3 + prior) / 24, (1 + prior) / 21]
  )
  np.testing.assert_allclose(found.without[0, 1], [(2 + prior) / 23])
  np.testing.assert_allclose(found.without[1, 1], [(3 + prior) / 23])
  np.testing.assert_allclose(found.without[1, 2], [prior / 20])
  np.testing.assert_allclose(found.without[4, 1], [(1 + prior) / 22])


def test_trees_do_not_react_to_the_scale_of_weights():
  """Limits and priors count rows, also where the weights of all sum to 1."""
  rows, fields = sample(2000), candidates.TreeFields()
  weight = np.random.default_rng(0).integers(0, 4, rows.labels.shape)

  def grown(scale):
    weighed = rows._replace(weight=(scale * weight).astype(np.float32))
    return growing.grow(SPEC, fields, 10, weighed, weighed, 0)

  plain = grown(1.0)
  assert np.all(np.any(plain['leaves'], (1, 2)))
  for scale in (2.0**-12, 2.0**12):
    jax.tree.map(np.testing.assert_array_equal, grown(scale), plain)


def test_a_list_counts_all_of_its_values():
  spec = types.FeatureSpec((), ((3, 2),), numeric=0, num_tasks=1)
  rows = functional.Rows(
    types.Inputs(
      np.zeros((2, 0), int), np.array([[1, 2], [2, -1]]), np.zeros((2, 0))
    ),
    np.array([[1], [0]], np.float32),
  )
  found = features.rates_of(
    spec, rows, np.ones((2, 1), np.float32), 0, np.zeros(2, int)
  )
  np.testing.assert_allclose(found.all_rows[:, 0], [10 / 20, 11 / 21, 11 / 22])


def test_few_values_are_bins_of_their_own():
  values = np.array([3.0, 1.0, 1.0, 7.0], np.float32)
  edges = features.bin_edges(values)
  np.testing.assert_array_equal(edges, [3, 7])
  np.testing.assert_array_equal(
    np.searchsorted(edges, values, 'right'), [1, 0, 0, 2]
  )
  assert len(features.bin_edges(np.ones(5))) == 0
  # Of many values all bins have as many rows.
  draw = np.random.default_rng(0)
  many = draw.normal(size=6300).astype(np.float32)
  edges = features.bin_edges(many)
  assert len(edges) == forms.BINS - 2  # the first value begins the first
  sizes = np.bincount(np.searchsorted(edges, many, 'right'))
  np.testing.assert_array_equal(sizes, 100)


def test_a_frequent_value_leaves_bins_to_the_others():
  values = np.where(np.arange(10_000) < 9000, 0.0, np.arange(10_000))
  edges = features.bin_edges(values)
  assert len(edges) >= forms.BINS - 3
  bins = np.searchsorted(edges, values, 'right')
  assert np.bincount(bins)[0] == 9000
  assert np.bincount(bins)[1:].max() <= 20


@hypothesis.given(
  hnp.arrays(np.float32, st.integers(1, 300), elements=st.integers(-90, 90))
)
def test_edges_rise_and_bytes_number_the_bins(values):
  edges = features.bin_edges(values)
  assert len(edges) < forms.BINS and np.all(np.diff(edges) > 0)
  assert np.all(edges > values.min()) and np.all(np.isin(edges, values))


def test_a_network_predicts_as_boosting_does(monkeypatch):
  """On validation rows, through thresholds and rates instead of bins."""
  kept = {}
  boost = boosting.boost

  def spy(form, limits, train, validation, *args, **keys):
    found = boost(form, limits, train, validation, *args, **keys)
    if not kept:  # without ids, whose rates would only overfit here
      kept.update(trees=found.trees, losses=found.losses, validation=validation)
    else:
      assert len(validation.bins) == COLUMNS
      found = found._replace(losses=kept['losses'] + 1)
    return found

  monkeypatch.setattr(boosting, 'boost', spy)
  network, params, found = fitted()
  shapes = [jax.tree.map(np.shape, one['trees']) for one in (found, params)]
  assert shapes[0] == shapes[1]
  given = jax.tree.map(lambda x: x[None], sample(1000, 1).inputs)
  added = small.run(network, found, given) - small.run(network, params, given)
  one, bins = kept['trees'], jnp.asarray(kept['validation'].bins)
  expected = np.zeros((2, 1000))
  for n in range(20):
    for k in range(2):
      tree = jax.tree.map(lambda part, k=k, n=n: part[k, n], one)
      expected[k] += oblivious.Oblivious().predict(bins, tree)
  np.testing.assert_allclose(added[0].T, expected, atol=2e-5)
  assert np.std(expected) > 0.3


TASTES = dataclasses.replace(SPEC, categorical=(400, 5, 5))
PAIRS = ((1, 2), (0, 2))


def tastes(count, seed):
  """Each segment likes one brand: every field's rate is the same."""
  found = sample(count, seed, TASTES)
  likes = found.inputs.categorical[:, 1] == found.inputs.categorical[:, 2]
  chance = np.where(likes, 0.8, 0.1)[:, None]
  draw = np.random.default_rng(seed).random((count, 2))
  return found._replace(labels=(draw < chance).astype(np.float32))


def test_the_rate_of_a_pair_is_of_its_own_rows():
  rows = functional.Rows(
    types.Inputs(
      np.array([[9, 1, 2], [8, 1, 2], [7, 2, 1]]),
      np.full((3, 4), -1),
      np.zeros((3, 1), np.float32),
    ),
    np.array([[1, 0], [1, 0], [0, 0]], np.float32),
  )
  fold = np.array([0, 1, 1])
  found = features.rates_of(TASTES, rows, np.ones((3, 2)), (1, 2), fold)
  prior = 20 * 2 / 3
  assert found.all_rows.shape == (25, 2)
  rates = found.all_rows[:, 0].reshape(5, 5)
  np.testing.assert_allclose(rates[1, 2], (2 + prior) / 22)
  np.testing.assert_allclose(rates[2, 1], prior / 21)
  np.testing.assert_allclose(rates[2, 2], prior / 20)
  np.testing.assert_allclose(found.without[0, 7, 0], (1 + prior) / 21)
  numbers = features.numbers_of_pair(TASTES, (1, 2), rows.inputs.categorical)
  np.testing.assert_array_equal(numbers, [7, 7, 11])


@pytest.mark.parametrize('backbone', ['linear', 'single_task'])
def test_pairs_tell_a_taste_that_no_field_tells(backbone):
  test = tastes(1000, 2)
  given = jax.tree.map(lambda x: x[None], test.inputs)
  likes = test.inputs.categorical[:, 1] == test.inputs.categorical[:, 2]
  gaps = []
  for reads in (False, True):
    pairs = 'segment*brand' if reads else ''
    config = dataclasses.replace(CONFIG, trees=30, tree_pairs=pairs)
    network = factory.make_actor(TASTES, backbone, config)
    params = network.init(jax.random.key(0))
    found = network.fit(tastes(3000, 0), tastes(1000, 1), 0, lambda done: None)
    shapes = [jax.tree.map(np.shape, one['trees']) for one in (found, params)]
    assert shapes[0] == shapes[1]
    logits = small.run(network, {**params, **found}, given)
    logits = np.asarray(logits - small.run(network, params, given))[0]
    gaps.append(logits[likes].mean(0) - logits[~likes].mean(0))
  assert np.all(gaps[1] > 2.0) and np.all(np.abs(gaps[0]) < 1.0)


PARTED = dataclasses.replace(CONFIG, trees=30, tree_categories='segment+brand')


def test_trees_promote_no_type():
  network = factory.make_actor(SPEC, 'linear', PARTED)
  params = jax.eval_shape(network.init, jax.random.key(0))
  with jax.numpy_dtype_promotion('strict'):
    found = jax.eval_shape(
      functools.partial(functional.apply, network), params, small.inputs(SPEC)
    )
  assert found.dtype == np.float32


@pytest.mark.parametrize('backbone', ['linear', 'single_task'])
def test_a_network_predicts_as_trees_that_part_categories_do(
  backbone, monkeypatch
):
  """On validation rows, through edges and words instead of bins and sets."""
  kept = []
  boost = boosting.boost

  def spy(*args, **keys):
    kept.append(boost(*args, **keys))
    return kept[-1]

  monkeypatch.setattr(boosting, 'boost', spy)
  monkeypatch.setattr(growing, '_WORTH_SHARE', 0.5)  # the mean, then
  monkeypatch.setattr(candidates, '_WORTH_SMALL', 0.5)
  network = factory.make_actor(TASTES, backbone, PARTED)
  params = network.init(jax.random.key(0))
  told = []
  found = network.fit(tastes(3000, 0), tastes(1000, 1), 0, told.append)
  # The first of five parts, of each network, has no more than a third.
  networks = 2 if backbone == 'single_task' else 1
  assert told[0] == pytest.approx(1 / 15 / networks) and told[-1] <= 1
  assert told == sorted(told)
  shapes = [jax.tree.map(np.shape, one['trees']) for one in (found, params)]
  assert shapes[0] == shapes[1]
  given = jax.tree.map(lambda x: x[None], tastes(1000, 1).inputs)
  logits = small.run(network, {**params, **found}, given)
  logits = np.asarray(logits - small.run(network, params, given))[0]
  # Single rates, with ids as well, small leaves, then categories, and small
  # leaves; of each task by itself where networks are a task's own.
  of_categories = [one.logits for one in kept[3::5]]
  plain = np.stack([one.logits for one in kept[0::5]])
  plain, of_categories = plain.reshape(2, -1), np.concatenate(of_categories)
  with_ids = np.concatenate([one.logits for one in kept[1::5]])
  for k in range(2):
    means = [(one[k] + of_categories[k]) / 2 for one in (plain, with_ids)]
    off = [np.abs(logits[:, k] - one).max() for one in means]
    assert min(off) < 2e-5
  likes = given.categorical[0, :, 1] == given.categorical[0, :, 2]
  assert np.all(logits[likes].mean(0) - logits[~likes].mean(0) > 0.4)


@pytest.mark.parametrize('number', [0, 1])
@pytest.mark.parametrize('again', [False, True])
def test_trees_without_pairs_keep_their_columns(number, again, monkeypatch):
  """A network predicts as the candidate whose trees it has."""
  kept, way = [], 3 * number + 2  # of both candidates, the form alone
  spied = 'boost_again' if again else 'boost'
  boost = getattr(boosting, spied)

  def spy(form, limits, rows, *rest):
    kept.append((form, limits, rows, boost(form, limits, rows, *rest)))
    return kept[-1][-1]

  monkeypatch.setattr(boosting, spied, spy)
  monkeypatch.setattr(
    growing,
    '_losses',
    lambda ways, *rest: [np.full(2, i != way) for i in range(len(ways))],
  )
  config = dataclasses.replace(
    PARTED, tree_pairs='segment*brand', ignore='tags+seen'
  )
  network = factory.make_actor(TASTES, 'linear', config)
  params = network.init(jax.random.key(0))
  train, validation = tastes(3000, 0), tastes(1000, 1)
  more = (train,) if again else ()
  found = network.fit(train, validation, 0, lambda done: None, *more)
  given = jax.tree.map(lambda x: x[None], train.inputs)
  logits = small.run(network, {**params, **found}, given)
  logits = np.asarray(logits - small.run(network, params, given))[0]
  parted = [
    one
    for one in kept
    if isinstance(one[0], category_splits.CategorySplits)
    and (one[1].l2 == forms.L2) == (number == 0)
  ]
  ((form, _, rows, grown),) = parted
  trees = jax.device_put(grown if again else grown.trees)
  bins = jnp.asarray(rows.bins)
  for task in range(2):
    own = jax.tree.map(lambda part, task=task: part[task], trees)
    expected = sum(
      form.predict(bins, jax.tree.map(lambda part, n=n: part[n], own))
      for n in range(30)
    )
    off = np.abs(logits[:, task] - expected)
    # Rates of pairs come from other folds while trees grow.
    assert off.max() < 2e-5 if number else np.median(off) < 0.3
  assert np.std(logits) > 0.3


def test_progress_of_a_refit_goes_on():
  network = factory.make_actor(TASTES, 'linear', PARTED)
  told = []
  rows = tastes(600, 0), tastes(300, 1)
  network.fit(*rows, 0, told.append, rows[0])
  assert told == sorted(told) and told[-1] == 1
  # Both sets of columns, small leaves, categories, and small leaves of these;
  # then what was chosen of these.
  assert told[0] == pytest.approx(1 / 30)


def test_parted_fields_that_are_ignored_are_left_out():
  config = dataclasses.replace(PARTED, ignore='segment')
  network = factory.make_actor(TASTES, 'linear', config)
  own = network.init(jax.random.key(0))['trees']['frozen']['category_splits']
  answers = {name for name in own if name.startswith('answers')}
  assert answers == {'answers_1'}  # brand, behind user
  assert own['answers_1'].shape == (2, 30, 5, 4)


@pytest.mark.parametrize(
  ('setting', 'what'),
  [
    ('colour', "tree_categories: 'colour' is no categorical field"),
    ('brand+brand', "tree_categories: 'brand' is there twice"),
    ('user', 'tree_categories: user has 4,097 values, and 4,096 are the most'),
  ],
)
def test_fields_that_can_not_be_parted_are_refused(setting, what):
  # Row 0 of a vocabulary is no value.
  spec = dataclasses.replace(TASTES, categorical=(4098, 5, 5))
  config = dataclasses.replace(PARTED, tree_categories=setting)
  with pytest.raises(types.InputError, match=what):
    factory.make_actor(spec, 'linear', config)
  largest = dataclasses.replace(TASTES, categorical=(4097, 5, 5))
  config = dataclasses.replace(PARTED, tree_categories='user')
  factory.make_actor(largest, 'linear', config)


def test_a_pair_of_an_unknown_field_is_refused():
  config = dataclasses.replace(CONFIG, tree_pairs='segment*colour')
  with pytest.raises(types.InputError, match="tree_pairs: 'colour' is no cat"):
    factory.make_actor(TASTES, 'linear', config)


def test_a_pair_of_too_many_values_is_refused(monkeypatch):
  config = dataclasses.replace(CONFIG, tree_pairs='user*brand')
  monkeypatch.setattr(features, 'MOST_VALUES', 2000)
  factory.make_actor(TASTES, 'linear', config)
  monkeypatch.setattr(features, 'MOST_VALUES', 1999)
  with pytest.raises(
    types.InputError, match=r'^config.network.tree_pairs: user\*brand has 2,000'
  ):
    factory.make_actor(TASTES, 'linear', config)


def test_pairs_of_ignored_fields_are_left_out():
  config = dataclasses.replace(
    CONFIG, tree_pairs='segment*brand+user*brand', ignore='user'
  )
  network = factory.make_actor(TASTES, 'linear', config)
  own = network.init(jax.random.key(0))['trees']['frozen']
  # Of what is seen: segment is the first field.
  assert own['rates_0_1'].shape == (5, 5, 2)
  assert not [name for name in own if name.endswith('_2_1')]


def test_what_is_ignored_has_no_rates():
  config = dataclasses.replace(CONFIG, ignore='segment+seen')
  network, params, found = fitted(config)
  assert set(found['trees']['frozen']) == {
    *('columns', 'thresholds', 'leaves'),
    *('rates_0', 'rates_1', 'rates_2'),  # user, brand and tags
  }
  given = small.inputs(SPEC, 0)
  other = given._replace(categorical=given.categorical.copy())
  other.categorical[..., 1] = 2 - other.categorical[..., 1]
  np.testing.assert_array_equal(
    small.run(network, found, given), small.run(network, found, other)
  )
  del params


def test_networks_of_a_task_each_have_its_trees():
  network, params, found = fitted(backbone='single_task')
  given = jax.tree.map(lambda x: x[None], sample(500, 2).inputs)
  added = small.run(network, found, given) - small.run(network, params, given)
  labels = sample(500, 2).labels
  for k in range(2):
    positive = labels[:, k] == 1
    assert added[0, positive, k].mean() > added[0, ~positive, k].mean() + 0.3


@pytest.mark.parametrize('backbone', ['linear', 'single_task'])
@pytest.mark.parametrize('binary', [0, 1])
def test_tasks_that_are_not_binary_have_no_trees(backbone, binary):
  losses = [types.TaskLoss('squared_error', 'regression')] * 2
  losses[binary] = types.TaskLoss()
  spec = dataclasses.replace(SPEC, losses=tuple(losses))
  _, _, found = fitted(backbone=backbone, spec=spec)
  leaves = found['trees']['frozen']['leaves']
  assert np.any(leaves[binary]) and not np.any(leaves[1 - binary])


@pytest.mark.parametrize('categories', ['', 'segment+brand'])
def test_no_step_changes_trees(categories):
  config = dataclasses.replace(CONFIG, tree_categories=categories)
  network, _, params = fitted(config)
  optimizer = state.make_optimizer(
    config_lib.PretrainConfig(learning_rate=0.1, l2=0.1)
  )
  params = jax.tree.map(jnp.asarray, params)
  given = small.inputs(SPEC, 0)

  @jax.jit
  def step(params, opt_state):
    gradients = jax.grad(
      lambda p: jnp.sum(jnp.square(functional.apply(network, p, given)))
    )(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates)

  found = step(params, optimizer.init(params))
  jax.tree.map(np.testing.assert_array_equal, found['trees'], params['trees'])
  assert np.any(found['first']['table'] != params['first']['table'])


def test_no_tree_is_shared_by_tasks():
  found = shared.shared_parameters(SPEC, 'shared_bottom', CONFIG)
  init = factory.make_actor(SPEC, 'shared_bottom', CONFIG).init
  shapes = jax.eval_shape(init, jax.random.key(0))
  # Also of a field that would be no id if it had a batch's values alone.
  assert jax.tree.structure(found) == jax.tree.structure(shapes)
  for mask in jax.tree.leaves(found['trees']):
    assert not np.any(mask) and np.ndim(mask) == 0


@pytest.mark.parametrize(
  ('settings', 'what'),
  [
    (
      {'network': {'trees': 10, 'embedding_adam': 'rows'}},
      r'network\.embedding_adam: rows',
    ),
    (
      {'network': {'trees': 10, 'tree_pairs': 'segment'}},
      r"network\.tree_pairs: 'segment' is no pair",
    ),
    (
      {'network': {'trees': 10}, 'backbone': 'esmm'},
      r'network\.trees: esmm multiplies',
    ),
  ],
)
def test_what_trees_can_not_stand_beside_is_refused(settings, what):
  with pytest.raises(types.InputError, match=what):
    config_values.from_dict(settings)
