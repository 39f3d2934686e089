"""One run for all tests of serving; none of them writes to it."""

import pytest

from tests.serving import table_run


@pytest.fixture(scope='session')
def run_dir(tmp_path_factory):
  return table_run.train(tmp_path_factory.mktemp('serving'))
