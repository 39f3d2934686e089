"""Exported models that nothing trained, made once."""

from __future__ import annotations

import pytest

from rmtl_jax.serving.export import writer
from tests.serving import past_run

PLAIN = {
  'network.session_encoder': 'none',
}


@pytest.fixture(scope='session')
def plain_model(tmp_path_factory):
  """An export that takes no past."""
  directory = tmp_path_factory.mktemp('plain')
  scorer = past_run.untrained(
    past_run.prepare_run(directory, raw=past_run.log(400), as_of=('none',)),
    **PLAIN,
  )
  writer.export(scorer, directory / 'exported')
  return directory / 'exported'


@pytest.fixture(scope='session')
def past_model(tmp_path_factory):
  """An export that takes all as-of features and encodes sessions."""
  directory = tmp_path_factory.mktemp('past')
  scorer = past_run.untrained(
    past_run.prepare_run(
      directory, raw=past_run.log(700, seed=3), schema=past_run.BRANDS
    )
  )
  writer.export(scorer, directory / 'exported')
  return directory / 'exported'


@pytest.fixture
def place(tmp_path):
  """Where an empty state may be."""
  return str(tmp_path / 'state')
