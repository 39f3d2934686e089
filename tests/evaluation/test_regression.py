"""Metrics of tasks that are not binary, by hand and against scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import (
  baseline,
  bootstrap,
  evaluator,
  labelled,
  metrics,
  mixing,
  regression,
)

VALUES = st.lists(
  st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12
)
SQUARED = types.TaskLoss('squared', 'regression')
ORDINAL = types.TaskLoss('cumulative_logits', 'ordinal', levels=(1.0, 2.0))
BINARY = types.TaskLoss()


def _brute(labels, predictions):
  """Every pair of rows, one by one."""
  right, pairs = 0.0, 0
  for (y, p), (z, q) in itertools.combinations(
    zip(labels, predictions, strict=True), 2
  ):
    if y != z:
      pairs += 1
      right += 0.5 if p == q else float((p > q) == (y > z))
  return right / pairs if pairs else float('nan')


@settings(deadline=None, max_examples=200)
@given(VALUES)
def test_xauc_counts_every_pair(rows):
  labels, predictions = np.array(rows, np.float64).T
  np.testing.assert_allclose(
    regression.xauc(labels, predictions),
    _brute(labels, predictions),
    rtol=1e-14,
  )


def test_xauc_of_binary_labels_is_the_auc():
  generator = np.random.default_rng(0)
  labels = (generator.random(500) < 0.2).astype(np.float32)
  scores = generator.integers(0, 40, 500).astype(np.float32)
  assert regression.xauc(labels, scores) == metrics.auc(labels, scores)


def test_xauc_of_one_prediction_is_a_half_and_of_one_label_undefined():
  assert regression.xauc(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == 0.5
  assert np.isnan(regression.xauc(np.array([1.0, 1.0]), np.array([3.0, 4.0])))
  assert np.isnan(
    regression.xauc(np.array([1.0, 2.0]), np.array([np.nan, 4.0]))
  )


def test_deciles_by_hand():
  # Ten rows, a bin each; predictions in no order.
  predictions = np.array([5, 1, 9, 3, 7, 2, 8, 4, 6, 10], np.float32)
  labels = predictions + np.where(predictions > 5, 1, 0)
  found = regression.deciles(labels, predictions)
  assert found[0] == (1.0, 1.0, 1)
  assert found[-1] == (10.0, 11.0, 1)
  # Five rows are 1 too low; labels sum to 60.
  assert regression.decile_error(labels, predictions) == pytest.approx(5 / 60)


def test_errors_in_units_of_those_of_the_mean():
  labels = np.array([1.0, 2.0, 6.0])
  mean = np.full(3, 3.0)
  for loss in ('squared', 'poisson', 'cumulative_logits'):
    assert regression.relative_error(loss, labels, mean) == pytest.approx(1.0)
    right = regression.relative_error(loss, labels, labels)
    assert right == pytest.approx(0.0, abs=1e-12)
  # (1 + 1 + 1) / (4 + 1 + 9)
  off = regression.relative_error('huber', labels, labels + 1)
  assert off == pytest.approx(3 / 14)
  assert np.isnan(regression.relative_error('squared', mean, labels))


def _rows():
  generator = np.random.default_rng(1)
  session = np.sort(generator.integers(0, 40, 200))
  y = generator.normal(5.0, 2.0, 200)
  labels = np.stack([y > 5, y, 1.0 + (y > 4)], axis=1).astype(np.float32)
  noise = generator.normal(size=(200, 3))
  predictions = labels + 0.3 * noise
  predictions[:, 0] = np.clip(0.5 + 0.2 * noise[:, 0], 0, 1)
  return predictions.astype(np.float32), labels, session


def _labelled(labels, session):
  losses = BINARY, SQUARED, ORDINAL
  tasks = 'click', 'watch', 'rating'
  return labelled.Labelled(labels, session, tasks, losses=losses)


def test_a_task_has_the_metrics_of_its_kind():
  predictions, labels, session = _rows()
  config = config_lib.EvaluationConfig(bootstrap=40)
  tasks, losses = ('click', 'watch', 'rating'), (BINARY, SQUARED, ORDINAL)
  every = _labelled(labels, session)
  found = evaluator.evaluate(labelled.Predicted(predictions), every, config, 0)
  assert 'kind' not in found['click']
  assert 'mae' not in found['click']
  for k, task in enumerate(tasks[1:], 1):
    values = found[task]
    y, p = labels[:, k], predictions[:, k]
    assert values['kind'] == losses[k].kind
    assert values['mae'] == pytest.approx(np.abs(p - y).mean(), rel=1e-6)
    assert values['rmse'] == pytest.approx(np.sqrt(np.mean((p - y) ** 2)), 1e-6)
    assert values['xauc'] == regression.xauc(y, p)
    assert values['positives'] == 200
    assert len(values['deciles']) == 10
    low, high = values['mae_interval']
    assert low < values['mae'] < high
    assert 'auc' not in values
  # The binary task has what it has alone.
  click = labelled.Labelled(labels[:, :1], session, tasks[:1])
  alone = evaluator.evaluate(
    labelled.Predicted(predictions[:, :1]), click, config, 0
  )
  assert alone['click'] == found['click']


def test_difference_of_errors_is_paired():
  predictions, labels, session = _rows()
  config = config_lib.EvaluationConfig(bootstrap=40)
  other = predictions + np.array([0.0, 1.0, 0.0], np.float32)
  found = evaluator.evaluate_difference(
    *map(labelled.Predicted, (other, predictions)),
    _labelled(labels, session),
    config,
    0,
  )
  low, high = found['watch']['mae_interval']
  assert 0 < low < found['watch']['mae'] < high
  assert found['rating']['rmse_interval'] == [0.0, 0.0]
  assert found['click']['auc'] == 0.0


def test_resampled_errors_by_hand():
  labels = np.array([[0.0], [0.0], [0.0]])
  predictions = np.array([[1.0], [3.0], [5.0]])
  session = np.array([7, 7, 8])
  rows = labelled.Labelled(labels, session, ('watch',), (SQUARED,))
  predicted = labelled.Predicted(predictions)
  found = bootstrap.replicates([predicted], rows, 30, 0)
  # A draw of two sessions of two and one rows: one of three means.
  means = {2.0, 5.0, 3.0}
  assert set(found['mae'][:, 0, 0].round(6)) <= means
  squares = {round(float(np.sqrt(v)), 6) for v in (5.0, 25.0, 35 / 3)}
  assert set(found['rmse'][:, 0, 0].round(6)) <= squares


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_predictions_of_numbers_are_finite(value):
  predictions, labels, session = _rows()
  predictions[3, 1] = value
  with pytest.raises(ValueError, match="task 'watch': prediction of row 3"):
    evaluator.evaluate(
      labelled.Predicted(predictions),
      _labelled(labels, session),
      config_lib.EvaluationConfig(bootstrap=0),
      0,
    )


def test_mean_labels_of_users_and_items_add_up():
  user, item = np.array([1, 1, 2]), np.array([1, 2, 2])
  labels = np.array([[1.0, -4.0], [0.0, 2.0], [0.0, 5.0]])
  fitted = baseline.fit(user, item, labels, 3, 3, prior=1.0)
  found = baseline.predict(fitted, user[:1], item[:1], [True, False])
  # Mean 1; user 1 has (-2 + 1) / 3, item 1 (-4 + 1) / 2.
  assert found[0, 1] == pytest.approx(-1 / 3 - 3 / 2 - 1)
  binary = baseline.predict(fitted, user[:1], item[:1])
  assert found[0, 0] == binary[0, 0]


def test_members_of_a_task_of_numbers_weigh_alike():
  labels = np.array([[0, 3.0], [1, 4.0], [1, 9.0], [0, 1.0]])
  good = np.array([[0.1, 3.0], [0.9, 4.0], [0.8, 9.0], [0.2, 1.0]])
  bad = 1 - good
  found = mixing.fit_weights(np.stack([good, bad]), labels, [True, False])
  assert found[0, 0] > 0.5
  np.testing.assert_array_equal(found[:, 1], [0.5, 0.5])
