"""Exported models that nothing trained, made once."""

from __future__ import annotations

import pytest

from rmtl_jax.serving.export import export_writer
from tests.serving import past_run


def _export(path, run_dir):
  export_writer.export(past_run.untrained(run_dir), path / 'exported')


@pytest.fixture(scope='session')
def plain_model(once):
  """An export that takes no past."""

  def make(path):
    run_dir = past_run.prepare_run(path, raw=past_run.log(400), as_of=('none',))
    _export(path, run_dir)

  return once('plain_model', make) / 'exported'


@pytest.fixture(scope='session')
def past_model(once):
  """An export that takes all as-of features."""

  def make(path):
    raw = past_run.log(700, seed=3)
    _export(path, past_run.prepare_run(path, raw=raw, schema=past_run.BRANDS))

  return once('past_model', make) / 'exported'


@pytest.fixture
def place(tmp_path):
  """Where an empty state may be."""
  return str(tmp_path / 'state')
