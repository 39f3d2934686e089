"""Methods on the Gram matrix: by hand, by figures of others, by claims."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import gram_weights as methods
from tests import tiers

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name('golden').joinpath('gram.json').read_text()
)
CASES = {
  name: np.array(case['gradients']) for name, case in GOLDEN['cases'].items()
}
METHODS = {
  'mgda': methods.pareto_weights,
  'pareto': functools.partial(
    methods.pareto_weights, minimum=GOLDEN['minimum']
  ),
  'pcgrad': methods.pcgrad_weights,
  'gradvac': lambda gram: methods.gradvac_weights(
    gram, jnp.zeros_like(gram), GOLDEN['beta']
  )[0],
  'cagrad': methods.cagrad_weights,
  'aligned_mtl': methods.aligned_mtl_weights,
  'config': methods.config_weights,
  'imtl_g': methods.imtl_g_weights,
  'nash_mtl': functools.partial(methods.fairgrad_weights, alpha=1.0),
  'fairgrad': methods.fairgrad_weights,
  'upgrad': methods.upgrad_weights,
  'dualproj': methods.dualproj_weights,
}
# In closed form, in turns, by eigenvalues, by Newton's steps, by a program.
FEW = ('imtl_g', 'pcgrad', 'aligned_mtl', 'nash_mtl', 'upgrad')
GRADVAC = jax.jit(methods.gradvac_weights)
SDMGRAD = jax.jit(methods.sdmgrad_shares)
# Where tasks are taken in turns, their order counts.
IN_TURNS = ('pcgrad', 'gradvac')
# Cases in which the methods' problems have one solution in TorchJD's form.
REGULAR = [name for name in CASES if name.split('_')[0] in ('random', 'scales')]
FEW_TASKS = [name for name in REGULAR if '8' not in name]
FEW_TASKS = [name for name in REGULAR if '8' not in name]


def _gram(gradients, dtype: type = np.float64):
  gradients = np.asarray(gradients, dtype)
  return gradients @ gradients.T


@functools.cache
def _jitted(method, numbers):
  return jax.jit(functools.partial(method, **dict(numbers)))


def _weights(method, gram, settings):
  """Weights of a method by name or function, which must have converged."""
  function = METHODS[method] if isinstance(method, str) else method
  numbers = {k: v for k, v in settings.items() if isinstance(v, float)}
  arrays = {k: v for k, v in settings.items() if k not in numbers}
  compiled = _jitted(function, tuple(sorted(numbers.items())))
  weights, converged = compiled(jnp.asarray(gram), **arrays)
  assert bool(converged)
  assert weights.dtype == gram.dtype
  return np.asarray(weights, np.float64)


def _double(method, gradients, **settings):
  """Weights in double precision."""
  with jax.enable_x64(True):
    return _weights(method, _gram(gradients), settings)


def _single(method, gradients, **settings):
  """Weights in single precision."""
  return _weights(method, _gram(gradients, np.float32), settings)


def _random(seed, tasks, extra=2):
  return np.random.default_rng(seed).normal(size=(tasks, tasks + extra))


# By hand: gradients (1, 0) and (-1, 1), products 1, -1 and 2.
BY_HAND = {
  # The point nearest 0 on their line, (-1/5, 2/5) turned: share (2+1)/(1+2+2).
  'mgda': [6 / 5, 4 / 5],
  'pareto': [6 / 5, 4 / 5],
  # g_1 + g_2 / 2 and g_2 + g_1.
  'pcgrad': [2, 3 / 2],
  # Targets are 0 at first: the same.
  'gradvac': [2, 3 / 2],
  # sqrt(least eigenvalue) G ** (-1/2) 1, det G = 1, trace 3: G ** (-1/2)
  # is (adj G + 1) / sqrt(5), its rows' sums 4 / sqrt(5) and 3 / sqrt(5).
  'aligned_mtl': [
    4 / 5**0.5 * ((3 - 5**0.5) / 2) ** 0.5,
    3 / 5**0.5 * ((3 - 5**0.5) / 2) ** 0.5,
  ],
  # (1 + sqrt 2) / (2 |g|).
  'config': [(1 + 2**0.5) / 2, (1 + 2**0.5) / 2 / 2**0.5],
  # In proportion to 1 / |g|.
  'imtl_g': [2 * 2**0.5 / (1 + 2**0.5), 2 / (1 + 2**0.5)],
  'nash_mtl': [2 * 2**0.5 / (1 + 2**0.5), 2 / (1 + 2**0.5)],
  'upgrad': [2, 3 / 2],
  # The sum (0, 1) is at right angles to g_1: no conflict.
  'dualproj': [1, 1],
}


@pytest.mark.parametrize('name', BY_HAND)
def test_two_tasks_by_hand(name):
  found = _single(name, [[1.0, 0.0], [-1.0, 1.0]])
  np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-5)


def test_fairgrad_by_hand():
  """Orthogonal gradients of norms a: a^2 w = w^(-1/2), w = a^(-4/3)."""
  found = _single('fairgrad', [[1.0, 0.0], [0.0, 8.0]])
  np.testing.assert_allclose(found, [32 / 17, 2 / 17], rtol=1e-5)
  found = _single(methods.fairgrad_weights, np.diag([1.0, 8.0]), alpha=0.0)
  np.testing.assert_array_equal(found, [1.0, 1.0])


def test_cagrad_by_hand():
  """Orthogonal gradients of norms 1 and 2, whose sum has the norm sqrt 5.

  With shares (s, 1 - s): F = s + 4 (1 - s) + c sqrt(5) sqrt(s^2 + 4 (1-s)^2).
  For c = 1/2 its derivative at s = 1 is -3 + c sqrt(5) < 0: all is the first
  task's. The weights are 1 + c sqrt(5) and 1.
  """
  found = _single(methods.cagrad_weights, np.diag([1.0, 2.0]), c=0.5)
  np.testing.assert_allclose(found, [1 + 0.5 * 5**0.5, 1], rtol=1e-5)
  found = _single(methods.cagrad_weights, np.diag([1.0, 2.0]), c=0.0)
  np.testing.assert_array_equal(found, [1, 1])


def test_preferences_by_hand():
  gradients, wanted = [[1.0, 0.0], [-1.0, 1.0]], jnp.array([1.5, 0.5])
  found = _single(methods.upgrad_weights, gradients, preference=wanted)
  # 1.5 (g_1 + g_2 / 2) + 0.5 (g_2 + g_1).
  np.testing.assert_allclose(found, [2, 5 / 4], rtol=1e-5)
  found = _single(methods.dualproj_weights, gradients, preference=wanted)
  # The sum (1, 1/2) has the product -1/2 with g_2, whose square is 2.
  np.testing.assert_allclose(found, [3 / 2, 3 / 4], rtol=1e-5)


@pytest.mark.parametrize('tasks', [2, 3])
@pytest.mark.parametrize('minimum', [0.0, 0.2])
def test_the_norm_is_the_least_of_a_fine_grid(tasks, minimum):
  ticks = np.linspace(0, 1, 101)
  grid = np.stack(np.meshgrid(*[ticks] * (tasks - 1)), -1).reshape(
    -1, tasks - 1
  )
  grid = np.concatenate([grid, 1 - grid.sum(1, keepdims=True)], 1)
  grid = grid[np.all(grid >= minimum - 1e-9, 1)]
  for seed in range(5):
    gradients = _random(seed, tasks)
    weights = _single(methods.pareto_weights, gradients, minimum=minimum)
    np.testing.assert_allclose(weights.sum(), tasks, rtol=1e-6)
    assert np.all(weights >= tasks * minimum - 1e-6)
    least = np.linalg.norm(tasks * grid @ gradients, axis=1).min()
    assert np.linalg.norm(weights @ gradients) <= least * (1 + 1e-5)


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('method', ['mgda', 'pareto', 'dualproj', 'upgrad'])
def test_an_exhaustive_search_finds_the_same_sum(name, method):
  gradients = CASES[name]
  expected = np.array(GOLDEN['cases'][name]['exact'][method])
  if method in ('mgda', 'pareto'):
    expected = len(gradients) * expected
  size = np.linalg.norm(gradients, axis=1).max()
  found = _single(method, gradients) @ gradients
  np.testing.assert_allclose(
    found, expected @ gradients, rtol=2e-4, atol=3e-4 * size
  )
  assert np.linalg.norm(found) <= np.linalg.norm(expected @ gradients) + (
    1e-4 * size
  )


def _torchjd(name, method):
  return np.array(GOLDEN['cases'][name]['torchjd'][method])


@pytest.mark.parametrize('name', tiers.some(REGULAR, FEW_TASKS))
def test_torchjd_gives_the_same_sum(name):
  """In double precision; TorchJD's weights average 1 / K, ours 1.

  CAGrad's are those of a solver that stops at about 1e-4, Nash-MTL's and
  FairGrad's are compared with their equations below.
  """
  gradients = CASES[name]
  tasks = len(gradients)
  wanted = np.arange(1.0, tasks + 1) / tasks
  for method in ('aligned_mtl', 'imtl_g', 'upgrad', 'dualproj'):
    found = _double(method, gradients) @ gradients
    expected = tasks * _torchjd(name, method) @ gradients
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  for method in ('upgrad', 'dualproj'):
    # A preference is what weights are where nothing conflicts, in both.
    found = _double(method, gradients, preference=wanted) @ gradients
    expected = _torchjd(name, f'{method}_preferring') @ gradients
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  # Frank-Wolfe comes near the least norm, from above.
  least = np.linalg.norm(_double('mgda', gradients) @ gradients)
  theirs = np.linalg.norm(tasks * _torchjd(name, 'mgda') @ gradients)
  assert theirs / 1.01 <= least <= theirs * (1 + 1e-9)
  found = _double('config', gradients) @ gradients
  np.testing.assert_allclose(found, _torchjd(name, 'config_sum'), rtol=1e-6)
  order = np.array(GOLDEN['cases'][name]['order'])
  found = _double('pcgrad', gradients, order=order)
  np.testing.assert_allclose(found, _torchjd(name, 'pcgrad'), rtol=1e-6)
  for c in GOLDEN['c']:
    found = _double(methods.cagrad_weights, gradients, c=c) @ gradients
    expected = tasks * _torchjd(name, f'cagrad_{c}') @ gradients
    size = float(np.linalg.norm(expected))
    np.testing.assert_allclose(found, expected, atol=3e-4 * size)


@pytest.mark.parametrize('name', REGULAR)
def test_torchjd_turns_gradients_to_the_same_angles(name):
  case = GOLDEN['cases'][name]
  gradients = CASES[name]
  turned = gradients.copy()
  turned[1] *= -1
  with jax.enable_x64(True):
    order = jnp.asarray(case['order'])
    targets = jnp.zeros((len(gradients),) * 2)
    for both, step in ((gradients, 'first'), (turned, 'second')):
      (weights, _), targets = GRADVAC(
        jnp.asarray(_gram(both)), targets, GOLDEN['beta'], order
      )
      expected = case['torchjd'][f'gradvac_{step}']
      np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_torchjd_moves_shares_of_two_samples_alike():
  with jax.enable_x64(True):
    for case in GOLDEN['crosses']:
      tasks = len(case['crosses'][0])
      sdmgrad = modo = jnp.full(tasks, 1 / tasks)
      for step, cross in enumerate(case['crosses']):
        matrix = jnp.asarray(cross)
        (weights, _), sdmgrad = SDMGRAD(matrix, sdmgrad, 0.3)
        expected = tasks * np.array(case['sdmgrad'][step])
        np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
        modo = methods.modo_shares(matrix, modo, 0.1, 0.1)
        np.testing.assert_allclose(modo, case['modo'][step], atol=1e-9)


@pytest.mark.parametrize('alpha', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('name', REGULAR)
def test_fair_weights_solve_their_equation_in_direction(name, alpha):
  gradients = CASES[name]
  weights = _single(methods.fairgrad_weights, gradients, alpha=alpha)
  assert np.all(weights > 0)
  np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)
  # (G w) w ** (1 / alpha) is one number of all tasks.
  levels = _gram(gradients) @ weights * weights ** (1 / alpha)
  np.testing.assert_allclose(levels, levels.mean(), rtol=5e-3)


@pytest.mark.parametrize('name', REGULAR)
def test_torchjd_is_as_fair_where_its_solver_converged(name):
  gradients = CASES[name]
  gram = _gram(gradients)
  compared = 0
  for alpha, key in [(1.0, 'nash_mtl'), (2.0, 'fairgrad_2.0')]:
    theirs = _torchjd(name, key)
    levels = gram @ theirs * theirs ** (1 / alpha)
    if np.ptp(levels) > 1e-3 * levels.mean():
      continue
    compared += 1
    found = _double(methods.fairgrad_weights, gradients, alpha=alpha)
    np.testing.assert_allclose(found, theirs / theirs.mean(), rtol=2e-3)
  assert compared


@pytest.mark.parametrize('seed', range(10))
def test_of_two_tasks_pcgrad_conflicts_with_none(seed):
  gradients = _random(seed, 2) * [[1.0], [10.0**seed]]
  total = _single('pcgrad', gradients) @ gradients
  products = gradients @ total / np.linalg.norm(gradients, axis=1)
  assert np.all(products >= -1e-5 * np.linalg.norm(total))


@pytest.mark.parametrize('method', ['upgrad', 'dualproj', 'config', 'nash_mtl'])
@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_the_sum_conflicts_with_no_task(method, tasks):
  for seed in range(5):
    gradients = _random(seed, tasks)
    total = _single(method, gradients) @ gradients
    products = gradients @ total / np.linalg.norm(gradients, axis=1)
    assert np.all(products >= -1e-4 * np.linalg.norm(total))


@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_mgda_projects_alike_on_all_tasks_that_it_weighs(tasks):
  for seed in range(5):
    gradients = _random(seed, tasks)
    weights = _single('mgda', gradients)
    total = weights @ gradients / tasks
    products = gradients @ total
    assert np.all(products >= total @ total - 1e-4)
    np.testing.assert_allclose(
      products[weights > 1e-5], total @ total, atol=1e-4
    )


@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_equal_cosines_and_equal_projections(tasks):
  for seed in range(5):
    gradients = _random(seed, tasks)
    units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    for method in ('config', 'imtl_g'):
      total = _single(method, gradients) @ gradients
      along = units @ total
      np.testing.assert_allclose(along, along.mean(), rtol=5e-3)
    weights = _single('imtl_g', gradients)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-4)


@pytest.mark.parametrize('c', [0.3, 0.8, 1.5])
@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_cagrad_is_the_best_in_its_ball_for_the_worst_task(tasks, c):
  rng = np.random.default_rng(0)
  for seed in range(3):
    gradients = _random(seed, tasks)
    mean = gradients.sum(0)
    radius = c * np.linalg.norm(mean)
    weights = _single(methods.cagrad_weights, gradients, c=c)
    total = weights @ gradients
    assert np.linalg.norm(total - mean) <= radius * (1 + 1e-4)
    worst = (gradients @ total).min()
    others = rng.normal(size=(2000, len(mean)))
    others *= radius / np.linalg.norm(others, axis=1, keepdims=True)
    found = (gradients @ (mean + others).T).min(0)
    assert worst >= found.max() - 1e-4
    # The dual at the shares that the weights hold is as large: no gap.
    shares = (weights - 1) / (weights - 1).sum()
    along = shares @ gradients
    dual = along @ mean + radius * np.linalg.norm(along)
    np.testing.assert_allclose(worst, dual, atol=2e-3 * abs(dual) + 1e-4)


@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_aligned_gradients_of_a_task_alone(tasks):
  """The sum is 1's image of aligned gradients: their products are equal.

  Aligned-MTL makes them orthogonal with the least singular value as norm:
  the sum over all tasks has the norm sqrt(K) times that.
  """
  for seed in range(5):
    gradients = _random(seed, tasks)
    least = np.linalg.svd(gradients, compute_uv=False)[-1]
    total = _single('aligned_mtl', gradients) @ gradients
    np.testing.assert_allclose(
      np.linalg.norm(total), np.sqrt(tasks) * least, rtol=1e-3
    )


@pytest.mark.parametrize('method', [m for m in METHODS if m not in IN_TURNS])
def test_tasks_in_another_order_have_the_same_weights(method):
  for tasks in (2, 3, 8):
    gradients = _random(3, tasks)
    order = np.random.default_rng(4).permutation(tasks)
    found = _single(method, gradients[order])
    np.testing.assert_allclose(
      found, _single(method, gradients)[order], rtol=2e-3, atol=1e-4
    )


def test_pcgrad_in_another_order_has_the_same_weights():
  gradients, moved = _random(0, 3), np.array([2, 0, 1])
  turns = np.array([[0, 1, 2], [2, 0, 1], [1, 0, 2]])
  found = _single(methods.pcgrad_weights, gradients, order=jnp.array(turns))
  places = np.argsort(moved)
  other = _single(
    methods.pcgrad_weights,
    gradients[moved],
    order=jnp.array(places[turns][moved]),
  )
  np.testing.assert_allclose(other, found[moved], rtol=1e-5)


@pytest.mark.parametrize('method', METHODS)
def test_one_scale_of_all_losses_changes_no_weight(method):
  for tasks in (2, 3):
    gradients = _random(5, tasks)
    found = _single(method, gradients)
    for scale in (1e-6, 1e6):
      np.testing.assert_allclose(
        _single(method, scale * gradients), found, rtol=1e-3, atol=1e-5
      )


@pytest.mark.parametrize('method', ['config', 'imtl_g', 'nash_mtl'])
def test_scales_of_single_losses_do_not_turn_the_sum(method):
  for tasks in (2, 3, 8):
    gradients = _random(6, tasks)
    scaled = gradients * np.geomspace(1e-3, 1e3, tasks)[:, None]
    total = _single(method, gradients) @ gradients
    other = _single(method, scaled) @ scaled
    cosine = total @ other / np.linalg.norm(total) / np.linalg.norm(other)
    np.testing.assert_allclose(cosine, 1, atol=1e-5)


@pytest.mark.parametrize('method', tiers.some(METHODS, FEW))
@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_single_precision_is_near_double(method, tasks):
  names = ['random_{}_0', 'scales_{}', 'million_{}']
  for name in names:
    gradients = CASES[name.format(tasks)]
    exact = _double(method, gradients)
    found = _single(method, gradients)
    if method == 'pareto':
      # A least share of a far larger gradient hides the others' products.
      exact, found = exact @ gradients, found @ gradients
    size = np.maximum(np.abs(exact), 1e-3 * np.abs(exact).max())
    assert np.all(np.abs(found - exact) <= 5e-3 * size + 1e-6), name


@pytest.mark.parametrize('method', METHODS)
def test_weights_are_finite_and_their_solver_converges(method):
  for name, gradients in CASES.items():
    assert np.all(np.isfinite(_single(method, gradients))), name


# What weights of degenerate gradients are, K = 3; the module says why.
@pytest.mark.parametrize('method', METHODS)
def test_of_zero_gradients_all_weights_are_one(method):
  np.testing.assert_array_equal(_single(method, np.zeros((3, 4))), 1.0)
  np.testing.assert_array_equal(_single(method, np.zeros((2, 4))), 1.0)


@pytest.mark.parametrize('method', tiers.some(METHODS, FEW))
def test_equal_gradients_have_equal_weights(method):
  for tasks in (2, 3):
    gradients = np.tile(_random(0, 1), (tasks, 1))
    weights = _single(method, gradients)
    expected = 1.5 if method == 'cagrad' else 1.0
    # Rounding of the products, beside the ridge, makes some difference.
    np.testing.assert_allclose(weights, expected, rtol=0.15)
    np.testing.assert_allclose(
      weights @ gradients, expected * tasks * gradients[0], rtol=2e-3
    )


@pytest.mark.parametrize(
  ('method', 'expected'),
  [
    ('mgda', [0, 3, 0]),
    ('pcgrad', None),
    ('gradvac', None),
    ('cagrad', None),
    ('nash_mtl', None),
    ('fairgrad', None),
    ('upgrad', None),
    ('dualproj', None),
    ('imtl_g', 0),
    ('config', 0),
  ],
)
def test_a_gradient_of_zero(method, expected):
  """None: others are weighed as if alone, and its own weight is 1."""
  gradients = CASES['zero_one_3']
  weights = _single(method, gradients)
  if expected is None:
    alone = _single(method, gradients[[0, 2]])
    np.testing.assert_allclose(weights[[0, 2]], alone, rtol=1e-3)
    assert weights[1] == 1
  elif expected == 0:
    assert weights[1] == 0
    assert np.linalg.norm(weights @ gradients) > 0.1
  else:
    np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize('method', METHODS)
def test_opposite_gradients_cancel(method):
  first = _random(0, 1)
  gradients = np.concatenate([first, -2 * first])
  weights = _single(method, gradients)
  if method == 'aligned_mtl':
    # One direction, (1, -2) / sqrt 5: its size is the least singular value.
    np.testing.assert_allclose(weights, [-0.2, 0.4], rtol=1e-5)
  elif method != 'cagrad':
    np.testing.assert_allclose(weights @ gradients, 0, atol=1e-4)


def test_cagrad_of_opposite_gradients_shortens_the_mean():
  first = _random(0, 1)
  gradients = np.concatenate([first, -2 * first])
  total = _single(methods.cagrad_weights, gradients, c=0.4) @ gradients
  np.testing.assert_allclose(total, -0.6 * first[0], rtol=1e-2)


def test_gradvac_learns_what_cosines_are():
  gram = jnp.array([[1.0, 0.5], [0.5, 1.0]])
  _, targets = methods.gradvac_weights(gram, jnp.zeros((2, 2)), 0.1)
  np.testing.assert_allclose(targets, [[0, 0.05], [0.05, 0]], rtol=1e-5)


def test_gradvac_turns_to_the_target():
  """After it, each gradient has the target's cosine to the other one."""
  gradients = np.array([[1.0, 0.0], [0.2, 2.0]])
  goal = 0.6
  (weights, _), _ = methods.gradvac_weights(
    jnp.asarray(_gram(gradients, np.float32)), jnp.full((2, 2), goal), 0.0
  )
  own, other = gradients
  length, along = np.linalg.norm(own), np.linalg.norm(other)
  cosine = own @ other / length / along
  # g_1 + a g_2 with the cosine 0.6 to g_2, and g_2 + b g_1 likewise.
  sine, goal_sine = (1 - cosine**2) ** 0.5, 0.8
  shift = (goal * sine - cosine * goal_sine) / goal_sine
  expected = [1 + along / length * shift, 1 + length / along * shift]
  np.testing.assert_allclose(weights, expected, rtol=1e-5)
  turned = own + length / along * shift * other
  np.testing.assert_allclose(
    turned @ other / np.linalg.norm(turned) / along, goal, rtol=1e-6
  )


def test_shares_of_two_samples_by_hand():
  cross = jnp.array([[2.0, 0.0], [0.0, 4.0]])
  # 0.5 - 0.1 (2 + 1) 0.5 and 0.5 - 0.1 (4 + 1) 0.5, then both plus 0.2.
  found = methods.modo_shares(cross, jnp.array([0.5, 0.5]), 0.1, 1.0)
  np.testing.assert_allclose(found, [0.55, 0.45], rtol=1e-5)
  # The shares of least norm are 2/3 and 1/3, which SDMGrad has with lambda 0.
  (weights, converged), shares = methods.sdmgrad_shares(
    0.001 * cross, jnp.array([0.5, 0.5]), 1e9
  )
  assert bool(converged)
  np.testing.assert_allclose(weights, 1, rtol=1e-5)
  np.testing.assert_allclose(jnp.sum(shares), 1, rtol=1e-5)


@pytest.mark.parametrize('scale', [0.0, 1e12])
def test_shares_of_degenerate_samples_stay_on_the_simplex(scale):
  cross = jnp.array([[-1.0, 2.0, 0.0], [2.0, -3.0, 0.0], [0.0, 0.0, 0.0]])
  even = jnp.full(3, 1 / 3)
  _, shares = methods.sdmgrad_shares(scale * cross, even)
  for found in (shares, methods.modo_shares(scale * cross, even)):
    assert np.all(np.asarray(found) >= 0)
    np.testing.assert_allclose(jnp.sum(found), 1, rtol=1e-5)
