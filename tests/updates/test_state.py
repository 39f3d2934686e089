import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.updates import finetune, state
from rmtl_jax.weighting import chain
from tests import paper
from tests.updates import problem, reference

PARAMS = {
  'w': np.array([[0.5, -1.0], [2.0, 0.0]], np.float32),
  'b': np.array([0.1], np.float32),
}
GRADIENTS = [
  {'w': np.array(w, np.float32), 'b': np.array(b, np.float32)}
  for w, b in (
    ([[0.3, -0.2], [0.0, 1e-3]], [4.0]),
    ([[-0.1, -0.2], [0.5, 0.0]], [-1.0]),
    ([[0.2, 0.4], [-0.5, 1e-4]], [0.0]),
  )
]


def three_updates(optimizer):
  params = jax.tree.map(jnp.asarray, PARAMS)
  opt_state = optimizer.init(params)
  for gradient in GRADIENTS:
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    params = optax.apply_updates(params, updates)
  return params


@pytest.mark.parametrize('l2', [0.1, 0.0])
def test_optimizer_is_torch_adam_with_weight_decay(l2):
  params = three_updates(state.make_optimizer(0.05, l2))
  for name, value in PARAMS.items():
    expected = reference.adam(value, [g[name] for g in GRADIENTS], 0.05, l2)
    np.testing.assert_allclose(params[name], expected, rtol=1e-5, atol=1e-6)


def embedded(tables, rest):
  """A tree with a table under `first`, and others that are none."""
  return {
    'first': {'table': tables, 'kernel': rest},
    'tower': {'table': rest},
    'table': rest,
  }


@pytest.mark.parametrize(
  'l2, embedding_l2', [(0.1, 0.3), (0.1, 0.0), (0.0, 0.3)]
)
def test_embeddings_have_an_l2_of_their_own(l2, embedding_l2):
  optimizer = state.make_optimizer(0.05, l2, embedding_l2)
  params = embedded(*[jnp.asarray(PARAMS['w'])] * 2)
  opt_state = optimizer.init(params)
  for gradient in GRADIENTS:
    updates, opt_state = optimizer.update(
      embedded(*[gradient['w']] * 2), opt_state, params
    )
    params = optax.apply_updates(params, updates)
  expected = embedded(
    *(
      reference.adam(PARAMS['w'], [g['w'] for g in GRADIENTS], 0.05, amount)
      for amount in (embedding_l2, l2)
    )
  )
  problem.assert_trees_close(params, expected, rtol=1e-5, atol=1e-6)
  assert np.abs(expected['table'] - expected['first']['table']).max() > 1e-3


def pointers(*trees):
  leaves = [
    leaf for leaf in jax.tree.leaves(trees) if isinstance(leaf, jax.Array)
  ]
  return [leaf.unsafe_buffer_pointer() for leaf in leaves]


@pytest.mark.parametrize('in_finetune', ['learning', 'frozen'])
def test_no_two_trees_share_a_buffer(in_finetune):
  """A step donates its state: a shared buffer would be deleted twice."""
  config = paper.config(critic=paper.critic(in_finetune=in_finetune))
  actor = problem.actor_params(problem.actor())
  critic = problem.critic_params(problem.critic(), 'shared')
  optimizer = state.make_optimizer(1e-3, 1e-6)
  weighting = chain.make_weighting(config_lib.WeightingConfig())
  trees = [
    actor,
    critic,
    state.init_actor(actor, optimizer, weighting),
    state.init_critic(critic, optimizer),
    finetune.init_finetune(
      state.init_actor(actor, optimizer, weighting),
      critic,
      optimizer,
      config.critic,
    ),
  ]
  found = pointers(*trees)
  assert len(found) == len(set(found))
