"""One finished run for all tests that damage or repeat it."""

import pytest

from rmtl_jax import run
from rmtl_jax.runtime import progress
from tests import test_run, tiny


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A directory with the data and a run of all stages, and its record."""
  path = tmp_path_factory.mktemp('finished')
  tiny.write_prepared(path / 'data')
  quiet = progress.Progress(quiet=True)
  record = run.train(test_run.CONFIG, path / 'run', path / 'data', live=quiet)
  return path, record
