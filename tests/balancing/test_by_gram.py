"""Balancers on products of gradients: by hand, by TorchJD, by claims."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import balancer_registry, by_gram
from tests import tiers

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name('golden').joinpath('gram.json').read_text()
)
CASES = {
  name: np.array(case['gradients']) for name, case in GOLDEN['cases'].items()
}
# Cases in which all problems have one solution in TorchJD's form.
REGULAR = [name for name in CASES if name.split('_')[0] in ('random', 'scales')]
NAMES = [
  name
  for name, one in balancer_registry.RECORDS.items()
  if name in vars(by_gram)
]
KEY = jax.random.key(0)


def _method(name):
  """Weights of a Gram matrix, without preference."""
  method = vars(by_gram)[f'{name}_weights']
  if name in ('upgrad', 'dualproj'):
    return lambda gram: method(gram, jnp.ones(len(gram)))
  return method


@functools.cache
def _compiled(name):
  return jax.jit(_method(name))


def _weights(name, gradients, dtype: type = np.float64):
  gradients = np.asarray(gradients, dtype)
  with jax.enable_x64(dtype is np.float64):
    found = _compiled(name)(jnp.asarray(gradients @ gradients.T))
    assert found.dtype == dtype
    return np.asarray(found, np.float64)


@functools.cache
def _compiled_of(name):
  return jax.jit(vars(by_gram)[f'{name}_weights'])


def _of(name, gradients, setting):
  """Weights in double precision of a method with a setting."""
  with jax.enable_x64(True):
    gram = jnp.asarray(gradients @ gradients.T)
    return np.asarray(_compiled_of(name)(gram, setting))


def _random(seed, tasks, extra=2):
  return np.random.default_rng(seed).normal(size=(tasks, tasks + extra))


def test_weights_by_hand():
  """Of (1, 0) and (-1, 1), whose products are 1, -1 and 2."""
  gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
  # sqrt(least eigenvalue) G ** (-1/2) 1, det G = 1, trace 3: G ** (-1/2) is
  # (adj G + 1) / sqrt(5), its rows' sums 4 / sqrt(5) and 3 / sqrt(5).
  least = ((3 - 5**0.5) / 2) ** 0.5
  expected = {
    # The point nearest 0 on their line: share (2 + 1) / (1 + 2 + 2).
    'mgda': [6 / 5, 4 / 5],
    # g_1 + g_2 / 2 and g_2 + g_1.
    'pcgrad': [2, 3 / 2],
    'aligned_mtl': [4 / 5**0.5 * least, 3 / 5**0.5 * least],
    # (1 + sqrt 2) / (2 |g|).
    'conflict_free': [(1 + 2**0.5) / 2, (1 + 2**0.5) / 2 / 2**0.5],
    # In proportion to 1 / |g|.
    'imtl_g': [2 * 2**0.5 / (1 + 2**0.5), 2 / (1 + 2**0.5)],
    'upgrad': [2, 3 / 2],
    # The sum (0, 1) is at right angles to g_1: no conflict.
    'dualproj': [1, 1],
  }
  for name, weights in expected.items():
    for dtype in (np.float32, np.float64):
      found = _weights(name, gradients, dtype)
      np.testing.assert_allclose(found, weights, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
  'case', tiers.some(REGULAR, ('random_2_0', 'scales_3'))
)
def test_torchjd_gives_the_same_sum(case):
  """In double precision; TorchJD's weights average 1 / K, ours 1."""
  gradients, torchjd = CASES[case], GOLDEN['cases'][case]['torchjd']
  tasks = len(gradients)
  for name in ('aligned_mtl', 'imtl_g', 'upgrad', 'dualproj'):
    found = _weights(name, gradients) @ gradients
    expected = tasks * np.array(torchjd[name]) @ gradients
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  # A preference is what weights are where nothing conflicts, in both.
  wanted = jnp.arange(1.0, tasks + 1) / tasks
  for name in ('upgrad', 'dualproj'):
    found = _of(name, gradients, wanted) @ gradients
    expected = np.array(torchjd[f'{name}_preferring']) @ gradients
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  found = _weights('conflict_free', gradients) @ gradients
  np.testing.assert_allclose(found, torchjd['config_sum'], rtol=1e-6)
  order = np.array(GOLDEN['cases'][case]['order'])
  found = _of('pcgrad', gradients, order)
  np.testing.assert_allclose(found, torchjd['pcgrad'], rtol=1e-6)
  # CAGrad's solver there stops at about 1e-4.
  for c in GOLDEN['c']:
    found = _of('cagrad', gradients, c) @ gradients
    expected = tasks * np.array(torchjd[f'cagrad_{c}']) @ gradients
    size = float(np.linalg.norm(expected))
    np.testing.assert_allclose(found, expected, atol=3e-4 * size)


@pytest.mark.parametrize('name', ['mgda', 'upgrad', 'dualproj'])
def test_sums_are_those_of_an_exhaustive_search(name):
  """Over active sets, in numpy; degenerate gradients too."""
  for case, gradients in CASES.items():
    if case.startswith('zero') and name == 'mgda':
      continue  # A task without a gradient does not count here.
    exact = np.array(GOLDEN['cases'][case]['exact'][name])
    expected = exact * (len(exact) if name == 'mgda' else 1) @ gradients
    found = _weights(name, gradients, np.float32) @ gradients
    size = np.linalg.norm(gradients, axis=1).max()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=3e-4 * size)


@pytest.mark.parametrize('name', NAMES)
def test_properties_of_the_weights(name):
  for tasks in (2, 3, 8):
    gradients = _random(3, tasks)
    found = _weights(name, gradients, np.float32)
    if name != 'pcgrad':  # takes tasks in turns
      order = np.random.default_rng(4).permutation(tasks)
      moved = _weights(name, gradients[order], np.float32)
      np.testing.assert_allclose(moved, found[order], rtol=2e-3, atol=1e-4)
    for scale in (1e-6, 1e6):
      scaled = _weights(name, scale * gradients, np.float32)
      np.testing.assert_allclose(scaled, found, rtol=1e-3, atol=1e-5)
  # Single precision is near double, also where sizes differ.
  cases = ['random_3_0', 'scales_8']
  if name != 'aligned_mtl':  # leaves out what it takes for rounding
    cases.append('million_3')
  for case in cases:
    exact = _weights(name, CASES[case])
    found = _weights(name, CASES[case], np.float32)
    size = np.maximum(np.abs(exact), 1e-3 * np.abs(exact).max())
    assert np.all(np.abs(found - exact) <= 5e-3 * size + 1e-6), case


@pytest.mark.parametrize('name', NAMES)
def test_degenerate_gradients(name):
  for case, gradients in CASES.items():
    assert np.all(np.isfinite(_weights(name, gradients, np.float32))), case
  np.testing.assert_array_equal(_weights(name, np.zeros((3, 4))), 1.0)
  # Others are weighed as if alone; a task without a gradient has the weight 1.
  gradients = CASES['zero_one_3']
  weights = _weights(name, gradients, np.float32)
  alone = _weights(name, gradients[[0, 2]], np.float32)
  np.testing.assert_allclose(weights[[0, 2]], alone, rtol=1e-3)
  assert weights[1] == 1
  # Equal ones have equal weights.
  gradients = np.tile(_random(0, 1), (3, 1))
  expected = 1.5 if name == 'cagrad' else 1.0
  found = _weights(name, gradients, np.float32) @ gradients
  np.testing.assert_allclose(found, 3 * expected * gradients[0], rtol=2e-3)


def _gradients(tasks, seed=0):
  rng = np.random.default_rng(seed)
  shapes = {'bias': (), 'kernel': (2, 3), 'table': (5,)}
  return {
    leaf: jnp.asarray(rng.normal(size=(tasks, *shape)), jnp.float32)
    for leaf, shape in shapes.items()
  }


def _flat(gradients, axes=1):
  return np.concatenate(
    [
      np.reshape(leaf, (*leaf.shape[:axes], -1))
      for leaf in jax.tree.leaves(gradients)
    ],
    -1,
  )


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('tasks', [2, 3])
def test_the_update_is_the_weighted_sum_of_all_leaves(name, tasks):
  link, gradients = vars(by_gram)[name](tasks), _gradients(tasks)
  step = jax.jit(link.update)
  update, state = step(gradients, link.init(None), key=KEY)
  expected = np.asarray(state.task_weights) @ _flat(gradients)
  np.testing.assert_allclose(_flat(update, 0), expected, rtol=1e-4, atol=1e-5)
  if name != 'pcgrad':
    weights = _weights(name, _flat(gradients), np.float32)
    np.testing.assert_allclose(state.task_weights, weights, rtol=1e-3)
  # A gradient that is no number ends in the update.
  gradients['bias'] = gradients['bias'].at[1].set(np.nan)
  update, _ = step(gradients, state, key=KEY)
  assert np.all(np.isnan(_flat(update, 0)))
  with pytest.raises(ValueError, match=r'expected \d on the first axis'):
    link.update(jnp.ones((5, 4)), state, key=KEY)
