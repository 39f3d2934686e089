"""From logged propensities to their losses, metrics, table and page."""

import json

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import cli
from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.report import tables
from rmtl_jax.report.comparison import formats
from tests.library import small


def log(rows=2_400):
  """Items are clicked at known rates; who clicks buys and likes by item."""
  rng = np.random.default_rng(0)
  item = rng.integers(0, 12, rows)
  chance = 0.1 + 0.07 * item
  click = (rng.random(rows) < chance).astype(int)
  after = [click * (rng.random(rows) < p) for p in (0.05 * item, 0.3)]
  return {
    'session_id': np.arange(rows) // 4,
    'item_id': item,
    'timestamp': 1_700_000_000 + np.arange(rows),
    'click': click,
    'buy': after[0].astype(int),
    'like': after[1].astype(int),
    'chance': chance,
  }


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  ranker = rmtl_jax.Ranker(
    tasks={
      'click': 'click',
      'buy': {'column': 'buy', 'after': 'click', 'propensity': 'chance'},
      'like': {'column': 'like', 'after': 'click'},
    },
    user=None,
    as_of=(),
    fine_tune=False,
    backbone='esmm',
    settings=small.SETTINGS
    | {
      'batch.lanes': 4,
      'objective.name': 'escm2_ips',
      'evaluation.bootstrap': 20,
    },
    workdir=tmp_path_factory.mktemp('selection') / 'run',
  )
  rows = {name: values.tolist() for name, values in log().items()}
  return ranker.fit(rows)


def test_metrics_with_inverse_propensities(fitted):
  found = fitted.metrics_
  assert 'ips_auc' not in found['click'] and 'ips_auc' not in found['like']
  buy = found['buy']
  low, high = buy['ips_auc_interval']
  assert low < buy['ips_auc'] < high
  assert 0 < buy['ips_rows'] <= found['click']['positives']
  record = json.loads((fitted.run_dir_ / 'metrics.json').read_text())
  assert 'IPS AUC' in tables.text(tables.metrics_table(record))
  assert record['baseline']['buy']['ips_logloss'] > 0


def test_serving_asks_for_no_propensity(fitted):
  rows = {
    name: values[:8].tolist()
    for name, values in log().items()
    if name in ('session_id', 'item_id', 'timestamp')
  }
  assert np.isfinite(fitted.predict_proba(rows)).all()


def test_predicted_ones_are_asked_for_by_a_flag(fitted, capfd):
  run = f'--workdir={fitted.run_dir_}'
  assert cli.main(['rmtl', 'evaluate', run, '--propensities=predicted']) == 0
  assert 'IPS AUC' in capfd.readouterr().out
  path = fitted.run_dir_ / 'evaluation' / 'test.json'
  found, trained = (
    json.loads(path.read_text())['stages']['pretrain']
    for path in (path, fitted.run_dir_ / 'metrics.json')
  )
  assert found['like'].pop('ips_logloss') > 0
  assert found['buy'] == trained['buy'] and found['click'] == trained['click']


def test_a_comparison_shows_and_stops_on_them(fitted, tmp_path):
  config = config_values.with_settings(
    config_lib.Config(),
    {
      **small.SETTINGS,
      'batch.lanes': 4,
      'pretrain.max_epochs': 30,
      'pretrain.patience': 1,
      'evaluation.monitor': 'buy.ips_logloss=-1',
    },
  )
  results = rmtl_jax.compare(
    tmp_path, fitted.data_dir_, ('esmm', 'shared_bottom'), (0, 1), config
  )
  assert 'IPS AUC' in formats.text(results)
  found = [s for s in results['summary'] if s['metric'] == 'ips_logloss']
  assert [(s['method'], s['task'], s['n']) for s in found] == [
    ('esmm', 'buy', 2),
    ('shared_bottom', 'buy', 2),
  ]
  assert all(s['standard_error'] is not None for s in found)
  assert 'IPS: over the rows' in (tmp_path / 'results.md').read_text()
  header = (tmp_path / 'results.csv').read_text().splitlines()[0]
  assert header.endswith(',ips_auc,ips_logloss')
  assert len(results['runs'][0]['validation_score']) > 0
