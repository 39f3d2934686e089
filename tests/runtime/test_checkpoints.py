import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.runtime import checkpoints


@pytest.fixture
def tree():
  return {'a': {'kernel': jnp.arange(6.0).reshape(2, 3)}, 'step': jnp.int32(7)}


def _form(tree):
  return lambda record: tree


def _saved(path, tree, steps=(1,)):
  store = checkpoints.Store(path, keep=2)
  for step in steps:
    store.save(
      step, jax.tree.map(lambda x, s=step: x + s, tree), {'epoch': step}
    )
  store.close()
  return checkpoints.Store(path, keep=2)


def test_newest_few_are_kept(tmp_path, tree):
  store = _saved(tmp_path, tree, steps=(1, 2, 3))
  assert sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit()) == [
    '2',
    '3',
  ]
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 3


def _data_files(path: pathlib.Path) -> list[pathlib.Path]:
  files = [p for p in path.rglob('*') if p.is_file() and p.parent.name == 'd']
  assert files
  return files


def _flip(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(bytes(content))


def _delete(path: pathlib.Path) -> None:
  path.unlink()


def _truncate(path: pathlib.Path) -> None:
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize('damage', [_flip, _delete, _truncate])
def test_damage_is_noticed_and_the_newest_sound_one_used(
  tmp_path, damage, caplog
):
  tree = {'w': jnp.asarray(np.random.default_rng(0).normal(size=(300, 40)))}
  store = _saved(tmp_path, tree, steps=(1, 2))
  largest = max(_data_files(tmp_path / '2'), key=lambda p: p.stat().st_size)
  damage(largest)
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 1
  assert str(tmp_path / '2') in caplog.text
  damage(max(_data_files(tmp_path / '1'), key=lambda p: p.stat().st_size))
  with pytest.raises(types.InputError, match='damaged'):
    store.restore(_form(tree))


def test_another_form_is_refused(tmp_path, tree):
  store = _saved(tmp_path, tree)
  other = {**tree, 'a': {'kernel': jnp.zeros((2, 4))}}
  with pytest.raises(types.InputError, match='another form'):
    store.restore(_form(other))


def test_another_format_version_is_refused(tmp_path, tree, monkeypatch):
  monkeypatch.setattr(checkpoints, 'FORMAT_VERSION', 99)
  store = _saved(tmp_path, tree)
  monkeypatch.undo()
  with pytest.raises(
    types.InputError,
    match=r'/1: checkpoint format 99, this program reads \d: another version',
  ) as caught:
    store.restore(_form(tree))
  # Nothing is wrong with it: it must not be trained over.
  assert not isinstance(caught.value, checkpoints.Damaged)


def test_an_unfinished_checkpoint_is_not_used(tmp_path, tree, caplog):
  """A process was killed between Orbax's rename and the digests."""
  store = _saved(tmp_path, tree, steps=(1, 2))
  (tmp_path / '2' / checkpoints.DIGESTS).unlink()
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 1
  assert 'damaged' not in caplog.text
  (tmp_path / '1' / checkpoints.DIGESTS).unlink()
  assert store.restore(_form(tree)) is None
  assert not checkpoints.exists(tmp_path)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_is_not_saved(tmp_path, tree, bad):
  store = _saved(tmp_path, tree)
  broken = {**tree, 'a': {'kernel': jnp.full((2, 3), bad)}}
  with pytest.raises(FloatingPointError, match=r"\['kernel'\] is not finite"):
    store.save(2, broken, {'epoch': 2})
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 1
