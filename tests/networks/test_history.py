"""Networks that read the user's earlier items."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import (
  embeddings,
  factory,
  first_layer,
  id_dropout,
)
from tests.networks import reference, small

WIDTH, ITEMS = 4, 6
# The history stands between the tags and another list.
SPEC = types.FeatureSpec(
  categorical=(4, ITEMS),
  multi_valued=((5, 3), (ITEMS, WIDTH), (4, 2)),
  numeric=2,
  num_tasks=2,
  names=('user', 'item', 'tags', 'asof_history', 'labels'),
  item=1,
  vocabulary_owners=(None, 1, None),
)
BARE = dataclasses.replace(
  SPEC, multi_valued=((5, 3), (4, 2)), names=(), vocabulary_owners=()
)
HISTORY = slice(3, 3 + WIDTH)
START = SPEC.categorical[0]


def inputs(seed=0):
  """Random rows; histories of 0 to WIDTH items, [0] where there are none."""
  rng = np.random.default_rng(seed)
  made = small.inputs(SPEC, seed)
  lists = made.multi_valued[..., HISTORY]
  lists[...] = rng.integers(1, ITEMS, lists.shape)
  lengths = rng.permutation(np.arange(lists[..., 0].size) % (WIDTH + 1))
  lists[np.arange(WIDTH) >= lengths.reshape(lists[..., :1].shape)] = -1
  lists[..., 0] = np.maximum(lists[..., 0], 0)
  return made


@pytest.mark.parametrize('form', ['plain', 'distinct'])
@pytest.mark.parametrize('name', small.FIRST_LAYERS)
def test_networks_equal_numpy(name, form):
  config = dataclasses.replace(small.CONFIG, first_layer=form)
  network = factory.make_actor(SPEC, name, config)
  params = small.params(network)
  found = small.run(network, params, inputs())
  expected = reference.actor_logits(SPEC, name, config, params, inputs())
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert np.std(found) > 1e-3


def test_fields_that_share_have_the_rows_of_their_owner():
  np.testing.assert_array_equal(embeddings.offsets(SPEC), [0, 4, 10, 4, 15, 19])
  last = dataclasses.replace(
    SPEC, multi_valued=SPEC.multi_valued[:2], vocabulary_owners=(None, 1)
  )
  np.testing.assert_array_equal(embeddings.offsets(last), [0, 4, 10, 4, 15])
  np.testing.assert_array_equal(embeddings.offsets(BARE), [0, 4, 10, 15, 19])
  assert embeddings.histories(SPEC) == (1,) and embeddings.histories(BARE) == ()
  several = dataclasses.replace(SPEC, vocabulary_owners=(None, 1, 0))
  assert embeddings.histories(several) == (1, 2)
  table = embeddings.init_table(jax.random.key(0), last, small.CONFIG)
  assert table.shape == (15, 3)
  empty = np.flatnonzero((np.asarray(table) == 0).all(axis=1))
  np.testing.assert_array_equal(empty, [0, 4, 10])


def make():
  config = dataclasses.replace(small.CONFIG, embedding_scale=0.5)
  rngs = nnx.Rngs(params=jax.random.key(0))
  return first_layer.FirstLayer(SPEC, config, rngs, units=3, gates=2)


def lane(lists, items):
  """Rows of one lane whose histories and items are given."""
  made = jax.tree.map(lambda x: x[0], inputs())
  made.multi_valued[:, HISTORY] = lists
  made.categorical[:, 1] = items
  return made


LISTS = [[3, 5, -1, -1], [0, -1, -1, -1], [2, 2, 4, 0]]


def test_no_items_make_a_block_of_zeros_whatever_row_0_has():
  layer = make()
  layer.table[...] = layer.table[...] + 1.0  # row 0 too
  made = lane([[0, -1, -1, -1], [-1] * 4, [0, 0, -1, 0]], [1, 2, 3])
  blocks = layer._lists(made)
  assert blocks.shape == (3, 3, 3)
  np.testing.assert_array_equal(blocks[:, 1], 0.0)
  assert np.abs(blocks[:, (0, 2)]).min() > 0


def test_a_rate_for_all_fields_leaves_histories_alone():
  rates = id_dropout.rates('0.3', SPEC)
  assert rates == (0.3, 0.3, 0.3, 0.0, 0.3)
  assert id_dropout.rates('item=0.3', SPEC)[3] == 0.0
  rates = id_dropout.rates('asof_history=0.5', SPEC)
  assert rates == (0.0, 0.0, 0.0, 0.5, 0.0)
  before = inputs()
  after = id_dropout.drop(jax.random.key(0), before, SPEC, rates)
  changed = np.asarray(after.multi_valued != before.multi_valued)
  assert changed[..., HISTORY].any()
  assert not np.delete(changed, HISTORY, axis=-1).any()
  assert (np.asarray(after.multi_valued)[changed] == 0).all()
