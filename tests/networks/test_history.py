"""Networks that read the user's earlier items."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import (
  embeddings,
  factory,
  first_layer,
  functional,
  history,
  id_dropout,
)
from rmtl_jax.networks import registry as networks_registry
from tests import tiers
from tests.networks import reference, small

ENCODERS = ('mean', 'target_attention')
WIDTH, ITEMS = 4, 6
# The history stands between the tags and another list.
SPEC = types.FeatureSpec(
  categorical=(4, ITEMS),
  multi_valued=((5, 3), (ITEMS, WIDTH), (4, 2)),
  numeric=2,
  num_tasks=2,
  names=('user', 'item', 'tags', 'asof_history', 'labels'),
  item=1,
  vocabulary_owners=(None, 1, None),
  domain=0,
)
BARE = dataclasses.replace(
  SPEC, multi_valued=((5, 3), (4, 2)), names=(), vocabulary_owners=()
)
HISTORY = slice(3, 3 + WIDTH)
START = SPEC.categorical[0]


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


def bare(made):
  """The same rows without histories."""
  lists = np.delete(made.multi_valued, HISTORY, axis=-1)
  return made._replace(multi_valued=lists)


def named(name, encoder='mean', spec=SPEC, **changes):
  """A network of either kind, with its arguments after the inputs."""
  config = dataclasses.replace(small.CONFIG, history_encoder=encoder, **changes)
  if name in networks_registry.BACKBONES:
    return factory.make_actor(spec, name, config), ()
  critic = config_lib.CriticConfig(form=name)
  return factory.make_critic(spec, config, critic), (small.actions(2),)


def expected(name, encoder, params, made):
  """What the numpy reference says."""
  config = dataclasses.replace(small.CONFIG, history_encoder=encoder)
  if name in networks_registry.BACKBONES:
    return reference.actor_logits(SPEC, name, config, params, made)
  critic = config_lib.CriticConfig(form=name)
  return reference.critic_values(
    SPEC, config, critic, params, made, small.actions(2)
  )


def test_every_choice_is_here():
  choices = config_values.choices('network.history_encoder')
  assert choices == ('none', *ENCODERS)
  assert config_lib.NetworkConfig().history_encoder == 'mean'


NAMES = (*small.FIRST_LAYERS, 'shared', 'separate')


CASES = [(name, 'target_attention') for name in NAMES]
CASES += [('mmoe', 'mean'), ('separate', 'mean'), ('shared', 'none')]


# Critics, and each way to encode.
QUICK = [('separate', 'target_attention'), ('mmoe', 'mean'), ('shared', 'none')]


@pytest.mark.parametrize(('name', 'encoder'), tiers.some(CASES, QUICK))
def test_networks_equal_numpy(name, encoder):
  network, args = named(name, encoder)
  params = small.params(network)
  found = small.run(network, params, inputs(), *args)
  np.testing.assert_allclose(
    found, expected(name, encoder, params, inputs()), rtol=1e-5, atol=1e-5
  )
  assert np.std(found) > 1e-3


@pytest.mark.parametrize(
  ('name', 'encoder'), [('esmm', 'mean'), ('shared', 'target_attention')]
)
def test_both_forms_of_the_first_layer_agree(name, encoder):
  found = []
  for form in ('plain', 'distinct'):
    network, args = named(name, encoder, first_layer=form)

    def loss(params, network=network, args=args):
      out = functional.apply(network, params, inputs(), *args)
      return jnp.sum(out**2)

    found.append(small.jit(jax.value_and_grad(loss))(small.params(network)))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *found
  )


def test_fields_that_share_have_the_rows_of_their_owner():
  np.testing.assert_array_equal(embeddings.offsets(SPEC), [0, 4, 10, 4, 15, 19])
  last = dataclasses.replace(
    SPEC, multi_valued=SPEC.multi_valued[:2], vocabulary_owners=(None, 1)
  )
  np.testing.assert_array_equal(embeddings.offsets(last), [0, 4, 10, 4, 15])
  np.testing.assert_array_equal(embeddings.offsets(BARE), [0, 4, 10, 15, 19])
  assert history.fields(SPEC) == (1,) and history.fields(BARE) == ()
  several = dataclasses.replace(SPEC, vocabulary_owners=(None, 1, 0))
  assert history.fields(several) == (1, 2)
  table = embeddings.init_table(jax.random.key(0), last, small.CONFIG)
  assert table.shape == (15, 3)
  empty = np.flatnonzero((np.asarray(table) == 0).all(axis=1))
  np.testing.assert_array_equal(empty, [0, 4, 10])


def make(encoder, **changes):
  config = dataclasses.replace(
    small.CONFIG, history_encoder=encoder, embedding_scale=0.5, **changes
  )
  rngs = nnx.Rngs(params=jax.random.key(0))
  return first_layer.FirstLayer(SPEC, config, rngs, units=3, gates=2)


def lane(lists, items):
  """Rows of one lane whose histories and items are given."""
  made = jax.tree.map(lambda x: x[0], inputs())
  made.multi_valued[:, HISTORY] = lists
  made.categorical[:, 1] = items
  return made


LISTS = [[3, 5, -1, -1], [0, -1, -1, -1], [2, 2, 4, 0]]


def test_items_learn_from_the_histories_that_have_them():
  layer = make('mean')
  graph, state = nnx.split(layer)
  made = lane(LISTS, 1)
  slope = jax.grad(
    lambda state: jnp.sum(nnx.merge(graph, state)((), made)[0][0])
  )
  slopes = small.jit(slope)(state)
  slopes = nnx.to_pure_dict(slopes)['table']
  assert slopes.shape == (4 + ITEMS + 5 + 4, 3)
  # Of the kernel's blocks 0 and 1 are categories, 2 tags, 3 the history.
  own, block = (layer.kernel[...][i][:, :3].sum(axis=1) for i in (1, 3))
  shares = {0: 0, 1: 0, 2: 2 / 3, 3: 1 / 2, 4: 1 / 3, 5: 1 / 2}
  for item, share in shares.items():
    rows = 3 if item == 1 else 0
    np.testing.assert_allclose(
      slopes[START + item], rows * own + share * block, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('encoder', ENCODERS)
def test_no_items_make_a_block_of_zeros_whatever_row_0_holds(encoder):
  layer = make(encoder)
  layer.table[...] = layer.table[...] + 1.0  # row 0 too
  made = lane([[0, -1, -1, -1], [-1] * 4, [0, 0, -1, 0]], [1, 2, 3])
  blocks = layer._lists(made, None)
  assert blocks.shape == (3, 3, 3)
  np.testing.assert_array_equal(blocks[:, 1], 0.0)
  assert np.abs(blocks[:, (0, 2)]).min() > 0


def test_attention_by_hand():
  config = config_lib.NetworkConfig(embedding_dim=2)
  unit = history.TargetAttention(config, nnx.Rngs(params=jax.random.key(0)))
  # One unit: relu(q_0 + k_1 + 2 q_0 k_0 - 1), scored by log 2.
  unit.kernel[...] = jnp.array([[[1.0], [0]], [[0], [1]], [[2], [0]]])
  unit.bias[...] = jnp.array([-1.0])
  unit.score[...] = jnp.log(jnp.array([[2.0]]))
  items = jnp.array([[1.0, 9], [0, 9], [1, 9]])
  one = jnp.array([[1.0, 0], [0, 1], [5, 5]])
  seen = jnp.array([[True, True, False], [True, True, False], [False] * 3])
  found = unit(items, jnp.stack([one] * 3), seen)
  # Units 2 and 1: weights 4 and 2 of 6. Then 0 and 0: halves. Then nothing.
  np.testing.assert_allclose(
    found, [[2 / 3, 1 / 3], [1 / 2, 1 / 2], [0, 0]], rtol=1e-6
  )


def test_attention_takes_padding_and_order_for_nothing():
  layer = make('target_attention')
  blocks = [
    layer._lists(lane(lists, [1, 2, 3]), None)[:, 1]
    for lists in (
      [[3, 5, 5, 1], [3, -1, -1, -1], [2, 4, -1, -1]],
      [[5, 1, 3, 5], [-1, 0, 3, -1], [4, 0, 2, -1]],
    )
  ]
  np.testing.assert_allclose(blocks[0], blocks[1], rtol=1e-5)
  table = np.asarray(layer.table[...])
  np.testing.assert_allclose(blocks[0][1], table[START + 3], rtol=1e-5)


def test_each_sequence_is_seen_by_the_value_of_its_own_owner():
  spec = dataclasses.replace(SPEC, vocabulary_owners=(None, 1, 0))
  config = dataclasses.replace(
    small.CONFIG, history_encoder='target_attention', embedding_scale=0.5
  )
  rngs = nnx.Rngs(params=jax.random.key(0))
  layer = first_layer.FirstLayer(spec, config, rngs, units=3)
  made = lane(LISTS, [1, 2, 3])
  users = np.array([1, 2, 3])
  made.categorical[:, 0] = users
  lists = np.array([[1, 3], [2, -1], [0, 0]])
  made.multi_valued[:, -2:] = lists
  blocks = layer._lists(made, None)
  first = nnx.to_pure_dict(nnx.state(layer))
  table = np.asarray(first['table'])
  for t, values in enumerate(lists):
    shown = [table[v] for v in values if v > 0]
    expected = reference.history(first['history_2'], shown, table[users[t]])
    np.testing.assert_allclose(blocks[t, 2], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('encoder', ENCODERS)
def test_gradients_reach_query_and_history(encoder):
  layer = make(encoder)
  graph, state = nnx.split(layer)
  made = lane([[2, 3, -1, -1], [0, -1, -1, -1], [4, -1, -1, -1]], [1, 1, 1])
  out = lambda state: nnx.merge(graph, state)._lists(made, None)[:, 1]
  jacobian = small.jit(jax.jacrev(lambda s: out(s) ** 2))(state)
  jacobian = nnx.to_pure_dict(jacobian)
  reached = np.abs(jacobian['table']).max(axis=(1, 3)) > 0
  rows = [np.flatnonzero(r) - START for r in reached]
  # With one item there is nothing to choose: the query counts for nothing.
  asked = [1] if encoder == 'target_attention' else []
  assert [list(r) for r in rows] == [[*asked, 2, 3], [], [4]]
  for leaf in jax.tree.leaves(jacobian):
    assert np.isfinite(leaf).all()


def program(network, made, *args):
  """The whole program, so that nothing need be compiled."""
  params = jax.eval_shape(network.init, jax.random.key(0))
  function = functools.partial(functional.apply, network)
  return str(jax.make_jaxpr(function)(params, made, *args))


@pytest.mark.parametrize('name', ['mmoe', 'single_task', 'shared', 'separate'])
def test_data_without_the_field_has_no_use_for_the_setting(name):
  programs, inits = set(), set()
  for encoder in (*ENCODERS, 'none'):
    network, args = named(name, encoder, BARE)
    programs.add(program(network, bare(inputs()), *args))
    inits.add(str(jax.make_jaxpr(network.init)(jax.random.key(0))))
  assert len(programs) == len(inits) == 1


@pytest.mark.parametrize('name', ['single_task', 'shared'])
def test_without_an_encoder_it_is_as_if_the_field_were_not_there(name):
  network, args = named(name, 'none')
  without, _ = named(name, 'none', BARE)
  key = jax.random.key(0)
  inits = [str(jax.make_jaxpr(n.init)(key)) for n in (network, without)]
  assert inits[0] == inits[1]
  params = small.params(network)
  np.testing.assert_array_equal(
    small.run(network, params, inputs(), *args),
    small.run(without, params, bare(inputs()), *args),
  )


def test_every_network_knows_its_parameters():
  for name in NAMES:
    network, _ = named(name, 'target_attention')
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert params['first']['table'].shape[-2] == 4 + ITEMS + 5 + 4
    assert params['first']['history_1']['kernel'].shape[-3:] == (3, 3, 1)
  network, _ = named('ple', 'mean')
  params = jax.eval_shape(network.init, jax.random.key(0))
  assert set(params['first']) == {'table', 'kernel', 'bias', 'numeric'}


def test_rows_do_not_see_what_others_were_shown():
  network, args = named('shared_bottom', 'target_attention')
  params = small.params(network)
  changed = jax.tree.map(
    lambda a, b: np.concatenate([a[:, :2], b[:, 2:]], axis=1),
    inputs(),
    inputs(1),
  )
  one, other = (
    small.run(network, params, made, *args) for made in (inputs(), changed)
  )
  np.testing.assert_array_equal(one[:, :2], other[:, :2])
  assert (one[:, 2:] != other[:, 2:]).any()


def test_a_rate_for_all_fields_leaves_histories_alone():
  rates = id_dropout.rates('0.3', SPEC)
  assert rates == (0.3, 0.3, 0.3, 0.0, 0.3)
  assert id_dropout.rates('item=0.3', SPEC)[3] == 0.0
  rates = id_dropout.rates('asof_history=0.5', SPEC)
  assert rates == (0.0, 0.0, 0.0, 0.5, 0.0)
  before = inputs()
  after = id_dropout.drop(jax.random.key(0), before, SPEC, rates)
  changed = np.asarray(after.multi_valued != before.multi_valued)
  assert changed[..., HISTORY].any()
  assert not np.delete(changed, HISTORY, axis=-1).any()
  assert (np.asarray(after.multi_valued)[changed] == 0).all()


@pytest.mark.parametrize('name', ['mmoe', 'shared'])
def test_an_encoder_that_does_not_exist(name):
  with pytest.raises(types.InputError, match="history_encoder: 'gru' is not"):
    named(name, 'gru')
