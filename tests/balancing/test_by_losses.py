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
from rmtl_jax.balancing import by_losses, by_rows, registry
from rmtl_jax.updates import weighted_grad
from rmtl_jax.weighting import critic

GOLDEN = json.loads(
  pathlib.Path(__file__)
  .with_name('golden')
  .joinpath('losses.json')
  .read_text(encoding='utf-8')
)
SET = GOLDEN['settings']
RATE, DECAY = SET['learning_rate'], SET['decay']
# By what the golden file calls them: how they are made, and from PyTorch's
# gradient of the combined loss, f64[K], to weights in the mean.
MAKERS = {
  'gls': (by_losses.gls, lambda g: len(g) * g),
  'dwa': (
    lambda k: by_losses.dwa(k, SET['temperature'], SET['period']),
    lambda g: g,
  ),
  'famo': (
    lambda k: by_losses.famo(k, RATE, DECAY),
    lambda g: len(g) * g,
  ),
  # The paper's own scale falls with the losses; ours averages 1.
  'stch': (
    lambda k: by_losses.stch(k, SET['mu'], SET['warmup_steps']),
    lambda g: g / g.mean(),
  ),
  'imtl_l': (lambda k: by_losses.imtl_l(k, RATE), lambda g: g),
  'classification': (
    lambda k: by_losses.homoscedastic_uncertainty(k, RATE),
    lambda g: g,
  ),
  # Half of it is the paper's.
  'regression': (
    lambda k: by_losses.homoscedastic_uncertainty(k, RATE, 'regression'),
    lambda g: 2 * g,
  ),
}
# Those whose weights depend on losses and on nothing else.
LINKS = {
  'rlw': by_losses.rlw,
  **{name: make for name, (make, _) in MAKERS.items()},
  'focal': by_rows.focal,
  'hard_examples': by_rows.hard_examples,
}
AVERAGE_ONE = ('rlw', 'dwa', 'famo', 'stch', 'hard_examples')
KEY = jax.random.key(3)


def weights_of(link, state, losses, key=KEY):
  """Weights of tasks whose losses are those of one row, f32[K]."""
  losses = jnp.asarray(losses, jnp.float32)[None]
  even = jnp.full(losses.shape, 1 / losses.shape[-1])
  weighted, state = link.update(even, state, losses=losses, key=key)
  return np.asarray(weighted[0] * losses.shape[-1]), state


def run(link, losses, observe=None):
  """Weights of every step, f32[steps, K]."""
  state, found = link.init(()), []
  for row, after in zip(losses, np.roll(losses, -1, 0), strict=True):
    weights, state = weights_of(link, state, row)
    found.append(weights)
    if observe:
      state = observe(state, jnp.asarray(after, jnp.float32))
  return np.array(found)


@pytest.mark.parametrize('case', GOLDEN['cases'])
@pytest.mark.parametrize('name', MAKERS)
def test_weights_are_the_gradients_that_pytorch_finds(name, case):
  golden = GOLDEN['cases'][case]
  losses = np.array(golden['losses'])
  make, scale = MAKERS[name]
  observe = registry.find('famo').observe if name == 'famo' else None
  found = run(make(losses.shape[-1]), losses, observe)
  expected = np.array([scale(np.array(row)) for row in golden[name]])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize('gamma', GOLDEN['focal']['gradients'])
def test_focal_is_the_exact_derivative(gamma):
  losses = jnp.array(GOLDEN['focal']['losses'], jnp.float32)[:, None]
  link = by_rows.focal(1, float(gamma))
  weights, _ = link.update(jnp.ones_like(losses), link.init(()), losses=losses)
  np.testing.assert_allclose(
    weights[:, 0], GOLDEN['focal']['gradients'][gamma], rtol=2e-5, atol=1e-12
  )


def test_focal_of_rows_without_a_loss():
  losses = jnp.array([[0.0], [0.0], [1e6]])
  for gamma, weight in ((0.0, 1.0), (0.5, 0.0), (2.0, 0.0)):
    link = by_rows.focal(1, gamma)
    weights, _ = link.update(
      jnp.ones_like(losses), link.init(()), losses=losses
    )
    assert weights.ravel().tolist() == [weight, weight, 1.0]


def test_focal_by_hand():
  """p = 1/2: (1/2)^2 + 2 (1/2) (1/2) log 2."""
  link, one = by_rows.focal(1), jnp.ones((1, 1))
  weights, _ = link.update(one, link.init(()), losses=one * math.log(2))
  assert float(weights[0, 0]) == pytest.approx(0.25 + 0.5 * math.log(2))


def test_rlw_draws_from_the_key():
  link = by_losses.rlw(3)
  found, _ = weights_of(link, link.init(()), [1.0, 2.0, 3.0])
  draws = np.exp(np.asarray(jax.random.normal(KEY, (3,))))
  np.testing.assert_allclose(found, 3 * draws / draws.sum(), rtol=1e-5)
  other, _ = weights_of(link, link.init(()), [1.0, 2.0, 3.0], jax.random.key(4))
  assert not np.allclose(found, other)
  with pytest.raises(ValueError, match='rlw: expected a random key'):
    weights_of(link, link.init(()), [1.0, 2.0, 3.0], None)


def test_dwa_by_hand():
  """Of periods of 2 steps the third has weights, by means of the others."""
  losses = [[1.0, 2.0], [3.0, 2.0], [1.0, 1.0], [1.0, 2.0], [9.0, 9.0]]
  found = run(by_losses.dwa(2, temperature=0.5, period=2), losses)
  np.testing.assert_array_equal(found[:4], 1.0)
  ratios = np.exp(np.array([1.0 / 2.0, 1.5 / 2.0]) / 0.5)
  np.testing.assert_allclose(found[4], 2 * ratios / ratios.sum(), rtol=1e-6)


def test_uncertainty_starts_equal_and_ends_where_the_loss_does_not_fall():
  losses = np.tile([0.5, 4.0], (1500, 1))
  for noise, share in (('classification', 0.5), ('regression', 1.0)):
    link = by_losses.homoscedastic_uncertainty(2, 0.01, noise)
    found = scan(link, losses)
    np.testing.assert_array_equal(found[0], 1.0)
    np.testing.assert_allclose(found[-1], share / losses[-1], rtol=1e-3)
  found = scan(by_losses.imtl_l(2, 0.01), losses)
  np.testing.assert_array_equal(found[0], 1.0)
  np.testing.assert_allclose(found[-1] * losses[-1], 1.0, rtol=1e-3)


def scan(link, losses):
  """Weights of every step, by jax.lax.scan, f32[steps, K]."""
  return np.asarray(_scan(link)(jnp.asarray(losses, jnp.float32)))


@functools.cache
def _scan(link):
  @jax.jit
  def weights(losses):
    tasks = losses.shape[-1]
    even = jnp.full((1, tasks), 1 / tasks)

    def step(state, given):
      row, key = given
      weighted, state = link.update(even, state, losses=row[None], key=key)
      return state, weighted[0] * tasks

    given = (losses, jax.random.split(KEY, len(losses)))
    return jax.lax.scan(step, link.init(()), given)[1]

  return weights


@functools.cache
def made(name, tasks):
  return LINKS[name](tasks)


def test_famo_raises_the_task_that_falls_slowly():
  link = by_losses.famo(2)
  state = link.init(())
  before, state = weights_of(link, state, [1.0, 1.0])
  for _ in range(20):
    _, state = weights_of(link, state, [1.0, 1.0])
    state = by_losses.observe_famo(state, jnp.array([0.5, 0.9]))
  after, _ = weights_of(link, state, [1.0, 1.0])
  np.testing.assert_allclose(before, 1.0, rtol=1e-6)
  assert after[0] < 0.7 and after[1] > 1.3


def test_famo_with_minima_by_hand():
  link = by_losses.famo(2, minima=(1.0, 0.0))
  weights, _ = weights_of(link, link.init(()), [3.0, 6.0])
  np.testing.assert_allclose(weights, [1.5, 0.5], rtol=1e-6)  # 1/2 to 1/6
  below, _ = weights_of(link, link.init(()), [0.5, 6.0])
  assert np.isfinite(below).all()


def test_famo_without_observations_stays_where_it_is():
  link = by_losses.famo(2)
  found = run(link, [[1.0, 3.0], [0.5, 3.0], [1.0, 3.0]])
  np.testing.assert_array_equal(found[0], found[2])


def test_stch_by_hand():
  """After two steps: shares (L / nadir)^(1 / mu), by L."""
  losses = [[1.0, 4.0], [3.0, 4.0], [1.0, 8.0]]
  found = run(by_losses.stch(2, temperature=0.5, warmup_steps=2), losses)
  np.testing.assert_allclose(found[0], [1.6, 0.4], rtol=1e-6)
  ratios = np.array([0.5, 2.0]) ** 2 / np.array([1.0, 8.0])
  np.testing.assert_allclose(found[2], 2 * ratios / ratios.sum(), rtol=1e-6)


def test_stch_with_a_small_mu_is_the_largest():
  losses = [[1.0, 1.0, 1.0], [0.5, 0.9, 0.7]]
  found = run(by_losses.stch(3, temperature=1e-3), losses)
  np.testing.assert_allclose(found[1], [0.0, 3.0, 0.0], atol=1e-6)


def test_hard_examples_by_hand():
  losses = jnp.array([[0.1, 5.0], [0.4, 4.0], [0.2, 3.0], [9.0, 9.0]])
  even = jnp.full((4, 2), 0.125).at[3].set(0.0)  # the last row is padding
  link = by_rows.hard_examples(2, alpha=0.5)
  weighted, _ = link.update(even, link.init(()), losses=losses)
  np.testing.assert_allclose(
    weighted / 0.125, [[0, 1.5], [1.5, 1.5], [1.5, 0], [0, 0]]
  )


def test_hard_examples_leave_a_task_its_share_of_weighted_rows():
  losses = jnp.array([[5.0], [4.0], [1.0], [0.5]])
  cotangent = jnp.array([[0.1], [0.3], [3.6], [0.0]])  # of weights of rows
  link = by_rows.hard_examples(1, alpha=0.5)
  weighted, _ = link.update(cotangent, link.init(()), losses=losses)
  np.testing.assert_allclose(weighted, [[1.0], [3.0], [0.0], [0.0]], rtol=1e-6)


@pytest.mark.parametrize(('alpha', 'hard'), [(0.3, 3), (1.0, 10), (1e-6, 1)])
def test_hard_examples_are_rounded_up(alpha, hard):
  losses, link = jnp.arange(10.0)[:, None], by_rows.hard_examples(1, alpha)
  weighted, _ = link.update(jnp.ones_like(losses), link.init(()), losses=losses)
  assert int(jnp.sum(weighted > 0)) == hard
  np.testing.assert_allclose(jnp.mean(weighted), 1.0, rtol=1e-6)


def test_hard_examples_that_tie_all_count():
  link, ones = by_rows.hard_examples(1, 0.1), jnp.ones((8, 1))
  weighted, _ = link.update(ones, link.init(()), losses=0 * ones)
  np.testing.assert_array_equal(weighted, ones)


positive = st.sampled_from([(1, 3), (4, 1), (5, 2)]).flatmap(
  lambda shape: hnp.arrays(
    np.float32, shape, elements=st.floats(0.0625, 16.0, width=32)
  )
)


@pytest.mark.parametrize('name', AVERAGE_ONE)
@settings(max_examples=15, deadline=None)
@given(losses=positive)
def test_weights_average_one(name, losses):
  found = scan(made(name, losses.shape[-1]), losses)
  np.testing.assert_allclose(found.mean(-1), 1.0, rtol=1e-5)
  assert (found >= 0).all()


@pytest.mark.parametrize('name', ['gls', 'famo', 'stch'])
@settings(max_examples=15, deadline=None)
@given(losses=positive)
def test_the_direction_does_not_react_to_the_scale_of_a_loss(name, losses):
  scale = 10.0 ** np.arange(losses.shape[-1])
  link = made(name, losses.shape[-1])
  plain, scaled = scan(link, losses), scan(link, losses * scale) * scale
  np.testing.assert_allclose(
    plain / plain.sum(-1, keepdims=True),
    scaled / scaled.sum(-1, keepdims=True),
    rtol=1e-4,
  )


@settings(max_examples=15, deadline=None)
@given(losses=positive)
def test_weights_of_dwa_do_not_react_to_the_scale_of_a_loss(losses):
  scale = 8.0 ** np.arange(losses.shape[-1])
  link = made('dwa', losses.shape[-1])
  np.testing.assert_allclose(
    scan(link, losses), scan(link, losses * scale), rtol=1e-4
  )


@pytest.mark.parametrize('name', [name for name in LINKS if name != 'rlw'])
@settings(max_examples=15, deadline=None)
@given(losses=positive)
def test_tasks_in_another_order_have_the_same_weights(name, losses):
  link = made(name, losses.shape[-1])
  np.testing.assert_allclose(
    scan(link, losses)[:, ::-1], scan(link, losses[:, ::-1]), rtol=1e-5
  )


@pytest.mark.parametrize('name', LINKS)
def test_extreme_losses_give_finite_weights(name):
  for losses in (
    [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
    [[1e6, 1e-6], [1e-6, 1e6], [1e6, 1e6], [0.0, 1e6], [1e6, 0.0]],
    [[0.0], [1e6], [0.0], [1e-30], [1.0]],
  ):
    found = scan(LINKS[name](len(losses[0])), losses)
    assert np.isfinite(found).all() and (found >= 0).all()
  state = by_losses.famo(2).init(())._replace(before=jnp.array([1e-6, 1e6]))
  state = by_losses.observe_famo(state, jnp.array([1e6, 0.0]))
  assert np.isfinite(state.logits).all() and np.ptp(state.logits)


@pytest.mark.parametrize('name', [*MAKERS])
def test_batches_without_a_task_teach_nothing_of_it(name):
  """Interleaved, they leave the weights of the others as they are."""
  make, _ = MAKERS[name]
  observe = registry.find('famo').observe if name == 'famo' else None
  link, whole = make(3), np.exp(np.random.default_rng(0).normal(size=(6, 3)))
  part = jnp.array([[1.0, 3.0, 0.0]])
  even = jnp.array([[1 / 3, 1 / 3, 0.0]])
  state, found = link.init(()), []
  for row in whole:
    weighted, state = link.update(even, state, losses=part, key=KEY)
    assert np.isfinite(weighted).all() and np.all(weighted[0, :2] > 1e-3)
    if observe:
      state = observe(state, 0.9 * part[0])
    weights, state = weights_of(link, state, row)
    found.append(weights)
    if observe:
      state = observe(state, jnp.asarray(0.9 * row, jnp.float32))
  state, expected = link.init(()), []
  for row in whole:
    weights, state = weights_of(link, state, row)
    expected.append(weights)
    if observe:
      state = observe(state, jnp.asarray(0.9 * row, jnp.float32))
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gls_of_the_tasks_that_a_batch_tells_of():
  even = jnp.array([[1 / 3, 1 / 3, 0.0]])
  weighted, _ = by_losses.gls(3).update(
    even, optax.EmptyState(), losses=jnp.array([[1.0, 4.0, 9.0]])
  )
  # The geometric mean of 1 and 4 over each: 2 / 1 and 2 / 4.
  np.testing.assert_allclose(weighted[0] * 3, [2.0, 0.5, 0.0], rtol=1e-6)


@pytest.mark.parametrize('name', ['classification', 'regression', 'imtl_l'])
def test_scales_of_a_task_without_losses_end_somewhere(name):
  make = {
    'imtl_l': lambda: by_losses.imtl_l(1, 5.0),
    'regression': lambda: by_losses.homoscedastic_uncertainty(
      1, 5.0, 'regression'
    ),
    'classification': lambda: by_losses.homoscedastic_uncertainty(1, 5.0),
  }[name]
  found = scan(make(), np.zeros((60, 1)))
  np.testing.assert_allclose(found[-1], math.exp(20), rtol=1e-5)


@pytest.mark.parametrize('name', LINKS)
def test_one_task_is_weighed_by_the_scale_that_a_paper_keeps(name):
  found = scan(LINKS[name](1), [[0.5], [0.3], [0.4]])
  if name not in ('focal', 'imtl_l', 'classification', 'regression'):
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)


@pytest.mark.parametrize('name', LINKS)
def test_the_same_where_arrays_are_in_double_precision(name):
  rng = np.random.default_rng(1)
  losses = rng.exponential(size=(3, 3)) * [1.0, 100.0, 0.01] + 1e-4
  single = run(LINKS[name](3), losses)
  with jax.enable_x64(True):
    link = LINKS[name](3)
    state, even = link.init(()), jnp.full((1, 3), 1 / 3, jnp.float64)
    form = jax.tree.map(lambda leaf: leaf.dtype, state)
    for row, expected in zip(losses, single, strict=True):
      given = jnp.array(row)[None]
      weighted, state = link.update(even, state, losses=given, key=KEY)
      assert weighted.dtype == jnp.float64
      np.testing.assert_allclose(3 * weighted[0], expected, rtol=1e-5)
    assert form == jax.tree.map(lambda leaf: leaf.dtype, state)


def losses_by_hand(params, x):
  """[rows, K] of a small network."""
  return jnp.square(jnp.tanh(x @ params['w']) - params['b'][None]) + 0.1


PARAMS = {
  'w': jnp.array([[0.3, -0.2, 0.1], [0.5, 0.4, -0.3]]),
  'b': jnp.array([0.1, -0.2, 0.6]),
}
X = jnp.array([[1.0, 0.5], [-0.3, 2.0], [0.7, -1.0], [100.0, 100.0]])
MASK = jnp.array([True, True, True, False])


def test_the_gradient_of_gls_is_that_of_the_geometric_mean():
  link = by_losses.gls(3)
  _, gradient, _ = weighted_grad.value_and_weighted_grad(losses_by_hand, link)(
    PARAMS, link.init(()), X, mask=MASK
  )

  def combined(params):
    means = jnp.mean(losses_by_hand(params, X[:3]), 0)
    return jnp.exp(jnp.mean(jnp.log(means)))

  for name, expected in jax.grad(combined)(PARAMS).items():
    np.testing.assert_allclose(gradient[name], expected, rtol=1e-4, atol=1e-7)


def test_the_gradient_of_focal_is_that_of_the_focal_loss():
  link = by_rows.focal(3, 2.0)
  _, gradient, _ = weighted_grad.value_and_weighted_grad(losses_by_hand, link)(
    PARAMS, link.init(()), X, mask=MASK
  )

  def combined(params):
    rows = losses_by_hand(params, X[:3])
    return jnp.mean((1 - jnp.exp(-rows)) ** 2 * rows)

  for name, expected in jax.grad(combined)(PARAMS).items():
    np.testing.assert_allclose(gradient[name], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('name', LINKS)
def test_a_dict_by_task_is_the_array_that_it_makes(name):
  def by_task(params, x):
    rows = losses_by_hand(params, x)
    return {'a': rows[:, :1], 'b': rows[:, 1:]}

  link = LINKS[name](3)
  gradients = [
    weighted_grad.value_and_weighted_grad(loss_fn, link)(
      PARAMS, link.init(()), X, mask=MASK, key=KEY
    )[1]
    for loss_fn in (losses_by_hand, by_task)
  ]
  for leaf in PARAMS:
    np.testing.assert_allclose(
      gradients[1][leaf], gradients[0][leaf], rtol=1e-5, atol=1e-7
    )
    assert np.abs(gradients[0][leaf]).max() > 1e-4


@pytest.mark.parametrize('name', LINKS)
def test_padding_may_hold_anything(name):
  losses = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]])
  even = jnp.array([[0.5, 0.5], [0.0, 0.0]])
  link = LINKS[name](2)
  weighted, _ = link.update(even, link.init(()), losses=losses, key=KEY)
  only, _ = link.update(even[:1], link.init(()), losses=losses[:1], key=KEY)
  np.testing.assert_allclose(weighted[0], only[0], rtol=1e-6)
  assert not np.any(weighted[1])


@pytest.mark.parametrize('name', LINKS)
def test_after_weights_of_rows(name):
  """Losses of tasks are those of weighted rows; a chain keeps one state."""
  chain = optax.chain(critic.scale_by_task([2.0, 1.0]), LINKS[name](2))
  losses, even = jnp.array([[1.0, 3.0], [2.0, 1.0]]), jnp.full((2, 2), 0.25)
  weighted, state = chain.update(
    even, chain.init(losses), losses=losses, key=KEY
  )
  link = LINKS[name](2)
  expected, own = link.update(
    even * jnp.array([[2.0, 1.0]]), link.init(()), losses=losses, key=KEY
  )
  np.testing.assert_array_equal(weighted, expected)
  assert jax.tree.structure(state[1]) == jax.tree.structure(own)


@pytest.mark.parametrize('name', LINKS)
def test_losses_in_bfloat16_keep_their_dtype(name):
  even = jnp.full((4, 2), 0.125)
  losses = jnp.linspace(0.1, 2.0, 8).reshape(4, 2)
  link = LINKS[name](2)
  expected, _ = link.update(even, link.init(()), losses=losses, key=KEY)
  found, _ = link.update(
    even.astype(jnp.bfloat16),
    link.init(()),
    losses=losses.astype(jnp.bfloat16),
    key=KEY,
  )
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    found.astype(jnp.float32), expected, rtol=0.03, atol=1e-3
  )


@pytest.mark.parametrize('name', LINKS)
def test_one_program_serves_every_step_and_setting(name):
  links = {
    'dwa': [by_losses.dwa(2, 2.0, period) for period in (1, 3)],
    'stch': [by_losses.stch(2, 1.0, steps) for steps in (1, 3)],
    'famo': [by_losses.famo(2, rate) for rate in (0.1, 0.2)],
  }.get(name, [LINKS[name](2)] * 2)
  even = jnp.full((1, 2), 0.5)

  @jax.jit
  def step(state, losses, key):
    return links[0].update(even, state, losses=losses, key=key)

  for link in links:
    state = link.init(())
    form = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    for value in (1.0, 2.0, 0.5, 3.0):
      _, state = step(state, jnp.array([[value, 1.0]]), KEY)
      assert form == jax.tree.map(lambda a: (a.shape, a.dtype), state)
  assert step._cache_size() == 1


@pytest.mark.parametrize('name', LINKS)
def test_states_share_no_buffers(name):
  """A step donates its state."""
  link = LINKS[name](2)
  leaves = jax.tree.leaves([link.init(()), link.init(None)])
  places = [leaf.unsafe_buffer_pointer() for leaf in leaves]
  assert len(places) == len(set(places))


@pytest.mark.parametrize(
  ('make', 'said'),
  [
    (lambda: by_losses.static(2, (1.0,)), 'static: weights: expected 2 numb'),
    (lambda: by_losses.static(2, (0.0, 0.0)), 'at least 0, not all 0'),
    (lambda: by_losses.static(2, (-1.0, 3.0)), 'at least 0, not all 0'),
    (lambda: by_losses.static(2, (1.0, math.inf)), 'at least 0, not all 0'),
    (lambda: by_losses.dwa(2, temperature=0.0), 'dwa: temperature=0.0: expec'),
    (lambda: by_losses.dwa(2, period=0), 'dwa: period=0: expected at least 1'),
    (lambda: by_losses.stch(2, temperature=math.nan), 'stch: temperature=nan'),
    (lambda: by_losses.stch(2, warmup_steps=0), 'stch: warmup_steps=0'),
    (lambda: by_losses.famo(2, learning_rate=-1), 'famo: learning_rate=-1'),
    (lambda: by_losses.famo(2, decay=-0.1), 'famo: decay=-0.1'),
    (lambda: by_losses.famo(2, minima=(1.0,)), 'famo: minima: expected 2 num'),
    (lambda: by_losses.imtl_l(2, -1.0), 'imtl_l: learning_rate=-1.0'),
    (lambda: by_rows.focal(2, -0.5), 'focal: alpha=-0.5: expected at least'),
    (lambda: by_rows.hard_examples(2, 0.0), 'hard_examples: alpha=0.0'),
    (lambda: by_rows.hard_examples(2, 1.5), 'alpha=1.5: expected from 0 to 1'),
    (
      lambda: by_losses.homoscedastic_uncertainty(2, noise='gauss'),  # pyright: ignore[reportArgumentType]
      "noise='gauss': expected classification or regression",
    ),
  ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(make, said):
  with pytest.raises(types.InputError, match=said) as caught:
    make()
  assert '\n' not in str(caught.value)


def test_static_weights_of_other_tasks_are_refused():
  link = by_losses.static(1)
  with pytest.raises(ValueError, match='row losses: expected 1 tasks, found 2'):
    link.update(jnp.ones((3, 2)), link.init(()))


@pytest.mark.parametrize('name', LINKS)
def test_what_does_not_belong_together_is_refused(name):
  link, three = LINKS[name](2), jnp.ones((1, 3))
  with pytest.raises(ValueError, match='row losses: expected 2 tasks, found 3'):
    link.update(three, link.init(()), losses=three, key=KEY)
  with pytest.raises(ValueError, match='losses: expected those of the rows'):
    link.update(three[:, :2], link.init(()), key=KEY)


def test_static_weights_by_hand():
  link = by_losses.static(2, (1.0, 3.0))
  weights, state = weights_of(link, link.init(()), [5.0, 7.0])
  np.testing.assert_allclose(weights, [0.5, 1.5])
  assert state.weights.tolist() == [0.5, 1.5]
  equal = by_losses.static(2)
  np.testing.assert_array_equal(
    weights_of(equal, equal.init(()), [5.0, 7.0])[0], 1.0
  )


def test_records_make_them_with_the_papers_settings():
  for name, told in (
    ('rlw', {}),
    ('homoscedastic_uncertainty', {}),
    ('dwa', {'period': 5}),
    ('gls', {}),
    ('imtl_l', {}),
    ('famo', {}),
    ('stch', {'warmup_steps': 5}),
    ('focal', {}),
    ('hard_examples', {}),
  ):
    record = registry.find(name)
    assert record.acts_on == registry.LOSSES and record.make is not None
    link = record.make(2, **{**record.settings, **told})
    weights, _ = weights_of(link, link.init(()), [1.0, 1.0])
    if name != 'rlw' and name != 'focal':
      np.testing.assert_allclose(weights, 1.0, rtol=1e-5)
