"""Which data a command takes, and what it leaves alone."""

from __future__ import annotations

import pathlib

import pytest
from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import progress, workdir
from tests import paper, tiny

QUIET = progress.Progress(quiet=True)


def data_dir(path: pathlib.Path, *line: str) -> pathlib.Path:
  values = flags.FlagValues()
  common.define_data(common.Definer(values))
  config_flags.define(values, ['rmtl'])
  values(['rmtl', '--simulated_rows=300', *line])
  return common.data_dir(values, path, QUIET)


def names(path):
  return sorted(entry.name for entry in path.iterdir())


def test_a_run_that_is_there_takes_its_own_data(tmp_path):
  tiny.write_prepared(tmp_path / 'own', sessions=30)
  path = tmp_path / 'run'
  path.mkdir()
  workdir.create(path, paper.config(), tmp_path / 'own')
  before = names(path)
  assert data_dir(path) == tmp_path / 'own'
  assert names(path) == before
  assert data_dir(path, '--data_dir=named') == pathlib.Path('named')


def test_a_new_run_simulates_once(tmp_path):
  path = tmp_path / 'run'
  path.mkdir()
  (path / '.lock').touch()
  (path / '.data.partial-01234567').mkdir()
  assert data_dir(path) == path / 'data'
  made = manifest_file.read(path / 'data')
  # A start that was cut off before it wrote a run's config.
  (path / 'manifest.json').touch()
  assert data_dir(path, '--simulated_rows=400') == path / 'data'
  assert manifest_file.read(path / 'data') == made


@pytest.mark.parametrize('name', ['notes.txt', 'metrics.json', 'database'])
def test_a_directory_of_something_else_is_left_alone(tmp_path, name):
  (tmp_path / name).touch()
  (tmp_path / '.lock').touch()
  with pytest.raises(types.InputError) as caught:
    data_dir(tmp_path)
  assert str(caught.value) == (
    f"{tmp_path}: contains '{name}' and no run: name another --workdir, or the"
    ' data with --data_dir'
  )
  assert names(tmp_path) == ['.lock', name]
