"""What a stranger's files can't do: run code, or lead out of a directory."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import shutil

import pytest

from rmtl_jax import cli, types
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.report import comparison_report
from tests.faults import sound
from tests.preparation import raw_files
from tests.report import example_comparison


class _Bomb:
  """Makes a directory when it is unpickled."""

  def __init__(self, marker: pathlib.Path):
    self._marker = str(marker)

  def __reduce__(self):
    return os.mkdir, (self._marker,)


@pytest.fixture
def bomb(tmp_path):
  marker = tmp_path / 'marker'
  data = pickle.dumps(_Bomb(marker))
  pickle.loads(data)  # it does go off
  marker.rmdir()
  yield data
  assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['prepare table', 'prepare table_parquet', 'evaluate a run']
)
def test_a_pickle_in_the_place_of_a_file(tmp_path, bomb, name):
  target = sound.TARGETS[name]
  base, codes = sound.shared() / target.base, {}
  files = [path for glob in target.patterns for path in base.glob(glob)]
  # Of the files of checkpoints, one of each kind.
  saved = base.glob('run/checkpoints/*/*/**/*')
  kinds = {
    'd' if path.parent.name == 'd' else path.name: path
    for path in saved
    if path.is_file()
  }
  for file in (*files, *kinds.values()):
    scratch = shutil.copytree(base, tmp_path / 'in', dirs_exist_ok=True)
    (scratch / file.relative_to(base)).write_bytes(bomb)
    with sound.said() as (_, err):
      code = cli.main(['rmtl', *target.command(scratch)])
    if code:
      sound.one_line(code, err.getvalue())
    codes[str(file.relative_to(base))] = code
    shutil.rmtree(scratch)
  if name != 'evaluate a run':
    assert set(codes.values()) == {2}, codes
    return
  for name in ('run/config.json', 'run/manifest.json', 'run/metrics.json'):
    assert codes[name] == 2, codes
  checkpoints = [c for n, c in codes.items() if 'checkpoints' in n]
  assert len(checkpoints) > 5 and checkpoints.count(2) > 3


# Names that lead elsewhere.

_ELSEWHERE = ('../x', '/tmp/x', 'a/b', '..', '.', '', 'a\0b', 'a\\b', 'x' * 300)


def test_a_manifest_names_nothing_outside_its_directory(data_dir):
  text = (data_dir / 'manifest.json').read_text()
  for name in _ELSEWHERE:
    for part in ('fields', 'tasks'):
      record = json.loads(text)
      record[part][0]['name'] = name
      with pytest.raises(types.InputError, match=f'{part}: entry 1: name is'):
        manifest_file.parse(record)
  for name in ('../x', '/etc/passwd', 'a\0b'):
    record = json.loads(text)
    record['splits']['test']['files'] = [name]
    with pytest.raises(types.InputError, match='leaves the directory'):
      manifest_file.parse(record)
    record = json.loads(text) | {'digests': {name: '0'}}
    with pytest.raises(types.InputError, match=r'digests.*leaves the dir'):
      manifest_file.parse(record)


@pytest.mark.parametrize('name', _ELSEWHERE)
def test_names_of_a_schema_stay_in_the_directory(name):
  record = json.loads(json.dumps(raw_files.SCHEMA))
  record['categorical'][1] = {'column': 'item', 'name': name}
  with pytest.raises(types.InputError, match='name'):
    schema_lib.parse(record)
  if name:  # a column's own name is made fit for a file
    record['categorical'][1] = {'column': name}
    made = schema_lib.parse(record).fields[1].name
    assert pathlib.PurePath(made).name == made and 0 < len(made) < 256
    assert not set(made) & {'\\', '\0'}


# Reports.

_EVIL = '<script>alert(1)</script>[x](http://y)`|$\\frac$[/red]'


@pytest.mark.slow
def test_a_terminal_shows_what_came_from_data():
  results = example_comparison.build()
  text = json.dumps(results).replace('"click"', json.dumps(_EVIL))
  evil = json.loads(text)
  evil['data']['source'] = _EVIL
  evil['warnings'] = [_EVIL]
  assert _EVIL[:8] in comparison_report.text(evil)
