import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import durable, types
from rmtl_jax.runtime import checkpoints
from rmtl_jax.runtime import integrity as records


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


def test_a_newer_format_version_is_refused(tmp_path, tree, monkeypatch):
  monkeypatch.setattr(records, 'FORMAT_VERSION', 99)
  store = _saved(tmp_path, tree)
  monkeypatch.undo()
  with pytest.raises(
    types.InputError,
    match=r'/1: checkpoint format 99, this program reads formats up to 5',
  ) as caught:
    store.restore(_form(tree))
  # Nothing is wrong with it: it must not be trained over.
  assert not isinstance(caught.value, checkpoints.Damaged)


# As version 1 wrote them.
FINISHED = {
  'stage': 'pretrain',
  'epoch': 3,
  'format_version': 1,
  'digests': {"['w']": '0f'},
}
UNFINISHED = {**FINISHED, 'history': [{'stage': 'pretrain', 'epoch': 1}]}


@pytest.mark.parametrize(
  ('old', 'more'),
  [
    (FINISHED, {'history': []}),
    (UNFINISHED, {}),
  ],
)
def test_records_of_version_1_are_read(old, more):
  before = dict(old)
  found = records.current(old, pathlib.Path('x'))
  expected = {**old, 'format_version': 5, 'forms': {}, 'digest_form': 'whole'}
  assert found == {**expected, **more}
  assert old == before


@pytest.mark.parametrize(
  ('histories', 'history'),
  [([UNFINISHED['history']], UNFINISHED['history']), ([], []), ({}, [])],
)
def test_a_finished_record_of_version_3_is_of_one_model(histories, history):
  old = {'stage': 'critic', 'epoch': 3, 'format_version': 3}
  more = {'epochs': [3], 'histories': histories}
  found = records.current(records.sealed({**old, **more}), pathlib.Path('x'))
  del found['record_digest']
  assert found == {**old, 'format_version': 5, 'history': history}


@pytest.mark.parametrize('version', [3, 4])
@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_an_unfinished_stage_of_an_earlier_version_is_not_read(stage, version):
  old = {'stage': stage, 'epoch': 1, 'format_version': version, 'history': []}
  path = pathlib.Path('x')
  with pytest.raises(checkpoints.Damaged, match=r'^x: an earlier version left'):
    records.current(records.sealed({**old, 'stopping': {}}), path)
  assert records.current(records.sealed(old), path)['format_version'] == 5


def test_migrations_go_from_version_to_version(monkeypatch):
  monkeypatch.setattr(records, 'FORMAT_VERSION', 4)
  monkeypatch.setattr(
    records,
    'MIGRATIONS',
    {
      n: lambda record, n=n: {**record, 'path': [*record['path'], n + 1]}
      for n in (1, 2, 3)
    },
  )
  path = pathlib.Path('x')
  assert records.current({'format_version': 1, 'path': []}, path) == {
    'format_version': 1,
    'path': [2, 3, 4],
  }
  third = records.sealed({'format_version': 3, 'path': []})
  assert records.current(third, path)['path'] == [4]
  with pytest.raises(checkpoints.Damaged, match='x: damaged: its record is'):
    records.current({**third, 'path': [0]}, path)


@pytest.mark.parametrize('record', [None, [], {}, {'format_version': True}])
def test_a_record_without_a_version_is_damaged(record):
  with pytest.raises(
    checkpoints.Damaged, match='x: damaged: its record has no'
  ):
    records.current(record, pathlib.Path('x'))


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
  path.write_text(json.dumps(records.sealed(record)))
  store = checkpoints.Store(tmp_path)
  with pytest.raises(checkpoints.Damaged, match=said):
    store.restore(lambda record: tree)
  store.close()


@pytest.mark.parametrize('name', ['digests', 'forms', 'digest_form', 'stage'])
def test_a_forged_record_that_lacks_something_is_damaged(tmp_path, tree, name):
  store = _saved(tmp_path, tree)
  store.close()
  path = tmp_path / '1' / 'record' / 'metadata'
  record = json.loads(path.read_text())
  record.pop(name, None)
  del record['record_digest']
  path.write_text(json.dumps(records.sealed(record)))
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


def test_every_older_version_has_a_migration():
  assert set(records.MIGRATIONS) == set(range(1, records.FORMAT_VERSION))


def test_a_checkpoint_of_version_1_is_restored(tmp_path, tree, monkeypatch):
  monkeypatch.setattr(records, 'FORMAT_VERSION', 1)
  monkeypatch.setattr(
    records,
    'sealed',
    lambda record: {k: v for k, v in record.items() if k != 'forms'},
  )
  store = _saved(tmp_path, tree)
  monkeypatch.undo()
  restored = store.restore(_form(tree))
  assert restored is not None and restored.record['epoch'] == 1
  with pytest.raises(
    types.InputError, match=r"another form: \['step'\] is not"
  ):
    store.restore(_form({'a': tree['a']}))


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
  base = records.digests({'x': np.zeros((2, 3), np.float32)})
  assert base == records.digests({'x': jnp.zeros((2, 3))})
  for other in (
    np.zeros((3, 2), np.float32),
    np.zeros((2, 3), np.int32),
    np.array([[0, 0, 0], [0, 0, -0.0]], np.float32),
  ):
    assert base != records.digests({'x': other})


def _table(rows: int) -> dict:
  values = np.random.default_rng(0).normal(size=(2, rows, 3))
  return {'first': {'table': values.astype(np.float32)}}


@pytest.mark.parametrize('rows', [1, 25, 31, 64, 80640 * 2])
def test_digests_of_tables_see_every_row(rows):
  tree = _table(rows)
  base = records.digests(tree)
  assert base == records.digests(jax.tree.map(jnp.asarray, tree))
  for row in {0, rows // 2, rows - 1}:
    other = _table(rows)
    other['first']['table'][1, row, 2] += 1.0
    assert records.digests(other) != base
  if rows > 1:
    swapped = {'first': {'table': tree['first']['table'][:, ::-1]}}
    assert records.digests(swapped) != base


def test_a_checkpoint_of_version_2_is_restored(tmp_path, monkeypatch):
  """It has digests of whole tables."""
  tree = _table(64)
  whole = records.digests(tree, records.WHOLE)
  assert whole != records.digests(tree)
  monkeypatch.setattr(records, 'FORMAT_VERSION', 2)
  monkeypatch.setattr(records, 'digests', lambda arrays: whole)
  store = checkpoints.Store(tmp_path)
  store.save(1, tree, {'epoch': 1})
  store.close()
  monkeypatch.undo()
  store = checkpoints.Store(tmp_path)
  restored = store.restore(_form(tree))
  assert restored is not None
  np.testing.assert_array_equal(
    restored.arrays['first']['table'], tree['first']['table']
  )
