"""What takes its place whole, and what is synced before it does."""

import errno
import os
import shutil
import threading

import pytest

from rmtl_jax import durable
from tests.faults import runs


@pytest.fixture
def calls(monkeypatch):
  """What was synced and renamed, in order, by the names of files."""
  made = []
  sync, replace = os.fsync, os.replace

  def synced(held):
    made.append(
      ('sync', os.path.basename(os.readlink(f'/proc/self/fd/{held}')))
    )
    sync(held)

  def replaced(path, target):
    made.append(('rename', os.path.basename(target)))
    replace(path, target)

  monkeypatch.setattr(os, 'fsync', synced)
  monkeypatch.setattr(os, 'replace', replaced)
  return made


def test_a_file_is_synced_before_its_name_and_its_directory_after(
  tmp_path, calls
):
  durable.write_text(tmp_path / 'x', 'ä')
  assert (tmp_path / 'x').read_text(encoding='utf-8') == 'ä'
  assert calls == [
    ('sync', 'x.partial'),
    ('rename', 'x'),
    ('sync', tmp_path.name),
  ]


def test_all_of_a_directory_is_synced_before_its_name(tmp_path, calls):
  (tmp_path / 'new' / 'deep').mkdir(parents=True)
  (tmp_path / 'new' / 'deep' / 'a').touch()
  (tmp_path / 'new' / 'b').touch()
  durable.replace(tmp_path / 'new', tmp_path / 'out')
  names = [name for _, name in calls]
  assert sorted(names[:4]) == ['a', 'b', 'deep', 'new']
  assert names.index('a') < names.index('deep') < names.index('new')
  assert names[4:] == ['out', tmp_path.name]


@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch, call):
  path = tmp_path / 'x'
  path.write_text('old')

  def fail(*_):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(os, call, fail)
  with pytest.raises(OSError, match='Input/output error') as error:
    durable.write_text(path, 'new')
  assert error.value.filename
  assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [('x', 'old')]


def test_a_file_system_without_sync_has_nothing_to_sync(tmp_path, monkeypatch):
  def fail(_):
    raise OSError(errno.EINVAL, 'Invalid argument')

  monkeypatch.setattr(os, 'fsync', fail)
  durable.write_text(tmp_path / 'x', 'new')
  assert (tmp_path / 'x').read_text() == 'new'


def test_every_rename_of_the_package_goes_through_here():
  import ast
  import pathlib

  import rmtl_jax

  root = pathlib.Path(rmtl_jax.__file__).parent
  found = {}
  for path in root.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Call) and ast.unparse(node.func) in (
        *('os.replace', 'os.rename', 'os.renames', 'shutil.move'),
        *('path.rename', 'old.rename', 'target.rename', 'partial.replace'),
      ):
        name = str(path.relative_to(root))
        found.setdefault(name, []).append(ast.unparse(node.func))
  # What partial renames on its own is the old data, moved aside and back.
  assert found == {
    'durable.py': ['os.replace', 'os.replace', 'os.replace'],
    'partial.py': ['target.rename', 'old.rename'],
  }


def test_a_directory_loses_its_name_before_its_files(tmp_path, monkeypatch):
  path, hidden = tmp_path / 'state', tmp_path / '.state.removed'
  (path / '1').mkdir(parents=True)
  (path / '1' / 'a').touch()
  rmtree = shutil.rmtree
  monkeypatch.setattr(shutil, 'rmtree', lambda path: (path / '1/a').unlink())
  durable.remove_tree(path)  # as if killed while files are removed
  assert not path.exists() and (hidden / '1').is_dir()
  monkeypatch.setattr(shutil, 'rmtree', rmtree)
  (path / '2').mkdir(parents=True)
  durable.remove_tree(path)
  assert not list(tmp_path.iterdir())
  durable.remove_tree(path)  # nothing is there


def test_a_link_to_a_directory_stays(tmp_path):
  (tmp_path / 'far').mkdir()
  (tmp_path / 'near').symlink_to(tmp_path / 'far')
  durable.remove_tree(tmp_path / 'near')
  assert (tmp_path / 'near').is_dir()


def test_two_writers_of_a_file_take_turns(tmp_path, monkeypatch):
  """The second comes while the first syncs, as disks are slow."""
  path, sync = tmp_path / 'x', durable.sync_tree
  second = threading.Thread(target=durable.write_text, args=(path, 'second'))

  def sync_slowly(partial):
    if not second.ident:
      second.start()
      second.join(0.2)
      assert partial.read_text() == 'first' and not path.exists()
    sync(partial)

  monkeypatch.setattr(durable, 'sync_tree', sync_slowly)
  durable.write_text(path, 'first')
  second.join()
  assert path.read_text() == 'second' and list(tmp_path.iterdir()) == [path]


def test_a_copy_names_the_disk_that_is_full(tmp_path):
  source = tmp_path / 'source'
  (source / 'deep').mkdir(parents=True)
  (source / 'deep' / 'large').write_bytes(b'x' * 100_000)
  durable.copy_tree(source, tmp_path / 'whole')
  assert (tmp_path / 'whole/deep/large').read_bytes() == b'x' * 100_000
  with runs.small_disk(tmp_path / 'disk', '16k') as disk:
    with pytest.raises(OSError, match='No space left') as error:
      durable.copy_tree(source, disk / 'copy')
    assert error.value.filename == str(disk / 'copy/deep/large')
  with pytest.raises(FileNotFoundError, match='source/none'):
    durable.copy_file(source / 'none', tmp_path / 'none')


def test_a_copy_has_what_links_name_and_misses_nothing(tmp_path):
  (tmp_path / 'far').mkdir()
  (tmp_path / 'far' / 'words').touch()
  (tmp_path / 'source').mkdir()
  (tmp_path / 'source' / 'near').symlink_to(tmp_path / 'far')
  durable.copy_tree(tmp_path / 'source', tmp_path / 'copy')
  assert (tmp_path / 'copy' / 'near' / 'words').is_file()
  with pytest.raises(FileNotFoundError, match='none'):
    durable.copy_tree(tmp_path / 'none', tmp_path / 'nothing')
