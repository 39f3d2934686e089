"""Programs that hardly run are compiled soon."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.updates import quick


@pytest.fixture(autouse=True)
def unknown():
  quick._older_kernels.cache_clear()
  yield
  quick._older_kernels.cache_clear()


@pytest.mark.parametrize('work', [quick.SMALL, quick.LARGE, quick.STEPS])
def test_the_same_numbers(work):
  def function(x, y):
    return jnp.tanh(x @ y) + jnp.log1p(x**2).sum()

  draw = np.random.default_rng(0)
  x, y = draw.normal(size=(2, 8, 8)).astype(np.float32)
  found = quick.jit(function, work)(x, y)
  np.testing.assert_allclose(found, function(x, y), rtol=1e-5)


def test_an_option_that_the_compiler_does_not_know_is_left_out(monkeypatch):
  original = jax.jit

  def without_option(function, compiler_options=None, **rest):
    if 'xla_cpu_use_fusion_emitters' in (compiler_options or {}):
      compiler_options = {'xla_cpu_no_such_option': False}
    return original(function, compiler_options=compiler_options, **rest)

  monkeypatch.setattr(jax, 'jit', without_option)
  assert quick.options(quick.LARGE) == {'xla_backend_optimization_level': 1}


def test_accelerators_compile_as_ever(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert quick.options(quick.SMALL) == {}


def test_work_goes_by_the_numbers_of_all_arrays():
  def tree(rows):
    of = jax.ShapeDtypeStruct((rows, 1024), jnp.float32)
    return {'a': of, 'b': [of]}

  assert quick.work_of(tree(2048)) == quick.SMALL
  assert quick.work_of(tree(2049)) == quick.LARGE
  assert quick.work_of(()) == quick.SMALL
