"""One run for all tests of serving; none of them writes to it."""

import pytest

from tests.serving import past_run, table_run


@pytest.fixture(scope='session')
def run_dir(tmp_path_factory):
  return table_run.train(tmp_path_factory.mktemp('serving'))


@pytest.fixture(scope='session')
def past_dir(tmp_path_factory):
  """A run, nothing in it trained, of a log with all as-of features."""
  return past_run.prepare_run(
    tmp_path_factory.mktemp('past'),
    raw=past_run.log(),
    schema=past_run.BRANDS,
    as_of=('all', 'slate'),
  )
