"""JAX in strict mode, as the launcher runs it; before anything imports it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest


def _quick_flags() -> str:
  """XLA's flags with which tests compile in a quarter of the time.

  Their programs run for milliseconds; those of walks and notebooks for longer
  than they are compiled, so these do without. `XLA_FLAGS= pytest` compiles all
  as users do.
  """
  least = '--xla_backend_optimization_level=0'
  flags = (
    f'{least} --xla_cpu_use_fusion_emitters=false'
    # A program's parts in one module: 32, the default, each have LLVM's costs.
    ' --xla_cpu_parallel_codegen_split_count=1'
  )
  known = subprocess.run(  # XLA aborts on a flag that it does not know
    [sys.executable, '-c', 'import jax; jax.devices()'],
    env={**os.environ, 'XLA_FLAGS': flags},
    capture_output=True,
  )
  return flags if not known.returncode else least


os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')
# Runs that build the same networks compile them once, whatever the number of
# workers: these inherit the variable from the process that starts them.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  if 'XLA_FLAGS' not in os.environ:
    os.environ['XLA_FLAGS'] = _quick_flags()
  # `.ci/run` has one directory for all its calls of pytest.
  if 'RMTL_TESTS_CACHE' in os.environ:
    _DIRECTORY = os.environ['RMTL_TESTS_CACHE']
  else:
    _CACHE = tempfile.TemporaryDirectory(prefix='rmtl_jax_tests_')
    _DIRECTORY = _CACHE.name
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _DIRECTORY
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'


@pytest.fixture(scope='session')
def once(tmp_path_factory):
  """once(name, make) -> a directory that one worker fills for all of them.

  Tests only read it; they copy what they change.
  """
  root = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    root = root.parent  # of all workers

  def directory(name, make):
    path = root / name
    with (root / f'{name}.lock').open('w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not (path / '.made').exists():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        make(path)
        (path / '.made').touch()
    return path

  return directory


@pytest.fixture(scope='session')
def data_dir(once):
  """Tiny prepared data (tests/tiny.py); a module may have its own."""
  from tests import tiny

  return once('tiny_data', tiny.write_prepared)


@pytest.fixture(scope='session')
def paper_run(once, data_dir):
  """The paper's model in all stages on `data_dir`: (RUN, its metrics)."""
  from rmtl_jax import run
  from tests import tiny

  path = once(
    'paper_run',
    lambda path: run.train(
      tiny.CONFIG, path / 'run', data_dir, live=tiny.QUIET
    ),
  )
  return path / 'run', json.loads((path / 'run' / 'metrics.json').read_text())


@pytest.fixture(scope='session')
def recommended_run(once):
  """The recommended model, fitted by `Ranker` on a pandas frame: RUN."""
  from tests.library import small

  return once('recommended_run', small.fit_recommended) / 'run'


@pytest.fixture
def told_of_64_bits():
  """A process that has told JAX to compute in 64 bits."""
  import jax

  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', False)
