from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import backbone_registry, first_layer, from_settings
from tests import paper
from tests.networks import small


class Constant(nnx.Module):
  """A backbone of a user's own: the bias of the first layer."""

  def __init__(self, spec, config, rngs):
    self.first = first_layer.FirstLayer(spec, config, rngs, spec.num_tasks)

  def __call__(self, shared, inputs, dropout_key):
    hidden, _ = self.first(shared, inputs)
    return 0.0 * hidden[0] + self.first.bias[...][None, :]


def test_a_registered_backbone_runs(monkeypatch):
  own = dict(backbone_registry.BACKBONES._records)
  monkeypatch.setattr(backbone_registry.BACKBONES, '_records', own)
  with pytest.raises(types.InputError, match="'constant' is not one of"):
    config_values.validate(paper.config(backbone='constant'))
  from_settings.register_backbone('constant', Constant)
  config_values.validate(paper.config(backbone='constant'))
  spec = small.spec()
  network = from_settings.make_actor(spec, 'constant', small.CONFIG)
  params = small.params(network)
  logits = small.run(network, params, small.inputs(spec))
  bias = np.asarray(params['first']['bias'])
  np.testing.assert_array_equal(logits, np.broadcast_to(bias, logits.shape))


@pytest.mark.parametrize('name', ['ple', 'single_task', 'shared'])
def test_initial_parameters(name):
  network, _ = small.named(name, embedding_scale=0.5)
  params = network.init(jax.random.key(7))
  again = network.init(jax.random.key(7))
  other = network.init(jax.random.key(8))
  jax.tree.map(np.testing.assert_array_equal, params, again)
  table = np.asarray(params['first']['table'])
  table = table[None] if table.ndim == 2 else table
  starts = [0, 4, 10, 15]  # vocabularies of 4, 6, 5 and 4 rows
  assert table.shape[1] == 19
  np.testing.assert_array_equal(table[:, starts], 0)
  rest = np.delete(table, starts, axis=1)
  assert 0.3 < rest.std() < 0.7
  assert (np.asarray(other['first']['table']) != params['first']['table']).any()
  paths = jax.tree_util.tree_flatten_with_path(params)[0]
  for path, leaf in paths:
    assert leaf.dtype == np.float32
    assert all(isinstance(part.key, str) for part in path)
    if path[-1].key == 'bias' and 'heads' not in str(path):
      np.testing.assert_array_equal(leaf, 0)


def _critic_from_actor(backbone, form):
  """Parameters of an actor and a critic, and what both make."""
  actor, _ = small.named(backbone)
  critic, _ = small.named(form)
  actor_params, critic_params = small.params(actor), small.params(critic, 1)
  made = from_settings.critic_from_actor(critic_params, actor_params)
  return actor_params, critic_params, made


@pytest.mark.parametrize('backbone', ['mmoe', 'single_task'])
@pytest.mark.parametrize('form', ['shared', 'separate'])
def test_critic_from_actor_copies_the_tables(backbone, form):
  actor_params, critic_params, new_params = _critic_from_actor(backbone, form)
  table = np.asarray(actor_params['first']['table'])
  if backbone == 'mmoe' and form == 'separate':
    table = np.stack([table, table])
  if backbone == 'single_task' and form == 'shared':
    table = table[0]
  np.testing.assert_array_equal(new_params['first']['table'], table)
  new_params['first']['table'] = critic_params['first']['table']
  jax.tree.map(np.testing.assert_array_equal, new_params, critic_params)
