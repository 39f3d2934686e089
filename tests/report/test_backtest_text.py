"""The tables of a backtest, of a record written by hand."""

import pytest

from rmtl_jax.studies.backtest import backtest


def arm(auc, seconds, epochs):
  return {
    'stage': 'pretrain',
    'metrics': {
      'click': {'auc': auc, 'logloss': 0.3, 'predicted_over_actual': 1.1}
    },
    'epochs': {'pretrain': epochs},
    'passes': 2.0 * seconds,
    'seconds': seconds,
  }


def day(number, continued, scratch):
  runs = [
    {
      'seed': seed,
      'continued': arm(continued + seed / 100, 2.0, 0),
      'scratch': arm(scratch + seed / 100, 4.0, [3, 5]),
      'baseline': {'metrics': {'click': {'auc': 0.5, 'logloss': 0.4}}},
    }
    for seed in (0, 1)
  ]
  return {
    'number': number,
    'since': f'2024-05-0{number + 1}T00:00:00.000',
    'until': f'2024-05-0{number + 2}T00:00:00.000',
    'seconds': {'extend': 1.0, 'prepare': 3.0},
    'train_rows': 1000,
    'rows': 100,
    'sessions': 20,
    'positives': {'click': 9},
    'drift': {'field': 'hour', 'psi': 0.3, 'unseen': {'item': 0.25}},
    'runs': runs,
    'mean': backtest.means(runs),
  }


@pytest.fixture(scope='module')
def record():
  days = [day(0, 0, 0), day(1, 0.7, 0.6), day(2, 0.8, 0.6), day(3, 0.6, 0.6)]
  return {
    'days': days,
    'tasks': ['click'],
    'options': {
      'days': 3,
      'step': '1d',
      'seeds': [0, 1],
      'stages': ['pretrain'],
      'continued': {},
    },
    'summary': {
      'click': {
        name: backtest.summarise(days[1:], 'click', name)
        for name in ('auc', 'logloss', 'predicted_over_actual')
      }
    },
    'versions': {'jax': '1'},
    'device': 'cpu',
  }


def test_means_are_over_seeds_then_over_days(record):
  found = record['summary']['click']['auc']
  assert found['continued'] == pytest.approx(0.705)
  assert found['scratch'] == pytest.approx(0.605)
  assert found['baseline'] == pytest.approx(0.5)
  one = found['difference']
  # Differences 0.1, 0.2, 0: mean 0.1, deviation 0.1, t(2) 4.3027 at 95 %.
  assert one['mean'] == pytest.approx(0.1)
  assert one['high'] == pytest.approx(0.1 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
  assert (one['days'], one['seeds'], one['better']) == (3, 2, 2)
  assert (
    record['summary']['click']['predicted_over_actual']['difference']['better']
    is None
  )
