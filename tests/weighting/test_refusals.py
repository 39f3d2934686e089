"""Every weighting refuses what it cannot mean, and takes what it can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.weighting import weighting_registry
from tests.weighting import example

EVERY = pytest.mark.parametrize('name', list(weighting_registry.RECORDS))
WEIGH_BY_Q = [
  name
  for name, one in weighting_registry.RECORDS.items()
  if one.asks_every_step and not one.ascends_q
]
READS = [
  *((name, 'q_values') for name in WEIGH_BY_Q),
  ('label_times_q', 'labels'),
  ('advantage', 'mask'),
  ('q_shuffled', 'mask'),
]


def update(name, updates, **changes):
  weighting, state = example.make(name)
  extra = {**example.extra(), **changes}
  return weighting.update(updates, state, **extra)[0]


def test_a_wrong_shape_is_refused():
  for name, extra in READS:
    value = example.extra()[extra]
    # One rank less would broadcast over lanes, one row over all rows.
    for wrong in (value[0], value[:, :1], value[..., None]):
      with pytest.raises(ValueError, match=f'^{extra}: expected the shape'):
        update(name, jnp.asarray(example.COTANGENT), **{extra: wrong})


@EVERY
def test_the_dtype_is_that_of_the_losses(name):
  """Also where rank promotion raises."""
  single = update(name, jnp.asarray(example.COTANGENT))
  assert single.dtype == jnp.float32
  with jax.numpy_rank_promotion('raise'):
    weighting, state = example.make(name)
    extra = example.extra()
    half, _ = jax.jit(weighting.update)(
      jnp.asarray(example.COTANGENT, jnp.bfloat16), state, **extra
    )
    full, _ = weighting.update(jnp.asarray(example.COTANGENT), state, **extra)
    assert half.dtype == jnp.bfloat16
    # The cotangent is rounded, then the product: not the weights.
    np.testing.assert_allclose(half.astype(jnp.float32), full, rtol=2**-7)


@pytest.mark.parametrize('name', WEIGH_BY_Q)
@pytest.mark.parametrize('lambda_', [0.7, -0.7])
def test_no_weight_is_below_zero_whatever_q_is(name, lambda_):
  weighting, state = example.make(name, lambda_=lambda_)
  extra = example.extra(10 * np.sign(example.Q_VALUES + 1.5))
  weighted, _ = weighting.update(jnp.ones((1, 4, 2)), state, **extra)
  assert float(weighted.min()) >= 0.0
  assert float(weighted.max()) > 0.0
