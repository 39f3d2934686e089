import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax import types
from rmtl_jax.balancing import by_gradients, registry
from tests import tiers

GOLDEN = json.loads(
  (pathlib.Path(__file__).parent / 'golden' / 'gradients.json').read_text()
)['cases']
MAKERS: dict[str, Callable[..., Any]] = {
  name: vars(by_gradients)[name]
  for name, record in registry.RECORDS.items()
  if record.acts_on == registry.GRADIENTS and name in vars(by_gradients)
}
NEUTRAL = {
  'excess_mtl': {'learning_rate': 0.0},
  'gradnorm': {'learning_rate': 0.0},
  'graddrop': {'alpha': 1.0},
  'db_mtl': {'decay': 0.0},
  'metabalance': {'alpha': 0.0},
  'multibalance': {'alpha': 0.0},
}
by_name = pytest.mark.parametrize('name', MAKERS)
by_few = pytest.mark.parametrize(
  'name', tiers.some(MAKERS, ('gradnorm', 'graddrop'))
)
by_case = pytest.mark.parametrize('case', GOLDEN)

matrices = hnp.arrays(
  np.float32, (3, 6), elements=st.floats(-100, 100, width=32)
)


def tree(flat, dtype=jnp.float32):
  """[..., 6] as two leaves: the layers of golden/make_gradients.py."""
  flat = jnp.asarray(flat, dtype)
  return {
    'kernel': flat[..., :4].reshape(*flat.shape[:-1], 2, 2),
    'bias': flat[..., 4:],
  }


def flat(gradients):
  """The inverse of `tree`."""
  kernel = gradients['kernel'].reshape(*gradients['bias'].shape[:-1], 4)
  return np.concatenate([kernel, gradients['bias']], -1).astype(np.float64)


PARAMS = tree(np.zeros(6))


@functools.cache
def of_three(name):
  """One link, and so one compilation, for all that hypothesis draws."""
  return MAKERS[name](3)


@functools.cache
def compiled(update):
  return jax.jit(update)


def steps(link, gradients, losses=None):
  """Combined gradients and states of a sequence of steps."""
  state = link.init(PARAMS)
  update = compiled(link.update)
  found = []
  losses = np.ones(np.shape(gradients)[:2]) if losses is None else losses
  for i, (g, loss) in enumerate(zip(gradients, losses, strict=True)):
    combined, state = update(
      tree(g),
      state,
      losses=jnp.asarray(loss, jnp.float32),
      key=jax.random.fold_in(jax.random.key(0), i),
    )
    found.append((flat(combined), state))
  return found


def close(found, expected, rtol=2e-5, parts=0.0):
  """Alike but for rounding in single precision, of a sum of parts too."""
  scale = max(np.max(np.abs(expected)), np.max(np.abs(parts)))
  np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale)


# Golden values.


@by_case
def test_excess_mtl_is_torchjds(case):
  golden = GOLDEN[case]
  link = by_gradients.excess_mtl(
    len(golden['losses'][0]), learning_rate=0.5, warmup_steps=2
  )
  found = steps(link, golden['gradients'])
  for i, (combined, state) in enumerate(found):
    # TorchJD's weights sum to 1, and its 1e-7 is in every square root.
    weights = np.array(golden['excess_mtl']['weights'][i])
    expected = np.array(golden['excess_mtl']['combined'][i])
    close(state.task_weights, weights * weights.size, 1e-4)
    close(combined, expected * weights.size, 1e-4, golden['gradients'][i])


@by_case
@pytest.mark.parametrize('leak', (0.0, 0.25))
def test_graddrop_is_torchjds_with_its_draws(case, leak):
  golden = GOLDEN[case]
  for g, uniform, expected in zip(
    golden['gradients'],
    golden['graddrop']['uniform'],
    golden['graddrop'][f'leak {leak}'],
    strict=True,
  ):
    found = by_gradients.keep_one_sign(jnp.array(g), jnp.array(uniform), leak)
    close(found, expected)


@by_case
def test_gradnorm_is_the_algorithm_in_double_precision(case):
  golden = GOLDEN[case]
  link = by_gradients.gradnorm(len(golden['losses'][0]))
  found = steps(link, golden['gradients'], golden['losses'])
  for i, (combined, state) in enumerate(found):
    close(state.task_weights, golden['gradnorm']['weights'][i])
    expected = golden['gradnorm']['combined'][i]
    close(combined, expected, parts=golden['gradients'][i])


@by_case
@pytest.mark.parametrize('name', ('db_mtl', 'metabalance', 'multibalance'))
def test_others_are_their_equations_in_double_precision(name, case):
  golden = GOLDEN[case]
  link = MAKERS[name](len(golden['losses'][0]))
  found = steps(link, golden['gradients'], golden['losses'])
  for i, (combined, _) in enumerate(found):
    expected = golden[name]['combined'][i]
    close(combined, expected, parts=golden['gradients'][i])


# By hand.


def test_excess_mtl_by_hand():
  # The first step's risks are |g|: 4 and 2. Then the sums of squares are 25
  # and 8, the risks 9 / 5 and 4 / sqrt(8), relative to the first 0.45 and
  # sqrt(2) / 2.
  gradients = [[[4.0] + [0.0] * 5, [2.0] + [0.0] * 5]]
  gradients.append([[3.0] + [0.0] * 5, [2.0] + [0.0] * 5])
  first, second = steps(by_gradients.excess_mtl(2, 1.0), gradients)
  np.testing.assert_array_equal(first[1].task_weights, [1.0, 1.0])
  exponents = np.exp([0.45, np.sqrt(0.5)])
  close(second[1].task_weights, 2 * exponents / exponents.sum())


def test_excess_mtl_keeps_weights_equal_in_the_warmup():
  gradients = np.random.default_rng(0).normal(size=(4, 3, 6))
  found = steps(by_gradients.excess_mtl(3, 1.0, warmup_steps=3), gradients)
  equal = [np.allclose(state.task_weights, 1.0) for _, state in found]
  assert equal == [True, True, True, False]


def test_gradnorm_evens_out_norms():
  gradients = np.zeros((200, 2, 6))
  gradients[:, :, 0] = [3.0, 1.0]
  state = steps(by_gradients.gradnorm(2), gradients)[-1][1]
  # Norms are equal at 0.5 and 1.5; Adam turns around there.
  np.testing.assert_allclose(state.task_weights, [0.5, 1.5], atol=0.05)


def test_gradnorm_starts_with_equal_weights_and_one_step_of_adam():
  gradients = np.zeros((2, 2, 6))
  gradients[:, :, 0] = [3.0, 1.0]
  link = by_gradients.gradnorm(2, learning_rate=0.1)
  (combined, first), (_, second) = steps(link, gradients)
  assert combined[0] == 4.0
  close(first.task_weights, [1.0, 1.0])
  close(second.task_weights, [0.9, 1.1])


def test_gradnorm_pulls_the_task_that_is_slow():
  derivative = by_gradients.gradnorm_derivative(
    jnp.ones(2), jnp.ones(2), jnp.array([0.5, 1.0]), 1.0
  )
  # Relative rates 2/3 and 4/3 are the targets of the norms 1 and 1.
  assert derivative.tolist() == [1.0, -1.0]


def test_graddrop_draws_signs_as_often_as_they_are_pure():
  gradients = jnp.broadcast_to(jnp.array([[3.0], [-1.0]]), (2, 20_000))
  link: Any = by_gradients.graddrop(2)
  kept, _ = link.update(
    gradients, link.init(gradients[0]), key=jax.random.key(1)
  )
  assert set(np.unique(kept)) == {-1.0, 3.0}
  np.testing.assert_allclose(np.mean(np.asarray(kept) > 0), 0.75, atol=0.02)


def test_leaves_of_one_shape_draw_apart():
  link: Any = by_gradients.graddrop(2)
  gradients = {
    name: jnp.broadcast_to(jnp.array([[1.0], [-1.0]]), (2, 50)) for name in 'ab'
  }
  kept, _ = link.update(gradients, optax.EmptyState(), key=jax.random.key(0))
  assert not np.array_equal(kept['a'], kept['b'])


def test_db_mtl_by_hand():
  # Gradients of log losses are (4, 0) / 2 and (0, 3) / 0.5; the averages of
  # share 0.5 half of that: norms 1 and 3.
  gradients = np.zeros((1, 2, 6))
  gradients[0, 0, 0], gradients[0, 1, 1] = 4.0, 3.0
  link = by_gradients.db_mtl(2, decay=0.5)
  ((combined, state),) = steps(link, gradients, [[2.0, 0.5]])
  close(combined[:2], [3.0, 3.0])
  close(state.task_weights, [1.5, 2.0])


def test_metabalance_by_hand():
  # In the kernel norms are 2 and 8, in the bias 1 and 0.5.
  gradients = np.zeros((1, 2, 6))
  gradients[0, :, 0], gradients[0, :, 4] = [2.0, -8.0], [1.0, 0.5]
  link = by_gradients.metabalance(2, alpha=0.5)
  ((combined, state),) = steps(link, gradients)
  # Factors of the second task: 0.5 / 4 + 0.5 and 0.5 * 2 + 0.5.
  close(combined[[0, 4]], [2.0 - 5.0, 1.0 + 0.75])
  close(state.task_weights, [1.0, np.hypot(5.0, 0.75) / np.hypot(8.0, 0.5)])


def test_metabalance_of_another_target():
  gradients = np.zeros((1, 2, 6))
  gradients[0, :, 0] = [2.0, 8.0]
  link = by_gradients.metabalance(2, alpha=1.0, target=1)
  ((combined, _),) = steps(link, gradients)
  assert combined[0] == 16.0


def test_metabalance_leaves_other_tasks_towers_alone():
  gradients = np.zeros((1, 2, 6))
  gradients[0, :, 0], gradients[0, 1, 4] = [2.0, 8.0], 3.0
  link = by_gradients.metabalance(2, alpha=1.0)
  ((combined, _),) = steps(link, gradients)
  close(combined[[0, 4]], [4.0, 3.0])


def test_multibalance_by_hand():
  gradients = np.zeros((2, 2, 6))
  gradients[:, 0, 0], gradients[:, 1, 1] = [2.0, 4.0], [6.0, 2.0]
  link = by_gradients.multibalance(2, alpha=1.0, decay=0.5)
  (first, _), (second, state) = steps(link, gradients)
  close(first[:2], [4.0, 4.0])
  # The averages are 2.5 and 2.5.
  close(second[:2], [4.0, 2.0])
  close(state.norms, [2.5, 2.5])


@pytest.mark.parametrize(
  'name', ('excess_mtl', 'gradnorm', 'metabalance', 'multibalance')
)
def test_batches_without_a_task_teach_nothing_of_it(name):
  """Interleaved, the first one too, they leave the other steps as they are."""
  rng, link = np.random.default_rng(0), MAKERS[name](3)
  whole, losses = rng.normal(size=(5, 3, 6)), np.exp(rng.normal(size=(5, 3)))
  seen = np.array([1.0, 1.0, 0.0])
  both = np.stack([whole * seen[:, None], whole], 1).reshape(10, 3, 6)
  found = steps(link, both, np.stack([losses * seen, losses], 1).reshape(10, 3))
  expected = steps(link, whole, losses)
  for (combined, _), (alone, _) in zip(found[1::2], expected, strict=True):
    close(combined, alone)
  # Before any batch with all of them they count alike.
  close(found[0][0], both[0].sum(0))


# Properties.


@by_few
@settings(deadline=None, max_examples=25)
@given(matrices, st.permutations(range(3)))
def test_the_order_of_tasks_does_not_matter(name, matrix, order):
  if name == 'metabalance':  # its target has a place
    order = [0, *(k for k in order if k)]
  losses = np.array([0.5, 0.2, 0.9])
  link = of_three(name)
  plain = steps(link, [matrix] * 3, [losses] * 3)[-1][0]
  other = steps(link, [matrix[order]] * 3, [losses[order]] * 3)[-1][0]
  close(other, plain, 1e-4)


@by_name
@settings(deadline=None, max_examples=25)
@given(matrices)
def test_finite_results_and_weights(name, matrix):
  link = of_three(name)
  for combined, state in steps(link, [matrix, matrix * 0, matrix]):
    assert np.all(np.isfinite(combined))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize('name', ('excess_mtl', 'gradnorm'))
@settings(deadline=None, max_examples=25)
@given(matrices, hnp.arrays(np.float32, 3, elements=st.floats(0, 3, width=32)))
def test_weights_are_not_negative_and_average_one(name, matrix, losses):
  for _, state in steps(of_three(name), [matrix] * 4, [losses] * 4):
    assert np.all(np.asarray(state.task_weights) >= 0)
    np.testing.assert_allclose(np.mean(state.task_weights), 1.0, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(matrices, hnp.arrays(np.int8, 3, elements=st.integers(-20, 20)))
def test_excess_mtl_weights_ignore_the_scales_of_losses(matrix, exponents):
  matrix = matrix + np.sign(matrix) + np.eye(3, 6, dtype=np.float32)
  scales = 2.0 ** exponents[:, None]
  link = of_three('excess_mtl')
  plain = steps(link, [matrix, matrix / 2, matrix])[-1][1]
  other = steps(link, [m * scales for m in (matrix, matrix / 2, matrix)])[-1][1]
  close(other.task_weights, plain.task_weights, 1e-5)


@settings(deadline=None, max_examples=25)
@given(matrices, hnp.arrays(np.int8, 3, elements=st.integers(-8, 8)))
def test_db_mtl_ignores_the_scales_of_losses(matrix, exponents):
  scales = 2.0**exponents
  link, losses = of_three('db_mtl'), np.array([0.5, 1.0, 2.0])
  plain = steps(link, [matrix] * 2, [losses] * 2)[-1][0]
  other = steps(link, [matrix * scales[:, None]] * 2, [losses * scales] * 2)
  close(other[-1][0], plain, 1e-4)


def test_gradnorm_weights_ignore_the_common_scale_of_losses():
  rng = np.random.default_rng(0)
  gradients, losses = rng.normal(size=(5, 3, 6)), rng.uniform(size=(5, 3))
  link = by_gradients.gradnorm(3)
  plain = steps(link, gradients, losses)[-1][1].next_weights
  for scale in (1e-6, 1e6):
    other = steps(link, gradients * scale, losses * scale)[-1][1]
    close(other.next_weights, plain)


def test_metabalance_of_relax_factor_1_ignores_the_scales_of_other_losses():
  gradients = np.random.default_rng(0).normal(size=(3, 3, 6))
  scales = np.array([1.0, 100.0, 0.01])[:, None]
  link = by_gradients.metabalance(3, alpha=1.0)
  plain = steps(link, gradients)[-1][0]
  close(steps(link, gradients * scales)[-1][0], plain)


def test_multibalance_of_relax_factor_1_turns_with_no_scale_of_losses():
  gradients = np.random.default_rng(0).normal(size=(3, 3, 6))
  scales = np.array([1.0, 100.0, 0.01])[:, None]
  link = by_gradients.multibalance(3, alpha=1.0)
  plain = steps(link, gradients)[-1][0]
  other = steps(link, gradients * scales)[-1][0]
  close(other / np.linalg.norm(other), plain / np.linalg.norm(plain))


@pytest.mark.parametrize('name', NEUTRAL)
def test_neutral_settings_leave_the_gradient_as_it_is(name):
  gradients = np.random.default_rng(0).normal(size=(2, 3, 6))
  # DB-MTL brings norms to the largest one, so they are equal here.
  gradients /= np.linalg.norm(gradients, axis=-1, keepdims=True)
  for (combined, _), g in zip(
    steps(MAKERS[name](3, **NEUTRAL[name]), gradients), gradients, strict=True
  ):
    close(combined, g.sum(0))


@pytest.mark.parametrize(
  ('name', 'setting'),
  [
    ('graddrop', 'alpha'),
    ('db_mtl', 'decay'),
    ('metabalance', 'alpha'),
    ('metabalance', 'decay'),
    ('multibalance', 'alpha'),
    ('multibalance', 'decay'),
  ],
)
def test_what_is_no_share_is_refused(name, setting):
  """Relax factors above 1 would ascend losses, and averages would grow."""
  said = f'{name}: {setting}=1.5: expected from 0 to 1'
  with pytest.raises(types.InputError, match=said):
    MAKERS[name](2, **{setting: 1.5})


@by_name
def test_one_task_keeps_its_direction(name):
  gradients = np.random.default_rng(0).normal(size=(1, 1, 6))
  ((combined, _),) = steps(MAKERS[name](1), gradients)
  cosine = combined @ gradients[0, 0]
  cosine /= np.linalg.norm(combined) * np.linalg.norm(gradients)
  np.testing.assert_allclose(cosine, 1.0, rtol=1e-6)


@by_name
@pytest.mark.parametrize(
  'losses', ([0.0, 0.0, 0.0], [0.0, 1.0, 1e6], [1e-30, 1.0, 1.0])
)
def test_degenerate_inputs_give_finite_results(name, losses):
  rng = np.random.default_rng(0)
  g = rng.normal(size=(3, 6))
  gradients = [
    np.zeros((3, 6)),
    g * [[0.0], [1.0], [1.0]],
    g * [[1.0], [1.0], [1e6]],
    g * [[1.0], [1e-20], [1.0]],
    np.zeros((3, 6)),
  ]
  for combined, state in steps(of_three(name), gradients, [losses] * 5):
    assert np.all(np.isfinite(combined))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


@by_name
def test_zero_gradients_stay_zero(name):
  for combined, _ in steps(of_three(name), np.zeros((2, 3, 6))):
    np.testing.assert_array_equal(combined, np.zeros(6))


# As a transformation.


def _extras(key=0):
  return {'losses': jnp.array([0.4, 0.7]), 'key': jax.random.key(key)}


@by_few
def test_scan_and_vmap_are_the_loop(name):
  gradients = np.random.default_rng(0).normal(size=(2, 4, 2, 6))
  link = MAKERS[name](2)

  def scanned(sequence):
    def step(state, g):
      combined, state = link.update(g, state, **_extras())
      return state, combined

    return jax.lax.scan(step, link.init(PARAMS), sequence)[1]

  found = flat(jax.vmap(scanned)(tree(gradients)))
  for i in range(2):
    state = link.init(PARAMS)
    for t in range(4):
      combined, state = link.update(tree(gradients[i, t]), state, **_extras())
      close(found[i, t], flat(combined))


@by_name
def test_one_compilation_serves_all_steps(name):
  link = MAKERS[name](2)
  traced = []

  @jax.jit
  def update(g, state):
    traced.append(name)
    return link.update(g, state, **_extras())

  state = link.init(PARAMS)
  shapes = jax.tree.map(jnp.shape, state)
  for g in np.random.default_rng(0).normal(size=(3, 2, 6)):
    _, state = update(tree(g), state)
  assert len(traced) == 1
  assert jax.tree.map(jnp.shape, state) == shapes


def test_one_compilation_serves_all_warmups():
  traced = []
  inner: Any = by_gradients.excess_mtl(2)

  @jax.jit
  def update(g, state):
    traced.append('')
    return inner.update(g, state)

  for warmup_steps in (0, 3):
    link = by_gradients.excess_mtl(2, warmup_steps=warmup_steps)
    state: Any = link.init(PARAMS)
    for g in np.random.default_rng(0).normal(size=(3, 2, 6)):
      _, state = update(tree(g), state)
    assert np.allclose(state.task_weights, 1.0) == (warmup_steps == 3)
  assert len(traced) == 1


@by_name
def test_bfloat16_gradients_have_norms_in_single_precision(name):
  g = np.random.default_rng(0).normal(size=(2, 6)) * 1e3
  link = MAKERS[name](2)
  half = tree(g, jnp.bfloat16)
  combined, state = link.update(half, link.init(PARAMS), **_extras())
  assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(combined))
  single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half)
  expected, expected_state = link.update(single, link.init(PARAMS), **_extras())
  close(flat(combined), flat(expected), 2**-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
    state,
    expected_state,
  )


@pytest.mark.parametrize('name', ('excess_mtl', 'db_mtl'))
def test_what_is_shaped_like_parameters_has_their_paths(name):
  params = {'embedding': {'table': jnp.zeros((5, 2))}, 'bias': jnp.zeros(3)}
  state = MAKERS[name](4).init(params)
  shaped = getattr(state, 'square_sums' if name == 'excess_mtl' else 'averages')
  assert jax.tree.map(jnp.shape, shaped) == {
    'embedding': {'table': (4, 5, 2)},
    'bias': (4, 3),
  }


@pytest.mark.parametrize('name', ('metabalance', 'multibalance', 'gradnorm'))
def test_no_other_state_has_paths_of_parameters(name):
  state = MAKERS[name](4).init({'table': jnp.zeros((5, 2))})
  paths = [
    jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)
  ]
  assert not any('table' in path for path in paths)


@pytest.mark.parametrize(
  ('name', 'argument'),
  [('gradnorm', 'losses'), ('db_mtl', 'losses'), ('graddrop', 'key')],
)
def test_what_is_missing_is_named(name, argument):
  link = MAKERS[name](2)
  extras = _extras()
  del extras[argument]
  with pytest.raises(ValueError, match=f'{name}: .* `{argument}`'):
    link.update(tree(np.ones((2, 6))), link.init(PARAMS), **extras)


@by_name
def test_a_chain_with_adam_descends_two_tasks(name):
  targets = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.8, 0.2]])

  def losses_of(params):
    return jnp.mean(jnp.square(params[None] - targets), axis=1)

  optimizer = optax.chain(MAKERS[name](2), optax.adam(0.05))
  params = jnp.zeros(3)
  first = losses_of(params)

  @jax.jit
  def step(params, state, key):
    gradients = jax.jacrev(lambda p: losses_of(p) / 2)(params)
    updates, state = optimizer.update(
      gradients, state, params, losses=losses_of(params), key=key
    )
    return optax.apply_updates(params, updates), state

  state = optimizer.init(params)
  for i in range(100):
    params, state = step(params, state, jax.random.key(i))
  assert np.all(losses_of(params) < 0.2 * first)
