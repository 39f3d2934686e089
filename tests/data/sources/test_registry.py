from __future__ import annotations

import pytest

from rmtl_jax import types
from rmtl_jax.data import sources
from rmtl_jax.data.sources import rees46


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
  monkeypatch.setattr(sources, 'SOURCES', dict(sources.SOURCES))


def test_own_reader_is_found():
  sources.register_source('mine', rees46.read)
  assert sources.find('mine') is rees46.read


def test_names_are_taken_once():
  with pytest.raises(ValueError, match="'table' is taken"):
    sources.register_source('table', rees46.read)


def test_unknown_source_lists_near_matches():
  with pytest.raises(types.InputError, match='did you mean kuairand'):
    sources.find('kuairnd')
