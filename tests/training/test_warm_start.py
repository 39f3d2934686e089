"""Runs that start from another's models, on data of grown vocabularies."""

import dataclasses
import functools
import json
import shutil
import types as python_types

import pyarrow as pa
import pytest

from rmtl_jax import cli, run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import progress, workdir, writers
from rmtl_jax.training import start_rules, trainer
from tests import next_day, signals, tiny

pytestmark = pytest.mark.slow

QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'ensemble': 2,
    'variants': 'network.ignore=user;',
    'network': {'embedding_dim': 4, 'bottom_units': [6], 'tower_units': [4]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.01},
    'critic': {
      'max_passes': 2,
      'stopping': 'return_error',
      'initial_value': 'mean_return',
    },
    'finetune': {'max_epochs': 1},
    'control': False,
    'weighting': {'name': 'advantage'},
    'evaluation': {'bootstrap': 0},
  }
)
FROZEN = {
  'pretrain.learning_rate': 0.0,
  'critic.learning_rate': 0.0,
  'finetune.learning_rate': 0.0,
}


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  root = tmp_path_factory.mktemp('days')
  manifest = tiny.write_prepared(root / 'monday', sessions=60)
  next_day.write_vocabulary(root / 'monday', next_day.values(manifest))
  next_day.write(root / 'monday', root / 'tuesday')
  run.train(CONFIG, root / 'run', root / 'monday', live=QUIET)
  return root


def _next(places, path, settings=None, **more):
  config = config_values.with_settings(CONFIG, settings or {})
  return run.train(
    config,
    path,
    places / 'tuesday',
    live=QUIET,
    start_from=places / 'run',
    **more,
  )


@pytest.fixture(scope='module')
def started(places, tmp_path_factory):
  path = tmp_path_factory.mktemp('started') / 'run'
  return path, _next(places, path)


def test_it_begins_as_the_other_ended(places, tmp_path):
  """Rows of known values alone, and steps that change nothing."""
  record = _next(places, tmp_path / 'run', FROZEN)
  before = json.loads((places / 'run' / 'metrics.json').read_text())
  assert record['best_epoch']['pretrain'] == [0, 0]
  for stage in ('pretrain', 'finetune'):
    for task in tiny.TASKS:
      for name in ('auc', 'logloss'):
        found = record['stages'][stage][task][name]
        assert found == pytest.approx(
          before['stages']['pretrain'][task][name], abs=2e-6
        )
  history = writers.read_history(tmp_path / 'run' / 'members' / '0')
  error = [
    h['validation_return_error'] for h in history if h['stage'] == 'critic'
  ]
  old = writers.read_history(places / 'run' / 'members' / '0')
  kept = min(
    h['validation_return_error'] for h in old if h['stage'] == 'critic'
  )
  assert error[0] == pytest.approx(kept, rel=1e-4)


def _count(path):
  """Adam's steps beside what stage 1 has kept."""
  one = workdir.read(path)
  store = one.checkpoint(workdir.moments('pretrain'))
  found = store.restore(lambda record: None)
  store.close()
  assert found is not None
  return found.record


def test_moments_go_on(started, places):
  path, record = started
  for member, epoch in enumerate(record['best_epoch']['pretrain']):
    place = f'members/{member}'
    assert _count(path / place)['epoch'] == epoch
    assert _count(places / 'run' / place)['epoch'] > 0


def test_moments_are_not_kept_where_nobody_wants_them(places, tmp_path):
  record = _next(
    places, tmp_path / 'run', keep_moments=False, stages=('pretrain',)
  )
  assert not list(tmp_path.glob('run/members/*/checkpoints/*_moments'))
  assert record['started_from']['moments']['pretrain']


def test_a_killed_one_ends_as_an_undisturbed_one(started, places, tmp_path):
  record, interruptions = signals.train_in_pieces(
    functools.partial(_next, places, tmp_path / 'run'), lambda n: 3 + 4 * n
  )
  assert interruptions >= 2
  assert signals.without_times(record) == signals.without_times(started[1])


def test_another_start_in_the_same_directory_is_refused(started, places):
  config, data = CONFIG, places / 'tuesday'
  with pytest.raises(
    types.InputError, match=r'this run started from .*run, not'
  ):
    run.train(config, started[0], data, live=QUIET, start_from=places / 'other')
  with pytest.raises(types.InputError, match='this run started anew, not from'):
    run.train(
      config,
      places / 'run',
      places / 'monday',
      live=QUIET,
      start_from=started[0],
    )


@pytest.mark.parametrize(
  ('settings', 'match'),
  [
    ({'backbone': 'mmoe'}, "backbone='shared_bottom', not 'mmoe'"),
    ({'network.embedding_dim': 8}, 'network.embedding_dim=4, not 8'),
    ({'ensemble': 3}, 'config.ensemble=2, not 3'),
    ({'variants': ''}, "network.ignore='user', not ''"),
    ({'weighting.name': 'critic'}, "weighting.name='advantage', not 'critic'"),
    ({'critic.head': 'linear'}, "critic.head='neg_softplus', not 'linear'"),
  ],
)
def test_other_networks_are_refused(places, tmp_path, settings, match):
  with pytest.raises(types.InputError, match=match):
    _next(places, tmp_path / 'run', settings)
  assert not (tmp_path / 'run').exists()


def _forged(places, tmp_path, change):
  """Data whose manifest differs; nothing else is read before the refusal."""
  shutil.copytree(places / 'tuesday', tmp_path / 'data')
  file = tmp_path / 'data' / 'manifest.json'
  record = json.loads(file.read_text())
  change(record)
  file.write_text(json.dumps(record))
  return tmp_path / 'data'


@pytest.mark.parametrize(
  ('change', 'match'),
  [
    (
      lambda r: r['fields'][3]['details'].update(mean=2.0),
      r"field 'price': mean is None in .*run, and 2\.0 in",
    ),
    (
      lambda r: r['fields'][3].update(name='cost'),
      "fields: number 4 is 'price' in .*run, and 'cost' in",
    ),
    (
      lambda r: r['tasks'][1].update(after=None),
      "task 'conversion': after is 'click' in .*run, and None in",
    ),
    (lambda r: r['tasks'].pop(), 'the number of tasks is 2 in .*run, and 1 in'),
    (
      lambda r: r.update(item_field='user'),
      "item_field is 'item' in .*run, and 'user' in",
    ),
  ],
)
def test_other_fields_and_tasks_are_refused(places, tmp_path, change, match):
  data = _forged(places, tmp_path, change)
  told = f'{match}.*; rmtl prepare --extend makes data to go on with'
  with pytest.raises(types.InputError, match=told):
    run.train(
      CONFIG, tmp_path / 'run', data, live=QUIET, start_from=places / 'run'
    )
  assert not (tmp_path / 'run').exists()


def _binned(places, **details):
  """Monday's manifest, the price in bins."""
  manifest = manifest_file.read(places / 'monday')
  fields = [f for f in manifest.fields if f.name != 'price']
  details = {'transform': 'bins', 'edges': [1.0], **details}
  price = manifest_lib.Field('price', 'categorical', 3, details=details)
  return dataclasses.replace(manifest, fields=(*fields, price))


def test_the_order_of_bins_may_grow_but_not_come_anew(places):
  config = config_values.with_settings(
    CONFIG, {'network.binned_fields': 'numbers'}
  )

  def check(old, new):
    source = python_types.SimpleNamespace(
      path=places / 'run',
      config=config,
      manifest=_binned(places, **old),
      has=lambda stage: True,
    )
    start_rules.check(source, config, _binned(places, **new), places)

  check({'order': [1]}, {'order': [1, 0]})
  check({'order': [0, 1]}, {'order': [1, 0]})
  with pytest.raises(
    types.InputError, match='the number of ranks of binned fields is 0'
  ):
    check({}, {'order': [1, 0]})


def test_a_start_that_is_none_is_refused(places, tmp_path):
  arguments = (CONFIG, tmp_path / 'run', places / 'tuesday')
  with pytest.raises(types.InputError, match=r'--start_from: .*is not a run'):
    run.train(*arguments, live=QUIET, start_from=places / 'monday')
  shutil.copytree(places / 'run', tmp_path / 'old')
  shutil.rmtree(tmp_path / 'old' / 'vocabulary')
  with pytest.raises(types.InputError, match=r'user\.parquet: '):
    run.train(*arguments, live=QUIET, start_from=tmp_path / 'old')
  for member in (0, 1):
    shutil.rmtree(tmp_path / f'old/members/{member}/checkpoints')
  with pytest.raises(types.InputError, match='no finished stage 1'):
    run.train(*arguments, live=QUIET, start_from=tmp_path / 'old')


def test_a_start_that_was_trained_again_is_refused(places, tmp_path):
  one = config_values.with_settings(CONFIG, {'ensemble': 1, 'variants': ''})
  old, new, data = tmp_path / 'old', tmp_path / 'new', places / 'tuesday'
  run.train(one, old, places / 'monday', ('pretrain',), live=QUIET)
  with pytest.raises(trainer.Interrupted):
    run.train(
      one,
      new,
      data,
      live=QUIET,
      start_from=old,
      interrupted=signals.After(0),
    )
  shutil.rmtree(old)
  other = dataclasses.replace(one, seed=5)
  run.train(other, old, places / 'monday', ('pretrain',), live=QUIET)
  with pytest.raises(types.InputError, match='was trained again since'):
    run.train(one, new, data, live=QUIET)


def test_the_command_takes_the_settings_of_its_start(places, tmp_path, capsys):
  start = ['rmtl', 'train', f'--start_from={places / "run"}']
  more = [f'--workdir={tmp_path / "run"}', '--stage=pretrain']
  assert cli.main([*start, *more]) == 2
  assert '--data_dir: is needed beside --start_from' in capsys.readouterr().err
  more += [f'--data_dir={places / "tuesday"}', '--config.pretrain.max_epochs=1']
  assert cli.main([*start, *more]) == 0
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())['config']
  assert config['pretrain']['max_epochs'] == 1
  network = config_values.from_dict(config).network
  assert network == CONFIG.network
  assert 'Started from' in capsys.readouterr().out


def test_a_table_of_values_finds_its_buckets():
  from rmtl_jax.preparation import vocabulary
  from rmtl_jax.training import warm_start

  old = pa.array([None, 'a', 'b', '(bucket 0)', '(bucket 1)'])
  new = pa.array([None, 'b', 'x', 'a', 'y', '(bucket 0)', '(bucket 1)'])
  found = warm_start._rows(old, new, 2)
  assert found.source.tolist() == [0, 2, -1, 1, -1, 3, 4]
  bucket = {v: 3 + vocabulary.bucket_of(v, 2) for v in ('x', 'y')}
  assert found.base.tolist() == [0, 2, bucket['x'], 1, bucket['y'], 3, 4]
  assert found.has_new
