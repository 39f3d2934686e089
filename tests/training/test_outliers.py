"""Rows that stand out, by hand."""

import numpy as np

from rmtl_jax.data import columns
from rmtl_jax.training import outliers


def _describe(numeric, labels, rows):
  """As of a split whose row ids are 100 and up."""
  count = len(numeric)
  split = columns.SplitColumns(
    categorical=np.zeros((count, 0), np.int32),
    multi_valued=np.zeros((count, 0), np.int32),
    numeric=np.asarray(numeric, np.float32),
    labels=np.asarray(labels, np.float32),
    session=np.zeros(count, np.int64),
    user=None,
    row_id=100 + np.arange(count),
    oracle=None,
    time=np.arange(count),
    starts=np.array([0, count]),
  )
  return outliers.describe_outliers(
    split, np.array(rows), ('price', 'age'), ('click',)
  )


NUMERIC = [[1.0, 0.0], [-2.0, 0.5], [4000.0, 0.5], [np.nan, 2e9], [2.0, 1.0]]
LABELS = [[0.0], [1.0], [1.0], [0.0], [np.inf]]


def test_the_largest_come_first():
  assert _describe(NUMERIC, LABELS, [0, 1, 2, 3]) == (
    'suspicious rows: row_id 103: price = nan, row_id 103: age = 2e+09, row_id'
    ' 102: price = 4000'
  )


def test_only_rows_of_the_steps_are_named():
  assert _describe(NUMERIC, LABELS, [4, 2]) == (
    'suspicious rows: row_id 104: click = inf, row_id 102: price = 4000'
  )
  assert _describe(NUMERIC * 2, LABELS * 2, [3, 8, 4, 9]).endswith('and 3 more')
