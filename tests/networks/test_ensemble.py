import dataclasses
import functools

import jax
import numpy as np
import pytest

from rmtl_jax.networks import from_settings, functional, members_mean
from tests import tiers
from tests.networks import small

COUNT = 3


def networks(backbone, **changes):
  """(one member's network, the ensemble's)."""
  config = dataclasses.replace(small.CONFIG, **changes)
  one = from_settings.make_actor(small.spec(), backbone, config)
  return one, members_mean.make_ensemble(one, COUNT)


def members(one):
  return [small.params(one, seed) for seed in range(COUNT)]


def stack(trees):
  return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@pytest.mark.parametrize(
  ('backbone', 'form', 'first_layer'),
  tiers.some(
    [
      ('mmoe', 'separate', 'distinct'),
      ('mmoe', 'batched', 'plain'),
      ('single_task', 'separate', 'plain'),
      ('single_task', 'batched', 'distinct'),
    ],
    [('mmoe', 'batched', 'plain'), ('single_task', 'separate', 'plain')],
  ),
)
def test_is_the_mean_of_the_members_probabilities(
  backbone, form, first_layer, monkeypatch
):
  small.run_stacks(monkeypatch, form)
  one, whole = networks(backbone, first_layer=first_layer)
  inputs, trees = small.inputs(small.spec()), members(one)
  run_one = small.jit(functools.partial(functional.apply, one))
  logits = [np.asarray(run_one(tree, inputs)) for tree in trees]
  probabilities = 1 / (1 + np.exp(-np.array(logits, np.float64)))
  with jax.numpy_rank_promotion('raise'):
    found = small.run(whole, stack(trees), inputs)
  assert found.shape == (small.LANES, small.SLOTS, 2)
  np.testing.assert_allclose(
    1 / (1 + np.exp(-found)), probabilities.mean(0), atol=1e-6
  )
  # The members differ, and so would the mean of their logits.
  assert np.ptp(probabilities, axis=0).max() > 0.1
  assert np.abs(found - np.mean(logits, axis=0)).max() > 1e-3


def test_a_mixture_is_the_weighted_mean_of_different_networks_logits():
  spec = small.spec()
  made = [
    from_settings.make_actor(spec, 'mmoe', small.CONFIG),
    from_settings.make_actor(
      spec, 'esmm', dataclasses.replace(small.CONFIG, embedding_dim=3)
    ),
  ]
  whole, inputs = members_mean.make_mixture(made), small.inputs(spec)
  trees = [small.params(one, seed) for seed, one in enumerate(made)]
  logits = np.array(
    [
      small.run(one, tree, inputs)
      for one, tree in zip(made, trees, strict=True)
    ]
  )
  weights = np.array([[0.25, 1.0], [0.75, 0.0]], np.float32)
  found = small.run(whole, members_mean.mixture(trees, weights), inputs)
  expected = np.einsum('mltk,mk->ltk', logits, weights)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  equal = small.run(whole, members_mean.mixture(trees, None), inputs)
  np.testing.assert_allclose(equal, logits.mean(0), atol=1e-6)
  init = whole.init(jax.random.key(0))
  assert len(init['members']) == 2 and init['weights'] is None
