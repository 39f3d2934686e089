"""What a run says in words."""

import numpy as np

from rmtl_jax.training import summary


def test_tasks_of_one_class_are_said():
  labels = np.array([[0, 0, 1], [1, 0, 1]], np.float32)
  assert summary.one_class_warnings(labels[:, :1], ['a']) == []
  (line,) = summary.one_class_warnings(labels[:, :2], ['a', 'b'])
  assert line == (
    'validation: b has one class only, so its AUC is undefined; early stopping'
    ' looks at a alone'
  )
  (line,) = summary.one_class_warnings(labels, ['a', 'b', 'c'])
  assert 'b, c have one class only, so their AUC' in line
