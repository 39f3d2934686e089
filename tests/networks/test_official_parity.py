"""The networks under `--preset=official` beside numbers of the released code.

tests/golden/README.md says how these were made.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import from_settings, functional
from rmtl_jax.ops import losses
from tests import tiers
from tests.golden import released
from tests.networks import small

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'models.npz'
SPEC = types.FeatureSpec((7, 11, 5), (), numeric=1, num_tasks=2)
NETWORK = dataclasses.replace(
  config_lib.preset('official').network,
  embedding_dim=8,
  bottom_units=(32, 16),
  tower_units=(12, 6),
)


@pytest.fixture(scope='module')
def record():
  with np.load(GOLDEN, allow_pickle=False) as file:
    return dict(file)


def inputs(record, model):
  """The rows as one lane."""
  return types.Inputs(
    record[f'{model}/x'].astype(np.int32)[None],
    np.zeros((1, 96, 0), np.int32),
    record[f'{model}/z'][None],
  )


def parts(record, prefix):
  return lambda name: record[f'{prefix}/{name}']


def gradients(record, model):
  """As `parts`; NaN where the record has left out a gradient."""

  def get(name):
    missing = np.full_like(record[f'{model}/p/{name}'], np.nan)
    return record.get(f'{model}/g/{name}', missing)

  return get


@pytest.mark.parametrize(
  'model', tiers.some(released.BACKBONES, ('mmoe', 'ple', 'esmm', 'aitm'))
)
def test_backbones_are_the_released_ones(record, model):
  network = from_settings.make_actor(SPEC, model, NETWORK)
  params = released.actor(model, parts(record, f'{model}/p'))
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
  labels = record[f'{model}/y']

  def loss(params):
    logits = functional.apply(network, params, inputs(record, model))[0]
    rows = losses.binary_cross_entropy(logits, labels)
    return jnp.mean(rows), jax.nn.sigmoid(logits)

  (mean, outputs), found = small.jit(jax.value_and_grad(loss, has_aux=True))(
    jax.tree.map(jnp.asarray, params)
  )
  np.testing.assert_allclose(outputs, record[f'{model}/o'], atol=3e-7)
  np.testing.assert_allclose(mean, record[f'{model}/loss'], rtol=1e-6)
  expected = released.actor(model, gradients(record, model))
  compared = 0
  for (path, leaf), other in zip(
    jax.tree.leaves_with_path(expected), jax.tree.leaves(found), strict=True
  ):
    known = np.isfinite(leaf)
    if path[-1].key == 'table':  # theirs never trains the first row of all
      known[..., 0, :] = False
    np.testing.assert_allclose(
      np.asarray(other)[known],
      leaf[known],
      rtol=1e-4,
      atol=2e-7,
      err_msg=jax.tree_util.keystr(path),
    )
    compared += np.sum(known)
  assert compared > 2000


@pytest.mark.parametrize('head', ['neg_relu', 'linear'])
def test_separate_critics_are_the_released_ones(record, head):
  config = dataclasses.replace(config_lib.preset('official').critic, head=head)
  network = from_settings.make_critic(SPEC, NETWORK, config)
  model = f'critic_{head}'
  params = released.critics(
    [parts(record, f'critic/p{task}') for task in range(2)]
  )
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
  q = small.run(
    network, params, inputs(record, model), record[f'{model}/a'][None]
  )[0]
  np.testing.assert_allclose(q, record[f'{model}/q'], atol=1e-6)
  assert np.std(q) > 1e-2
