"""Networks that read the user's earlier items."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import (
  from_settings,
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
  vocabulary_owners=(None, 1, None),
)
HISTORY = slice(3, 3 + WIDTH)


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


@pytest.mark.parametrize(
  ('name', 'form'), [('mmoe', 'distinct'), ('single_task', 'plain')]
)
def test_networks_equal_numpy(name, form):
  config = dataclasses.replace(small.CONFIG, first_layer=form)
  network = from_settings.make_actor(SPEC, name, config)
  params = small.params(network)
  found = small.run(network, params, inputs())
  expected = reference.actor_logits(SPEC, name, config, params, inputs())
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert np.std(found) > 1e-3
