"""Which parameters tasks share, counted by hand."""

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.updates import shared
from tests import paper

SPEC = types.FeatureSpec(
  (50, 6),
  ((30, 3),),
  numeric=2,
  num_tasks=3,
  names=('user', 'item', 'tags'),
)
SIZES = paper.network(
  embedding_dim=4, bottom_units=(8, 6), tower_units=(4,), num_experts=4
)
# Leaves that are not shared as a whole: how many numbers of them are, beside
# the embeddings and all else, which are.
TOWERS = {
  'towers/heads/linear/bias': 0,
  'towers/heads/linear/kernel': 0,
  'towers/linear_0/bias': 0,
  'towers/linear_0/kernel': 0,
}
OWN = {
  # A column for each task.
  'shared_bottom': TOWERS,
  'omoe': TOWERS,
  # Four experts of 8 columns; then a gate of 4 columns per task.
  'mmoe': TOWERS | {'first/bias': 4 * 8, 'first/kernel': 4 * 8 * 16},
  # Task experts of level 0 feed the shared path, whose gate sees all 8.
  'ple': TOWERS
  | {'first/bias': 8 * 8 + 8, 'first/kernel': (8 * 8 + 8) * 16}
  | {
    f'level_1/{part}_{k}/{leaf}': 0
    for part in ('experts', 'gate')
    for k in range(3)
    for leaf in ('bias', 'kernel')
  },
  # The first tower is in all three probabilities, the second in two.
  'esmm': {
    'first/bias': 2 * 8,
    'first/kernel': 2 * 8 * 16,
    'hidden/linear_1/bias': 2 * 6,
    'hidden/linear_1/kernel': 2 * 8 * 6,
    'hidden/linear_2/bias': 2 * 4,
    'hidden/linear_2/kernel': 2 * 6 * 4,
    'heads/linear/bias': 2,
    'heads/linear/kernel': 2 * 4,
  },
  # A bottom hears of those before it; the last one's is its task's alone.
  'aitm': TOWERS
  | {
    'first/bias': 2 * 8,
    'first/kernel': 2 * 8 * 16,
    'bottoms/linear_1/bias': 2 * 6,
    'bottoms/linear_1/kernel': 2 * 8 * 6,
  }
  | {
    f'transfer_2/{part}/{leaf}': 0
    for part in ('info', 'value', 'key', 'query')
    for leaf in ('bias', 'kernel')
  },
  'single_task': {},
}


@pytest.mark.parametrize('backbone', OWN)
def test_what_is_shared(backbone):
  masks = shared.shared_parameters(SPEC, backbone, SIZES)
  found = {
    '/'.join(entry.key for entry in path): (
      int(mask.sum()) if np.shape(mask) else bool(mask)
    )
    for path, mask in jax.tree_util.tree_leaves_with_path(masks)
  }
  if backbone == 'single_task':
    assert not any(found.values())
    return
  for name, value in found.items():
    assert value == OWN[backbone].get(name, True), name
  assert found['first/table'] is True
