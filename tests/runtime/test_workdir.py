"""What a directory holds: a run, a comparison or a search."""

import re

import pytest

from rmtl_jax import types
from rmtl_jax.runtime import workdir
from tests import paper, tiny


@pytest.mark.parametrize('kind', workdir.KINDS)
def test_a_directory_is_of_one_kind(tmp_path, kind):
  data, path, config = tmp_path / 'data', tmp_path / 'it', paper.config()
  tiny.write_prepared(data)
  path.mkdir()
  workdir.create(path, config, data, kind=kind)
  for other in workdir.KINDS:
    if other == kind:
      assert workdir.find(path, config, data, other).kind == kind
      continue
    with pytest.raises(types.InputError, match=f': contains a {kind}; choose'):
      workdir.find(path, config, data, other)


def test_a_description_that_was_cut_off_is_written_again(tmp_path):
  data, path = tmp_path / 'data', tmp_path / 'it'
  tiny.write_prepared(data)
  path.mkdir()
  workdir.create(path, paper.config(), data)
  (path / 'config.json').unlink()
  assert workdir.create(path, paper.config(), data).data_dir == data


@pytest.mark.parametrize(
  ('kind', 'said'),
  [('run', 'a run of which the data, '), ('Ranker', 'save(with_data=True)')],
)
def test_data_that_are_gone_are_said_to_be(tmp_path, kind, said):
  data, path = tmp_path / 'data', tmp_path / 'it'
  tiny.write_prepared(data)
  path.mkdir()
  workdir.create(path, paper.config(), data)
  if kind == 'Ranker':
    (path / workdir.RANKER).write_text('{}')
  workdir.check_own_data(workdir.read(path), ('test',))
  gone = data.rename(tmp_path / 'gone')
  with pytest.raises(types.InputError, match=re.escape(said)) as caught:
    workdir.check_own_data(workdir.read(path), ('test',))
  line = str(caught.value)
  assert line.startswith(f'{path}: ') and f'{data}, are gone; put them' in line
  assert '--data_dir' in line
  # Beside the run they are its own, as save(with_data=True) leaves them.
  gone.rename(path / 'data')
  run = workdir.read(path)
  assert run.data_dir == path / 'data'
  workdir.check_own_data(run, ('test',))
