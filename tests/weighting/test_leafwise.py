"""Every weighting refuses what it cannot mean, and takes what it can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.weighting import leafwise, weighting_registry
from tests.weighting import example

EVERY = pytest.mark.parametrize('name', list(weighting_registry.RECORDS))
# What the links of `make_weighting` read, by their records.
NEEDS = {
  name: ('q_values', *one.needs)
  for name, one in weighting_registry.RECORDS.items()
  if one.asks_every_step and not one.ascends_q
}
READS = [
  (name, extra)
  for name, extras in NEEDS.items()
  for extra in extras
  if extra != 'key'
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


@EVERY
def test_weights_of_a_pytree_are_those_of_its_leaves(name):
  """Two leaves of other rows, one mask each; or one array as all masks."""
  whole = jnp.asarray(example.COTANGENT)
  trees = {
    extra: {'a': value, 'b': (value[:, :3],)}
    for extra, value in example.extra().items()
    if extra in (*leafwise.PER_TASK, 'mask')
  }
  found = update(name, {'a': whole, 'b': (whole[:, :3],)}, **trees)
  extra = {
    extra: value[:, :3]
    for extra, value in example.extra().items()
    if extra in (*leafwise.PER_TASK, 'mask')
  }
  np.testing.assert_array_equal(found['a'], update(name, whole))
  np.testing.assert_array_equal(
    found['b'][0], update(name, whole[:, :3], **extra)
  )
  alike = {n: {'a': tree['a'], 'b': tree['a']} for n, tree in trees.items()}
  alike['mask'] = example.extra()['mask']
  found = update(name, {'a': whole, 'b': whole}, **alike)
  for leaf in found.values():
    np.testing.assert_array_equal(leaf, update(name, whole))


@pytest.mark.parametrize(('name', 'extra'), READS)
def test_a_pytree_wants_such_extra_arguments(name, extra):
  leaf = jnp.asarray(example.COTANGENT)
  losses = {'a': leaf, 'b': leaf}
  good = {
    n: {'a': v, 'b': v} if n in (*leafwise.PER_TASK, 'mask') else v
    for n, v in example.extra().items()
  }
  with pytest.raises(ValueError, match=rf"^{extra}: expected .*'a': \*, 'b'"):
    update(name, losses, **{**good, extra: {'a': good[extra]['a']}})
  if extra != 'mask':
    with pytest.raises(ValueError, match=r'found an array$'):
      update(name, losses, **{**good, extra: good[extra]['a']})
  with pytest.raises(ValueError, match=f'^{extra}: expected an array like'):
    update(name, leaf, **{extra: good[extra]})


@pytest.mark.parametrize('name', list(NEEDS))
@pytest.mark.parametrize('lambda_', [0.7, -0.7])
def test_no_weight_is_below_zero_whatever_q_is(name, lambda_):
  weighting, state = example.make(name, lambda_=lambda_)
  extra = example.extra(10 * np.sign(example.Q_VALUES + 1.5))
  weighted, _ = weighting.update(jnp.ones((1, 4, 2)), state, **extra)
  assert float(weighted.min()) >= 0.0
  assert float(weighted.max()) > 0.0
