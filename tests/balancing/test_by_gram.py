"""Balancers on products of gradients, as transformations."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import types
from rmtl_jax.balancing import by_gram, gram_weights, registry
from tests import tiers

NAMES = [
  name
  for name, record in registry.RECORDS.items()
  if record.acts_on == registry.GRADIENTS and name in vars(by_gram)
]
# Without a state, with targets, with shares from the step before; with groups.
FEW = ('mgda', 'gradvac', 'sdmgrad', 'modo')
METHODS = {
  'pareto': gram_weights.pareto_weights,
  'mgda': gram_weights.pareto_weights,
  'pcgrad': gram_weights.pcgrad_weights,
  'cagrad': gram_weights.cagrad_weights,
  'aligned_mtl': gram_weights.aligned_mtl_weights,
  'conflict_free': gram_weights.config_weights,
  'imtl_g': gram_weights.imtl_g_weights,
  'nash_mtl': functools.partial(gram_weights.fairgrad_weights, alpha=1.0),
  'fairgrad': gram_weights.fairgrad_weights,
  'upgrad': gram_weights.upgrad_weights,
  'dualproj': gram_weights.dualproj_weights,
}
KEY = jax.random.key(0)


def _lead(name, tasks):
  groups = registry.find(name).groups
  return (tasks,) if groups == 1 else (groups, tasks)


def _gradients(name, tasks, seed=0):
  """A tree of three leaves with the leading axes that a balancer wants."""
  rng = np.random.default_rng(seed)
  shapes = {'bias': (), 'kernel': (2, 3), 'table': (5,)}
  return {
    leaf: jnp.asarray(rng.normal(size=(*_lead(name, tasks), *shape)), 'f4')
    for leaf, shape in shapes.items()
  }


def _make(name, *args, **settings) -> Any:
  """The transformation of a maker here; Any: Optax's states are."""
  return getattr(by_gram, name)(*args, **settings)


def _by_record(name, tasks) -> Any:
  make = registry.find(name).make
  assert make is not None
  return make(tasks)


def _flat(gradients, axes=1):
  leaves = jax.tree.leaves(gradients)
  return np.concatenate(
    [np.reshape(leaf, (*leaf.shape[:axes], -1)) for leaf in leaves], -1
  )


@functools.cache
def _link(name, tasks=2):
  """The transformation as its record makes it, and its compiled update."""
  link = _by_record(name, tasks)
  step = jax.jit(lambda updates, state: link.update(updates, state, key=KEY))
  return link, step


def _run(name, gradients, tasks=2):
  link, step = _link(name, tasks)
  return step(gradients, link.init(None))


@pytest.mark.parametrize('name', NAMES)
def test_a_maker_has_the_settings_of_its_record(name):
  parameters = dict(inspect.signature(getattr(by_gram, name)).parameters)
  assert parameters.pop('num_tasks').default is inspect.Parameter.empty
  found = {key: value.default or '' for key, value in parameters.items()}
  settings = registry.find(name).settings
  assert found == {key: value or '' for key, value in settings.items()}
  assert registry.find(name).acts_on == registry.GRADIENTS


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('tasks', tiers.some((2, 3), (3,)))
def test_the_update_is_the_weighted_sum_of_all_leaves(name, tasks):
  gradients = _gradients(name, tasks)
  update, state = _run(name, gradients, tasks)
  whole = gradients
  if registry.find(name).groups == 2:
    whole = jax.tree.map(lambda leaf: leaf.sum(0), gradients)
  expected = np.asarray(state.task_weights) @ _flat(whole)
  np.testing.assert_allclose(_flat(update, 0), expected, rtol=1e-4, atol=1e-5)
  assert jax.tree.map(jnp.shape, update) == {
    'bias': (),
    'kernel': (2, 3),
    'table': (5,),
  }
  assert int(state.failures) == 0


@pytest.mark.parametrize('name', tiers.some(METHODS, ('mgda', 'pcgrad')))
def test_the_weights_are_those_of_all_leaves_together(name):
  gradients = _gradients(name, 2)
  _, state = _run(name, gradients)
  flat = _flat(gradients)
  expected, _ = METHODS[name](jnp.asarray(flat @ flat.T))
  np.testing.assert_allclose(state.task_weights, expected, rtol=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_the_state_keeps_its_shapes_and_compiles_once(name):
  link = _by_record(name, 3)
  step = jax.jit(
    lambda updates, state, key: link.update(updates, state, key=key)
  )
  state = link.init(None)
  shapes = jax.eval_shape(lambda: link.init(None))
  for seed in range(3):
    gradients = _gradients(name, 3, seed)
    _, state = step(gradients, state, jax.random.key(seed))
    assert jax.eval_shape(lambda kept=state: kept) == shapes
  assert step._cache_size() == 1


@pytest.mark.parametrize('name', tiers.some(NAMES, FEW))
def test_update_scans_as_it_steps(name):
  link, step = _link(name)
  many = jax.tree.map(
    lambda *leaves: jnp.stack(leaves),
    *(_gradients(name, 2, seed) for seed in range(3)),
  )

  def body(state, updates):
    update, new_state = link.update(updates, state, key=KEY)
    return new_state, update

  last, updates = jax.lax.scan(body, link.init(None), many)
  state = link.init(None)
  for seed in range(3):
    update, state = step(_gradients(name, 2, seed), state)
    one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], updates)
    np.testing.assert_allclose(
      _flat(one, 0), _flat(update, 0), rtol=1e-4, atol=1e-5
    )
  np.testing.assert_allclose(
    last.task_weights, state.task_weights, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('name', tiers.some(NAMES, FEW))
def test_update_under_vmap_is_that_of_each(name):
  link, step = _link(name, 3)
  many = jax.tree.map(
    lambda *leaves: jnp.stack(leaves),
    *(_gradients(name, 3, seed) for seed in range(2)),
  )
  states = jax.vmap(lambda _: link.init(None))(jnp.arange(2))
  _, found = jax.jit(
    jax.vmap(lambda updates, state: link.update(updates, state, key=KEY))
  )(many, states)
  for seed in range(2):
    _, state = step(_gradients(name, 3, seed), link.init(None))
    np.testing.assert_allclose(
      found.task_weights[seed], state.task_weights, rtol=1e-3, atol=1e-4
    )


def test_weights_are_averaged_over_steps():
  link = _make('mgda', 2, averaging=0.75)
  gradients = jnp.array([[1.0, 0.0], [0.0, 3**0.5]])
  update, state = link.update(gradients, link.init(None))
  # The step's own are 3/2 and 1/2; before the first step they are 1.
  np.testing.assert_allclose(state.task_weights, [1.125, 0.875], rtol=1e-5)
  np.testing.assert_allclose(update, [1.125, 0.875 * 3**0.5], rtol=1e-5)
  _, state = link.update(gradients, state)
  np.testing.assert_allclose(state.task_weights, [1.21875, 0.78125], rtol=1e-5)


def test_failures_are_counted_and_their_weights_taken():
  link = _make(
    'from_gram',
    2,
    lambda gram, memory, key, losses: (
      jnp.array([0.5, 1.5]),
      gram[0, 0] > 1.0,
      memory,
    ),
  )
  state = link.init(None)
  for first, expected in [(1.0, 1), (2.0, 1), (0.5, 2)]:
    gradients = jnp.array([[first], [1.0]])
    update, state = link.update(gradients, state)
    np.testing.assert_allclose(update, [0.5 * first + 1.5])
    assert int(state.failures) == expected


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_gradient_that_is_no_number_ends_in_the_update(name, bad):
  gradients = _gradients(name, 2)
  gradients['bias'] = gradients['bias'].at[..., 1].set(bad)
  update, state = _run(name, gradients)
  assert np.all(np.isnan(state.task_weights))
  assert np.all(np.isnan(_flat(update, 0)))


@pytest.mark.parametrize('name', NAMES)
def test_gradients_without_their_axes_are_refused(name):
  link, _ = _link(name, 3)
  with pytest.raises(ValueError, match='leading axes'):
    link.update(jnp.ones((2, 2, 4)), link.init(None), key=KEY)


@pytest.mark.parametrize('name', ['pcgrad', 'gradvac'])
def test_a_random_order_needs_a_key_where_it_counts(name):
  gradients = jnp.eye(3)
  link, _ = _link(name, 3)
  with pytest.raises(ValueError, match=f'{name}: expected a `key`'):
    link.update(gradients, link.init(None))
  link, _ = _link(name, 2)
  update, _ = link.update(gradients[:2], link.init(None))
  np.testing.assert_allclose(update, [1, 1, 0])


def test_the_order_of_tasks_is_drawn_anew():
  link, _ = _link('pcgrad', 3)
  gradients = jnp.array([[1.0, 0.0, 0.1], [-0.6, 0.8, 0.0], [-0.5, -0.9, 0.3]])
  step = jax.jit(lambda key: link.update(gradients, link.init(None), key=key))
  found = {
    tuple(np.round(np.asarray(step(jax.random.key(i))[0]), 4)) for i in range(8)
  }
  assert len(found) > 1


def test_gradvac_remembers_cosines():
  link = _make('gradvac', 2, decay=0.1)
  _, state = link.update(jnp.array([[1.0, 0.0], [1.0, 0.0]]), link.init(None))
  np.testing.assert_allclose(state.memory, [[0, 0.1], [0.1, 0]], rtol=1e-5)


def test_nash_keeps_its_weights_for_a_period():
  link = _make('nash_mtl', 2, period=2)
  step = jax.jit(link.update)
  state, found = link.init(None), []
  for scale in (1.0, 3.0, 3.0, 1.0):
    _, state = step(jnp.diag(jnp.array([1.0, scale])), state)
    found.append(state.task_weights.tolist())
  np.testing.assert_allclose(
    found, [[1, 1], [1, 1], [1.5, 0.5], [1.5, 0.5]], rtol=1e-5
  )


def test_one_compiled_step_serves_all_periods_and_preferences():
  for make, values in [
    (lambda v: _make('nash_mtl', 2, period=v), (1, 3)),
    (lambda v: _make('upgrad', 2, weights=v), ((1, 1), (1, 3))),
    (lambda v: _make('dualproj', 2, weights=v), (None, (1, 3))),
  ]:
    step = jax.jit(make(values[0]).update)
    weights = []
    for value in values:
      state = make(value).init(None)
      for scale in (1.0, 2.0):
        gradients = jnp.diag(jnp.array([1.0, scale]))
        _, state = step(gradients, state)
      weights.append(state.task_weights.tolist())
    assert weights[0] != weights[1]
    assert step._cache_size() == 1


def test_a_preference_is_divided_by_its_mean():
  for name in ('upgrad', 'dualproj'):
    link = _make(name, 2, weights=(2, 6))
    update, state = link.update(jnp.eye(2), link.init(None))
    np.testing.assert_allclose(update, [0.5, 1.5])
    np.testing.assert_allclose(state.memory, [0.5, 1.5])


def test_pareto_refuses_minima_that_are_more_than_all():
  said = r'pareto: minimum=0.4: expected from 0 to 1 / 3'
  with pytest.raises(types.InputError, match=said):
    by_gram.pareto(3, minimum=0.4)
  link = _make('pareto', 3, minimum=1 / 3)
  _, state = link.update(_gradients('pareto', 3), link.init(None))
  np.testing.assert_allclose(state.task_weights, 1, rtol=1e-5)


def test_gradvac_refuses_a_decay_that_is_no_share():
  with pytest.raises(types.InputError, match=r'gradvac: decay=2.0: expected'):
    by_gram.gradvac(2, decay=2.0)


def test_products_of_halves_are_those_of_their_own_means():
  """Of two halves of 2 rows each, the losses being means over 4 rows and K."""
  rng = np.random.default_rng(0)
  rows = rng.normal(size=(2, 2, 2, 3))  # halves, rows, tasks, parameters
  leaves = rows.sum(1) / (4 * 2)
  first, second = rows.mean(1)
  expected = (first @ second.T + second @ first.T) / 2
  found = by_gram.cross_gram({'a': leaves[..., :1], 'b': leaves[..., 1:]})
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('name', ['sdmgrad', 'modo'])
def test_shares_go_on_from_the_step_before(name):
  gradients = 0.3 * _gradients(name, 2)['table']
  link, step = _link(name)
  _, first = step(gradients, link.init(None))
  _, second = step(gradients, first)
  np.testing.assert_allclose(first.memory.sum(), 1, rtol=1e-5)
  np.testing.assert_allclose(first.task_weights.mean(), 1, rtol=1e-5)
  if name == 'modo':
    np.testing.assert_allclose(first.task_weights, 2 * first.memory, rtol=1e-5)
    expected = gram_weights.modo_shares(
      by_gram.cross_gram(gradients), first.memory
    )
    np.testing.assert_allclose(second.memory, expected, rtol=1e-5)


@pytest.mark.parametrize('name', [n for n in NAMES if _lead(n, 1) == (1,)])
def test_a_loop_of_ones_own_descends_both_losses(name):
  def losses(w):
    return jnp.array([jnp.sum((w - 1) ** 2), 3 * jnp.sum((w - 2) ** 2)]) / 2

  optimizer = optax.chain(_by_record(name, 2), optax.adam(0.1))
  w = jnp.array([-1.0, 4.0])
  before = losses(w)

  @jax.jit
  def step(w, state, key):
    gradients = jax.jacrev(losses)(w)
    updates, state = optimizer.update(gradients, state, w, key=key)
    return optax.apply_updates(w, updates), state

  state = optimizer.init(w)
  for i in range(50):
    w, state = step(w, state, jax.random.key(i))
  after = losses(w)
  assert np.all(np.asarray(after) < np.asarray(before))
  assert int(optax.tree.get(state, 'failures')) == 0


@pytest.mark.parametrize('name', ['mgda', 'pareto', 'sdmgrad', 'modo'])
def test_batches_without_a_task_leave_the_others_their_weights(name):
  """A gradient of 0 has the least norm; here it says that there is no row."""
  link: Any = _by_record(name, 2)
  whole, losses = _gradients(name, 2), jnp.ones(2)
  axis = len(_lead(name, 2)) - 1

  def without_second(leaf):
    shape = [1] * leaf.ndim
    shape[axis] = 2
    return leaf * jnp.array([1.0, 0.0]).reshape(shape)

  part = jax.tree.map(without_second, whole)
  state = link.init(None)
  _, learnt = link.update(whole, state, losses=losses, key=KEY)
  combined, kept = link.update(
    part, learnt, losses=jnp.array([1.0, 0.0]), key=KEY
  )
  jax.tree.map(np.testing.assert_array_equal, kept, learnt)
  total = jax.tree.map(lambda g: g.sum(0), part) if axis else part
  for leaf, own in zip(
    jax.tree.leaves(combined), jax.tree.leaves(total), strict=True
  ):
    np.testing.assert_allclose(leaf, learnt.task_weights[0] * own[0], rtol=1e-6)
