import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import durable, json_files, types
from rmtl_jax.runtime import checkpoints, integrity


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
  monkeypatch.setattr(integrity, 'FORMAT_VERSION', 99)
  store = _saved(tmp_path, tree)
  monkeypatch.undo()
  with pytest.raises(
    types.InputError,
    match=r'/1: checkpoint format 99, this program reads 5: another version',
  ) as caught:
    store.restore(_form(tree))
  # Nothing is wrong with it: it must not be trained over.
  assert not isinstance(caught.value, checkpoints.Damaged)


def test_a_version_that_a_flipped_bit_changed_is_damaged():
  record = json_files.sealed({'format_version': integrity.FORMAT_VERSION})
  older = {**record, 'format_version': integrity.FORMAT_VERSION - 1}
  with pytest.raises(checkpoints.Damaged, match='its record is not what'):
    integrity.checked(older, pathlib.Path('x'))
  with pytest.raises(types.InputError, match='another version has written it'):
    integrity.checked(json_files.sealed(older), pathlib.Path('x'))


@pytest.mark.parametrize('record', [None, [], {}, {'format_version': True}])
def test_a_record_without_a_version_is_damaged(record):
  with pytest.raises(
    checkpoints.Damaged, match='x: damaged: its record has no'
  ):
    integrity.checked(record, pathlib.Path('x'))


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'digests': None}, 'its record: digests is None'),
    ({'forms': [1]}, r'its record: forms is \[1\]'),
    ({'epoch': 'x'}, "its record: epoch is 'x'"),
    ({'history': [{'stage': 1}]}, 'its record: history is none'),
    ({'history': [None]}, 'its record: history is none'),
    ({'history': [{'stage': 'pretrain'}]}, 'its record: history is none'),
    (
      {'history': [{'stage': 'finetune', 'epoch': 1, 'lambda': [1]}]},
      'its record: history is none',
    ),
    (
      {'history': [{'stage': 'critic', 'epoch': 1, 'td_error': 10**400}]},
      'its record: history is none',
    ),
    ({'stopping': []}, r'its record: stopping is \[\]'),
  ],
)
def test_a_forged_record_is_damaged(tmp_path, tree, change, said):
  """Its digest is right: whoever changes the one can change the other."""
  _saved(tmp_path, tree).close()
  path = tmp_path / '1' / 'record' / 'metadata'
  record = json.loads(path.read_text()) | change
  del record['record_digest']
  path.write_text(json.dumps(json_files.sealed(record)))
  store = checkpoints.Store(tmp_path)
  with pytest.raises(checkpoints.Damaged, match=said):
    store.restore(lambda record: tree)
  store.close()


@pytest.mark.parametrize('name', ['digests', 'forms', 'stage'])
def test_a_forged_record_that_lacks_something_is_damaged(tmp_path, tree, name):
  store = _saved(tmp_path, tree)
  store.close()
  path = tmp_path / '1' / 'record' / 'metadata'
  record = json.loads(path.read_text())
  record.pop(name, None)
  del record['record_digest']
  path.write_text(json.dumps(json_files.sealed(record)))
  store = checkpoints.Store(tmp_path)
  with pytest.raises(checkpoints.Damaged, match=f'its record lacks {name!r}'):
    restored = store.restore(lambda record: tree)
    restored.record[name]
  store.close()


def test_what_is_saved_is_synced_with_its_directory(
  tmp_path, tree, monkeypatch
):
  synced = []
  monkeypatch.setattr(durable, 'sync', synced.append)
  store = checkpoints.Store(tmp_path)
  store.save(1, tree, {})
  store.save(2, tree, {})
  assert tmp_path / '1' in synced and synced[-1] == tmp_path
  store.close()
  assert tmp_path / '2' in synced
  assert tmp_path / '2' / 'record' / 'metadata' in synced


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_is_not_saved(tmp_path, tree, bad):
  store = _saved(tmp_path, tree)
  broken = {**tree, 'a': {'kernel': jnp.full((2, 3), bad)}}
  with pytest.raises(FloatingPointError, match=r"\['kernel'\] is not finite"):
    store.save(2, broken, {'epoch': 2})
  restored = store.restore(_form(tree))
  assert restored is not None and restored.step == 1


def test_clear_deletes_every_checkpoint(tmp_path, tree):
  store = _saved(tmp_path, tree, steps=(3, 4))
  store.clear()
  assert store.restore(_form(tree)) is None
  store.save(1, tree, {'epoch': 1})
  store.close()
  assert [p.name for p in tmp_path.iterdir()] == ['1']


def test_digests_see_bytes_shape_and_type():
  base = integrity.digests({'x': np.zeros((2, 3), np.float32)})
  assert base == integrity.digests({'x': jnp.zeros((2, 3))})
  for other in (
    np.zeros((3, 2), np.float32),
    np.zeros((2, 3), np.int32),
    np.array([[0, 0, 0], [0, 0, -0.0]], np.float32),
  ):
    assert base != integrity.digests({'x': other})


def _table(rows: int) -> dict:
  values = np.random.default_rng(0).normal(size=(2, rows, 3))
  return {'first': {'table': values.astype(np.float32)}}


@pytest.mark.parametrize('rows', [1, 25, 31, 64, 80640 * 2])
def test_digests_of_tables_see_every_row(rows):
  tree = _table(rows)
  base = integrity.digests(tree)
  assert base == integrity.digests(jax.tree.map(jnp.asarray, tree))
  for row in {0, rows // 2, rows - 1}:
    other = _table(rows)
    other['first']['table'][1, row, 2] += 1.0
    assert integrity.digests(other) != base
  if rows > 1:
    swapped = {'first': {'table': tree['first']['table'][:, ::-1]}}
    assert integrity.digests(swapped) != base


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'days': 4}, 'is not as it was written'),
    ({'record_digest': '0'}, 'is not as it was written'),
    (None, 'has no digest, as files of an earlier version'),
  ],
)
def test_a_file_without_a_digest_is_not_called_damaged(tmp_path, change, said):
  path = tmp_path / 'asked.json'
  integrity.write_sealed(path, {'days': 3})
  assert integrity.read_sealed(path, 'choose another') == {'days': 3}
  record = {**json.loads(path.read_text()), **change} if change else {'days': 3}
  path.write_text(json.dumps(record))
  with pytest.raises(types.InputError, match=f'json: {said}: choose another$'):
    integrity.read_sealed(path, 'choose another')
