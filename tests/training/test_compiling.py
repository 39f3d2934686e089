"""Programs that are compiled while others train."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import threading

import jax
import jax.numpy as jnp
import pytest

from rmtl_jax import run
from rmtl_jax.config import presets
from rmtl_jax.config import values as config_values
from rmtl_jax.training import (
  compiling,
)
from rmtl_jax.updates import ahead, quick
from tests import signals, test_run, tiny

CONFIG = config_values.from_dict(
  {
    'pretrain': {'max_epochs': 2},
    'critic': {'max_passes': 1, 'min_passes': 1},
    'finetune': {'max_epochs': 1},
  },
  test_run.CONFIG,
)
_COMPILED = '/jax/core/compile/backend_compile_duration'
# What trains and predicts. Small programs make keys, arrays and first states;
# both threads may ask for one at once, and then both compile it.
_PROGRAMS = ('jit(loop)', 'jit(mapped)')


@pytest.fixture
def pool():
  with concurrent.futures.ThreadPoolExecutor(1) as found:
    yield found


def shape():
  return (jax.ShapeDtypeStruct((3,), jnp.float32),)


def test_a_program_that_was_compiled_ahead_is_not_compiled_again(pool):
  traced = []

  @jax.jit
  def double(x):
    traced.append(threading.current_thread())
    return 2 * x

  compiled = ahead.Compiled(double)
  compiled.compile_ahead(pool, shape)
  assert compiled(jnp.ones(3)).tolist() == [2, 2, 2]
  assert len(traced) == 1
  # Other shapes are compiled as ever.
  assert compiled(jnp.ones(2)).tolist() == [2, 2]


def test_what_no_thread_has_begun_is_left_to_the_caller(pool):
  release, begun = threading.Event(), threading.Event()

  def wait():
    begun.set()
    release.wait()

  pool.submit(wait)
  begun.wait()
  asked = []
  compiled = ahead.Compiled(jax.jit(lambda x: x + 1))
  compiled.compile_ahead(pool, lambda: asked.append(1) or shape())
  try:
    assert compiled(jnp.zeros(3)).tolist() == [1, 1, 1]
  finally:
    release.set()
  assert not asked


def test_what_was_called_is_not_compiled_again(pool):
  compiled = ahead.Compiled(jax.jit(lambda x: x))
  compiled(jnp.ones(3))
  compiled.compile_ahead(pool, lambda: pytest.fail('compiled again'))
  assert compiled(jnp.ones(3)).shape == (3,)


def test_a_program_that_is_forgotten_is_compiled_when_it_is_called_again(pool):
  traced = []
  compiled = ahead.Compiled(jax.jit(lambda x: traced.append(1) or 2 * x))
  compiled.compile_ahead(pool, shape)
  compiled.forget()  # once the thread is done with it
  compiled.forget()
  compiled.compile_ahead(pool, lambda: pytest.fail('nobody asked for it'))
  before = len(traced)
  assert compiled(jnp.ones(3)).tolist() == [2, 2, 2]
  assert len(traced) == before + 1


def test_an_error_of_a_thread_is_raised_where_the_program_is_called(pool):
  def broken():
    raise ValueError('no shapes')

  compiled = ahead.Compiled(jax.jit(lambda x: x))
  compiled.compile_ahead(pool, broken)
  pool.shutdown()
  with pytest.raises(ValueError, match='no shapes'):
    compiled(jnp.ones(3))


@contextlib.contextmanager
def compilations():
  """How often each program is compiled, by name."""
  count = collections.Counter()

  def heard(event: str, duration_secs: float, **kwargs: str | int):
    del duration_secs
    if event == _COMPILED:
      count[kwargs['fun_name']] += 1

  jax.monitoring.register_event_duration_secs_listener(heard)
  try:
    yield count
  finally:
    jax.monitoring.unregister_event_duration_listener(heard)


def trained(path, config, **options):
  """The record of a run, and how often it has compiled its programs."""
  quick.options(quick.SMALL)  # asks the compiler, once in a process
  jax.clear_caches()
  with compilations() as count:
    record = run.train(
      config, path / 'run', path / 'data', live=test_run.QUIET, **options
    )
  count = {name: count[name] for name in _PROGRAMS}
  assert count['jit(loop)'] >= 4
  return signals.without_times(record), count


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {
      'weighting.name': 'advantage',
      'critic.stopping': 'return_error',
      'critic.behaviour': 'uniform',
      'critic.in_finetune': 'learning',
    },
    {'ensemble': 2},
    {'ensemble': 2, 'variants': 'network.ignore=user;'},
  ],
)
def test_a_run_compiles_the_same_programs_and_has_the_same_record(
  tmp_path, monkeypatch, changes
):
  config = config_values.with_settings(CONFIG, changes)
  for name in ('ahead', 'plain'):
    tiny.write_prepared(tmp_path / name / 'data')
  with_threads = trained(tmp_path / 'ahead', config)
  assert not [t for t in threading.enumerate() if 'compiler' in t.name]
  monkeypatch.setattr(compiling, 'can', lambda splits: False)
  assert with_threads == trained(tmp_path / 'plain', config)


def test_the_papers_model_is_compiled_ahead_for_its_own_batches(
  tmp_path, monkeypatch
):
  paper = config_values.with_settings(
    CONFIG, {'backbone': 'esmm', 'batch.lanes': 2 * CONFIG.batch.lanes}
  )
  monkeypatch.setattr(presets, 'paper_model', lambda *_: paper)
  for name in ('ahead', 'plain'):
    tiny.write_prepared(tmp_path / name / 'data')
  with_threads = trained(tmp_path / 'ahead', CONFIG, paper_model=True)
  monkeypatch.setattr(compiling, 'can', lambda splits: False)
  plain = trained(tmp_path / 'plain', CONFIG, paper_model=True)
  assert with_threads == plain


def test_a_run_that_goes_on_compiles_nothing_ahead(tmp_path, monkeypatch):
  tiny.write_prepared(tmp_path / 'data')
  config = dataclasses.replace(CONFIG, control=False)
  arguments = (config, tmp_path / 'run', tmp_path / 'data')
  run.train(*arguments, ('pretrain',), live=test_run.QUIET)
  monkeypatch.setattr(
    compiling, 'compile_ahead', lambda *_: pytest.fail('compiled ahead')
  )
  run.train(*arguments, live=test_run.QUIET)
