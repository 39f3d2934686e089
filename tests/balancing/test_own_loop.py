"""Balancers in anyone's loop: chains, jit, vmap, scan, MultiSteps, meshes."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import registries as registries_lib
from tests import walks
from tests.balancing import loops

ROOT = pathlib.Path(__file__).parents[2]
PAGE = 'docs/balancers.md'
NAMES = ['own', *loops.NAMES]
# One of each kind of state; the rest is slow together.
FEW = ('own', 'dwa')
EVERY = [
  name if name in FEW else pytest.param(name, marks=pytest.mark.slow)
  for name in NAMES
]


@functools.cache
def _run(name):
  """On one device, step by step."""
  return loops.run(name, jnp.asarray(loops.X), jnp.asarray(loops.Y))


@pytest.mark.parametrize('name', EVERY)
def test_it_learns_behind_one_program_with_steps_of_two_batches(name):
  carries, losses = _run(name)
  params = [jax.tree.leaves(carry[0]) for carry in carries]
  for i in range(0, loops.STEPS, 2):
    moved = [np.any(a != b) for a, b in zip(*params[i : i + 2], strict=True)]
    assert any(moved), i
    if i:
      for a, b in zip(*params[i - 1 : i + 1], strict=True):
        np.testing.assert_array_equal(a, b)
  assert np.isfinite(losses).all()
  assert losses[-1] < losses[0]


@pytest.mark.parametrize('name', EVERY)
def test_scan_over_steps_and_vmap_over_seeds_are_the_loop(name):
  init, step = loops.make_step(name)

  @jax.jit
  @jax.vmap
  def all_steps(seed):
    start = init(loops.init_params(jax.random.key(seed)))
    keys = jax.random.split(jax.random.key(seed + 1), loops.STEPS)
    return jax.lax.scan(
      lambda carry, key: step(
        carry, key, jnp.asarray(loops.X), jnp.asarray(loops.Y)
      ),
      start,
      keys,
    )

  carry, losses = all_steps(jnp.arange(2))
  carries, expected = _run(name)
  np.testing.assert_allclose(losses[0], expected, rtol=1e-4, atol=1e-5)
  assert np.any(losses[0] != losses[1])
  for found, leaf in zip(
    jax.tree.leaves(carry), jax.tree.leaves(carries[-1]), strict=True
  ):
    np.testing.assert_allclose(found[0], leaf, rtol=1e-3, atol=1e-4)


@pytest.fixture
def registries():
  """What the page registers is forgotten after the test."""
  kept = registries_lib.Registries()
  yield
  kept.undo()


@pytest.mark.usefixtures('registries')
def test_code_of_the_page_runs():
  space = {'__name__': 'balancers'}
  blocks = walks.blocks(PAGE, 'python')
  assert len(blocks) > 3
  for block in blocks:
    exec(compile(block, PAGE, 'exec'), space)
  assert space['settings'].pretrain.balancing.name == 'inverse_losses'
