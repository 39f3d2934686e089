"""Metrics of tasks that are not binary, by hand and against scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.evaluation import (
  bootstrap,
  evaluator,
  labelled,
  regression,
)
from tests import paper

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


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_xauc_counts_every_pair(rows):
  labels, predictions = np.array(rows, np.float64).T
  np.testing.assert_allclose(
    regression.xauc(labels, predictions),
    _brute(labels, predictions),
    rtol=1e-14,
  )


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
  config = paper.evaluation(bootstrap=40)
  tasks, losses = ('click', 'watch', 'rating'), (BINARY, SQUARED, ORDINAL)
  every = _labelled(labels, session)

  def evaluate(predictions, rows):
    predicted = labelled.Predicted(predictions)
    drawn = evaluator.replicates(predicted, rows, config, 0)
    return evaluator.evaluate(predicted, rows, drawn)

  found = evaluate(predictions, every)
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
    low, high = values['mae_interval']
    assert low < values['mae'] < high
    assert 'auc' not in values
  # The binary task has what it has alone.
  click = labelled.Labelled(labels[:, :1], session, tasks[:1])
  alone = evaluate(predictions[:, :1], click)
  assert alone['click'] == found['click']


def test_resampled_errors_by_hand():
  labels = np.array([[0.0], [0.0], [0.0]])
  predictions = np.array([[1.0], [3.0], [5.0]])
  session = np.array([7, 7, 8])
  rows = labelled.Labelled(labels, session, ('watch',), (SQUARED,))
  predicted = labelled.Predicted(predictions)
  found = bootstrap.replicates(predicted, rows, 30, 0)
  # A draw of two sessions of two and one rows: one of three means.
  means = {2.0, 5.0, 3.0}
  assert set(found['mae'][:, 0].round(6)) <= means
  squares = {round(float(np.sqrt(v)), 6) for v in (5.0, 25.0, 35 / 3)}
  assert set(found['rmse'][:, 0].round(6)) <= squares
