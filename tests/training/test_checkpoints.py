import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.training import checkpoints


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


def test_round_trip(tmp_path, tree):
  restored = _saved(tmp_path, tree).restore(_form(tree))
  assert restored is not None
  assert restored.step == 1 and restored.record['epoch'] == 1
  jax.tree.map(
    np.testing.assert_array_equal,
    restored.arrays,
    jax.tree.map(lambda x: x + 1, tree),
  )


def test_nothing_saved_is_none(tmp_path, tree):
  assert checkpoints.Store(tmp_path).restore(_form(tree)) is None


def test_newest_few_are_kept(tmp_path, tree):
  store = _saved(tmp_path, tree, steps=(1, 2, 3))
  assert sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit()) == [
    '2',
    '3',
  ]
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 3


def test_record_alone(tmp_path, tree):
  restored = _saved(tmp_path, tree).restore(lambda record: None)
  assert restored is not None
  assert restored.arrays is None and restored.record['epoch'] == 1


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
  with pytest.raises(types.InputError, match='format 99'):
    store.restore(_form(tree))


def test_digests_see_bytes_shape_and_type():
  base = checkpoints.digests({'x': np.zeros((2, 3), np.float32)})
  assert base == checkpoints.digests({'x': jnp.zeros((2, 3))})
  for other in (
    np.zeros((3, 2), np.float32),
    np.zeros((2, 3), np.int32),
    np.array([[0, 0, 0], [0, 0, -0.0]], np.float32),
  ):
    assert base != checkpoints.digests({'x': other})
