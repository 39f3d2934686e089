"""Steps on a batch's embedding rows against steps on whole tables."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import from_settings
from rmtl_jax.training import models
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import embedding_rows, loop, state
from rmtl_jax.weighting import chain
from tests import paper, tiers
from tests.networks import small
from tests.updates import problem

# The second field and the list have more rows than a batch of 4 slots shows;
# the history shares the first field's.
SPEC = types.FeatureSpec(
  (20, 50), ((30, 2), (20, 2)), 1, 2, vocabulary_owners=(None, 0)
)
touched = jax.jit(embedding_rows.touched, static_argnums=0)


def inputs() -> types.Inputs:
  """1 lane of 4 slots."""
  return types.Inputs(
    np.array([[[7, 49], [7, 0], [3, 49], [0, 5]]], np.int32),
    np.array(
      [[[2, -1, 7, 9], [2, 29, -1, -1], [0, 1, 3, -1], [-1, -1, 0, 19]]],
      np.int32,
    ),
    np.ones((1, 4, 1), np.float32),
  )


def test_a_batch_in_terms_of_its_own_rows():
  spec = embedding_rows.small_spec(SPEC, 4)
  # 4 slots and 4 x 2 of the history, and row 0; 4; 4 x 2.
  assert spec.categorical == (13, 5)
  assert spec.multi_valued == ((9, 2), (13, 2))
  found = touched(SPEC, inputs())
  item, second, tags = np.split(np.asarray(found.rows), [13, 18])
  assert item.tolist() == [0, 3, 7, 9, 19] + [embedding_rows.NOWHERE] * 8
  assert second.tolist() == [20, 25, 69] + [embedding_rows.NOWHERE] * 2
  assert tags.tolist() == [70, 71, 72, 99] + [embedding_rows.NOWHERE] * 5
  new = found.inputs
  np.testing.assert_array_equal(
    new.categorical, [[[2, 2], [2, 0], [1, 2], [0, 1]]]
  )
  np.testing.assert_array_equal(
    new.multi_valued,
    [[[2, -1, 2, 3], [2, 3, -1, -1], [0, 1, 1, -1], [-1, -1, 0, 4]]],
  )


CONFIGS = [(name, {}) for name in small.FIRST_LAYERS] + [
  ('esmm', {'id_dropout': '0.4'}),
  ('mmoe', {'ignore': 'b'}),
  ('ple', {'first_layer': 'distinct'}),
]


QUICK = [('esmm', {'id_dropout': '0.4'})]


@pytest.mark.parametrize(('backbone', 'changes'), tiers.some(CONFIGS, QUICK))
def test_a_step_equals_the_dense_one_on_the_rows_of_its_batch(
  backbone, changes
):
  """From fresh moments, L2 and priors off: other rows do not move."""
  spec = dataclasses.replace(
    problem.SPEC,
    categorical=(200, 9),
    multi_valued=((300, 2),),
    names=('a', 'b', 'c'),
  )
  columns, slots = problem.columns(), jax.device_put(problem.slots(14))
  new_states = []
  for adam in ('dense', 'rows'):
    config = paper.config(
      backbone=backbone,
      network=dataclasses.replace(
        problem.NETWORK, embedding_adam=adam, **changes
      ),
      pretrain=paper.pretrain(l2=0.0),
      batch=paper.batch(lanes=14, lane_length=6),
    )
    made = models.Models(spec)
    params = made.init_actor(config, loop.Draws(1, 0))
    weighting = chain.make_weighting(
      config_lib.WeightingConfig(name='constant')
    )
    before = state.init_actor(params, state.make_optimizer(1e-3), weighting)
    run = made.pretrain(config)
    new_state, metrics = run(
      before, columns, (), slots, np.int32(1), loop.Draws(2, 0)
    )
    # Counts beside the tables say which rows were there.
    new_state = jax.tree.map_with_path(
      lambda path, leaf: (
        0 if state.is_embedding(path) and leaf.dtype == jnp.int32 else leaf
      ),
      new_state,
    )
    new_states.append((new_state, metrics))
  problem.assert_trees_close(*new_states, rtol=1e-4, atol=1e-6)


def test_rows_that_are_not_in_the_batch_stay_as_they_are():
  """Where the dense Adam moves them by what their moments hold.

  Padding, which may hold any row, has none.
  """
  spec = types.FeatureSpec((50,), (), 0, 1)
  config = dataclasses.replace(problem.NETWORK, embedding_dim=2)
  optimizer = state.make_optimizer(1e-3, 0.1)
  small = from_settings.make_actor(
    embedding_rows.small_spec(spec, 3), 'shared_bottom', config
  )
  step = jax.jit(
    embedding_rows.on_rows(actor_lib.make_actor_step(small, optimizer), spec)
  )
  network = from_settings.make_actor(spec, 'shared_bottom', config)
  actor = state.init_actor(
    network.init(jax.random.key(3)), optimizer, optax.identity()
  )

  def batch(*items):
    return types.Batch(
      inputs=types.Inputs(
        np.array([*items, 40], np.int32).reshape(1, -1, 1),
        np.zeros((1, 3, 0), np.int32),
        np.zeros((1, 3, 0), np.float32),
        np.array([[0, 0, -1]], np.int32),
      ),
      labels=np.ones((1, 3, 1), np.float32),
      mask=np.array([[True, True, False]]),
      is_last=np.array([[False, True, False]]),
      segment=np.array([[0, 0, -1]], np.int32),
      row=np.array([[0, 1, -1]]),
    )

  first, _ = step(actor, batch(7, 9), jax.random.key(4))
  second, _ = step(first, batch(9, 30), jax.random.key(4))
  tables = [
    np.asarray(s.params['first']['table']) for s in (actor, first, second)
  ]
  moved = [
    np.flatnonzero((a != b).any(axis=1)).tolist()
    for a, b in itertools.pairwise(tables)
  ]
  assert moved == [[7, 9], [9, 30]]
  moments = [
    leaf
    for path, leaf in jax.tree.leaves_with_path(second.opt_state)
    if state.is_embedding(path)
  ]
  assert len(moments) == 2
  for leaf in moments:
    assert set(np.flatnonzero(jnp.abs(leaf).sum(axis=1))) <= {7, 9, 30}
  assert second.step == 2
