from __future__ import annotations

import dataclasses
import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax.networks import first_layer, session
from tests import paper, tiers
from tests.networks import reference_session, small

ENCODERS = ('mean', 'target_attention')
# Sessions of 3, 1, 4 and 2 rows, padding in between and at the end.
SEGMENT = np.array([5, 5, 5, 2, -1, 0, 0, 0, 0, 7, 7, -1], np.int32)
SLOTS = len(SEGMENT)
FIRST = (0, 3, 5, 9)
# Times of their own, and times that rows of a session share; padding and
# sessions side by side may have one number.
TIMES = {
  'apart': np.arange(SLOTS, dtype=np.int32),
  'tied': np.array([3, 3, 4, 9, 0, 1, 2, 2, 5, 5, 5, 0], np.int32),
}
DIM = 4


def test_the_earlier_rows_of_a_session():
  segment = jnp.array([3, 3, 1, 1, 1, -1, -1])
  pairs = {(1, 0), (3, 2), (4, 2), (4, 3)}
  for time, tied in (
    ([0, 1, 2, 3, 4, 5, 6], set()),
    ([8, 8, 2, 3, 3, 0, 1], {(1, 0), (4, 3)}),
    ([0, 1, 2, 2, 5, 0, 0], {(3, 2)}),
  ):
    expected = np.zeros((7, 7), bool)
    for pair in pairs - tied:
      expected[pair] = True
    found = session.earlier(segment, jnp.array(time))
    np.testing.assert_array_equal(found, expected)


@functools.cache
def encoder(name):
  """(parameters as nested dicts, module: items, segment -> encoding)."""
  config = paper.network(embedding_dim=DIM, session_encoder=name)
  module = session.make(config, nnx.Rngs(params=jax.random.key(0)))
  rng = np.random.default_rng(3)
  state = jax.tree.map(
    lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32),
    nnx.state(module),
  )
  nnx.update(module, state)
  return nnx.to_pure_dict(state), module


@functools.cache
def compiled(name):
  """The same module compiled, on its own."""
  _, module = encoder(name)
  return small.jit(lambda *args: module(*args))


def items(seed=0, rows=SLOTS):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(rows, DIM)).astype(np.float32)


@pytest.mark.parametrize('times', TIMES)
@pytest.mark.parametrize('name', ENCODERS)
def test_an_encoder_equals_numpy(name, times):
  params, _ = encoder(name)
  time = TIMES[times]
  found = np.asarray(compiled(name)(items(), SEGMENT, time))
  np.testing.assert_allclose(
    found,
    reference_session.encode(name, params, items(), SEGMENT, time),
    rtol=1e-5,
    atol=1e-5,
  )
  nothing = (SEGMENT < 0) | np.isin(np.arange(SLOTS), FIRST)
  if times == 'tied':
    nothing |= np.isin(np.arange(SLOTS), (1, 10))
  np.testing.assert_array_equal(found[nothing], 0.0)
  assert (found[~nothing].std(axis=0) > 0.02).all()


LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=SLOTS)


@pytest.mark.parametrize('name', ENCODERS)
@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(
  LENGTHS,
  st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS),
  st.integers(0, SLOTS - 1),
  st.integers(0, 99),
)
def test_an_encoding_is_that_of_the_rows_before(name, lengths, new, t, seed):
  encode = compiled(name)
  time = np.cumsum(new, dtype=np.int32)
  segment = np.repeat(np.arange(len(lengths)), lengths)[:SLOTS]
  segment = np.pad(
    segment, (0, SLOTS - len(segment)), constant_values=-1
  ).astype(np.int32)
  own = items(seed)
  before = (segment == segment[t]) & (time < time[t]) & (segment[t] >= 0)
  expected = np.asarray(encode(own, segment, time))[t]
  # Whatever comes at once or later, or belongs to others: the same bits.
  other = np.where(before[:, None], own, items(seed + 1))
  if name == 'target_attention':
    other[t] = own[t]
  np.testing.assert_array_equal(encode(other, segment, time)[t], expected)
  # Wherever the session stands in its lane: the same numbers.
  count = int(before.sum())
  alone = np.zeros_like(own)
  alone[:count], alone[count] = own[before], own[t]
  its_own = np.where(np.arange(SLOTS) <= count, 0, -1).astype(np.int32)
  its_times = np.zeros(SLOTS, np.int32)
  its_times[:count], its_times[count] = time[before], time[t]
  np.testing.assert_allclose(
    encode(alone, its_own, its_times)[count], expected, rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('name', ENCODERS)
@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(
  LENGTHS,
  st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS),
  st.integers(0, 99),
)
def test_the_order_of_rows_of_one_time_does_not_matter(
  name, lengths, new, seed
):
  segment = np.repeat(np.arange(len(lengths)), lengths)[:SLOTS]
  segment = np.pad(
    segment, (0, SLOTS - len(segment)), constant_values=-1
  ).astype(np.int32)
  time = np.cumsum(new, dtype=np.int32)
  shuffle = np.random.default_rng(seed).permutation(SLOTS)
  order = shuffle[np.lexsort((time[shuffle], segment[shuffle] % SLOTS))]
  own = items(seed)
  np.testing.assert_array_equal(segment[order], segment)
  np.testing.assert_array_equal(time[order], time)
  np.testing.assert_allclose(
    compiled(name)(own[order], segment, time),
    np.asarray(compiled(name)(own, segment, time))[order],
    rtol=1e-5,
    atol=1e-6,
  )


SPEC = dataclasses.replace(small.spec(), item=1)


def lanes(seed=0):
  """Two lanes: SEGMENT, and SEGMENT backwards, the first with ties."""
  inputs = small.inputs(SPEC, seed, slots=SLOTS)
  return inputs._replace(
    segment=np.stack([SEGMENT, SEGMENT[::-1]]),
    time=np.stack([TIMES['tied'], TIMES['apart']]),
  )


def make(name, form):
  config = dataclasses.replace(
    small.CONFIG, session_encoder=name, first_layer=form, embedding_scale=0.5
  )
  rngs = nnx.Rngs(params=jax.random.key(0))
  return first_layer.FirstLayer(SPEC, config, rngs, units=3, gates=2)


@pytest.mark.parametrize('name', tiers.some(ENCODERS, ('target_attention',)))
def test_the_encoding_is_one_more_block(name):
  inputs = lanes()
  values = {}
  for form in ('plain', 'distinct'):
    graph, state = nnx.split(make(name, form))

    def loss(state, inputs, graph=graph):
      layer = nnx.merge(graph, state)
      axes = (layer.shared_axes, 0)
      (hidden,), gates = jax.vmap(layer, axes)(layer.share(inputs), inputs)
      y = jnp.concatenate([hidden, gates], axis=2)
      return jnp.sum(y**2), y

    step = small.jit(jax.value_and_grad(loss, has_aux=True))
    (_, y), slopes = step(state, inputs)
    values[form] = (y, nnx.to_pure_dict(slopes))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    values['plain'],
    values['distinct'],
  )
  layer, bare = make(name, 'plain'), make('none', 'plain')
  bare.table[...] = layer.table[...]
  bare.kernel[...] = layer.kernel[...][:-1]
  bare.numeric.kernel[...] = layer.numeric.kernel[...]
  table = np.asarray(layer.table[...])
  params = nnx.to_pure_dict(nnx.state(layer)).get('session', {})
  start = SPEC.categorical[0]
  y = values['plain'][0]
  for lane in range(2):
    one = jax.tree.map(lambda x, lane=lane: x[lane], inputs)
    encoded = reference_session.encode(
      name, params, table[start + one.categorical[:, 1]], *one[3:]
    )
    (hidden,), gates = bare(bare.share(one), one)
    expected = np.concatenate([hidden, gates], axis=1)
    expected = expected + encoded @ np.asarray(layer.kernel[...][-1])
    np.testing.assert_allclose(y[lane], expected, rtol=1e-4, atol=1e-4)
