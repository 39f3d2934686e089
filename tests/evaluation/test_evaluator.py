import json

import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import evaluator, labelled, metrics

TASKS = ('click', 'conversion')
CONFIG = config_lib.EvaluationConfig(bootstrap=50)
KEYS = {
  'rows',
  'positives',
  'auc',
  'logloss',
  'session_logloss',
  'gauc',
  'ndcg',
  'mrr',
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
  'undefined_draws',
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
  return evaluator.evaluate(labelled.Predicted(p, lists), rows, config, 0)


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
  assert not {'gauc', 'ndcg', 'mrr', 'list_rows', 'gauc_interval'} & {*found}


def test_undefined_metrics_are_null():
  p = np.full((3, 2), 0.25)
  labels = np.zeros((3, 2))
  session = np.array([1, 1, 2])
  lists = labelled.Lists(np.arange(3), session, p)
  found = evaluate(p, rows_of(labels, session), lists=lists)['click']
  for name in ('auc', 'gauc', 'mrr', 'pr_auc', 'predicted_over_actual'):
    assert found[name] is None
  assert found['auc_interval'] is None
  assert found['calibration_error'] == 0.25
  assert found['logloss'] == pytest.approx(-np.log(0.75))
  assert found['logloss_interval'] is not None
  json.dumps(found, allow_nan=False)


def test_no_rows():
  none = np.zeros((0, 2), np.float32)
  ids = np.zeros(0, np.int64)
  found = evaluate(none, rows_of(none, ids))
  record = found['conversion']
  for name in ('rows', 'positives', 'sessions', 'rarer_sessions'):
    assert record.pop(name) == 0
  assert record.pop('undefined_draws') == CONFIG.bootstrap
  assert set(record.values()) == {None}


def test_draws_without_a_positive_are_counted():
  p, labels, session = _rows()
  labels[:, 1] = 0
  labels[[3, 30], 1] = 1
  session[3], session[30] = 900, 901
  record = evaluate(p, rows_of(labels, session))
  assert record['click']['undefined_draws'] == 0
  found = record['conversion']
  assert found['rarer_sessions'] == 2
  # Two sessions are both missing from a draw with a chance of about e^-2.
  assert 1 <= found['undefined_draws'] <= 16
  low, high = found['auc_interval']
  assert low < found['auc'] < high


def test_no_intervals_without_a_bootstrap():
  p, labels, session = _rows()
  config = config_lib.EvaluationConfig(bootstrap=0)
  found = evaluate(p, rows_of(labels, session), config)
  assert found['click']['auc_interval'] is None
  assert found['click']['auc'] is not None


def test_the_oracle_beats_noise_around_it():
  p, labels, session = _rows(4000)
  noisy = np.clip(
    p + np.random.default_rng(1).normal(0, 0.2, p.shape), 0.01, 0.99
  )
  difference = evaluator.evaluate_difference(
    *map(labelled.Predicted, (p, noisy)), rows_of(labels, session), CONFIG, 0
  )
  oracle = evaluate(p, rows_of(labels, session))
  other = evaluate(noisy, rows_of(labels, session))
  for task in TASKS:
    for name in ('auc', 'logloss', 'session_logloss'):
      assert difference[task][name] == oracle[task][name] - other[task][name]
    assert difference[task]['auc_interval'][0] > 0.0
    assert difference[task]['logloss_interval'][1] < 0.0
  json.dumps(difference, allow_nan=False)


def test_validation_auc():
  labels = np.array([[1, 0], [0, 0], [1, 0]])
  p = np.array([[0.9, 0.1], [0.5, 0.2], [0.5, 0.3]], np.float32)
  found = evaluator.validation_auc(p, rows_of(labels, np.arange(3)))
  assert found.dtype == np.float64
  np.testing.assert_array_equal(found, [0.75, np.nan])


@pytest.mark.parametrize('value', [np.nan, -0.25, 1.5])
def test_what_is_no_probability_is_refused(value):
  p, labels, session = _rows()
  p[7, 1] = value
  with pytest.raises(ValueError, match=r"'conversion': prediction of row 7 is"):
    evaluate(p, rows_of(labels, session))


def test_shapes_must_belong_together():
  p, labels, session = _rows()
  with pytest.raises(ValueError, match='expected 400'):
    evaluate(p, rows_of(labels, session[1:]))
  with pytest.raises(ValueError, match='expected 1 tasks'):
    evaluate(p, rows_of(labels, session, ('click',)))
  with pytest.raises(ValueError, match='one shape'):
    evaluate(p[1:], rows_of(labels, session))
