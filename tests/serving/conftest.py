"""Runs for all tests of serving; none of them writes to one."""

import pytest

from tests.serving import past_run, table_run


@pytest.fixture(scope='session')
def run_dir(once):
  return once('serving', table_run.train) / 'run'


@pytest.fixture(scope='session')
def past_dir(once):
  """A run, nothing in it trained, of a log with all as-of features."""
  path = once(
    'past',
    lambda path: past_run.prepare_run(
      path,
      raw=past_run.log(),
      schema=past_run.BRANDS,
      as_of=('all', 'slate'),
    ),
  )
  return path / 'run'
