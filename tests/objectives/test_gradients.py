"""Every objective's loss and gradient against numpy, in one table.

The losses of tasks of all kinds have theirs in tests/ops/test_task_losses.py.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from rmtl_jax import config as config_lib
from rmtl_jax.objectives import factory, registry, within_session
from rmtl_jax.ops import losses

# Two sessions and padding; click, conversion after it, and a like of its own.
SEGMENT = np.array([0, 0, 0, 1, 1, -1])
PARENTS = (None, 0, None)
LABELS = np.array(
  [[1, 1, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
)
LOGITS = np.array(
  [
    *([0.4, -0.7, 0.1], [-0.3, -1.1, 1.2], [0.9, 0.2, -0.8]),
    *([1.3, -0.2, 0.6], [-1.6, -2.3, 0.3], [0.2, -0.5, 0.9]),
  ]
)
LEAST, SHARE = 0.3, 0.25
# The log knows how likely a click was in some rows.
LOGGED = np.zeros_like(LOGITS)
LOGGED[:3, 1] = 0.5, 0.9, 0.7


def _log_sigmoid(z):
  return -np.logaddexp(0.0, -z)


def _cross_entropy(z, y):
  return -(y * _log_sigmoid(z) + (1 - y) * _log_sigmoid(-z))


def _others(i):
  """The other rows of a row's session; of padding, other padding."""
  return [j for j in range(len(SEGMENT)) if SEGMENT[j] == SEGMENT[i] and j != i]


def _by_session(of_list):
  """Rows' losses f64[T, K] from of_list(z of a row, y, z of its others, y)."""

  def losses_of(z, constants, logged):
    del constants, logged
    return np.array(
      [
        [
          of_list(
            *(z[i, k], LABELS[i, k]),
            *(z[_others(i), k], LABELS[_others(i), k]),
          )
          for k in range(z.shape[1])
        ]
        for i in range(len(z))
      ]
    )

  return losses_of


def _bpr(z, y, others, labels):
  pairs = [
    np.logaddexp(0.0, -np.sign(y - label) * (z - other))
    for other, label in zip(others, labels, strict=True)
    if label != y
  ]
  return np.mean(pairs) if pairs else 0.0


def _softmax(z, y, others, labels):
  del labels
  return y * (special.logsumexp([z, *others]) - z)


def _jrc(z, y, others, labels):
  del labels
  sign = 0.5 if y else -0.5
  return special.logsumexp(sign * np.array([z, *others])) - sign * z


def _selection(of_rate):
  """Of conversions by of_rate(o, o^, e(y), e(mean rate), e(0)), f64[T]."""

  def losses_of(z, constants, logged):
    found = _cross_entropy(z, LABELS)
    log_p = _log_sigmoid(z[:, 1]) - _log_sigmoid(z[:, 0])

    def error(y):
      return -(y * log_p + (1 - y) * np.log(-np.expm1(log_p)))

    # What has no gradient is of the logits that do not move.
    propensity = special.expit(constants[:, 0])
    if logged is not None:
      propensity = np.where(logged[:, 1] > 0, logged[:, 1], propensity)
    rates = special.expit(constants[:, 1]) / special.expit(constants[:, 0])
    rate = rates[SEGMENT >= 0].mean()
    found[:, 1] = of_rate(
      LABELS[:, 0],
      *(np.maximum(propensity, LEAST), error(LABELS[:, 1])),
      *(error(rate), error(0.0)),
    )
    return found

  return losses_of


def _dcmt(o, propensity, own, imputed, none):
  del imputed
  other = np.maximum(1 - propensity, LEAST)
  return o / propensity * own + (1 - o) / other * none


REFERENCES = {
  'bpr': _by_session(_bpr),
  'softmax': _by_session(_softmax),
  'jrc': _by_session(_jrc),
  'escm2_ips': _selection(lambda o, p, own, imputed, none: o / p * own),
  'escm2_dr': _selection(
    lambda o, p, own, imputed, none: imputed + o / p * (own - imputed)
  ),
  'dcmt': _selection(_dcmt),
}


def _descended(name, logged):
  """Its row losses beside the share of the cross-entropy: JAX's, numpy's."""
  mix = factory.make_objective(config_lib.ObjectiveConfig(name, SHARE, LEAST))
  lane = within_session.Lane(SEGMENT, PARENTS, propensity=logged)
  labels = jnp.float32(LABELS)

  def by_jax(z):
    pointwise = losses.binary_cross_entropy(z, labels)
    return pointwise if mix is None else mix(pointwise, z, labels, lane)

  def by_numpy(z):
    pointwise = _cross_entropy(z, LABELS)
    if mix is None:
      return pointwise
    own = REFERENCES[name](z, LOGITS, logged)
    return SHARE * pointwise + (1 - SHARE) * own

  return by_jax, by_numpy


def test_every_objective_has_a_reference():
  assert {*REFERENCES, 'pointwise'} == set(registry.RECORDS)


@pytest.mark.parametrize('name', registry.RECORDS)
@pytest.mark.parametrize('logged', [None, LOGGED], ids=['', 'logged'])
def test_loss_and_gradient_are_those_of_numpy(name, logged):
  by_jax, by_numpy = _descended(name, logged)
  # Rows' losses with weights that differ: whose gradient is whose matters.
  weights = np.linspace(0.5, 2.0, LOGITS.size).reshape(LOGITS.shape)
  weights[SEGMENT < 0] = 0.0
  is_row = SEGMENT >= 0

  @jax.jit
  def with_gradient(logits, cotangent):
    values, pullback = jax.vjp(by_jax, logits)
    return values, *pullback(cotangent)

  values, found = with_gradient(jnp.float32(LOGITS), jnp.float32(weights))
  expected = by_numpy(LOGITS)
  np.testing.assert_allclose(values[is_row], expected[is_row], rtol=3e-5)
  step, slopes = 1e-6, np.zeros_like(LOGITS)
  for at in np.ndindex(LOGITS.shape):
    moved = np.zeros_like(LOGITS)
    moved[at] = step
    above, below = by_numpy(LOGITS + moved), by_numpy(LOGITS - moved)
    slopes[at] = np.sum(weights * (above - below)) / (2 * step)
  np.testing.assert_allclose(found, slopes, rtol=2e-4, atol=2e-5)
