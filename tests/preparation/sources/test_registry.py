from __future__ import annotations

import pytest

from rmtl_jax import types
from rmtl_jax.config import PrepareConfig
from rmtl_jax.preparation import prepare, source, sources
from rmtl_jax.preparation.sources import rees46
from tests import registries


@pytest.fixture(autouse=True)
def own_registry():
  kept = registries.Registries()
  yield
  kept.undo()


def test_own_reader_is_found():
  tasks = (source.SourceTask('click', known_after_ms=0),)
  sources.register_source('mine', rees46.read, 'a file of mine', tasks)
  record = sources.RECORDS.find('mine')
  assert record.read is rees46.read
  assert record.tasks == tasks


def test_names_are_taken_once():
  with pytest.raises(types.InputError, match="source: 'table' exists already"):
    sources.register_source('table', rees46.read)


def test_unknown_source_lists_near_matches():
  with pytest.raises(types.InputError, match='did you mean kuairand'):
    sources.RECORDS.find('kuairnd')


def test_a_missing_raw_directory_says_what_it_holds(tmp_path):
  sources.register_source('mine', rees46.read, 'a file of mine')
  config = PrepareConfig(source='mine', data_dir=str(tmp_path / 'data'))
  with pytest.raises(types.InputError, match='missing: expected a file of'):
    prepare.prepare(config)
