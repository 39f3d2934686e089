"""What `rmtl monitor` shows."""

from rmtl_jax.report import monitor


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
