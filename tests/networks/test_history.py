"""Networks that read the user's earlier items."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import (
  factory,
  first_layer,
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
