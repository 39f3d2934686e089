"""Balancers on losses: by hand, against TorchJD, and their properties."""

import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax import types
from rmtl_jax.balancing import balancer_registry, by_losses
from rmtl_jax.weighting import scale_by_q

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name('golden').joinpath('losses.json').read_text()
)
SET = GOLDEN['settings']
RATE = SET['learning_rate']
# By what the golden file calls them: how they are made, and from PyTorch's
# gradient of the combined loss, f64[K], to weights in the mean.
MAKERS = {
  'gls': (by_losses.gls, lambda g: len(g) * g),
  'dwa': (lambda k: by_losses.dwa(k, SET['period']), lambda g: g),
  'famo': (lambda k: by_losses.famo(k, RATE), lambda g: len(g) * g),
  'imtl_l': (lambda k: by_losses.imtl_l(k, RATE), lambda g: g),
  'classification': (
    lambda k: by_losses.homoscedastic_uncertainty(k, RATE),
    lambda g: g,
  ),
}
LINKS = {
  'rlw': by_losses.rlw,
  **{name: make for name, (make, _) in MAKERS.items()},
}
KEY = jax.random.key(3)


def _weights(link, state, losses, key=KEY):
  """Weights of tasks whose losses are those of one row, f32[K]."""
  losses = jnp.asarray(losses, jnp.float32)[None]
  even = jnp.full(losses.shape, 1 / losses.shape[-1])
  weighted, state = link.update(even, state, losses=losses, key=key)
  return np.asarray(weighted[0] * losses.shape[-1]), state


def _run(link, losses, observe=None):
  """Weights of every step, f32[steps, K]."""
  state, found = link.init(()), []
  for row, after in zip(losses, np.roll(losses, -1, 0), strict=True):
    weights, state = _weights(link, state, row)
    found.append(weights)
    if observe:
      state = observe(state, jnp.asarray(after, jnp.float32))
  return np.array(found)


@functools.cache
def _link(name, tasks):
  """A balancer, and its weights of every step by jax.lax.scan."""
  link = LINKS[name](tasks)

  @jax.jit
  def scan(losses):
    even = jnp.full((1, tasks), 1 / tasks)

    def step(state, row):
      weighted, state = link.update(even, state, losses=row[None], key=KEY)
      return state, weighted[0] * tasks

    return jax.lax.scan(step, link.init(()), losses)[1]

  return scan


def _scan(name, losses):
  losses = jnp.asarray(losses, jnp.float32)
  return np.asarray(_link(name, losses.shape[-1])(losses))


@pytest.mark.parametrize('case', GOLDEN['cases'])
@pytest.mark.parametrize('name', MAKERS)
def test_weights_are_the_gradients_that_pytorch_finds(name, case):
  golden = GOLDEN['cases'][case]
  losses = np.array(golden['losses'])
  make, scale = MAKERS[name]
  observe = balancer_registry.find('famo').observe if name == 'famo' else None
  found = _run(make(losses.shape[-1]), losses, observe)
  expected = np.array([scale(np.array(row)) for row in golden[name]])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_rlw_draws_from_the_key():
  link = by_losses.rlw(3)
  found, _ = _weights(link, link.init(()), [1.0, 2.0, 3.0])
  draws = np.exp(np.asarray(jax.random.normal(KEY, (3,))))
  np.testing.assert_allclose(found, 3 * draws / draws.sum(), rtol=1e-5)
  with pytest.raises(ValueError, match='rlw: expected a random key'):
    _weights(link, link.init(()), [1.0, 2.0, 3.0], None)


def test_dwa_by_hand():
  """Of epochs of 2 steps the third has weights, by means of the others."""
  losses = [[1.0, 2.0], [3.0, 2.0], [1.0, 1.0], [1.0, 2.0], [9.0, 9.0]]
  found = _run(by_losses.dwa(2, epoch_steps=2, temperature=0.5), losses)
  np.testing.assert_array_equal(found[:4], 1.0)
  ratios = np.exp(np.array([1.0 / 2.0, 1.5 / 2.0]) / 0.5)
  np.testing.assert_allclose(found[4], 2 * ratios / ratios.sum(), rtol=1e-6)


def test_learnt_scales_start_equal_and_end_where_losses_do_not_fall():
  losses = np.tile([0.5, 4.0], (1500, 1))
  for name, share in (('classification', 0.5), ('imtl_l', 1.0)):
    found = _scan(name, losses)
    np.testing.assert_array_equal(found[0], 1.0)
    np.testing.assert_allclose(found[-1] * losses[-1], share, rtol=1e-3)


_LOSSES = hnp.arrays(
  np.float32, (4, 3), elements=st.floats(0.0625, 16.0, width=32)
)


@settings(max_examples=15, deadline=None)
@given(losses=_LOSSES)
def test_properties_of_the_weights(losses):
  scale = 8.0 ** np.arange(3)
  for name in LINKS:
    found = _scan(name, losses)
    if name in ('rlw', 'dwa', 'famo'):
      np.testing.assert_allclose(found.mean(-1), 1.0, rtol=1e-5)
      assert (found >= 0).all()
    if name != 'rlw':  # tasks in another order have the same weights
      other = _scan(name, losses[:, ::-1])
      np.testing.assert_allclose(found[:, ::-1], other, rtol=1e-5)
    if name in ('gls', 'famo'):  # the direction ignores the scale of a loss
      scaled = _scan(name, losses * scale) * scale
      np.testing.assert_allclose(
        found / found.sum(-1, keepdims=True),
        scaled / scaled.sum(-1, keepdims=True),
        rtol=1e-4,
      )
    if name == 'dwa':
      scaled = _scan(name, losses * scale)
      np.testing.assert_allclose(found, scaled, rtol=1e-4)


@pytest.mark.parametrize('name', LINKS)
def test_extreme_losses_give_finite_weights(name):
  for losses in (
    [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
    [[1e6, 1e-6], [1e-6, 1e6], [1e6, 1e6], [0.0, 1e6], [1e6, 0.0]],
  ):
    found = _scan(name, losses)
    assert np.isfinite(found).all() and (found >= 0).all()


@pytest.mark.parametrize('name', MAKERS)
def test_batches_without_a_task_teach_nothing_of_it(name):
  """Interleaved, they leave the weights of the others as they are."""
  make, _ = MAKERS[name]
  observe = balancer_registry.find('famo').observe if name == 'famo' else None
  link, whole = make(3), np.exp(np.random.default_rng(0).normal(size=(6, 3)))
  part = jnp.array([[1.0, 3.0, 0.0]])
  even = jnp.array([[1 / 3, 1 / 3, 0.0]])

  def weights_of_whole(with_parts):
    state, found = link.init(()), []
    for row in whole:
      if with_parts:
        weighted, state = link.update(even, state, losses=part, key=KEY)
        assert np.isfinite(weighted).all() and np.all(weighted[0, :2] > 1e-3)
        if observe:
          state = observe(state, 0.9 * part[0])
      weights, state = _weights(link, state, row)
      found.append(weights)
      if observe:
        state = observe(state, jnp.asarray(0.9 * row, jnp.float32))
    return found

  np.testing.assert_allclose(
    weights_of_whole(True), weights_of_whole(False), rtol=1e-6
  )


def test_gls_of_the_tasks_that_a_batch_has():
  even = jnp.array([[1 / 3, 1 / 3, 0.0]])
  weighted, _ = by_losses.gls(3).update(
    even, optax.EmptyState(), losses=jnp.array([[1.0, 4.0, 9.0]])
  )
  # The geometric mean of 1 and 4 over each: 2 / 1 and 2 / 4.
  np.testing.assert_allclose(weighted[0] * 3, [2.0, 0.5, 0.0], rtol=1e-6)


@pytest.mark.parametrize('name', LINKS)
def test_padding_may_have_any_loss_and_rows_any_weight(name):
  losses = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
  even = jnp.array([[0.5, 0.5], [0.0, 0.0]])
  link = LINKS[name](2)
  weighted, _ = link.update(even, link.init(()), losses=losses, key=KEY)
  only, _ = link.update(even[:1], link.init(()), losses=losses[:1], key=KEY)
  np.testing.assert_allclose(weighted[0], only[0], rtol=1e-6)
  assert not np.any(weighted[1])
  # Behind weights of rows: losses of tasks are those of weighted rows.
  chain = optax.chain(scale_by_q.scale_by_task([2.0, 1.0]), link)
  losses, even = jnp.array([[1.0, 3.0], [2.0, 1.0]]), jnp.full((2, 2), 0.25)
  weighted, _ = chain.update(even, chain.init(losses), losses=losses, key=KEY)
  expected, _ = link.update(
    even * jnp.array([[2.0, 1.0]]), link.init(()), losses=losses, key=KEY
  )
  np.testing.assert_array_equal(weighted, expected)
  found, _ = link.update(
    even.astype(jnp.bfloat16), link.init(()), losses=losses, key=KEY
  )
  assert found.dtype == jnp.bfloat16


def test_static_weights_by_hand():
  link = by_losses.static(2, (1.0, 3.0))
  weights, state = _weights(link, link.init(()), [5.0, 7.0])
  np.testing.assert_allclose(weights, [0.5, 1.5])
  assert state.weights.tolist() == [0.5, 1.5]
  for wrong in ((1.0,), (0.0, 0.0), (-1.0, 3.0), (1.0, math.inf)):
    with pytest.raises(types.InputError, match='static: weights'):
      by_losses.static(2, wrong)
