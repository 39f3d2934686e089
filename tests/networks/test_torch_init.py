"""`official`: embeddings by Xavier's rule, layers by torch's."""

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import from_settings
from tests import paper

SPEC = types.FeatureSpec((200, 300), (), numeric=2, num_tasks=2)
NETWORK = paper.network(
  embedding_dim=16,
  official=True,
  bottom_units=(64, 48),
  tower_units=(32, 24),
  num_experts=4,
)
KEY = jax.random.key(0)


def assert_uniform(values, limit):
  """Within +-limit, and as spread out as uniform values are."""
  values = np.asarray(values).ravel()
  assert np.abs(values).max() <= limit
  if values.size >= 64:
    assert np.abs(values).max() > 0.9 * limit
    expected = limit / 3**0.5
    assert abs(values.std() - expected) < 5 * expected / values.size**0.5


def layers_of(tree):
  """(kernel, bias) of all linear layers but the first."""
  for value in tree.values():
    if isinstance(value, dict):
      yield from layers_of(value)
  if {'kernel', 'bias'} <= set(tree) and 'table' not in tree:
    yield tree['kernel'], tree['bias']


@pytest.mark.parametrize('backbone', ['ple', 'aitm', 'single_task'])
def test_actors(backbone):
  params = from_settings.make_actor(SPEC, backbone, NETWORK).init(KEY)
  first = params['first']
  table = np.asarray(first['table'])
  assert_uniform(np.delete(table, [0, 200], axis=-2), (6 / (500 + 16)) ** 0.5)
  assert not table[..., [0, 200], :].any()
  # The first layer's inputs are all three blocks.
  for name in ('kernel', 'bias'):
    assert_uniform(first[name], (3 * 16) ** -0.5)
  found = [*layers_of(params)]
  assert len(found) > 4
  for kernel, bias in found:
    assert_uniform(kernel, kernel.shape[-2] ** -0.5)
    assert_uniform(bias, kernel.shape[-2] ** -0.5)
