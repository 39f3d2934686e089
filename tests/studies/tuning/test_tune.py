"""Searches on tiny data."""

import dataclasses
import itertools
import json
import re
import shutil
import sys
import types as types_lib

import pyarrow.parquet as pq
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.studies.tuning import search, trials, tune
from rmtl_jax.training import trainer
from tests import tiny
from tests.studies.comparison import test_compare

pytestmark = pytest.mark.slow

# Slower than what learns best, so that trials can gain.
CONFIG = config_values.with_settings(
  test_compare.CONFIG, {'pretrain.learning_rate': 1e-5}
)
QUIET = progress.Progress(quiet=True)


def wanted(*texts, **more):
  space = tuple(search.parse(text, CONFIG) for text in texts)
  return tune.Options(
    space, **{'trials': 3, 'seeds': (5,), 'confirm': 0, **more}
  )


RATE = wanted('pretrain.learning_rate=1e-6:0.05:log')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Prepared data whose test split is not there: nothing may read it."""
  path = tmp_path_factory.mktemp('data')
  tiny.write_prepared(path)
  shutil.rmtree(path / 'test')
  return path


@pytest.fixture(scope='module')
def tuned(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('tuning')
  return path, tune.tune(CONFIG, RATE, path, data_dir, QUIET)


def test_the_best_trial_is_kept(tuned):
  path, record = tuned
  assert json.loads((path / 'tuning.json').read_text()) == record
  trials = record['trials']
  assert len(trials) == 4 and trials[0]['settings'] == {}
  assert record['best'] == max(trials, key=lambda t: t['validation_auc'])
  rates = {t['settings'].get('pretrain.learning_rate') for t in trials}
  assert len(rates) == 4
  assert all(1e-6 <= rate <= 0.05 for rate in rates - {None})


def test_the_best_settings_are_a_config(tuned):
  path, record = tuned
  config = config_flags.load(str(path / 'best.json'))
  best = record['best']['settings']
  rate = best.get('pretrain.learning_rate', CONFIG.pretrain.learning_rate)
  assert config.pretrain.learning_rate == rate
  assert config.network == CONFIG.network


def test_settings_that_do_not_fit_leave_no_search(tmp_path, data_dir):
  config = config_values.with_settings(CONFIG, {'network.ignore': 'itme'})
  with pytest.raises(types.InputError, match='itme'):
    tune.tune(config, RATE, tmp_path / 'new', data_dir, QUIET)
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
  ('texts', 'told'),
  [
    (
      (
        'pretrain.balancing.name=equal|gradnorm',
        'pretrain.balancing.alpha=1:2',
      ),
      r'--search: pretrain.balancing.alpha=1.0: config.pretrain.balancing'
      '.alpha: equal does not know it',
    ),
    (
      ('network.embedding_adam=dense|rows', 'network.crosses=|user*item'),
      r'--search: network.embedding_adam=rows and network.crosses=user\*item: ',
    ),
    (('batch.lanes=4:8',), '--search: batch.lanes=5: config.batch.readers: 4'),
    (('network.crosses=|user*itme',), "network.crosses=.*'itme' is no"),
    (
      (
        'pretrain.balancing.name=gradnorm|metabalance',
        'pretrain.balancing.alpha=0.5:1.5',
      ),
      'name=metabalance and pretrain.balancing.alpha=1.5: .* from 0 to 1',
    ),
  ],
)
def test_a_space_that_settings_or_data_forbid_leaves_no_search(
  tmp_path, data_dir, texts, told
):
  config = config_values.with_settings(
    CONFIG, {'batch.lanes': 8, 'batch.readers': 4}
  )
  with pytest.raises(types.InputError, match=told):
    tune.tune(config, wanted(*texts), tmp_path / 'new', data_dir, QUIET)
  assert not (tmp_path / 'new').exists()


def test_a_space_without_an_item_has_nothing_that_reads_it(tmp_path, data_dir):
  config = config_values.with_settings(CONFIG, {'network.ignore': 'item'})
  options = wanted('network.session_encoder=none|mean')
  with pytest.raises(types.InputError, match=r'--search: .*encoder=mean'):
    tune.tune(config, options, tmp_path / 'new', data_dir, QUIET)


@pytest.mark.parametrize(
  'texts',
  [
    ('batch.lanes=6|12', 'batch.readers=3|6'),
    (
      'pretrain.balancing.name=gradnorm|metabalance',
      'pretrain.balancing.alpha=0.5:0.8',
    ),
  ],
)
def test_values_that_only_the_given_settings_forbid_may_be_searched(
  tmp_path, data_dir, texts
):
  config = config_values.with_settings(
    CONFIG, {'batch.lanes': 8, 'batch.readers': 4}
  )
  options = wanted(*texts, trials=1)
  record = tune.tune(config, options, tmp_path / 'new', data_dir, QUIET)
  assert len(record['trials']) == 2


def test_data_that_were_replaced_are_refused(tuned, data_dir, tmp_path):
  path = shutil.copytree(tuned[0], tmp_path / 'tuning')
  data = shutil.copytree(data_dir, tmp_path / 'data')
  part = data / 'train/part-00000.parquet'
  pq.write_table(pq.read_table(part, partitioning=None), part, compression=None)
  told = re.escape(f'{part}: the data were replaced since {path} began')
  with pytest.raises(types.InputError, match=told):
    tune.tune(CONFIG, RATE, path, data, QUIET)


def test_a_search_goes_on_where_it_stopped(tmp_path, data_dir, tuned):
  stops = 0
  while True:
    try:
      stop = test_compare.StopAfter(20 + 20 * stops)
      again = tune.tune(CONFIG, RATE, tmp_path, data_dir, QUIET, stop)
      break
    except trainer.Interrupted:
      stops += 1
  assert stops >= 1
  assert again == tuned[1]


def test_more_trials_go_on_from_the_finished_ones(tuned, data_dir):
  path, record = tuned
  more = tune.tune(CONFIG, RATE._replace(trials=4), path, data_dir, QUIET)
  assert more['trials'][:4] == record['trials']
  assert len(more['trials']) == 5


def test_no_trial_starts_after_the_time_is_over(
  tmp_path, data_dir, tuned, monkeypatch
):
  shutil.copytree(tuned[0] / 'trials', tmp_path / 'trials')
  # The start, before each trial (two are in time) and after each.
  begin = [0.0, 1.0, 30.0, 59.0, 70.0]
  ticks = itertools.chain(begin, itertools.repeat(71.0))
  clock = types_lib.SimpleNamespace(monotonic=lambda: next(ticks))
  said = []
  live = progress.Progress(quiet=True)
  monkeypatch.setattr(live, 'say', said.append)
  with monkeypatch.context() as patched:
    patched.setattr(tune, 'time', clock)
    options = RATE._replace(minutes=1, confirm=2, confirm_seeds=(8, 9))
    record = tune.tune(CONFIG, options, tmp_path, data_dir, live)
  assert record['trials'] == tuned[1]['trials'][:3]
  assert '--minutes are over after 2 of 3 trials' in said
  better = [
    t['settings']
    for t in record['trials'][1:]
    if t['validation_auc'] > record['trials'][0]['validation_auc']
  ]
  # The best one is confirmed, and the others are not any more.
  assert len(record['confirmed']) == (2 if better else 0)
  late = '1 of the 2 best trials confirmed, the others are not taken'
  assert (f'--minutes are over: {late}' in said) == (len(better) > 1)
  # A start without a limit goes on from there.
  assert tune.tune(CONFIG, RATE, tmp_path, data_dir, QUIET) == tuned[1]


# A run takes 10 s. The first trial and its confirmation, two points with two
# seeds each, fit into a minute that has begun; a second one does not. Without
# confirmation 18 s are enough for as many.
@pytest.mark.parametrize(
  ('minutes', 'confirm', 'what'),
  [
    (1, 2, 'are too short for another one and the confirmation'),
    (0.3, 0, 'are too short for another one'),
  ],
)
def test_the_time_of_the_confirmation_is_kept_back(
  tmp_path, data_dir, tuned, monkeypatch, minutes, confirm, what
):
  shutil.copytree(tuned[0] / 'trials', tmp_path / 'trials')
  ticks = itertools.chain([0.0, 1.0], itertools.repeat(11.0))
  clock = types_lib.SimpleNamespace(monotonic=lambda: next(ticks))
  said = []
  live = progress.Progress(quiet=True)
  monkeypatch.setattr(live, 'say', said.append)
  monkeypatch.setattr(tune, 'time', clock)
  monkeypatch.setattr(
    trials.Trainer,
    'seconds',
    lambda self, points, seeds: 10 * len(points) * seeds,
  )
  options = RATE._replace(
    minutes=minutes, confirm=confirm, confirm_seeds=(8, 9)
  )
  record = tune.tune(CONFIG, options, tmp_path, data_dir, live)
  assert record['trials'] == tuned[1]['trials'][:2]
  assert f'--minutes {what} after 1 of 3 trials' in said


def test_ids_and_batches_are_searched(tmp_path, data_dir):
  space = wanted(
    'network.ignore=item|user+item',
    'network.session_encoder=mean|target_attention',
    'batch.lanes=2|1',
    trials=2,
  )
  record = tune.tune(CONFIG, space, tmp_path, data_dir, QUIET)
  for trial in record['trials'][1:]:
    assert set(trial['settings']) == {'network.ignore', 'batch.lanes'}
    assert not trial['pruned']


def test_stage_3_is_searched_after_the_other_two(tmp_path, data_dir):
  space = wanted(
    'finetune.learning_rate=1e-4:1e-2:log',
    'weighting.lambda_=0.1:1.0',
    stage='finetune',
    trials=2,
  )
  config = dataclasses.replace(CONFIG, backbone='shared_bottom')
  record = tune.tune(config, space, tmp_path, data_dir, QUIET)
  assert record['method'].startswith('shared_bottom+critic')
  assert 'learning_rate' not in record['method']
  for trial in record['trials'][1:]:
    assert set(trial['settings']) == {
      'finetune.learning_rate',
      'weighting.lambda_',
    }
  # Epoch 0 is a candidate, so that no trial is worse than stage 1.
  first = json.loads(
    (tmp_path / 'trials' / 'shared_bottom' / '5.json').read_text()
  )
  assert record['best']['validation_auc'] >= max(first['validation_auc'])


def test_an_ensemble_is_searched_as_one_model(tmp_path, data_dir):
  config = config_values.with_settings(
    CONFIG,
    {
      'backbone': 'shared_bottom',
      'ensemble': 2,
      'variants': 'network.ignore=user;backbone=omoe',
    },
  )
  space = wanted('network.dropout=0.2|0.0', trials=2)
  record = tune.tune(config, space, tmp_path, data_dir, QUIET)
  assert record['ensemble'] == 2
  values = [trial['validation_auc'] for trial in record['trials']]
  # The first is the model of `rmtl train`.
  assert record['trials'][0]['settings'] == {} and len(set(values)) > 1
  best = config_flags.load(str(tmp_path / 'best.json'))
  assert (best.ensemble, best.variants) == (2, config.variants)
  chosen = record['best']['settings']
  assert best.network.dropout == chosen.get('network.dropout', 0.2)


FRESH = RATE._replace(confirm=2, confirm_seeds=(8, 9))


@pytest.fixture(scope='module')
def confirmed(tuned, data_dir):
  """The same search, gone on with to a confirmation."""
  path, _ = tuned
  files = {f: f.stat().st_mtime_ns for f in path.glob('trials/**/*.json')}
  record = tune.tune(CONFIG, FRESH, path, data_dir, QUIET)
  for file, time in files.items():
    assert file.stat().st_mtime_ns == time
  return path, record


def test_fresh_seeds_choose(confirmed, tuned):
  path, record = confirmed
  assert record['trials'] == tuned[1]['trials']
  assert record['confirm_seeds'] == [8, 9]
  base, *tried = record['confirmed']
  assert base['settings'] == {} and not base['passes']
  better = [
    t['settings']
    for t in sorted(record['trials'], key=lambda t: -t['validation_auc'])
    if t['validation_auc'] > record['trials'][0]['validation_auc']
  ]
  assert better and [t['settings'] for t in tried] == better[:2]
  for entry in (base, *tried):
    rate = entry['settings'].get('pretrain.learning_rate')
    name = 'mmoe' if rate is None else f'mmoe,pretrain.learning_rate={rate}'
    runs = [
      json.loads((path / 'trials' / name / f'{seed}.json').read_text())
      for seed in (8, 9)
    ]
    assert entry['by_seed'] == [max(run['validation_auc']) for run in runs]
    assert len(entry['halves']) == 2
    # The whole lies near its halves.
    for run in runs:
      whole, (low, high) = max(run['validation_auc']), run['validation_halves']
      assert min(low, high) - 0.1 < whole < max(low, high) + 0.1
  config = config_flags.load(str(path / 'best.json'))
  rate = record['chosen'].get(
    'pretrain.learning_rate', CONFIG.pretrain.learning_rate
  )
  assert config.pretrain.learning_rate == rate
  assert record['base_kept'] == (record['chosen'] == {})


def test_a_confirmation_goes_on_where_it_stopped(
  tmp_path, data_dir, tuned, confirmed
):
  shutil.copytree(tuned[0] / 'trials', tmp_path / 'trials')
  removed = [
    file
    for seed in (8, 9)
    for file in (tmp_path / 'trials').glob(f'*/{seed}.json')
  ]
  assert len(removed) >= 4
  for file in removed[1:]:
    file.unlink()
  with pytest.raises(trainer.Interrupted):
    stop = test_compare.StopAfter(5)
    tune.tune(CONFIG, FRESH, tmp_path, data_dir, QUIET, stop)
  assert not (tmp_path / 'best.json').exists()
  again = tune.tune(CONFIG, FRESH, tmp_path, data_dir, QUIET)
  assert again == confirmed[1]


def test_lost_trials_are_spared_their_other_seeds(
  tmp_path, data_dir, monkeypatch
):
  space = wanted('pretrain.learning_rate=1e-9|0.03|2e9', seeds=(5, 7), trials=8)
  said = []
  live = progress.Progress(quiet=True)
  monkeypatch.setattr(live, 'say', said.append)
  record = tune.tune(CONFIG, space, tmp_path, data_dir, live)
  tried = {
    trial['settings']['pretrain.learning_rate']: trial
    for trial in record['trials'][1:]
  }
  runs = {rate: len(trial['by_seed']) for rate, trial in tried.items()}
  assert runs == {1e-9: 1, 0.03: 2, 2e9: 0}
  assert {rate for rate in tried if tried[rate]['pruned']} == {1e-9, 2e9}
  assert record['best'] == tried[0.03]
  lines = [line for line in said if line.startswith('trial ')]
  assert len(lines) == 8 and any('the others are spared' in x for x in lines)
  assert all('at most' in line and 'left' in line for line in lines[:-1])
  # Started again it meets its own files, and decides alike.
  assert tune.tune(CONFIG, space, tmp_path, data_dir, QUIET) == record


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'confirm_seeds': (8, 5)}, '--confirm_seeds: 5 is one of --seeds'),
    ({'confirm_seeds': (8,)}, '--confirm_seeds: 8 is not a list of at least'),
    ({'confirm_seeds': (8, 8)}, r'--confirm_seeds: \(8, 8\) names one twice'),
    ({'confirm_seeds': (8, -1)}, r'--confirm_seeds: \(8, -1\) is not a list'),
    ({'space': RATE.space * 2}, '--search: has pretrain.learning_rate twice'),
    ({'seeds': ()}, r'--seeds: \(\) is not a list of seeds'),
    ({'seeds': (5, 5)}, r'--seeds: \(5, 5\) names one twice'),
    ({'stage': 'critic'}, "--stage: 'critic' is not one of pretrain, finetune"),
    ({'trials': 0}, '--trials: 0 is not between 1 and'),
    ({'confirm': -1}, '--confirm: -1 is not between 0 and'),
    ({'sampler_seed': 2**32}, '--sampler_seed: 4294967296 is not between 0'),
    ({'minutes': -1.0}, '--minutes: -1.0 is not a time'),
    ({'minutes': float('nan'), 'confirm': 0}, '--minutes: nan is not a time'),
  ],
)
def test_options_that_mean_nothing(tmp_path, data_dir, changes, expected):
  with pytest.raises(types.InputError, match=expected):
    tune.tune(CONFIG, FRESH._replace(**changes), tmp_path, data_dir, QUIET)


def test_optuna_is_an_extra(tmp_path, data_dir, monkeypatch):
  monkeypatch.setitem(sys.modules, 'optuna', None)
  with pytest.raises(types.InputError, match='pip install optuna'):
    tune.tune(config_lib.Config(), RATE, tmp_path, data_dir, QUIET)


def test_a_database_gets_every_trial_once(tmp_path, data_dir, tuned):
  optuna = pytest.importorskip('optuna')
  url = f'sqlite:///{tmp_path / "trials.db"}'
  options = RATE._replace(storage=url)
  path = shutil.copytree(tuned[0], tmp_path / 'tuning')
  # With a copy and without, and started again, the search is the same.
  for _ in range(2):
    assert tune.tune(CONFIG, options, path, data_dir, QUIET) == tuned[1]
  (name,) = optuna.get_all_study_names(url)
  assert name == str(path.resolve())
  study = optuna.load_study(study_name=name, storage=url)
  trials = tuned[1]['trials']
  assert [t.user_attrs['number'] for t in study.trials] == [0, 1, 2, 3]
  assert [t.user_attrs['settings'] for t in study.trials] == [
    t['settings'] for t in trials
  ]
  assert [t.value for t in study.trials] == [
    t['validation_auc'] for t in trials
  ]
  assert study.trials[0].params == {}
  assert all('pretrain.learning_rate' in t.params for t in study.trials[1:])
  # Numbers of another search mean other settings.
  other = options._replace(sampler_seed=1, trials=1)
  tune.tune(CONFIG, other, path, data_dir, QUIET)
  again = optuna.load_study(study_name=name, storage=url)
  assert [t.user_attrs['number'] for t in again.trials] == [0, 1]


def test_a_search_goes_by_logloss_where_that_is_monitored(tmp_path, data_dir):
  optuna = pytest.importorskip('optuna')
  config = config_values.with_settings(
    CONFIG, {'evaluation.monitor': 'logloss'}
  )
  url = f'sqlite:///{tmp_path / "trials.db"}'
  options = RATE._replace(
    trials=2, confirm=1, confirm_seeds=(8, 9), storage=url
  )
  said = []
  live = progress.Progress(quiet=True)
  live.say = said.append
  record = tune.tune(config, options, tmp_path / 't', data_dir, live)
  assert record['monitor'] == 'logloss'
  figures = [trial['validation_logloss'] for trial in record['trials']]
  assert record['best']['validation_logloss'] == min(figures)
  assert all('relative logloss' in x for x in said if x.startswith('trial '))
  (name,) = optuna.get_all_study_names(url)
  study = optuna.load_study(study_name=name, storage=url)
  assert [trial.value for trial in study.trials] == figures
  assert study.direction == optuna.study.StudyDirection.MINIMIZE
  base, *others = record['confirmed']
  for entry in others:
    pairs = zip(base['by_seed'], entry['by_seed'], strict=True)
    gain = sum(old - new for old, new in pairs) / 2
    assert entry['gain'] == pytest.approx(gain)
  path = next((tmp_path / 't' / 'trials').glob('*/5.json'))
  run = json.loads(path.read_text())
  # The epoch with the lowest logloss was kept, whatever its AUC.
  best = run['validation_logloss'].index(min(run['validation_logloss']))
  assert run['best_epoch'] == best + 1
  assert len(run['validation_halves']) == 2


def test_a_database_that_is_none_is_refused(tmp_path, data_dir):
  options = RATE._replace(storage='nothing://here')
  with pytest.raises(types.InputError, match='--storage: cannot be opened'):
    tune.tune(CONFIG, options, tmp_path / 'new', data_dir, QUIET)
  assert not (tmp_path / 'new').exists()
