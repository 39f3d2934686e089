from __future__ import annotations

import pathlib

import pytest

from rmtl_jax import types
from rmtl_jax.preparation import writer


def prepared(path: pathlib.Path) -> pathlib.Path:
  path.mkdir(parents=True)
  (path / 'manifest.json').write_text('{}')
  (path / 'old').write_text('old')
  return path


def fill(target, overwrite=False):
  with writer.new_directory(target, overwrite) as directory:
    (directory / 'new').write_text('new')


def test_failure_keeps_what_was_there(tmp_path):
  target = prepared(tmp_path / 'out')
  with (
    pytest.raises(ValueError),
    writer.new_directory(target, overwrite=True),
  ):
    raise ValueError
  assert sorted(p.name for p in target.iterdir()) == ['manifest.json', 'old']
  assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize('overwrite', [False, True])
def test_other_contents_are_never_replaced(tmp_path, overwrite):
  target = tmp_path / 'out'
  target.mkdir()
  (target / 'thesis.tex').write_text('')
  with pytest.raises(types.InputError, match='not prepared data'):
    fill(target, overwrite)
  assert (target / 'thesis.tex').exists()
