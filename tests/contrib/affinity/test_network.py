from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.contrib.affinity import network as affinity
from rmtl_jax.networks import factory, functional
from rmtl_jax.updates import rows as rows_lib
from tests.networks import small

# Fields: user, item, what is known of the row before, tags of the item, and
# the user's earlier items.
SPEC = types.FeatureSpec(
  categorical=(4, 6, 3),
  multi_valued=((5, 2), (6, 3)),
  numeric=2,
  num_tasks=2,
  names=('user', 'item', 'since', 'tags', 'history'),
  item=1,
  vocabulary_owners=(None, 1),
  numeric_names=('price', 'age'),
  item_side=(1, 3),
  user_side=(0,),
  previous=((2, 1),),
  domain=2,
)
CONFIG = dataclasses.replace(
  small.CONFIG, affinity_dim=2, affinity_state='session'
)
# Sessions of 3, 1 and 2 rows, and padding.
SEGMENT = np.array([[4, 4, 4, 7, -1, 2, 2, -1]], np.int32)
SLOTS = SEGMENT.shape[1]
TIME = np.arange(SLOTS, dtype=np.int32)[None]
# One session, with rows of one time at its start, within it and at its end.
TIED = {
  'segment': np.array([[4, 4, 4, 4, 4, 4, 4, 4]], np.int32),
  'time': np.array([[1, 1, 2, 3, 3, 6, 8, 8]], np.int32),
}


def inputs(seed=0):
  made = small.inputs(SPEC, seed, lanes=1, slots=SLOTS)
  return made._replace(segment=SEGMENT, time=TIME)


@functools.cache
def actor(backbone='shared_bottom', config=CONFIG):
  return factory.make_actor(SPEC, backbone, config)


def test_parameters_have_strong_types():
  assert not small.weak(actor())


def drawn_params(network):
  """Random parameters; a table's are of the size that it has."""
  found = small.params(network)
  own = found['affinity']
  for name in ('table', 'spread'):
    own[name] = own[name] / affinity.STEP
  return found


STARTS = (0, 4, 10, 13)


def rows_of(own, table, row_inputs, t):
  """Each field's rows of a table, with its prior's deviations f64[d + K]."""
  tags = [v for v in row_inputs.multi_valued[0, t, :2] if v >= 0]
  values = [[v] for v in row_inputs.categorical[0, t]] + [tags]
  for f, (start, rows) in enumerate(zip(STARTS, values, strict=True)):
    deviation = np.exp(own['prior'][f])
    deviation = np.concatenate([[deviation[0]] * 2, deviation[1:]])
    yield [table[start + row] for row in rows], deviation


def expected(params, row_inputs, moves):
  """What the affinity adds, row by row from the equations; numpy, float64."""
  own = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
  dim = 2

  def sigmoid(x):
    return 1 / (1 + np.exp(-x))

  segment, time = row_inputs.segment[0], row_inputs.time[0]
  added, states, items = [], [], []
  for t in range(SLOTS):
    since = row_inputs.categorical[0, t, 2]
    fields = [
      10.0 * deviation * np.mean(rows, axis=0)
      for rows, deviation in rows_of(own, own['table'], row_inputs, t)
    ]
    u, v = fields[0][:dim], fields[1][:dim] + fields[3][:dim]
    past = [
      s for s in range(t) if segment[s] == segment[t] and time[s] < time[t]
    ]
    state = u
    if moves and segment[t] >= 0 and past:
      last = [s for s in past if time[s] == time[past[-1]]]
      state = np.mean([states[s] for s in last], axis=0)
      shown = np.mean([items[s] for s in last], axis=0)
      pull = sigmoid(own['pull'][0]) * (since == 1)
      back = sigmoid(own['back'])
      state = state + pull * (shown - state) + back * (u - state)
    states.append(state)
    items.append(v)
    terms = sum(field[dim:] for field in fields)
    terms = terms + row_inputs.numeric[0, t] @ own['numeric']
    added.append(terms + own['scale'] * (state @ v) / np.sqrt(dim))
  return np.array(added)[None]


@pytest.mark.parametrize('places', [{}, TIED])
@pytest.mark.parametrize('state', ['user', 'session'])
def test_what_is_added_equals_numpy(state, places):
  config = dataclasses.replace(CONFIG, affinity_state=state)
  network = actor(config=config)
  params, given = drawn_params(network), inputs()._replace(**places)
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
    assert np.abs(wanted - still)[given.segment >= 0].max() > 1e-3


def test_the_order_of_rows_of_one_time_does_not_matter():
  network = actor()
  params, given = drawn_params(network), inputs()._replace(**TIED)
  base = small.run(network, params, given)
  order = np.array([1, 0, 2, 4, 3, 5, 7, 6])
  shuffled = types.Inputs(*(x[:, order] for x in given))
  np.testing.assert_allclose(
    small.run(network, params, shuffled), base[:, order], atol=1e-6
  )
  # As if the other rows of its time were not there, but for what comes later.
  other = inputs(seed=1)._replace(**TIED)
  for t in range(SLOTS):
    mine = (TIED['time'][0] < TIED['time'][0, t]) | (np.arange(SLOTS) == t)
    mixed = types.Inputs(
      *(
        np.where(mine[None, :, None], a, b)
        for a, b in zip(given[:3], other[:3], strict=True)
      ),
      **TIED,
    )
    np.testing.assert_array_equal(
      small.run(network, params, mixed)[0, t], base[0, t]
    )


@pytest.mark.parametrize('backbone', small.FIRST_LAYERS)
def test_every_backbone_adds_it_to_its_towers(backbone):
  network = actor(backbone)
  params, given = drawn_params(network), inputs()
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
  params, given = drawn_params(network), inputs()
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
      TIME,
    )
    np.testing.assert_array_equal(
      small.run(network, params, mixed)[0, t], base[0, t]
    )


def test_draws_have_the_posteriors_mean_and_variance():
  """Of product and terms, from sums of independent normal numbers."""
  config = dataclasses.replace(CONFIG, affinity_state='user', dropout=0.0)
  network = actor(config=config)
  params, given = drawn_params(network), inputs()
  own = jax.tree.map(lambda p: np.asarray(p, np.float64), params['affinity'])
  variances = []
  for t in range(SLOTS):
    means, spreads = [], []
    for rows, deviation in rows_of(own, own['table'], given, t):
      means.append(10.0 * deviation * np.mean(rows, axis=0))
    for rows, deviation in rows_of(own, own['spread'], given, t):
      of_rows = np.exp(2 * 10.0 * np.array(rows)) / len(rows) ** 2
      spreads.append(deviation**2 * of_rows.sum(axis=0))
    u, v = means[0][:2], means[1][:2] + means[3][:2]
    of_u, of_v = spreads[0][:2], spreads[1][:2] + spreads[3][:2]
    product = u**2 * of_v + v**2 * of_u + of_u * of_v
    variances.append(
      sum(s[2:] for s in spreads) + own['scale'] ** 2 * product.sum() / 2
    )
  plain = actor(config=dataclasses.replace(config, affinity_dim=0))
  bare = {k: v for k, v in params.items() if k != 'affinity'}

  def added(key):
    # Towers without dropout: the draws are all that a key changes.
    return functional.apply(network, params, given, dropout_key=key)[0]

  count = 4000
  keys = jax.random.split(jax.random.key(5), count)
  found = small.jit(lambda keys: jax.lax.map(added, keys))(keys)
  found = np.asarray(found) - small.run(plain, bare, given)[0]
  wanted = expected(params['affinity'], given, moves=False)[0]
  sigma = np.sqrt(variances)
  error = (found.mean(axis=0) - wanted) / (sigma / np.sqrt(count))
  assert np.abs(error).max() < 5
  np.testing.assert_allclose(found.std(axis=0) / sigma, 1, atol=0.15)
  # Rows of a lane draw on their own: no two move together.
  centred = (found - found.mean(axis=0))[..., 0] / sigma[:, 0]
  shared = centred.T @ centred / count - np.eye(SLOTS)
  assert np.abs(shared[~np.eye(SLOTS, dtype=bool)]).max() < 0.1


def test_the_divergences_gradient():
  rng = np.random.default_rng(0)
  table, spread = (
    jnp.asarray(0.1 * rng.normal(size=(7, 4)).astype(np.float32))
    for _ in range(2)
  )

  def divergence(table, spread):
    mean, deviation = affinity.STEP * table, jnp.exp(affinity.STEP * spread)
    each = (mean**2 + deviation**2 - 1) / 2 - jnp.log(deviation)
    return jnp.sum(each)

  assert float(divergence(0.0 * table, 0.0 * spread)) == 0
  wanted = jax.grad(divergence, (0, 1))(table, spread)
  for name, leaf, gradient in zip(
    ('table', 'spread'), (table, spread), wanted, strict=True
  ):
    found = affinity.divergence_gradient(name, leaf)
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-5)


def test_a_fresh_affinity():
  own = small.jit(actor().init)(jax.random.key(3))['affinity']
  table = np.asarray(own['table'])
  assert table.shape == own['spread'].shape == (18, 4)
  # A history has the item's rows; row 0 of every other field starts at zero.
  first = np.isin(np.arange(18), STARTS)
  np.testing.assert_array_equal(table[first], 0)
  np.testing.assert_array_equal(table[:, 2:], 0)
  assert 0.15 < 10 * table[~first, :2].std() < 0.45
  np.testing.assert_allclose(np.exp(10 * own['spread']), 0.7, rtol=1e-5)
  wanted = [[0.3, 0.2, 0.2]] * 5
  np.testing.assert_allclose(np.exp(own['prior']), wanted, rtol=1e-5)
  np.testing.assert_allclose(jax.nn.sigmoid(own['pull']), [0.2], rtol=1e-6)
  np.testing.assert_allclose(jax.nn.sigmoid(own['back']), 0.05, rtol=1e-6)
  np.testing.assert_array_equal(own['scale'], [1, 1])


def test_without_answers_it_is_the_users():
  silent = dataclasses.replace(SPEC, previous=())
  network = factory.make_actor(silent, 'shared_bottom', CONFIG)
  shapes = jax.eval_shape(network.init, jax.random.key(0))['affinity']
  assert set(shapes) == {'table', 'spread', 'prior', 'numeric', 'scale'}


def test_ignored_fields_are_on_no_side():
  config = dataclasses.replace(CONFIG, ignore='user+since')
  network = factory.make_actor(SPEC, 'shared_bottom', config)
  left = dataclasses.replace(
    SPEC,
    categorical=(6,),
    names=('item', 'tags', 'history'),
    item=0,
    vocabulary_owners=(None, 0),
    item_side=(0, 1),
    user_side=(),
    previous=(),
  )
  same = factory.make_actor(left, 'shared_bottom', CONFIG)
  params, given = drawn_params(same), inputs()
  narrow = given._replace(categorical=given.categorical[..., 1:2])
  np.testing.assert_array_equal(
    small.run(network, params, given), small.run(same, params, narrow)
  )


def test_data_without_numbers():
  spec = dataclasses.replace(SPEC, numeric=0, numeric_names=())
  network = factory.make_actor(spec, 'shared_bottom', CONFIG)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert 'numeric' not in shapes['affinity']
  # Orbax saves no array without elements.
  assert all(leaf.size for leaf in jax.tree.leaves(shapes))
  full, given = drawn_params(actor()), inputs()
  params = drawn_params(network)
  params['affinity'] = full['affinity'] | {
    'numeric': jnp.zeros_like(full['affinity']['numeric'])
  }
  own = {k: v for k, v in params['affinity'].items() if k != 'numeric'}
  found = small.run(
    network,
    params | {'affinity': own},
    given._replace(numeric=given.numeric[..., :0]),
  )
  plain = factory.make_actor(
    spec, 'shared_bottom', dataclasses.replace(CONFIG, affinity_dim=0)
  )
  bare = {k: v for k, v in params.items() if k != 'affinity'}
  base = small.run(plain, bare, given._replace(numeric=given.numeric[..., :0]))
  wanted = expected(params['affinity'], given, moves=True)
  np.testing.assert_allclose(found - base, wanted, rtol=1e-4, atol=1e-5)


def test_it_needs_an_item():
  spec = dataclasses.replace(SPEC, item=None, vocabulary_owners=())
  with pytest.raises(types.InputError, match=r'affinity_dim: 2 needs data'):
    factory.make_actor(spec, 'shared_bottom', CONFIG)


def test_it_needs_the_item_that_is_ignored():
  config = dataclasses.replace(CONFIG, ignore='item+history')
  with pytest.raises(types.InputError, match=r"'item'.*affinity_dim=2 reads"):
    factory.make_actor(SPEC, 'shared_bottom', config)


def test_critics_have_none():
  critic = factory.make_critic(SPEC, CONFIG, config_lib.CriticConfig())
  assert 'affinity' not in jax.eval_shape(critic.init, jax.random.key(0))


def test_rows_without_lanes_are_refused():
  network = actor()
  with pytest.raises(ValueError, match='lanes'):
    small.run(network, drawn_params(network), inputs()._replace(segment=None))
  with pytest.raises(ValueError, match='times'):
    small.run(network, drawn_params(network), inputs()._replace(time=None))


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
