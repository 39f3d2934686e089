"""What a stranger's files can't do: run code, or lead out of a directory."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import pickle
import shutil

import pytest

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.report import comparison_report
from tests.faults import sound
from tests.preparation import raw_files
from tests.report import example_comparison

_PACKAGE = pathlib.Path(rmtl_jax.__file__).parent
_MODULES = (
  *('pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib'),
  *('marshal', 'shelve', 'yaml', 'code', 'codeop', 'runpy', 'ctypes'),
)
# Builtins and attributes whose calls run what they are given.
_CALLS = (
  *('eval', 'exec', 'compile', '__import__', 'exec_module', 'read_pickle'),
  *('system', 'popen', 'import_module', 'resolve_name', 'spawnl', 'execv'),
)
# Where the package does such a thing all the same, and why that is safe.
_ALLOWED = {
  # --config=FILE.py is the user's own program: help and SECURITY.md say so.
  ('config/flags.py', 'exec_module'),
  # Registries, whose names are a fixed list in that file.
  ('config/limits.py', 'resolve_name'),
  # Makers of parts, whose modules are named by the code that registers them.
  ('registry.py', 'import_module'),
  # The same: public names, and packages that extras bring.
  ('__init__.py', 'import_module'),
  # The folders of that package.
  ('contrib/__init__.py', 'import_module'),
  ('extras.py', 'import_module'),
  # malloc_trim of the C library that the process runs on: no path, no input.
  ('runtime/memory.py', 'ctypes'),
  # Patterns: re.compile.
  *{
    (str(p.relative_to(_PACKAGE)), 're.compile') for p in _PACKAGE.rglob('*.py')
  },
}


def _suspicious(tree: ast.AST) -> set[str]:
  """Names of what a program should not do with what it reads."""
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {a.name for a in node.names if a.name.split('.')[0] in _MODULES}
    elif isinstance(node, ast.ImportFrom):
      if (node.module or '').split('.')[0] in _MODULES:
        found.add(str(node.module))
    elif isinstance(node, ast.Call):
      found |= _suspicious_call(node)
  return found


def _suspicious_call(node: ast.Call) -> set[str]:
  called = ast.unparse(node.func)
  last = called.rsplit('.', 1)[-1]
  found = set()
  if last in _CALLS:
    found.add(called if last == 'compile' else last)
  for keyword in node.keywords:
    given = ast.unparse(keyword.value)
    if keyword.arg in ('shell', 'allow_pickle') and given != 'False':
      found.add(f'{keyword.arg}={given}')
  # numpy's own default is to refuse pickles; say it all the same.
  said = 'allow_pickle' in [k.arg for k in node.keywords]
  if called in ('np.save', 'np.load', 'numpy.load', 'jnp.load') and not said:
    found.add(called)
  return found


@pytest.mark.slow
def test_the_package_runs_nothing_that_it_reads():
  sources = sorted(_PACKAGE.rglob('*.py'))
  assert len(sources) > 80
  found = {
    (str(path.relative_to(_PACKAGE)), name)
    for path in sources
    for name in _suspicious(ast.parse(path.read_text(encoding='utf-8')))
  }
  assert found - _ALLOWED == set()
  # What is allowed is there, or it need not be allowed.
  assert ('config/flags.py', 'exec_module') in found


class _Bomb:
  """Makes a directory when it is unpickled."""

  def __init__(self, marker: pathlib.Path):
    self._marker = str(marker)

  def __reduce__(self):
    return os.mkdir, (self._marker,)


@pytest.fixture(scope='module')
def base():
  return sound.shared()


@pytest.fixture
def bomb(tmp_path):
  marker = tmp_path / 'marker'
  data = pickle.dumps(_Bomb(marker))
  pickle.loads(data)  # it does go off
  marker.rmdir()
  yield data
  assert not marker.exists()


def _refused_or_ignored(argv):
  with sound.said() as (_, err):
    code = cli.main(['rmtl', *argv])
  if code:
    sound.one_line(code, err.getvalue())
  return code


def _replaced(base, scratch, target, bomb, keep=lambda path: True):
  """Runs a command once per file of its directory, that file a pickle."""
  files = sorted(p for p in (base / target.base).rglob('*') if p.is_file())
  codes = {}
  for file in filter(keep, files):
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(base / target.base, scratch)
    name = file.relative_to(base / target.base)
    (scratch / name).write_bytes(bomb)
    codes[str(name)] = _refused_or_ignored(target.argv(scratch))
  return codes


_RAW = [n for n in sound.TARGETS if n.startswith('prepare')]


@pytest.mark.slow
@pytest.mark.parametrize('name', _RAW)
def test_a_pickle_for_a_raw_file_or_schema(base, tmp_path, bomb, name):
  target = sound.TARGETS[name]
  codes = _replaced(base, tmp_path / 'input', target, bomb)
  assert set(codes.values()) == {2}, codes


def _kinds():
  """The run's own files, and of checkpoints one file of each kind."""
  seen = set()

  def is_new(path):
    if 'tensorboard' in path.parts or 'run' not in path.parts[-4:]:
      return 'checkpoints' in path.parts and _of_new_kind(path)
    return True

  def _of_new_kind(path):
    folder = path.parent.name
    kind = 'd' if folder == 'd' else path.name
    new = kind not in seen
    seen.add(kind)
    return new

  return is_new


@pytest.mark.slow
def test_a_pickle_for_a_file_of_a_run(base, tmp_path, bomb):
  target = sound.TARGETS['evaluate a run']
  codes = _replaced(base, tmp_path / 'input', target, bomb, _kinds())
  for name in ('run/config.json', 'run/manifest.json', 'run/metrics.json'):
    assert codes[name] == 2, codes
  checkpoints = [c for n, c in codes.items() if 'checkpoints' in n]
  assert len(checkpoints) > 5 and checkpoints.count(2) > 3


# Names that lead elsewhere.

_ELSEWHERE = ('../x', '/tmp/x', 'a/b', '..', '.', '', 'a\0b', 'a\\b', 'x' * 300)


@pytest.mark.slow
@pytest.mark.parametrize('name', _ELSEWHERE)
@pytest.mark.parametrize('part', ['fields', 'tasks'])
def test_names_of_a_manifest_stay_in_the_directory(base, part, name):
  path = base / 'data' / 'data' / 'manifest.json'
  record = json.loads(path.read_text())
  record[part][0]['name'] = name
  with pytest.raises(types.InputError, match=f'{part}: entry 1: name is'):
    manifest_file.parse(record)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize('name', ['../x', '/etc/passwd', 'a\0b'])
def test_files_of_a_manifest_stay_in_the_directory(base, name):
  path = base / 'data' / 'data' / 'manifest.json'
  record = json.loads(path.read_text())
  record['splits']['test']['files'] = [name]
  with pytest.raises(types.InputError, match='leaves the directory'):
    manifest_file.parse(record)
  record = json.loads(path.read_text()) | {'digests': {name: '0'}}
  with pytest.raises(types.InputError, match=r'digests.*leaves the directory'):
    manifest_file.parse(record)


@pytest.mark.slow
def test_a_vocabulary_is_never_read_from_elsewhere(base, tmp_path):
  scratch = tmp_path / 'input'
  shutil.copytree(base / 'run', scratch)
  words = scratch / 'run' / 'vocabulary'
  shutil.copy(words / 'item.parquet', scratch / 'item.parquet')
  manifest = scratch / 'run' / 'manifest.json'
  record = manifest.read_text().replace('"item"', '"../../item"')
  manifest.write_text(record)
  target = sound.TARGETS['predict by a run']
  with sound.said() as (_, err):
    code = cli.main(['rmtl', *target.argv(scratch)])
  assert 'can name no file' in sound.one_line(code, err.getvalue())


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
