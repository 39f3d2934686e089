"""KuaiRand's random log as a split of its own."""

from __future__ import annotations

import shutil

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import columns, manifest_file, reading
from rmtl_jax.preparation import prepare
from rmtl_jax.preparation.contract import rules as contract
from tests.preparation import raw_files
from tests.preparation.extending import at_once
from tests.preparation.sources import test_kuairand as kuairand


def write(tmp_path, random_rows):
  """Sessions of two rows of 5 users, 8 hours apart; rows of random exposure."""
  rows = [
    kuairand.row(
      8 * i + j / 10, user=i % 5, video=i % 3, click=(i + j) % 2, tab=j
    )
    for i in range(30)
    for j in range(2)
  ]
  raw_dir = kuairand.write(tmp_path, rows)
  raw_files.write(
    raw_dir / 'log_random_4_22_to_5_08_pure.csv',
    [kuairand.LOG_HEADER, *random_rows],
  )
  return raw_dir


def random_row(hours, **changes):
  return kuairand.row(hours, is_rand=1, **changes)


# Hour 192 begins the test period: 24 of the 30 sessions are before it.
RANDOM = [
  random_row(1, user=0, video=90),  # of train's period, so left out
  random_row(191.9, user=1, video=91),
  random_row(200.02, user=0, video=2, click=1),  # within a session of test
  random_row(200.05, user=0, video=92),
  random_row(230, user=7, video=0),
]


@pytest.fixture
def data(tmp_path):
  raw_dir = write(tmp_path, RANDOM)
  found = {}
  for name, options in (
    ('alone', {}),
    ('out', {'random_split': True, 'as_of': ('views', 'counts', 'rates')}),
  ):
    config = prepare_config.PrepareConfig(
      source='kuairand',
      raw_dir=str(raw_dir),
      data_dir=str(tmp_path / name),
      min_count=1,
      split=(6, 2, 2),
      **({'as_of': ('none',)} | options),
    )
    found[name] = prepare.prepare(config)
  return tmp_path, found['alone'], found['out']


def test_splits_are_those_of_the_other_rows_and_one_more(data):
  path, alone, out = data
  assert [*alone.splits] == ['train', 'validation', 'test']
  assert [*out.splits] == [*alone.splits, 'random']
  for name, split in alone.splits.items():
    mine = out.splits[name]
    assert (mine.rows, mine.sessions, mine.end_ms, mine.start_ms) == (
      *(split.rows, split.sessions),
      *(split.end_ms, split.start_ms),
    )
  random = out.splits['random']
  assert (random.rows, random.sessions, random.end_ms) == (3, 2, None)
  assert random.positives == {'click': 1, 'conversion': 0}
  dropped = out.report['dropped']
  assert dropped['random row before the test period'] == 2
  contract.check(path / 'out')
  assert manifest_file.read(path / 'out') == out
  assert not (path / 'out' / 'past').exists()


def test_nothing_of_random_rows_is_in_vocabularies_and_train(data):
  path, alone, out = data
  videos = raw_files.vocabulary(path, 'video_id')
  assert not {'90', '91', '92'} & {*videos}
  names = [f.name for f in out.fields]
  assert 'is_rand' not in names
  for split in ('train', 'validation'):
    old = at_once.read(path / 'alone', alone, split)
    new = at_once.read(path / 'out', out, split)
    assert len(new) == len(old) > 0
    assert [{k: r[k] for k in old[0]} for r in new] == old


def test_as_of_features_are_made_as_for_test(data):
  path, _, out = data
  rows = raw_files.read(path, 'random')
  assert [row['step'] for row in rows] == [0, 1, 0]
  assert [row['user_id'] for row in rows] == [0, 0, 7]
  # Users 0 to 4 are known, videos 0 to 2 too; others are row 0.
  assert [row['f_user_id'] > 0 for row in rows] == [True, True, False]
  assert [row['f_video_id'] > 0 for row in rows] == [True, False, True]
  host = columns.read_split(path / 'out', out, 'random')
  assert host.rows == 3
  fields = [f.name for f in out.of_kind('categorical')]
  seen = host.field(fields.index('asof_user_rows'))
  assert seen[0] > 0  # user 0 has rows before
  assert len(reading.Snapshot(path / 'out', out)._rows) == 4


def test_a_run_is_evaluated_on_it(tmp_path):
  from rmtl_jax import cli

  raw_dir = write(tmp_path, RANDOM)
  base = ['--source=kuairand', f'--raw_dir={raw_dir}', '--as_of=none']
  data = f'--data_dir={tmp_path}/data'
  prepare = ['rmtl', 'prepare', *base, data, '--random_split', '--min_count=1']
  assert cli.main(prepare) == 0
  run = f'--workdir={tmp_path}/run'
  config = 'network.bottom_units=4 network.tower_units=4 batch.lanes=1'
  config += ' batch.lane_length=8 pretrain.max_epochs=1 evaluation.bootstrap=0'
  flags = [f'--config.{setting}' for setting in config.split()]
  train = ['rmtl', 'train', data, run, '--preset=paper', '--stage=pretrain']
  assert cli.main([*train, '--config.backbone=shared_bottom', *flags]) == 0
  assert cli.main(['rmtl', 'evaluate', run, '--split=random']) == 0
  assert (tmp_path / 'run' / 'evaluation' / 'random.json').exists()
  assert cli.main(['rmtl', 'describe', f'{tmp_path}/data']) == 0
  # A file of random rows counts as the run's data.
  other = tmp_path / 'data' / 'test' / 'part-00000.parquet'
  own = tmp_path / 'data' / 'random' / 'part-00000.parquet'
  own.chmod(0o644)
  shutil.copy(other, own)
  assert cli.main(['rmtl', 'evaluate', run, '--split=random']) == 2


@pytest.mark.parametrize(
  'options, random_rows, words',
  [
    ({}, RANDOM[:2], 'no row of random exposure lies in the test period'),
    ({'include_random': True}, RANDOM, 'random_split: include_random'),
    ({'split_by': 'user'}, RANDOM, 'needs splits by time, and split_by is'),
  ],
)
def test_what_is_refused(tmp_path, options, random_rows, words):
  raw_dir = write(tmp_path, random_rows)
  raw_files.fails(
    tmp_path,
    lambda: raw_files.run(
      tmp_path,
      'kuairand',
      raw_dir,
      random_split=True,
      **({'as_of': ('none',)} | options),
    ),
    words,
  )


def test_it_is_not_extended(data):
  path, *_ = data
  config = prepare_config.PrepareConfig(
    source='kuairand',
    raw_dir=str(path / 'raw'),
    data_dir=str(path / 'more'),
    extend=str(path / 'out'),
  )
  with pytest.raises(types.InputError, match='has a split of random rows'):
    prepare.prepare(config)
