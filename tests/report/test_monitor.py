"""What `rmtl monitor` shows."""

import numpy as np

from rmtl_jax.report import monitor
from rmtl_jax.report.page import panels


def test_an_alarm_stands_beside_its_own_metric():
  alarm = 'AUC_of_day: logloss is 0.9000 (test rows 0.4000)'
  record = {
    'labels': [
      {
        'task': 'AUC_of_day',
        'rows': 20,
        'positives': 9,
        'metrics': {'auc': 0.7, 'logloss': 0.9},
        'test': {'auc': 0.7, 'logloss': 0.4},
        'alarms': [alarm],
      }
    ]
  }
  rows = monitor.labels(record).rows
  assert [(row[1], row[-1]) for row in rows] == [
    ('AUC', ''),
    ('logloss', 'ALARM'),
  ]


def test_a_field_that_too_few_rows_tell_has_no_point(monkeypatch):
  """Where it has no figure, a point at the least drift would call it alike."""
  figures, draw = [], panels.drifts
  monkeypatch.setattr(
    panels, 'drifts', lambda *args: figures.append(draw(*args)) or figures[-1]
  )
  known = {'name': 'price', 'psi': 0.5, 'chance': 0.1, 'test': 0.0}
  unknown = {'name': 'user', 'psi': None, 'chance': None, 'test': 0.2}
  fields = [known | {'alarms': []}, unknown | {'alarms': []}]
  monitor._drifts({'fields': fields, 'thresholds': {'psi': 0.2}})
  points = [line.get_xdata() for line in figures[0].axes[0].lines[:3]]
  np.testing.assert_allclose(
    points, [[0.5, np.nan], [0.1, np.nan], [0.001, 0.2]]
  )
