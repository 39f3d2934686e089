"""Balanced runs: resumed, and as a reader sees them."""

import json
import types

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.training import conflicts, context, splits, trainer
from tests import signals, tiny

QUIET = rmtl_jax.Progress(quiet=True)


def _settings(name, **changes):
  """Both stages balanced, on networks and batches that are tiny."""
  return config_values.from_dict(
    {
      'backbone': 'mmoe',
      'network': {
        'embedding_dim': 4,
        'bottom_units': [4],
        'tower_units': [4],
        'num_experts': 2,
      },
      'pretrain': {
        'learning_rate': 0.05,
        'max_epochs': 2,
        'balancing': {'name': name},
      },
      'critic': {'max_passes': 2, 'min_passes': 1},
      'finetune': {'max_epochs': 2, 'balancing': {'name': name}},
      'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 2},
      'checkpoint_minutes': 0.0,
      'evaluation': {'bootstrap': 0},
      **changes,
    }
  )


def _assert_resumes(config, tmp_path, stages, questions):
  """Cut off at some questions, a run ends with the figures of a whole one."""
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=60)
  record = rmtl_jax.train(config, tmp_path / 'whole', data, stages, live=QUIET)
  for question in questions:
    with pytest.raises(trainer.Interrupted):
      rmtl_jax.train(
        config,
        run,
        data,
        stages,
        live=QUIET,
        interrupted=signals.At(question),
      )
  again = rmtl_jax.train(config, run, data, stages, live=QUIET)
  assert again['stages'] == record['stages']


@pytest.mark.slow
def test_a_state_resumes_in_the_middle_of_an_epoch(tmp_path):
  """One like the parameters, of which row-wise Adam sees a batch's rows."""
  config = config_values.with_settings(
    _settings('db_mtl'), {'network.embedding_adam': 'rows'}
  )
  _assert_resumes(config, tmp_path, ['pretrain'], [3])


@pytest.mark.parametrize(
  'wanted, lanes, count',
  # 40 sessions of 4 rows are 40 lanes of 4 slots.
  [(4, 1, 2), (1, 1, 1), (4, 2, 1), (4, 8, 1)],
)
def test_gradients_are_compared_on_a_twentieth_of_an_epoch(
  wanted, lanes, count
):
  config = config_values.with_settings(
    config_lib.Config(),
    {
      'batch.lanes': lanes,
      'batch.lane_length': 4,
      'evaluation.gradient_batches': wanted,
    },
  )
  rows = types.SimpleNamespace(starts=np.arange(0, 164, 4), begins_time=None)
  train = splits.Split(rows, None, config.batch)
  found = context.Context(config, (), train, train, None, None).sample
  assert found.row.shape == (count, lanes, 4)


def test_the_history_tells_weights_and_whether_tasks_conflict(tmp_path):
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=60)
  config = config_values.with_settings(
    _settings('static'),
    {
      'pretrain.balancing.weights': 'click=1,conversion=3',
      'finetune.balancing.name': 'equal',
    },
  )
  rmtl_jax.train(config, run, data, ['pretrain'], live=QUIET)
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  epochs = [json.loads(line) for line in lines]
  assert len(epochs) == 2
  for epoch in epochs:
    assert epoch['weight_mean_click'] == pytest.approx(0.5)
    assert epoch['weight_mean_conversion'] == pytest.approx(1.5)
    assert epoch['gradient_norm_click'] > 0.0
    assert -1.0 <= epoch['gradient_cosine_click_and_conversion'] <= 1.0
    share = epoch['gradient_conflict_click_and_conversion']
    assert 0.0 <= share <= 1.0
  rmtl_jax.write_report(run)
  page = (run / 'report' / 'report.md').read_text()
  assert '## Tasks' in page
  assert 'Stage 1: constant weights.' in page
  assert '| stage 1 | 2 | 0.500 | 1.500 |' in page


def test_figures_are_means_over_batches_that_have_the_tasks():
  """Of four batches two have both tasks, three the first, none the third."""
  sums = {'norm_0': 6.0, 'norm_1': 4.0, 'norm_2': 0.0}
  sums |= {'batches_0': 3.0, 'batches_1': 2.0, 'batches_2': 0.0}
  for pair, cosine, batches in (
    ('0_1', 0.5, 2.0),
    ('0_2', 0, 0),
    ('1_2', 0, 0),
  ):
    sums |= {f'cosine_{pair}': cosine, f'batches_{pair}': batches}
    sums[f'conflict_{pair}'] = 1.0 if batches else 0.0
  assert conflicts._means(sums, ['a', 'b', 'c']) == {
    'gradient_norm_a': 2.0,
    'gradient_norm_b': 2.0,
    'gradient_cosine_a_and_b': 0.25,
    'gradient_conflict_a_and_b': 0.5,
  }
