"""What takes its place whole, and what is synced before it does."""

import errno
import os
import shutil
import threading

import pytest

from rmtl_jax import durable


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
