"""Tasks of every kind, from a raw table to metrics and predictions."""

import csv
import json

import numpy as np
import pytest

from rmtl_jax import cli

pytestmark = pytest.mark.slow

TASKS = [
  {'name': 'click', 'column': 'click'},
  {'name': 'cart', 'column': 'cart', 'after': 'click'},
  {'name': 'like', 'column': 'like', 'after': 'click'},
  {
    'name': 'watch',
    'column': 'watch',
    'kind': 'regression',
    'loss': 'zero_inflated_log_normal',
    'after': 'click',
  },
  {'name': 'stars', 'column': 'stars', 'kind': 'ordinal'},
  {'name': 'gain', 'column': 'gain', 'kind': 'regression', 'loss': 'huber'},
]
FLAGS = (
  '--preset=paper',
  '--config.backbone=esmm',
  '--config.ensemble=2',
  '--config.network.embedding_dim=4',
  '--config.network.bottom_units=16,8',
  '--config.network.tower_units=(8,)',
  '--config.batch.lanes=4',
  '--config.batch.lane_length=16',
  '--config.pretrain.max_epochs=6',
  '--config.pretrain.learning_rate=0.01',
  '--config.critic.max_passes=2',
  '--config.finetune.max_epochs=1',
  '--config.evaluation.bootstrap=10',
  '--config.evaluation.monitor=logloss',
  '--config.evaluation.calibration=platt',
)


def _write_log(path):
  """Rows in which user and item say a lot about every label."""
  generator = np.random.default_rng(0)
  rows = 900
  user, item = generator.integers(0, 12, (2, rows))
  appeal = np.linspace(-1.5, 1.5, 12)[user] + np.linspace(-1, 1, 12)[item]
  click = generator.random(rows) < 1 / (1 + np.exp(-2 * appeal))
  later = generator.random((2, rows)) < 0.4
  watch = click * np.exp(4 + 0.5 * appeal + 0.3 * generator.normal(size=rows))
  stars = np.clip(
    np.round(3 + appeal + 0.5 * generator.normal(size=rows)), 1, 5
  )
  columns = {
    'session': np.arange(rows) // 5,
    'time': 1_600_000_000_000 + 60_000 * np.arange(rows),
    'user': [f'u{i}' for i in user],
    'item': [f'i{i}' for i in item],
    'click': click.astype(int),
    'cart': (click & later[0]).astype(int),
    'like': (click & later[1]).astype(int),
    'watch': watch.round(3),
    'stars': stars.astype(int),
    'gain': (1000 * appeal - 300).round(2),
  }
  with path.open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def _rmtl(*line):
  assert cli.main(['rmtl', *line]) == 0


def test_tasks_of_every_kind_from_a_table_to_predictions(tmp_path):
  log, schema = tmp_path / 'log.csv', tmp_path / 'schema.json'
  data, run = tmp_path / 'data', tmp_path / 'run'
  _write_log(log)
  schema.write_text(
    json.dumps(
      {
        'session': 'session',
        'user': 'user',
        'item': 'item',
        'time': {'column': 'time', 'unit': 'ms'},
        'categorical': ['user', 'item'],
        'tasks': TASKS,
      }
    )
  )
  given = (f'--raw_dir={log}', f'--schema={schema}', '--as_of=none')
  _rmtl('prepare', '--source=table', *given, f'--data_dir={data}')
  _rmtl('train', f'--data_dir={data}', f'--workdir={run}', *FLAGS)

  record = json.loads((run / 'metrics.json').read_text())
  names = [task['name'] for task in TASKS]
  found = record['stages']['pretrain']
  assert list(found) == names
  assert found['click']['auc'] > 0.7
  assert found['stars']['xauc'] > 0.7
  assert found['gain']['xauc'] > 0.7
  assert found['stars']['mae'] < 1.0  # of levels that deviate by 1.2
  assert found['gain']['rmse'] < 1000  # of labels that deviate by 1,200
  assert {'xauc', 'mae', 'rmse'} <= set(found['watch'])
  assert 'auc' not in found['watch']
  assert 'mae' not in found['click']
  # Levels and numbers have no map.
  raw = record['stages']['pretrain']
  for name in ('gain', 'stars', 'watch'):
    assert found[name] == raw[name]
    assert name not in record['calibration']['pretrain']
  assert set(record['difference']['finetune_minus_constant']) == set(names)
  assert all(value is not None for value in record['critic']['r2'].values())
  assert record['baseline']['gain']['mae'] > 0

  scored = tmp_path / 'scored.csv'
  _rmtl('predict', f'--workdir={run}', f'--input={log}', f'--output={scored}')
  with scored.open() as file:
    rows = list(csv.DictReader(file))
  p = {name: np.array([float(r[f'p_{name}']) for r in rows]) for name in names}
  assert len(rows) == 900
  assert np.all((p['click'] > 0) & (p['click'] < 1))
  assert np.all((p['stars'] >= 1) & (p['stars'] <= 5))
  gain = np.array([float(r['gain']) for r in rows])
  assert np.corrcoef(p['gain'], gain)[0, 1] > 0.8
  watch = np.array([float(r['watch']) for r in rows])
  assert 0.5 < p['watch'].mean() / watch.mean() < 2

  model, again = tmp_path / 'model', tmp_path / 'again.csv'
  _rmtl('export', f'--workdir={run}', f'--output={model}')
  _rmtl('predict', f'--workdir={model}', f'--input={log}', f'--output={again}')
  with again.open() as file:
    exported = [float(row['p_watch']) for row in csv.DictReader(file)]
  np.testing.assert_allclose(exported, p['watch'], rtol=1e-4)
  _rmtl('report', f'--workdir={run}')
  page = (run / 'report' / 'report.html').read_text()
  assert 'MAE' in page
