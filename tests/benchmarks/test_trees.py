"""Boosted trees beside LightGBM: what the benchmark writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import trees
from tests import tiers

SPREAD = {'median', 'least', 'most'}


def small(values=4):
  return trees.simulate(300, requests=16, numbers=3, fields=2, values=values)


def test_ratios_are_of_the_same_turn():
  times = {
    trees.OURS: {'wall': [2.0, 8.0, 6.0], 'cpu': [1.0, 1.0, 1.0]},
    trees.THEIRS: {'wall': [1.0, 2.0, 4.0], 'cpu': [2.0, 2.0, 4.0]},
  }
  found = trees.compared(times)
  assert found[trees.OURS]['wall'] == {'median': 6.0, 'least': 2.0, 'most': 8.0}
  assert found['ratio']['wall'] == {'median': 2.0, 'least': 1.5, 'most': 4.0}
  assert found['ratio']['cpu']['median'] == 0.5
  alone = trees.compared({trees.OURS: times[trees.OURS]})
  assert set(alone) == {trees.OURS}


def test_simulated_rows_are_as_many_as_asked_for():
  log = small()
  assert log.rows.labels.shape == (300, 1)
  assert log.requests.categorical.shape == (16, 2)
  assert log.requests.numeric.shape == (16, 3)
  assert log.spec.categorical == (5, 5)
  assert 0 < log.rows.labels.mean() < 1
  assert log.rows.inputs.categorical.min() == 1


@pytest.mark.parametrize('beside', tiers.some((False, True), (True,)))
def test_what_is_measured(beside):
  lightgbm = pytest.importorskip('lightgbm') if beside else None
  rows = trees.measure(small(), 10, 1, lightgbm)
  assert [row['what'] for row in rows] == [
    'grow, oblivious',
    'grow, with categories',
    'predict',
  ]
  assert [row['trees'] for row in rows] == [10, 10, 20]
  assert [row['leaves'] for row in rows] == [[32], [64], [32, 64]]
  for row in rows:
    assert (trees.THEIRS in row) == ('ratio' in row) == beside
    for name in (trees.OURS, trees.THEIRS, 'ratio')[: 3 if beside else 1]:
      assert set(row[name]) == {'wall', 'cpu'}
      assert all(set(found) == SPREAD for found in row[name].values())
    cells = trees.line(row)
    assert (cells['cpu ratio'] == '-') == (not beside)
  json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize('values', [4, 300])
def test_all_trees_predict(values):
  """The mean of what both forms predict, of ids too."""
  log = small(values)
  ours = trees.Ours(log, 10)
  found = np.asarray(ours.predictor()())
  assert found.shape == (16, 1) and np.std(found) > 0.05
  grown = [ours.oblivious(), ours.categories()]
  for one in grown:
    assert np.all(np.any(one.leaves != 0, 2))
  least, most = (
    sum(bound(one.leaves, 2).sum() for one in grown) / 2
    for bound in (np.min, np.max)
  )
  assert least <= found.min() and found.max() <= most
