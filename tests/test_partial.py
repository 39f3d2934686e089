"""Directories in the making: whose they are, and when they are swept."""

import pytest

from rmtl_jax import durable, partial, types
from rmtl_jax.preparation import writer


def names(path):
  return sorted(p.name for p in path.iterdir())


def leftover(tmp_path, kind, token='00000000'):
  path = tmp_path / f'.out.{kind}-{token}'
  path.mkdir()
  (path / 'some').write_text(kind)
  return path


def test_what_the_dead_left_is_swept(tmp_path):
  leftover(tmp_path, 'partial')
  (tmp_path / 'out').mkdir()
  leftover(tmp_path, 'old', '11111111')
  for other in ('.out2.partial-00000000', '.other', 'out.partial-00000000'):
    (tmp_path / other).mkdir()
  partial.sweep(tmp_path / 'out')
  assert names(tmp_path) == [
    '.other',
    '.out2.partial-00000000',
    'out',
    'out.partial-00000000',
  ]


def test_what_the_living_make_is_left_alone(tmp_path):
  target = tmp_path / 'out'
  with partial.make_directory(target) as path:
    old = leftover(tmp_path, 'old', path.name[-8:])
    partial.sweep(target)
    assert path.is_dir() and old.is_dir() and not target.exists()
  partial.sweep(target)
  # Nobody is between the two renames any more.
  assert names(tmp_path) == ['out']
  assert (target / 'some').read_text() == 'old'


def test_a_signal_between_the_two_renames_puts_the_old_data_back(
  tmp_path, monkeypatch
):
  target = tmp_path / 'out'
  target.mkdir()
  (target / 'manifest.json').write_text('old')

  def interrupted(path, target):
    assert not target.exists()
    raise KeyboardInterrupt

  monkeypatch.setattr(durable, 'replace', interrupted)
  with (
    pytest.raises(KeyboardInterrupt),
    writer.new_directory(target, True) as path,
  ):
    (path / 'manifest.json').write_text('new')
  assert names(tmp_path) == ['out']
  assert (target / 'manifest.json').read_text() == 'old'


@pytest.mark.parametrize('overwrite', [False, True])
def test_the_first_of_two_writers_wins(tmp_path, monkeypatch, overwrite):
  """Another one is done while what was written is synced, as disks are slow."""
  target = tmp_path / 'out'
  sync = durable.sync_tree

  def sync_slowly(path):
    sync(path)
    target.mkdir()
    (target / 'manifest.json').write_text('theirs')

  monkeypatch.setattr(durable, 'sync_tree', sync_slowly)
  with (
    pytest.raises(types.InputError, match='out: was written by another'),
    writer.new_directory(target, overwrite) as path,
  ):
    (path / 'manifest.json').write_text('ours')
  assert names(tmp_path) == ['out']
  assert (target / 'manifest.json').read_text() == 'theirs'
