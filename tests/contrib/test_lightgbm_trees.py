"""Trees as arrays against the library's own predictions."""

import dataclasses

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from rmtl_jax import json_files, run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.contrib import lightgbm_trees
from rmtl_jax.evaluation import metrics
from rmtl_jax.networks import from_settings, functional, members_mean
from rmtl_jax.results import run_record
from rmtl_jax.results import trained_ensemble as results
from rmtl_jax.runtime import workdir, writers
from tests import paper, tiny
from tests.test_run import CONFIG, QUIET

pytestmark = pytest.mark.slow

lightgbm = pytest.importorskip('lightgbm')

CATEGORIES = 40
SPEC = types.FeatureSpec(
  (CATEGORIES,), ((9, 2),), 3, 2, names=('item', 'tags'), tasks=('a', 'b')
)
SPEC = dataclasses.replace(SPEC, numeric_names=('x 1', 'x2', 'x3'))
NETWORK = lightgbm_trees.make(SPEC, paper.network())
# What may stand in a column of numbers; halves of float32 meet thresholds.
SPECIAL = (np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, np.inf, -np.inf, 1e30)


def booster(seed, settings, x, y, rounds=8):
  params = {
    'objective': 'binary',
    'num_leaves': 15,
    'min_data_in_leaf': 2,
    'min_data_per_group': 2,
    'cat_smooth': 1.0,
    'verbosity': -1,
    'num_threads': 1,
    'seed': seed,
    **settings,
  }
  data = lightgbm.Dataset(x, y, params=params, categorical_feature=[3])
  return lightgbm.train(params, data, rounds)


def packed(*boosters):
  return lightgbm_trees.pack(
    [
      lightgbm_trees.Model(
        one.dump_model()['tree_info'], range(one.num_feature())
      )
      for one in boosters
    ]
  )


def draw_rows(rng, rows, share):
  """Three numbers and a category; some numbers are special, some missing."""
  x = rng.normal(size=(rows, 4)).astype(np.float32)
  x[:, :3] = np.round(x[:, :3], 1)
  special = rng.random((rows, 3)) < share
  x[:, :3] = np.where(special, rng.choice(SPECIAL, (rows, 3)), x[:, :3])
  x[:, 3] = rng.integers(0, CATEGORIES // 2, rows)
  return x


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
  seed=st.integers(0, 2**16),
  share=st.sampled_from((0.0, 0.1, 0.5)),
  as_missing=st.sampled_from(
    ({}, {'zero_as_missing': True}, {'use_missing': False})
  ),
  depth=st.sampled_from((1, 3, -1)),
)
def test_scores_are_the_library_s(seed, share, as_missing, depth):
  """Missing values, zeros of both signs, infinities, unseen categories."""
  rng = np.random.default_rng(seed)
  x = draw_rows(rng, 300, share)
  margin = np.nan_to_num(x[:, 0], posinf=1, neginf=-1) + (x[:, 3] % 3 - 1)
  y = (margin + np.isnan(x[:, 1]) + rng.normal(size=300) > 0).astype(float)
  settings = {'max_depth': depth, 'max_cat_to_onehot': 1 + seed % 8}
  both = [
    booster(seed + k, settings | as_missing, x, label)
    for k, label in enumerate((y, 1 - y))
  ]
  asked = draw_rows(rng, 400, 0.4)
  odd = [np.nan, -1.0, -0.5, 7.9, CATEGORIES, 32.0, 31.0, 1e6, 2.0**31, 1e30]
  asked[: len(odd), 3] = odd
  asked[50:100, 3] = rng.integers(-3, 3 * CATEGORIES, 50)
  params = packed(*both)
  # Else no checkpoint takes them.
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))
  expected = np.stack([b.predict(asked, raw_score=True) for b in both], 1)
  found = jax.jit(lightgbm_trees.scores)(params, asked)
  np.testing.assert_allclose(found, expected, atol=4e-6)


def inputs(rng, rows):
  return types.Inputs(
    rng.integers(0, CATEGORIES, (rows, 1)).astype(np.int32),
    rng.integers(-1, 9, (rows, 2)).astype(np.int32),
    rng.normal(size=(rows, 3)).astype(np.float32),
  )


def rows_of(rng, count, weight=None):
  x = inputs(rng, count)
  logit = 2 * x.numeric[:, :2] + (x.categorical % 4 - 1.5)
  labels = rng.random((count, 2)) < 1 / (1 + np.exp(-logit))
  return functional.Rows(x, labels.astype(np.float32), weight)


def fit(train, validation, again=None, seed=0, network=NETWORK):
  seen = []
  params = network.fit(train, validation, seed, seen.append, again)
  assert all(0 <= done <= 1 for done in seen)
  return params


def predict(params, x):
  one_lane = types.Inputs(*(part[None] for part in x[:3]))
  return np.asarray(functional.apply(NETWORK, params, one_lane))[0]


def test_fit_learns_and_stops_early():
  rng = np.random.default_rng(1)
  train, validation, test = (rows_of(rng, n) for n in (2000, 500, 1000))
  params = fit(train, validation)
  logits = predict(params, test.inputs)
  p = 1 / (1 + np.exp(-logits))
  losses = -np.log(np.where(test.labels > 0, p, 1 - p)).mean(0)
  assert np.all(losses < 0.5)
  count = params['trees']['task'].sum((0, 1))
  assert np.all((count > 5) & (count < lightgbm_trees._TREES))
  # The same seed gives the same trees, another one others.
  jax.tree.map(np.testing.assert_array_equal, params, fit(train, validation))
  other = predict(fit(train, validation, seed=1), test.inputs)
  assert np.any(other != logits)
  # As many trees are fitted again, to other rows.
  again = fit(train, validation, again=rows_of(rng, 2500))
  np.testing.assert_array_equal(again['trees']['task'].sum((0, 1)), count)


def test_ids_are_read_as_rates():
  """A label that only the id predicts; rows of an unseen id get the mean."""
  values, rng = 300, np.random.default_rng(2)
  spec = types.FeatureSpec((values + 1,), (), 1, 1, ('user',), tasks=('a',))
  rate = rng.random(values + 1)

  def rows(count):
    ids = rng.integers(1, values + 1, (count, 1)).astype(np.int32)
    x = types.Inputs(
      ids,
      np.zeros((count, 0), np.int32),
      rng.normal(size=(count, 1)).astype(np.float32),
    )
    return functional.Rows(x, (rng.random((count, 1)) < rate[ids]) * 1.0)

  train, validation, test = rows(6000), rows(1000), rows(2000)
  network = lightgbm_trees.make(spec, paper.network())
  params = fit(train, validation, network=network)
  found = np.asarray(params['rates']['0'])[:, 0]
  ids, labels = train.inputs.categorical[:, 0], train.labels[:, 0]
  mean, of_7 = labels.mean(), labels[ids == 7]
  expected = (of_7.sum() + 20 * mean) / (len(of_7) + 20)
  np.testing.assert_allclose(found[[0, 7]], [mean, expected], rtol=1e-5)
  lane = types.Inputs(*(part[None] for part in test.inputs[:3]))
  logits = np.asarray(functional.apply(network, params, lane))[0, :, 0]
  best = rate[test.inputs.categorical[:, 0]]
  y = test.labels[:, 0] > 0
  assert metrics.auc(y, logits) > metrics.auc(y, best) - 0.03


def test_a_task_with_one_class_is_a_constant():
  rng = np.random.default_rng(3)
  train, validation = rows_of(rng, 99), rows_of(rng, 50)
  train.labels[:, 0] = 0.0
  logits = predict(fit(train, validation), validation.inputs)
  np.testing.assert_allclose(logits[:, 0], np.log(0.5 / 99.5), rtol=1e-6)
  nothing = train._replace(weight=np.zeros_like(train.labels))
  assert np.all(predict(fit(nothing, nothing), validation.inputs) == 0)


def test_a_member_without_weight_is_left_out():
  """Its parameters are gone, and predictions are the others'."""
  rng = np.random.default_rng(7)
  trees = fit(rows_of(rng, 300), rows_of(rng, 100))
  sizes = paper.network(embedding_dim=4, bottom_units=(8,), tower_units=(4,))
  net = from_settings.make_actor(SPEC, 'shared_bottom', sizes)
  params, x = net.init(jax.random.key(0)), inputs(rng, 50)
  lane = types.Inputs(*(part[None] for part in x[:3]))
  for networks, members in (
    ((net, NETWORK), (params, ())),
    ((NETWORK, net), ((), params)),
  ):
    weights = np.array([[float(bool(own))] * 2 for own in members])
    found = functional.apply(
      members_mean.make_mixture(networks),
      members_mean.mixture(members, weights),
      lane,
    )
    expected = functional.apply(net, params, lane)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
  both = members_mean.mixture((params, trees), np.full((2, 2), 0.5))
  found = functional.apply(
    members_mean.make_mixture((net, NETWORK)), both, lane
  )
  expected = (functional.apply(net, params, lane)[0] + predict(trees, x)) / 2
  np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.slow
def test_a_member_of_a_run_in_all_stages(tmp_path):
  """It is fitted in stage 1 and stays as it is; its rows are its own."""
  tiny.write_prepared(tmp_path / 'data')
  config = config_values.with_settings(
    CONFIG,
    {'ensemble': 2, 'variants': 'backbone=shared_bottom;backbone=lightgbm'},
  )
  record = run.train(config, tmp_path / 'run', tmp_path / 'data', live=QUIET)
  assert record['best_epoch']['pretrain'][1] == 1
  assert record['best_epoch']['finetune'][1] == 0
  members = record['members']
  for task in tiny.TASKS:
    assert len(members['pretrain'][task]['auc']) == 2
    assert (
      members['finetune'][task]['auc'][1] == members['pretrain'][task]['auc'][1]
    )
  again = run_record.evaluate(tmp_path / 'run')
  for name in record['stages']:
    assert again['stages'][name] == record['stages'][name]
  # A server neither loads nor asks a member without weight.
  file = tmp_path / 'run' / 'metrics.json'
  record = json_files.read(file)
  for name in record['member_weights']:
    record['member_weights'][name] = {task: [1.0, 0.0] for task in tiny.TASKS}
  writers.write_json(file, json_files.sealed(record))
  found = results.restore(workdir.read(tmp_path / 'run'), to_predict=True)
  for one in found.actors.values():
    assert [bool(own) for own in one['members']] == [True, False]
