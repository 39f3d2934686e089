"""From a sampled log with missing labels to predictions of the whole log."""

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax.evaluation import metrics
from rmtl_jax.serving import exported
from rmtl_jax.serving.export import export_writer
from tests.library import small

pytestmark = pytest.mark.slow

RATE = 0.25


def whole_log(rows=4_000):
  """Clicks, purchases after them (some untold), likes, and weights."""
  rng = np.random.default_rng(0)
  item = rng.integers(0, 12, rows)
  click = (rng.random(rows) < 0.02 + 0.03 * item).astype(int)
  buy = click * (rng.random(rows) < 0.5)
  return {
    'session_id': np.arange(rows) // 4,
    'item_id': item,
    'timestamp': 1_700_000_000 + np.arange(rows),
    'click': click,
    'buy': np.where(rng.random(rows) < 0.1, np.nan, buy),
    'like': (rng.random(rows) < 0.3).astype(int),
    'importance': rng.integers(1, 3, rows),
  }


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  log = whole_log()
  draw = np.random.default_rng(1).random(len(log['click']))
  kept = (log['click'] == 1) | (draw < RATE)
  buy = {'column': 'buy', 'after': 'click', 'null': 'not_observed'}
  ranker = rmtl_jax.Ranker(
    tasks={
      'click': {'column': 'click', 'negatives_kept': RATE},
      'buy': buy,
      'buy_of_click': buy | {'only_after': True},
      'like': {'column': 'like', 'weight': 'importance'},
    },
    schema={'user': None, 'from_time': ()},
    prepare={'as_of': ()},
    fine_tune=False,
    config=small.SETTINGS
    | {'batch.lanes': 4, 'evaluation.calibration': 'none'},
    workdir=tmp_path_factory.mktemp('rows') / 'run',
  )
  sampled = {
    name: [None if v != v else v for v in values[kept].tolist()]
    for name, values in log.items()
  }
  return log, kept, ranker.fit(sampled)


def test_predictions_are_of_the_whole_log(fitted):
  log, kept, ranker = fitted
  names = ('session_id', 'item_id', 'timestamp')
  rows = {name: log[name].tolist() for name in names}
  found = dict(zip(ranker.tasks_, ranker.predict_proba(rows).T, strict=True))
  rates = {
    'click': log['click'].mean(),
    'buy': np.nanmean(log['buy']),
    'buy_of_click': np.nanmean(log['buy'][log['click'] == 1]),
    'like': log['like'].mean(),
  }
  sampled = log['click'][kept].mean()
  assert sampled > 2 * rates['click']
  for task, rate in rates.items():
    assert found[task].mean() == pytest.approx(rate, rel=0.2), task
  assert metrics.auc(log['click'], found['click']) > 0.6


def test_metrics_are_of_the_rows_that_count(fitted):
  log, _, ranker = fitted
  test = ranker.metrics_
  assert test['click']['rate'] == pytest.approx(log['click'].mean(), rel=0.2)
  assert test['click']['positives'] / test['click']['rows'] > 0.4
  assert test['buy_of_click']['rows'] <= test['click']['positives']
  assert test['buy']['rows'] < test['click']['rows'] == test['like']['rows']
  assert test['click']['predicted_over_actual'] == pytest.approx(1, abs=0.3)
  again = rmtl_jax.evaluate(ranker.run_dir_, 'test')
  assert again['stages']['pretrain']['click']['rate'] == test['click']['rate']


def test_an_export_predicts_as_the_run_does(fitted, tmp_path):
  log, _, ranker = fitted
  export_writer.export(ranker.model_, tmp_path / 'out')
  rows = {'item_id': log['item_id'][:50].tolist()}
  found = exported.load(tmp_path / 'out').predict(rows)
  for task, values in ranker.model_.predict(rows).items():
    np.testing.assert_allclose(found[task], values, rtol=1e-5)
