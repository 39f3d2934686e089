"""Logs whose negatives were sampled: corrections against the whole log."""

import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.data import columns
from rmtl_jax.data import manifest as manifest_lib

Task = manifest_lib.Task


def test_corrected_probabilities_are_those_of_the_whole_log():
  """Counts of one kind of row: 900 unclicked, 60 clicked, 40 bought."""
  rate = 0.1
  kept = 900 * rate
  rows = kept + 60 + 40
  sampling = types.Sampling(0, rate, (True, True))
  found = sampling.correct(np.array([[100 / rows, 40 / rows]]))
  np.testing.assert_allclose(found, [[0.1, 0.04]])
  only = types.Sampling(0, rate, (True, False))
  found = only.correct(np.array([100 / rows, 0.4], np.float32))
  np.testing.assert_allclose(found, [0.1, 0.4], rtol=1e-6)
  assert found.dtype == np.float32


@pytest.mark.parametrize(
  'tasks, expected',
  [
    ([Task('click'), Task('buy', 'click')], None),
    ([Task('click', negatives_kept=1)], None),
    (
      [Task('click', negatives_kept=0.1), Task('buy', 'click'), Task('like')],
      (0, (True, True, False)),
    ),
    (
      [
        Task('click', negatives_kept=0.1),
        Task('buy', 'click', True, only_after=True),
        Task('return', 'buy'),
      ],
      (0, (True, False, True)),
    ),
    (
      [
        Task('click'),
        Task('buy', 'click', True, only_after=True, negatives_kept=0.1),
        Task('return', 'buy'),
      ],
      (1, (False, True, False)),
    ),
  ],
)
def test_which_tasks_are_corrected(tasks, expected):
  found = manifest_lib.sampling(tasks)
  assert (found and (found.task, found.corrected)) == expected


def test_weights_of_mean_one_are_over_the_rows_that_count():
  weight = np.array([[0.1, 0, 0], [0, 1, 0], [0.3, 1, 0]], np.float32)
  found = columns.mean_one(weight)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, [[0.5, 0, 0], [0, 1, 0], [1.5, 1, 0]])
  assert columns.mean_one(None) is None


def test_negatives_stand_for_those_that_were_sampled_away():
  class Rows:
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], np.float32)
    sample_weight = np.array([[1, 1], [1, 2], [1, 1], [0, 1]], np.float32)
    sampling = types.Sampling(0, 0.25, (True, True))

  # The last row is no negative of the first task: it is not observed.
  assert columns.metric_weight(Rows()).tolist() == [
    [1, 1],
    [1, 2],
    [4, 4],
    [0, 1],
  ]
  Rows.sampling = types.Sampling(0, 0.25, (True, False))
  assert columns.metric_weight(Rows())[:, 1].tolist() == [1, 2, 1, 1]
  Rows.sampling = None
  assert columns.metric_weight(Rows()) is Rows.sample_weight
