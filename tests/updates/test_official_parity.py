"""Rewards, targets, weighted losses and critic updates of the released code.

tests/golden/README.md describes how the numbers were made. The parameters of
the critic updates (15 MB) are not in the repository.
"""

import dataclasses
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import from_settings
from rmtl_jax.ops import losses, rewards, targets
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward, state, weighted_grad
from rmtl_jax.weighting import chain
from tests.golden import released
from tests.updates import problem

GOLDEN = os.environ.get('RMTL_GOLDEN', '')
SMALL = pathlib.Path(__file__).parents[1] / 'golden' / 'session.npz'
OFFICIAL = config_lib.preset('official')
NETWORK = dataclasses.replace(OFFICIAL.network, embedding_dim=16, dropout=0.0)
# What theirs was run with: no noise, no dropout, targets move in every step.
CRITIC = dataclasses.replace(OFFICIAL.critic, update_period=1)
KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def record():
  if not GOLDEN:
    pytest.skip('RMTL_GOLDEN does not name a directory with updates.npz')
  with np.load(
    pathlib.Path(GOLDEN) / 'updates.npz', allow_pickle=False
  ) as file:
    return dict(file)


def spec(record):
  sizes = tuple(int(size) for size in record['batches/dims'])
  return types.FeatureSpec(sizes, (), numeric=1, num_tasks=2)


def batch(record, number):
  """(batch, logged actions)."""
  part = {
    name: jnp.asarray(record[f'batches/{number}/{name}'])
    for name in ('x', 'z', 'y', 'a', 'seg', 'last', 'mask')
  }
  lists = jnp.zeros((*part['x'].shape[:2], 0), jnp.int32)
  inputs = types.Inputs(part['x'], lists, part['z'], part['seg'])
  row = jnp.where(part['mask'], 0, -1)
  one = types.Batch(
    inputs, part['y'], part['mask'], part['last'], part['seg'], row
  )
  return one, part['a']


def parts(record, prefix):
  return lambda name: record[f'{prefix}/{name}']


def critics(record, updates, letter):
  names = [f'td_esmm/{updates}/{letter}{task}' for task in range(2)]
  params = released.critics([parts(record, name) for name in names])
  return jax.tree.map(jnp.asarray, params)


def actor(record):
  network = from_settings.make_actor(spec(record), 'esmm', NETWORK)
  params = released.actor('esmm', parts(record, 'td_esmm/0/actor'))
  return network, jax.tree.map(jnp.asarray, params)


def test_critic_updates_are_the_released_ones(record, monkeypatch):
  monkeypatch.setattr(critic_lib, 'TARGET_NOISE', 0.0)
  network, actor_params = actor(record)
  critic_network = from_settings.make_critic(spec(record), NETWORK, CRITIC)
  optimizer = state.make_optimizer(CRITIC.learning_rate)
  step = jax.jit(critic_lib.make_critic_step(critic_network, optimizer, CRITIC))
  critic = state.init_critic(critics(record, 0, 'c'), optimizer)._replace(
    target_params=critics(record, 0, 't')
  )
  policy = jax.jit(lambda inputs: forward.policy(network, actor_params, inputs))
  for number in range(6):
    one, logged = batch(record, number)
    critic, metrics = step(critic, one, KEY, logged, policy(one.inputs))
    np.testing.assert_allclose(
      metrics['td_error'] / metrics['td_rows'],
      record['td_esmm/losses'][number].mean(),
      rtol=1e-4,
    )
    if number == 1:
      # Adam's first steps are signs of gradients: near 0 a sign is a guess.
      for found, letter in (
        (critic.params, 'c'),
        (critic.target_params, 't'),
      ):
        problem.assert_trees_close(found, critics(record, 2, letter), atol=2e-5)


@pytest.fixture(scope='module')
def session():
  with np.load(SMALL, allow_pickle=False) as file:
    return dict(file)


def test_rewards_and_targets_are_the_released_ones(session):
  lane, slot = session['pos'].T
  reward = rewards.log_likelihood(session['a'], session['y'])
  np.testing.assert_allclose(reward[lane, slot], session['reward'], rtol=1e-6)
  values = jnp.minimum(session['online'], session['target_net'])
  found = jax.vmap(targets.lane_targets, (0, 0, 0, None))(
    reward, values, session['last'], CRITIC.discount
  )
  np.testing.assert_allclose(
    found[lane, slot], session['target'], rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('lambda_', ['0.7', '1.0'])
def test_the_weighted_loss_is_the_released_one(session, lambda_):
  config = dataclasses.replace(OFFICIAL.weighting, lambda_=float(lambda_))
  weighting = chain.make_weighting(config)
  row_losses = losses.binary_cross_entropy(
    jnp.asarray(session['logits']), jnp.asarray(session['y'])
  )
  weighted, _ = weighting.update(
    weighted_grad.mean_cotangent(jnp.asarray(session['mask']), 2),
    weighting.init(jnp.zeros(())),
    q_values=jnp.asarray(session['q']),
  )
  found = jnp.sum(weighted * row_losses)
  np.testing.assert_allclose(found, session[f'loss_{lambda_}'], rtol=1e-5)
