import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax.objectives import factory, registry, within_session

# Two sessions, one of a single row, and padding.
SEGMENT = np.array([0, 0, 0, 0, 1, 1, 2, -1, -1], np.int32)
LANE = within_session.Lane(SEGMENT)
LABELS = jnp.array([1.0, 0, 1, 0, 0, 1, 1, 0, 0])[:, None]
LOGITS = np.array([0.3, 1.2, -0.5, 0.0, 2.0, -1.0, 4.0, 9.0, 7.0])[:, None]
# Each compiled as a whole: op by op takes longer.
pairwise = jax.jit(within_session.pairwise)
listwise = jax.jit(within_session.listwise)
by_class = jax.jit(within_session.by_class)
FUNCTIONS = [pairwise, listwise, by_class]


def softplus(x):
  return np.log1p(np.exp(x))


def test_pairwise_by_hand():
  found = pairwise(jnp.float32(LOGITS), LABELS, LANE)[:, 0]
  expected = [
    (softplus(0.9) + softplus(-0.3)) / 2,  # row 0 against rows 1 and 3
    (softplus(0.9) + softplus(1.7)) / 2,
    (softplus(1.7) + softplus(0.5)) / 2,
    (softplus(-0.3) + softplus(0.5)) / 2,
    softplus(3.0),
    softplus(3.0),
    0.0,  # alone in its session
    0.0,
    0.0,
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_listwise_by_hand():
  found = listwise(jnp.float32(LOGITS), LABELS, LANE)[:, 0]
  of_first = np.log(np.exp(LOGITS[:4, 0]).sum())
  of_second = np.log(np.exp(LOGITS[4:6, 0]).sum())
  expected = np.zeros(9)
  expected[0], expected[2] = of_first - 0.3, of_first + 0.5
  expected[5] = of_second + 1.0
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_sums_are_those_of_rax():
  logits, labels = jnp.float32(LOGITS[:, 0]), LABELS[:, 0]
  segments = jnp.asarray(SEGMENT)
  where = segments >= 0
  whole = jax.jit(functools.partial(rax.softmax_loss, reduce_fn=jnp.sum))(
    logits, labels, segments=segments, where=where
  )
  rows = listwise(logits[:, None], labels[:, None], LANE)
  np.testing.assert_allclose(rows[where].sum(), whole, rtol=1e-6)
  pairs = jax.jit(
    functools.partial(rax.pairwise_logistic_loss, reduce_fn=jnp.sum)
  )(logits, labels, segments=segments, where=where)
  # Rows have the mean over their pairs; sums count each pair at both rows.
  own = pairwise(logits[:, None], labels[:, None], LANE)[:, 0]
  counts = np.array([2, 2, 2, 2, 1, 1, 0, 0, 0])
  np.testing.assert_allclose((own * counts).sum() / 2, pairs, rtol=1e-6)


@pytest.mark.parametrize('function', FUNCTIONS)
@settings(deadline=None, max_examples=30)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 2**16))
def test_only_differences_within_a_session_count(function, shift, seed):
  rng, size = np.random.default_rng(seed), 8
  segment = np.sort(rng.integers(0, 3, size)).astype(np.int32)
  logits = rng.normal(size=(size, 2)).astype(np.float32)
  labels = jnp.float32(rng.integers(0, 2, (size, 2)))
  lane = within_session.Lane(segment)
  moved = logits + np.where(segment == 1, np.float32(shift), 0.0)[:, None]
  np.testing.assert_allclose(
    function(jnp.asarray(moved), labels, lane),
    function(jnp.asarray(logits), labels, lane),
    rtol=1e-3,
    atol=2e-4,
  )


@pytest.mark.parametrize('function', FUNCTIONS)
def test_gradient_is_that_of_differences(function):
  with jax.enable_x64(True):
    logits = jnp.asarray(LOGITS, jnp.float64)

    @jax.jit
    def total(z):
      return jnp.sum(function(z, jnp.float64(LABELS), LANE)[:7])

    found = jax.jit(jax.grad(total))(logits)
    for i in range(len(LOGITS)):
      step = jnp.zeros_like(logits).at[i].set(1e-6)
      by_hand = (total(logits + step) - total(logits - step)) / 2e-6
      np.testing.assert_allclose(found[i, 0], by_hand, atol=1e-7)


def test_graded_labels_are_pairs_too():
  labels = jnp.array([[3.0], [1.0], [2.0]])
  lane = within_session.Lane(np.zeros(3, np.int32))
  found = pairwise(jnp.zeros((3, 1)), labels, lane)
  np.testing.assert_allclose(found, np.log(2.0), rtol=1e-6)


def test_objectives_mix_with_the_pointwise_loss():
  config = config_lib.ObjectiveConfig('softmax', pointwise_share=0.25)
  mix = factory.make_objective(config)
  assert mix is not None
  logits, pointwise = jnp.float32(LOGITS), jnp.ones((9, 1))
  own = listwise(logits, LABELS, LANE)
  np.testing.assert_allclose(
    mix(pointwise, logits, LABELS, LANE), 0.25 + 0.75 * own, rtol=1e-6
  )
  assert factory.make_objective(config_lib.ObjectiveConfig()) is None


def test_every_objective_says_where_it_is_from():
  for one in registry.RECORDS.values():
    assert one.label
    assert bool(one.paper) == (one.name != 'pointwise')


def test_classes_compete_in_lists_of_their_own():
  z = np.array([1.0, -0.5, 0.75, 4.0])
  labels = jnp.array([[1.0], [0.0], [0.0], [1.0]])
  lane = within_session.Lane(np.array([0, 0, 0, 1], np.int32))
  found = by_class(jnp.float32(z[:, None]), labels, lane)
  positive, negative = (np.log(np.exp(s * z[:3] / 2).sum()) for s in (1, -1))
  expected = [
    positive - 0.5,
    negative - 0.25,
    negative + 0.375,
    0.0,  # alone in its session
  ]
  np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('function', FUNCTIONS)
def test_rows_that_are_not_observed_are_in_no_list(function):
  seen = np.array([0, 1, 3, 4, 5, 6])
  observed = np.isin(np.arange(9), seen)[:, None]
  logits = jnp.float32(LOGITS)
  lane = within_session.Lane(SEGMENT, observed=observed)
  alone = within_session.Lane(SEGMENT[seen])
  np.testing.assert_allclose(
    function(logits, LABELS, lane)[seen],
    function(logits[seen], LABELS[seen], alone),
    rtol=1e-6,
    atol=1e-6,
  )
