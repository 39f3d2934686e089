from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import affinity, functional
from rmtl_jax.updates import rows as rows_lib
from rmtl_jax.updates import state as state_lib
from tests.networks import small


@pytest.fixture(autouse=True)
def strict():
  with jax.numpy_rank_promotion('raise'):
    yield


# Fields: user, item, what is known of the row before, tags of the item, and
# the user's earlier items.
SPEC = types.FeatureSpec(
  categorical=(4, 6, 3),
  multi_valued=((5, 2), (6, 3)),
  numeric=2,
  num_tasks=2,
  names=('user', 'item', 'since', 'tags', 'history'),
  item=1,
  shares=(None, 1),
  numeric_names=('price', 'age'),
  item_side=(1, 3),
  user_side=(0,),
  previous=((2, 1),),
)
CONFIG = dataclasses.replace(
  small.CONFIG, affinity_dim=2, affinity_state='session'
)
# Sessions of 3, 1 and 2 rows, and padding.
SEGMENT = np.array([[4, 4, 4, 7, -1, 2, 2, -1]], np.int32)
SLOTS = SEGMENT.shape[1]


def inputs(seed=0):
  made = small.inputs(SPEC, seed, lanes=1, slots=SLOTS)
  return made._replace(segment=SEGMENT)


@functools.cache
def actor(backbone='shared_bottom', config=CONFIG):
  return functional.make_actor(SPEC, backbone, config)


def expected(params, row_inputs, moves):
  """What the affinity adds, row by row from the equations; numpy, float64."""
  own = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
  table, dim = own['table'], 2
  starts = (0, 4, 10, 13)

  def sigmoid(x):
    return 1 / (1 + np.exp(-x))

  added, state, shown, before = [], None, None, -1
  for t in range(SLOTS):
    user, item, since = row_inputs.categorical[0, t]
    tags = [v for v in row_inputs.multi_valued[0, t, :2] if v >= 0]
    fields = [
      table[starts[0] + user],
      table[starts[1] + item],
      table[starts[2] + since],
      np.mean([table[starts[3] + v] for v in tags], axis=0),
    ]
    u, v = fields[0][:dim], fields[1][:dim] + fields[3][:dim]
    segment = SEGMENT[0, t]
    if moves and segment >= 0 and segment == before:
      pull = sigmoid(own['pull'][0]) * (since == 1)
      back = sigmoid(own['back'])
      state = state + pull * (shown - state) + back * (u - state)
    else:
      state = u
    shown, before = v, segment
    terms = sum(field[dim:] for field in fields)
    terms = terms + row_inputs.numeric[0, t] @ own['numeric']
    added.append(terms + own['scale'] * (state @ v) / np.sqrt(dim))
  return np.array(added)[None]


@pytest.mark.parametrize('state', ['user', 'session'])
def test_what_is_added_equals_numpy(state):
  config = dataclasses.replace(CONFIG, affinity_state=state)
  network = actor(config=config)
  params, given = small.params(network), inputs()
  plain = small.run(
    actor(config=dataclasses.replace(config, affinity_dim=0)),
    {k: v for k, v in params.items() if k != 'affinity'},
    given,
  )
  found = small.run(network, params, given) - plain
  wanted = expected(params['affinity'], given, state == 'session')
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
  assert np.std(wanted) > 0.1
  if state == 'session':  # the moves show
    still = expected(params['affinity'], given, moves=False)
    assert np.abs(wanted - still)[SEGMENT >= 0].max() > 1e-3


@pytest.mark.parametrize('backbone', config_lib.BACKBONES)
def test_every_backbone_adds_it_to_its_towers(backbone):
  network = actor(backbone)
  params, given = small.params(network), inputs()
  without = jax.tree.map_with_path(
    lambda path, leaf: leaf * (0 if 'affinity' in str(path) else 1), params
  )
  plain = actor(backbone, dataclasses.replace(CONFIG, affinity_dim=0))
  bare = jax.tree.map(lambda leaf: leaf, params)
  bare.pop('affinity')
  base = small.run(plain, bare, given)
  np.testing.assert_array_equal(small.run(network, without, given), base)
  found = small.run(network, params, given)
  assert np.abs(found - base).max() > 0.1
  if backbone == 'esmm':  # a task stays less likely than the one before
    assert (found[..., 1] < found[..., 0]).all()


def test_later_rows_and_other_sessions_do_not_matter():
  network = actor()
  params, given = small.params(network), inputs()
  base = small.run(network, params, given)
  other = inputs(seed=1)
  for t in range(SLOTS):
    mine = (SEGMENT[0] == SEGMENT[0, t]) & (np.arange(SLOTS) <= t)
    mixed = types.Inputs(
      *(
        np.where(mine[None, :, None], a, b)
        for a, b in zip(given[:3], other[:3], strict=True)
      ),
      SEGMENT,
    )
    np.testing.assert_array_equal(
      small.run(network, params, mixed)[0, t], base[0, t]
    )


def test_a_fresh_affinity():
  own = small.jit(actor().init)(jax.random.key(3))['affinity']
  table = np.asarray(own['table'])
  assert table.shape == (18, 4)
  # A history has the item's rows; row 0 of every other field starts at zero.
  first = np.isin(np.arange(18), (0, 4, 10, 13))
  np.testing.assert_array_equal(table[first], 0)
  np.testing.assert_array_equal(table[:, 2:], 0)
  assert 0.15 < table[~first, :2].std() < 0.45
  np.testing.assert_allclose(jax.nn.sigmoid(own['pull']), [0.2], rtol=1e-6)
  np.testing.assert_allclose(jax.nn.sigmoid(own['back']), 0.05, rtol=1e-6)
  np.testing.assert_array_equal(own['scale'], [1, 1])


def test_without_answers_it_is_the_users():
  silent = dataclasses.replace(SPEC, previous=())
  network = functional.make_actor(silent, 'shared_bottom', CONFIG)
  shapes = jax.eval_shape(network.init, jax.random.key(0))['affinity']
  assert set(shapes) == {'table', 'numeric', 'scale'}


def test_ignored_fields_are_on_no_side():
  config = dataclasses.replace(CONFIG, ignore='user+since')
  network = functional.make_actor(SPEC, 'shared_bottom', config)
  left = dataclasses.replace(
    SPEC,
    categorical=(6,),
    names=('item', 'tags', 'history'),
    item=0,
    shares=(None, 0),
    item_side=(0, 1),
    user_side=(),
    previous=(),
  )
  same = functional.make_actor(left, 'shared_bottom', CONFIG)
  params, given = small.params(same), inputs()
  narrow = given._replace(categorical=given.categorical[..., 1:2])
  np.testing.assert_array_equal(
    small.run(network, params, given), small.run(same, params, narrow)
  )


def test_data_without_numbers():
  spec = dataclasses.replace(SPEC, numeric=0, numeric_names=())
  network = functional.make_actor(spec, 'shared_bottom', CONFIG)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert 'numeric' not in shapes['affinity']
  # Orbax saves no array without elements.
  assert all(leaf.size for leaf in jax.tree.leaves(shapes))
  full, given = small.params(actor()), inputs()
  params = small.params(network)
  params['affinity'] = full['affinity'] | {
    'numeric': jnp.zeros_like(full['affinity']['numeric'])
  }
  own = {k: v for k, v in params['affinity'].items() if k != 'numeric'}
  found = small.run(
    network,
    params | {'affinity': own},
    given._replace(numeric=given.numeric[..., :0]),
  )
  plain = functional.make_actor(
    spec, 'shared_bottom', dataclasses.replace(CONFIG, affinity_dim=0)
  )
  bare = {k: v for k, v in params.items() if k != 'affinity'}
  base = small.run(plain, bare, given._replace(numeric=given.numeric[..., :0]))
  wanted = expected(params['affinity'], given, moves=True)
  np.testing.assert_allclose(found - base, wanted, rtol=1e-4, atol=1e-5)


def test_it_needs_an_item():
  spec = dataclasses.replace(SPEC, item=None, shares=())
  with pytest.raises(types.InputError, match=r'affinity_dim: 2 needs data'):
    affinity.check(spec, CONFIG)


def test_it_needs_the_item_that_is_ignored():
  config = dataclasses.replace(CONFIG, ignore='item+history')
  with pytest.raises(types.InputError, match=r"'item'.*affinity_dim=2 reads"):
    functional.make_actor(SPEC, 'shared_bottom', config)


def test_critics_have_none():
  critic = functional.make_critic(SPEC, CONFIG, config_lib.CriticConfig())
  assert 'affinity' not in jax.eval_shape(critic.init, jax.random.key(0))


def test_rows_without_lanes_are_refused():
  network = actor()
  with pytest.raises(ValueError, match='lanes'):
    small.run(network, small.params(network), inputs()._replace(segment=None))


def test_its_table_has_a_decay_of_its_own():
  stage = config_lib.StageConfig(
    l2=0.5, embedding_l2=0.25, affinity_l2=0.125, learning_rate=1.0
  )
  params = jax.tree.map(
    jnp.ones_like, jax.eval_shape(actor().init, jax.random.key(0))
  )
  link = state_lib._l2_links(stage)[0]
  zeros = jax.tree.map(jnp.zeros_like, params)
  decay, _ = link.update(zeros, link.init(params), params)
  assert float(decay['affinity']['table'][0, 0]) == 0.125
  assert float(decay['affinity']['scale'][0]) == 0.5
  assert float(decay['first']['table'][0, 0]) == 0.25
  assert float(decay['first']['kernel'][0, 0, 0]) == 0.5


def test_row_wise_steps_keep_the_numbers_that_networks_know():
  spec = dataclasses.replace(SPEC, categorical=(400, 600, 300))
  small_spec = rows_lib.small_spec(spec, SLOTS)
  assert small_spec.categorical[2] == 300
  given = inputs()
  touched = rows_lib.touched(spec, given)
  np.testing.assert_array_equal(
    touched.inputs.categorical[..., 2], given.categorical[..., 2]
  )
  table = jnp.arange(400 + 600 + 300 + 5)
  starts = (0, 400, 1000)
  place = np.cumsum([0, *small_spec.categorical])
  for f in range(3):
    np.testing.assert_array_equal(
      jnp.take(table, touched.rows)[
        touched.inputs.categorical[..., f] + place[f]
      ],
      given.categorical[..., f] + starts[f],
    )
