"""Steps of actor and critics that read the user's earlier items."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.networks import factory
from rmtl_jax.updates import loop
from tests.updates import problem

WIDTH = 3
SPEC = dataclasses.replace(
  problem.SPEC,
  multi_valued=(*problem.SPEC.multi_valued, (7, WIDTH)),
  names=('item', 'user', 'tags', 'asof_history'),
  vocabulary_owners=(None, 0),
)


def columns():
  """The problem's rows, and a history of 0 to WIDTH items per session."""
  rows = problem.columns()
  rng = np.random.default_rng(5)
  sessions = len(problem.LENGTHS)
  lists = rng.integers(1, 7, (sessions, WIDTH))
  lists[np.arange(WIDTH) >= rng.integers(0, WIDTH + 1, (sessions, 1))] = -1
  lists[:, 0] = np.maximum(lists[:, 0], 0)
  own = np.repeat(lists, problem.LENGTHS, axis=0).astype(np.int32)
  slots = np.concatenate([rows.inputs.multi_valued, own], axis=1)
  return jax.device_put(
    loop.Columns(rows.inputs._replace(multi_valued=slots), rows.labels)
  )


def test_actor_and_critics_learn_from_histories():
  network = dataclasses.replace(
    problem.NETWORK,
    history_encoder='target_attention',
    first_layer='distinct',
    dropout=0.1,
    id_dropout='asof_history=0.2,item=0.1',
  )
  actor = factory.make_actor(SPEC, 'shared_bottom', network)
  critic = factory.make_critic(SPEC, network, config_lib.CriticConfig())
  full = problem.two_steps(actor, critic, columns())
  for gradient in (full.actor.opt_state, full.critic.opt_state):
    problem.assert_finite(gradient)
    assert gradient['first']['table'].shape[0] == 7 + 5 + 4
    own = gradient['first']['history_1']
    problem.assert_all_moved(own, jax.tree.map(jnp.zeros_like, own))
    # Every number of the history's block counts in the first layer.
    assert np.abs(gradient['first']['kernel'][3]).max(axis=1).min() > 0
