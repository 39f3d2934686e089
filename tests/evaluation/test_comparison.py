import itertools

import numpy as np
import pytest
import scipy.stats

from rmtl_jax.evaluation import bootstrap, comparison

CONTROLS = ['ple', 'ple+constant', 'ple+constant_mean', 'ple+q_shuffled']
METHODS = [
  *({'name': name, 'controls': []} for name in CONTROLS),
  {'name': 'ple+critic', 'controls': CONTROLS},
]
TASKS = ['click', 'conversion']


def run(method, seed, **aucs):
  return {
    'method': method,
    'seed': seed,
    'metrics': {
      task: {'auc': auc, 'logloss': 0.25, 'session_logloss': 0.5}
      for task, auc in aucs.items()
    },
  }


def pair(gains, tasks=('click',), **by_control):
  """Runs whose AUC exceeds each control's by its list of gains."""
  runs = []
  for seed in range(len(gains)):
    base = 0.7 + 0.01 * np.sin(seed)
    runs.append(run('ple+critic', seed, **dict.fromkeys(tasks, base)))
    for name in CONTROLS:
      gain = by_control.get(name.rpartition('+')[2], gains)[seed]
      runs.append(run(name, seed, **dict.fromkeys(tasks, base - gain)))
  return runs


def around(mean, count=16, spread=1e-4):
  """`count` numbers, alternating about their exact mean."""
  steps = np.linspace(1.0, 2.0, (count + 1) // 2)
  deviations = np.concatenate([steps, -steps])[:count]
  return mean + spread * (deviations - deviations.mean())


def compared(runs, tasks=('click',), replicates=None):
  return comparison.differences(METHODS, runs, tasks, replicates or {})


def chosen(records, **labels):
  found = [r for r in records if all(r[k] == v for k, v in labels.items())]
  assert len(found) == 1
  return found[0]


def judged(runs):
  records = comparison.verdicts(METHODS, compared(runs), ['click'])
  return chosen(records, method='ple+critic', task='click')


def test_a_difference_is_scipys():
  gains = np.random.default_rng(0).normal(1e-3, 2e-3, 17)
  runs = pair(gains)
  record = chosen(
    compared(runs), control='ple+constant', task='click', metric='auc'
  )
  first = [r['metrics']['click']['auc'] for r in runs[0::5]]
  second = [r['metrics']['click']['auc'] for r in runs[2::5]]
  test = scipy.stats.ttest_rel(first, second)
  low_high = test.confidence_interval(0.95)
  assert record['pairs'] == 17
  np.testing.assert_allclose(
    [record[k] for k in ('mean', 'standard_error', 'low', 'high', 'p')],
    [
      gains.mean(),
      scipy.stats.sem(gains),
      low_high.low,
      low_high.high,
      test.pvalue,
    ],
    rtol=1e-9,
  )
  assert record['bootstrap'] is None


def test_holm_runs_over_the_whole_table():
  tasks = tuple(TASKS)
  runs = pair(around(1e-3), tasks, constant=around(3e-5))
  for i, r in enumerate(runs):  # give the loglosses something to differ in
    for j, task in enumerate(tasks):
      r['metrics'][task]['logloss'] += 1e-3 * np.sin(7 * i + j)
  records = compared(runs, tasks)
  assert len(records) == 4 * 2 * 3
  by_hand = comparison.holm([r['p'] for r in records])
  np.testing.assert_array_equal([r['p_holm'] for r in records], by_hand)
  smallest = min(records, key=lambda r: r['p'])
  assert smallest['p_holm'] == pytest.approx(24 * smallest['p'])


def test_fewer_than_sixteen_pairs_are_not_tested():
  records = compared(pair(around(1e-3, 15)))
  assert {r['pairs'] for r in records} == {15}
  for record, name in itertools.product(records, ('p', 'p_holm')):
    assert record[name] is None
  record = chosen(records, control='ple', metric='auc')
  assert record['mean'] == pytest.approx(1e-3)
  assert record['low'] < 1e-3 < record['high']


@pytest.mark.parametrize('missing', [None, float('nan')])
def test_a_seed_without_a_value_is_dropped(missing):
  runs = pair(around(1e-3, 17))
  for r in runs:
    if r['method'] == 'ple' and r['seed'] == 4:
      r['metrics']['click']['auc'] = missing
  records = compared(runs)
  auc = chosen(records, control='ple', metric='auc')
  assert auc['pairs'] == 16
  kept = np.delete(around(1e-3, 17), 4)
  assert auc['mean'] == pytest.approx(kept.mean())
  assert chosen(records, control='ple', metric='logloss')['pairs'] == 17
  assert chosen(records, control='ple+constant', metric='auc')['pairs'] == 17


def test_the_bootstrap_interval_is_of_the_mean_over_seeds():
  tasks = tuple(TASKS)
  runs = pair([1e-3, 2e-3], tasks)
  # Replicate b of the method: b on click and 2b on conversion, plus a
  # different offset per seed; of the control: the offsets alone.
  b = np.arange(1.0, 120.0)[:, None] * [1.0, 2.0]
  offset = np.sin(np.arange(1.0, 120.0))[:, None]
  replicates = {}
  for seed in (0, 1):
    same = {m: offset * (seed + 1) + 0.0 * b for m in bootstrap.METRICS}
    replicates['ple', seed] = same
    replicates['ple+critic', seed] = {
      m: v + b * (1 + 2 * seed) for m, v in same.items()
    }
  records = compared(runs, tasks, replicates)
  click = chosen(records, control='ple', metric='auc', task='click')
  both = chosen(records, control='ple', metric='auc', task='conversion')
  # The mean over seeds is 2b: the third of 119 at both ends leaves out 2.5 %.
  np.testing.assert_allclose(click['bootstrap'], [6.0, 234.0])
  np.testing.assert_allclose(both['bootstrap'], [12.0, 468.0])
  other = chosen(records, control='ple+constant', metric='auc', task='click')
  assert other['bootstrap'] is None
  del replicates['ple', 1]
  records = compared(runs, tasks, replicates)
  assert all(r['bootstrap'] is None for r in records)


def test_a_gain_over_all_four_controls_passes():
  verdict = judged(pair(around(1e-3), constant=around(6e-4)))
  assert verdict['passes'] is True
  assert 'ple+constant, +0.00060 AUC' in verdict['reason']


def test_a_certain_gain_of_four_ten_thousandths_is_too_small():
  runs = pair(around(4e-4, spread=1e-6))
  record = chosen(compared(runs), control='ple', metric='auc')
  assert record['p_holm'] < 1e-10
  verdict = judged(runs)
  assert verdict['passes'] is False
  assert 'too small a gain over ple: +0.00040 AUC' in verdict['reason']


def test_a_large_but_uncertain_gain_does_not_pass():
  verdict = judged(pair(around(2e-3, spread=2e-2)))
  assert verdict['passes'] is False
  assert 'no gain over ple:' in verdict['reason']


def test_the_summary_is_means_over_seeds():
  runs = [run('ple', s, click=a) for s, a in enumerate([0.5, 0.6, 0.8])]
  runs.append(run('ple', 3, click=None))
  records = comparison.summarise(['ple', 'esmm'], runs, ['click'])
  auc = chosen(records, method='ple', metric='auc')
  assert auc['n'] == 3
  assert auc['mean'] == pytest.approx(1.9 / 3)
  error = scipy.stats.sem([0.5, 0.6, 0.8])
  assert auc['standard_error'] == pytest.approx(error)
  assert chosen(records, method='ple', metric='logloss')['n'] == 4
  nothing = chosen(records, method='esmm', metric='auc')
  assert (nothing['mean'], nothing['standard_error'], nothing['n']) == (
    None,
    None,
    0,
  )
