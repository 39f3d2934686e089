"""Losses of conversions over all rows: by hand, and unbiased in expectation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import factory as networks
from rmtl_jax.networks import functional
from rmtl_jax.objectives import factory, registry, selection, within_session
from tests.networks import small

NAMES = ('escm2_ips', 'escm2_dr', 'dcmt')
PARENTS = (None, 0)


def lane(rows, parents=PARENTS):
  return within_session.Lane(np.zeros(rows, np.int32), parents)


def logit(p):
  p = np.asarray(p, np.float64)
  return np.log(p) - np.log1p(-p)


def logits(clicks, conversions):
  """Of p(click) and p(conversion given a click), f32[T, 2]."""
  both = np.asarray(clicks) * np.asarray(conversions)
  return jnp.float32(np.stack([logit(clicks), logit(both)], axis=1))


def run(name, clicks, conversions, labels, least=1e-6):
  function = registry.find(name).function
  assert function is not None
  return np.asarray(
    function(
      logits(clicks, conversions),
      jnp.float32(labels),
      lane(len(clicks)),
      least_propensity=least,
    )
  )


CLICKS, RATES = [0.5, 0.2, 0.8], [0.25, 0.5, 0.1]
LABELS = [[1, 1], [1, 0], [0, 0]]


def test_inverse_propensities_by_hand():
  found = run('escm2_ips', CLICKS, RATES, LABELS)
  cross_entropy = [-np.log(0.5), -np.log(0.2), -np.log(0.2)]
  np.testing.assert_allclose(found[:, 0], cross_entropy, rtol=1e-5)
  # 1/0.5 and 1/0.2 of the clicked rows' errors; the last has no click.
  expected = [-2 * np.log(0.25), -5 * np.log(0.5), 0]
  np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5, atol=1e-6)
  clipped = run('escm2_ips', CLICKS, RATES, LABELS, least=0.4)
  np.testing.assert_allclose(clipped[1, 1], -2.5 * np.log(0.5), rtol=1e-5)


def test_doubly_robust_by_hand():
  found = run('escm2_dr', CLICKS, RATES, LABELS)[:, 1]
  p, rate = np.array(RATES), np.mean(RATES)
  imputed = -(rate * np.log(p) + (1 - rate) * np.log(1 - p))
  own = np.array([-np.log(0.25), -np.log(0.5), np.nan])
  expected = imputed + np.array([2, 5, 0]) * np.nan_to_num(own - imputed)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_counterfactual_by_hand():
  found = run('dcmt', CLICKS, RATES, LABELS)[:, 1]
  # The row without a click weighs 1 / (1 - 0.8).
  expected = [-2 * np.log(0.25), -5 * np.log(0.5), -5 * np.log(0.9)]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('converts', [0, 1])
def test_expected_over_clicks_is_the_loss_over_all_rows(name, converts):
  """With the true propensities; a rate's error does not ask who clicked."""
  clicked = run(name, CLICKS, RATES, [[1, converts]] * 3)[:, 1]
  not_clicked = run(name, CLICKS, RATES, [[0, 0]] * 3)[:, 1]
  p, rate = np.array(CLICKS), np.array(RATES)
  found = p * clicked + (1 - p) * not_clicked
  expected = -np.log(rate if converts else 1 - rate)
  if name == 'dcmt':  # and that of a world without the click
    expected = expected - np.log(1 - rate)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_simulated_exposure_biases_the_naive_mean_alone():
  """Who clicks often also converts often; predictions don't know."""
  rng = np.random.default_rng(0)
  size = 20_000
  taste = rng.normal(size=size)
  clicks, truth = 1 / (1 + np.exp(1 - taste)), 1 / (1 + np.exp(1 - 2 * taste))
  o = (rng.random(size) < clicks).astype(float)
  r = (rng.random(size) < truth).astype(float)
  predicted = np.full(size, 0.3)
  labels = np.stack([o, o * r], axis=1)
  errors = -np.where(r == 1, np.log(0.3), np.log(0.7))
  ideal, naive = errors.mean(), errors[o == 1].mean()
  assert naive - ideal > 0.1
  for name in ('escm2_ips', 'escm2_dr'):
    rows = run(name, clicks, predicted, labels)[:, 1]
    spread = (rows - errors).std() / np.sqrt(size)
    assert abs(rows.mean() - ideal) < 4 * spread < 0.05


@pytest.mark.parametrize('name', NAMES)
def test_a_click_that_is_not_observed_is_no_negative(name):
  function = registry.find(name).function
  assert function is not None
  known = np.array([[True, True], [False, True], [True, True]])
  beside = lane(3)._replace(observed=jnp.asarray(known))
  labels = jnp.float32([[1, 1], [0, 0], [0, 0]])
  found = function(logits(CLICKS, RATES), labels, beside, least_propensity=1e-6)
  np.testing.assert_array_equal(
    found[:, 1] != 0, [True, False, name != 'escm2_ips']
  )
  np.testing.assert_allclose(found[1, 0], -np.log(0.8), rtol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_propensities_are_not_trained(name):
  """With ESMM the loss reaches the tower of the rate alone."""
  network = networks.make_actor(small.spec(), 'esmm', small.CONFIG)
  assert network.parents == PARENTS
  params, inputs = small.params(network), small.inputs(small.spec())
  labels = jnp.ones((small.LANES, small.SLOTS, 2))
  mix = factory.make_objective(config_lib.ObjectiveConfig(name, 0.0))
  assert mix is not None

  def loss(params):
    z = functional.apply(network, params, inputs)
    beside = lane(small.SLOTS)
    rows = jax.vmap(lambda z, y: mix(z, z, y, beside))(z, labels)
    return rows[..., 1].sum()

  slopes = small.jit(jax.grad(loss))(params)['heads']['linear']['kernel']
  assert np.abs(slopes[1]).max() > 1e-2
  np.testing.assert_allclose(slopes[0], 0.0, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('z', [[60.0, 60.0], [-60.0, -60.0], [-60.0, 60.0]])
def test_losses_and_slopes_of_extremes_are_finite(name, z):
  record = registry.find(name)
  assert record.function is not None
  function = functools.partial(
    record.function, lane=lane(2), least_propensity=0.05
  )
  labels = jnp.array([[1.0, 1.0], [0.0, 0.0]])
  values, jacobian = jax.jit(
    lambda z: (function(z, labels), jax.jacobian(function)(z, labels))
  )(jnp.array([z, z]))
  assert np.isfinite(values).all() and np.isfinite(jacobian).all()


def test_padding_does_not_move_the_imputed_rate():
  z, labels = logits(CLICKS, RATES), jnp.float32(LABELS)
  padded = jnp.concatenate([z, 9 * jnp.ones((2, 2))])
  more = jnp.concatenate([labels, jnp.zeros((2, 2))])
  beside = within_session.Lane(np.array([0, 0, 0, -1, -1]), PARENTS)
  np.testing.assert_allclose(
    selection.escm2_dr(padded, more, beside, 1e-6)[:3],
    selection.escm2_dr(z, labels, lane(3), 1e-6),
    rtol=1e-6,
  )


def test_a_funnel_is_needed():
  for name in NAMES:
    factory.check(config_lib.ObjectiveConfig(name), PARENTS)
    with pytest.raises(types.InputError, match='come after others'):
      factory.check(config_lib.ObjectiveConfig(name), (None, None))
    with pytest.raises(types.InputError, match='judge buy after a positive'):
      factory.check(config_lib.ObjectiveConfig(name), PARENTS, ('buy',))
  factory.check(config_lib.ObjectiveConfig('bpr'), (None,))


def test_a_logged_propensity_takes_the_place_of_the_predicted_one():
  labels = jnp.float32(LABELS)
  beside = lane(3)._replace(propensity=np.array([[0, 0.1], [0, 0], [0, 0.4]]))
  for name in NAMES:
    function = registry.find(name).function
    assert function is not None
    found = function(logits(CLICKS, RATES), labels, beside, 1e-6)
    # 0: the log has none, and 0.2 is what the network predicts.
    said = function(
      # Click's logits make propensities, and rates stay.
      logits([0.1, 0.2, 0.4], RATES),
      labels,
      lane(3),
      1e-6,
    )
    np.testing.assert_allclose(found[:, 1], said[:, 1], rtol=1e-5)
    clipped = function(logits(CLICKS, RATES), labels, beside, 0.2)
    assert clipped[0, 1] < found[0, 1]


def test_simulated_exposure_that_the_network_does_not_know():
  """A click depends on what no input tells; the log knows how likely it was."""
  rng = np.random.default_rng(2)
  size = 20_000
  hidden = rng.normal(size=size)
  clicks, truth = 1 / (1 + np.exp(-hidden)), 1 / (1 + np.exp(1 - 2 * hidden))
  o = (rng.random(size) < clicks).astype(float)
  r = (rng.random(size) < truth).astype(float)
  labels = jnp.float32(np.stack([o, o * r], axis=1))
  z = logits(np.full(size, o.mean()), np.full(size, 0.3))
  errors = -np.where(r == 1, np.log(0.3), np.log(0.7))
  logged = np.stack([np.zeros(size), clicks], axis=1)
  for name in ('escm2_ips', 'escm2_dr'):
    function = registry.find(name).function
    assert function is not None
    predicted = np.asarray(function(z, labels, lane(size), 1e-3))[:, 1]
    beside = lane(size)._replace(propensity=logged)
    rows = np.asarray(function(z, labels, beside, 1e-3))[:, 1]
    spread = (rows - errors).std() / np.sqrt(size)
    assert abs(predicted.mean() - errors.mean()) > 0.08
    assert abs(rows.mean() - errors.mean()) < 4 * spread < 0.05
