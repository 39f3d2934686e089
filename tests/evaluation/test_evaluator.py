import json

import numpy as np
import pytest

from rmtl_jax.evaluation import evaluator, labelled, metrics
from tests import paper

TASKS = ('click', 'conversion')
CONFIG = paper.evaluation(bootstrap=50)
KEYS = {
  'rows',
  'positives',
  'auc',
  'logloss',
  'session_logloss',
  'gauc',
  'ndcg',
  'pr_auc',
  'calibration_error',
  'predicted_over_actual',
  'auc_interval',
  'logloss_interval',
  'session_logloss_interval',
  'gauc_interval',
  'list_rows',
  'sessions',
  'rarer_sessions',
}


def _rows(rows=400, seed=0):
  generator = np.random.default_rng(seed)
  p = generator.uniform(0.02, 0.9, (rows, 2)).astype(np.float32)
  p[:, 1] *= p[:, 0]
  labels = (generator.random((rows, 2)) < p).astype(np.float32)
  session = np.sort(generator.integers(0, rows // 5, rows))
  return p, labels, session


def rows_of(labels, session, tasks=TASKS):
  return labelled.Labelled(labels, session, tasks)


def evaluate(p, rows, config=CONFIG, lists=None):
  predicted = labelled.Predicted(p, lists)
  drawn = evaluator.replicates(predicted, rows, config, 0)
  return evaluator.evaluate(predicted, rows, drawn)


def test_every_metric_is_its_own_function():
  p, labels, session = _rows()
  rows = np.arange(5, 400)
  lists = labelled.Lists(rows, session[rows], p[rows] ** 2)
  found = evaluate(p, rows_of(labels, session), lists=lists)
  assert list(found) == list(TASKS)
  for k, task in enumerate(TASKS):
    record = found[task]
    y, q = labels[:, k], p[:, k]
    assert set(record) == KEYS
    assert record['rows'] == 400
    assert record['list_rows'] == 395
    assert record['positives'] == y.sum()
    assert record['auc'] == metrics.auc(y, q)
    assert record['logloss'] == metrics.logloss(y, q)
    assert record['session_logloss'] == metrics.session_logloss(y, q, session)
    assert record['gauc'] == metrics.gauc(y[rows], q[rows] ** 2, session[rows])
    assert record['pr_auc'] == metrics.pr_auc(y, q)
    assert record['calibration_error'] == metrics.calibration_error(y, q, 20)
    assert record['predicted_over_actual'] == metrics.predicted_over_actual(
      y, q
    )
    for name in ('auc', 'gauc', 'logloss', 'session_logloss'):
      low, high = record[f'{name}_interval']
      assert low < record[name] < high
  assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_lists_no_order_is_judged():
  p, labels, session = _rows()
  found = evaluate(p, rows_of(labels, session))['click']
  assert not {'gauc', 'ndcg', 'list_rows', 'gauc_interval'} & {*found}


def test_undefined_metrics_are_null():
  p = np.full((3, 2), 0.25)
  labels = np.zeros((3, 2))
  session = np.array([1, 1, 2])
  lists = labelled.Lists(np.arange(3), session, p)
  found = evaluate(p, rows_of(labels, session), lists=lists)['click']
  for name in ('auc', 'gauc', 'pr_auc', 'predicted_over_actual'):
    assert found[name] is None
  assert found['auc_interval'] is None
  assert found['calibration_error'] == 0.25
  assert found['logloss'] == pytest.approx(-np.log(0.75))
  assert found['logloss_interval'] is not None
  json.dumps(found, allow_nan=False)


def test_validation_auc():
  labels = np.array([[1, 0], [0, 0], [1, 0]])
  p = np.array([[0.9, 0.1], [0.5, 0.2], [0.5, 0.3]], np.float32)
  found = evaluator.validation_auc(p, rows_of(labels, np.arange(3)))
  assert found.dtype == np.float64
  np.testing.assert_array_equal(found, [0.75, np.nan])
