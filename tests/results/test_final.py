"""What the end of a run hands to its logs."""

from __future__ import annotations

import types

import numpy as np

from rmtl_jax.results import final, row_values


def test_histograms_of_weights_are_of_observed_rows(monkeypatch):
  """Those of Q are of all rows; a task without any row has no weights."""
  q = -np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)
  monkeypatch.setattr(row_values, 'weights', lambda *_: [1 - q])
  monkeypatch.setattr(row_values, 'lambdas', lambda *_: [1.0])
  observed = np.array([[1, 0], [0, 0], [2, 0], [0, 0]], np.float32)
  data = types.SimpleNamespace(
    validation=types.SimpleNamespace(
      host=types.SimpleNamespace(sample_weight=observed)
    )
  )
  run = types.SimpleNamespace(
    config=None, manifest=types.SimpleNamespace(task_names=('click', 'buy'))
  )
  trained = types.SimpleNamespace(models=None, best_epochs=lambda name: [0])
  written = {}
  writer = types.SimpleNamespace(
    histogram=lambda name, values: written.update({name: values.tolist()})
  )
  judged = [types.SimpleNamespace(q_values=q)]
  final._plot_critics(writer, run, trained, data, judged, [])
  assert written == {
    'critic/q_click': [-1, -3, -5, -7],
    'critic/q_buy': [-2, -4, -6, -8],
    'finetune/weight_click': [2, 6],
  }
