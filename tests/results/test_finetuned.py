"""Stage 3 after its last epoch: kept, restored, evaluated."""

import shutil

import jax
import numpy as np
import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.results import run_record
from rmtl_jax.runtime import progress, workdir
from rmtl_jax.training import epoch_loop, models, split_data
from tests import signals, tiny

pytestmark = pytest.mark.slow

# At this learning rate no epoch of stage 3 is better than epoch 0.
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 4, 'bottom_units': [8], 'tower_units': [6]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.01},
    'critic': {'max_passes': 3},
    'finetune': {'learning_rate': 0.3, 'max_epochs': 3},
    'evaluation': {'bootstrap': 20},
  }
)
QUIET = progress.Progress(quiet=True)
LAST = ('constant_last', 'finetune_last')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, data_dir):
  """A run, its record, and what the arms were when stage 3 ended."""
  path, ends = tmp_path_factory.mktemp('run'), {}
  original = epoch_loop.fit

  def train(context, stage, arms, *rest):
    found = original(context, stage, arms, *rest)
    if stage == 'finetune':
      for name, arm in arms.items():
        ends[name] = jax.tree.map(np.asarray, arm.params)
    return found

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(epoch_loop, 'fit', train)
    record = run.train(CONFIG, path, data_dir, live=QUIET)
  return path, record, ends


def test_both_arms_are_evaluated_after_the_last_epoch(trained, data_dir):
  path, record, ends = trained
  assert record['best_epoch'] == {'pretrain': 2, 'constant': 0, 'finetune': 0}
  found = record['finetuned_at']
  assert found['epoch'] == 2  # patience
  one = workdir.read(path)
  made = models.Models(one.manifest.feature_spec())
  host = columns_lib.read_split(data_dir, one.manifest, 'test')
  split = split_data.place(host, CONFIG.batch)
  losses = {}
  for arm, params in ends.items():
    p = made.predict(CONFIG, params, split).astype(np.float64)
    losses[arm] = -np.log(np.where(host.labels > 0.5, p, 1 - p)).mean(0)
  # The kept ones are one model, these are not.
  assert record['stages']['constant'] == record['stages']['finetune']
  difference = found['difference']['finetune_minus_constant']
  for k, task in enumerate(tiny.TASKS):
    expected = losses['finetune'][k] - losses['constant'][k]
    assert difference[task]['logloss'] == pytest.approx(expected, rel=1e-4)
    low, high = difference[task]['auc_interval']
    assert difference[task]['auc'] != 0 and low <= high


def test_evaluate_restores_it(trained):
  path, record, _ = trained
  again = run_record.evaluate(path)
  for key in ('finetuned_at', 'verdict', 'warnings'):
    assert again[key] == record[key]
  validation = run_record.evaluate(path, 'validation')['finetuned_at']
  assert validation['epoch'] == 2
  assert validation['difference'] != record['finetuned_at']['difference']


@pytest.fixture
def copied(trained, tmp_path):
  return shutil.copytree(trained[0], tmp_path / 'run')


@pytest.mark.parametrize('left', [LAST, LAST[:1], ()])
def test_a_run_killed_while_stage_3_was_kept_ends_the_same(
  copied, trained, data_dir, left
):
  """Between any two of the checkpoints that it leaves."""
  for name in {'constant', 'finetune', *LAST} - set(left):
    shutil.rmtree(copied / 'checkpoints' / name)
  (copied / 'metrics.json').unlink()
  again = run.train(CONFIG, copied, data_dir, live=QUIET)
  assert signals.without_times(again) == signals.without_times(trained[1])
