import itertools
import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.evaluation import bootstrap, comparison, intervals, significance
from rmtl_jax.evaluation import registry as metric_registry
from tests import registries

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
  return comparison.differences(METHODS, runs, tasks, replicates or {}, 0.95)


def chosen(records, **labels):
  found = [r for r in records if all(r[k] == v for k, v in labels.items())]
  assert len(found) == 1
  return found[0]


def test_a_registered_metric_is_tested_without_resampled_sessions():
  kept = registries.Registries()
  metric_registry.register_metric('accuracy', lambda y, p, rows: 0.0)
  runs = pair([1e-3] * 16)
  for one in runs:
    better = 0.01 * (one['method'] == 'ple+critic')
    one['metrics']['click']['accuracy'] = 0.9 + better + 1e-4 * one['seed']
  drawn = dict.fromkeys(bootstrap.METRICS, np.zeros((5, 1)))
  replicates = {(one['method'], one['seed']): drawn for one in runs}
  try:
    records = compared(runs, replicates=replicates)
  finally:
    kept.undo()
  assert len(records) == 4 * len(CONTROLS)
  for name in CONTROLS:
    record = chosen(records, control=name, metric='accuracy')
    assert record['mean'] == pytest.approx(0.01) and record['p_holm'] < 1e-9
    assert record['bootstrap'] is None
    assert chosen(records, control=name, metric='auc')['bootstrap']


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
  wilcoxon = scipy.stats.wilcoxon(first, second, method='exact').pvalue
  assert record['wilcoxon_p'] == pytest.approx(wilcoxon, rel=1e-12)
  assert record['bootstrap'] is None


def test_holm_runs_over_the_whole_table():
  tasks = tuple(TASKS)
  runs = pair(around(1e-3), tasks, constant=around(3e-5))
  for i, r in enumerate(runs):  # give the loglosses something to differ in
    for j, task in enumerate(tasks):
      r['metrics'][task]['logloss'] += 1e-3 * np.sin(7 * i + j)
  records = compared(runs, tasks)
  assert len(records) == 4 * 2 * 3
  by_hand = significance.holm([r['p'] for r in records])
  np.testing.assert_array_equal([r['p_holm'] for r in records], by_hand)
  smallest = min(records, key=lambda r: r['p'])
  assert smallest['p_holm'] == pytest.approx(24 * smallest['p'])


def test_fewer_than_sixteen_pairs_are_not_tested():
  records = compared(pair(around(1e-3, 15)))
  assert {r['pairs'] for r in records} == {15}
  for record, name in itertools.product(records, ('p', 'p_holm', 'wilcoxon_p')):
    assert record[name] is None
  record = chosen(records, control='ple', metric='auc')
  assert record['mean'] == pytest.approx(1e-3)
  assert record['low'] < 1e-3 < record['high']


def test_untested_records_leave_holm_alone():
  runs = pair(around(1e-3))
  runs = [r for r in runs if (r['method'], r['seed']) != ('ple', 3)]
  records = compared(runs)
  tested = [r for r in records if r['p'] is not None]
  assert {r['control'] for r in records} - {r['control'] for r in tested} == {
    'ple'
  }
  assert min(r['p_holm'] / r['p'] for r in tested if r['p']) >= 1.0
  best = min(tested, key=lambda r: r['p'])
  assert best['p_holm'] == pytest.approx(len(tested) * best['p'])


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


def test_one_seed_has_a_mean_and_no_interval():
  record = chosen(compared(pair([2e-3])), control='ple', metric='auc')
  assert record['pairs'] == 1
  assert record['mean'] == pytest.approx(2e-3)
  assert record['standard_error'] is record['low'] is record['high'] is None
  json.dumps(record, allow_nan=False)


def test_no_runs_of_a_control_is_no_difference():
  runs = [r for r in pair(around(1e-3)) if r['method'] != 'ple+q_shuffled']
  record = chosen(compared(runs), control='ple+q_shuffled', metric='auc')
  assert (record['pairs'], record['mean'], record['p']) == (0, None, None)
  verdict = judged(runs)
  assert verdict['passes'] is None
  assert '0 paired seeds against ple+q_shuffled' in verdict['reason']


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


@pytest.mark.parametrize('empty', [np.zeros((0, 1)), np.full((9, 1), np.nan)])
def test_a_bootstrap_without_figures_is_none(empty):
  replicates = {
    (m, 0): dict.fromkeys(bootstrap.METRICS, empty)
    for m in ('ple', 'ple+critic')
  }
  records = compared(pair([1e-3]), replicates=replicates)
  assert all(r['bootstrap'] is None for r in records)


def test_no_bootstrap_is_no_interval():
  """As JSON has arrays without rows: `[]`, whose columns nobody knows."""
  replicates = {
    key: dict.fromkeys(('auc', 'logloss', 'session_logloss'), np.array([]))
    for key in (('ple', 0), ('ple+critic', 0))
  }
  for record in compared(pair([1e-3]), replicates=replicates):
    assert record['bootstrap'] is None
    assert record['undefined_draws'] is None


def _replicates(values):
  """The method's; those of the control are 0."""
  return {
    (m, 0): dict.fromkeys(bootstrap.METRICS, sign * values[:, None])
    for m, sign in (('ple', 0.0), ('ple+critic', 1.0))
  }


def test_few_sessions_with_positives_widen_the_interval():
  """As those of one run do: the draws are the same."""
  values, widths = np.arange(1.0, 1000.0), []
  for sessions in (None, 500, 5):
    runs = pair([1e-3])
    for r in runs:
      if sessions:
        r['metrics']['click']['rarer_sessions'] = sessions
    records = compared(runs, replicates=_replicates(values))
    found = chosen(records, control='ple', metric='auc')['bootstrap']
    np.testing.assert_allclose(
      found, intervals.percentile_interval(values, 0.95, sessions)
    )
    widths.append(found[1] - found[0])
  assert widths[0] < widths[1] < widths[2]


def test_few_sessions_widen_the_interval_of_an_error():
  values = np.arange(1.0, 1000.0)[:, None]
  runs = [
    {
      'method': name,
      'seed': 0,
      'metrics': {'watch': {'kind': 'regression', 'mae': 1.0, 'sessions': 5}},
    }
    for name in ('ple', 'ple+critic')
  ]
  (record,) = [
    r
    for r in comparison.differences(
      [{'name': 'ple+critic', 'controls': ['ple']}],
      runs,
      ('watch',),
      {('ple+critic', 0): {'mae': values}, ('ple', 0): {'mae': 0.0 * values}},
      0.95,
    )
    if r['metric'] == 'mae'
  ]
  np.testing.assert_allclose(
    record['bootstrap'], intervals.percentile_interval(values[:, 0], 0.95, 5)
  )


def test_draws_without_an_auc_are_counted():
  values = np.arange(1.0, 120.0)
  values[[3, 50]] = np.nan
  records = compared(pair([1e-3]), replicates=_replicates(values))
  record = chosen(records, control='ple', metric='auc')
  assert record['undefined_draws'] == 2
  assert np.isfinite(record['bootstrap']).all()


def test_a_gain_over_all_four_controls_passes():
  verdict = judged(pair(around(1e-3), constant=around(6e-4)))
  assert verdict['passes'] is True
  assert 'ple+constant, +0.00060 AUC' in verdict['reason']


@pytest.mark.parametrize(
  ('shift', 'said'), [(0.0, True), (-1.0, True), (2.0, False)]
)
def test_a_pass_says_which_bootstrap_interval_includes_zero(shift, said):
  runs = pair(around(1e-3))
  draws = np.linspace(-1.0, 1.0, 101)[:, None]
  replicates = {}
  for r in runs:
    drawn = draws + shift if r['method'] == 'ple+critic' else 0.0 * draws
    key = r['method'], r['seed']
    replicates[key] = dict.fromkeys(bootstrap.METRICS, drawn)
  found = compared(runs, replicates=replicates)
  (verdict,) = comparison.verdicts(METHODS, found, ['click'])
  assert verdict['passes'] is True
  assert ('bootstrap' in verdict['reason']) == said


def test_a_certain_gain_of_four_ten_thousandths_is_too_small():
  runs = pair(around(4e-4, spread=1e-6))
  record = chosen(compared(runs), control='ple', metric='auc')
  assert record['p_holm'] < 1e-10
  verdict = judged(runs)
  assert verdict['passes'] is False
  assert 'too small a gain over ple: +0.00040 AUC' in verdict['reason']


def test_three_controls_beaten_and_not_the_fourth():
  verdict = judged(pair(around(2e-3), q_shuffled=around(1e-4, spread=3e-3)))
  assert verdict['passes'] is False
  assert verdict['reason'].startswith('no gain over ple+q_shuffled: +0.00010')
  assert 'after Holm' in verdict['reason']
  assert 'ple+constant' not in verdict['reason']


def test_a_large_but_uncertain_gain_does_not_pass():
  verdict = judged(pair(around(2e-3, spread=2e-2)))
  assert verdict['passes'] is False
  assert 'no gain over ple:' in verdict['reason']


def test_a_certain_loss_is_worse():
  verdict = judged(pair(around(1e-3), constant=around(-1e-3)))
  assert verdict['passes'] is False
  assert verdict['reason'].startswith('worse than ple+constant: -0.00100')


def test_fifteen_seeds_give_no_verdict():
  verdict = judged(pair(around(1e-2, 15)))
  assert verdict['passes'] is None
  assert 'not tested: 15 paired seeds' in verdict['reason']
  assert '16 are needed' in verdict['reason']


def test_equal_models_are_no_gain():
  verdict = judged(pair(np.zeros(16)))
  assert verdict['passes'] is False
  assert 'p 1 after Holm' in verdict['reason']


def test_only_methods_with_controls_are_judged():
  records = comparison.verdicts(
    METHODS, compared(pair(around(1e-3), TASKS), TASKS), TASKS
  )
  assert [(r['method'], r['task']) for r in records] == [
    ('ple+critic', 'click'),
    ('ple+critic', 'conversion'),
  ]
  assert comparison.differences(METHODS[:4], [], TASKS, {}, 0.95) == []


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


def test_one_seed_has_no_standard_error():
  assert comparison.mean_and_error([0.5, None]) == {
    'mean': 0.5,
    'standard_error': None,
    'n': 1,
  }


@settings(deadline=None, max_examples=30)
@given(
  st.lists(st.floats(-0.125, 0.125, width=32), min_size=16, max_size=20),
  st.permutations(range(5)),
)
def test_the_order_of_runs_does_not_matter(gains, order):
  runs = pair(gains)
  shuffled = [r for i in order for r in runs[i::5]]
  assert compared(shuffled) == compared(runs)
  for record in compared(runs):
    assert record['p'] <= record['p_holm'] <= 1.0


def test_tasks_of_numbers_are_compared_by_their_own_metrics():
  def metrics_of(seed, gain):
    watch = {'kind': 'regression', 'xauc': 0.7 + gain, 'mae': 5.0 - gain}
    return {
      'click': {'auc': 0.6 + gain, 'logloss': 0.3, 'session_logloss': 0.3},
      'watch': {**watch, 'rmse': 9.0 + seed},
    }

  seeds = range(comparison.MIN_PAIRS)
  runs = [
    {'method': name, 'seed': s, 'metrics': metrics_of(s, gain + s * 1e-5)}
    for name, gain in (('a', 0.01), ('b', 0.0))
    for s in seeds
  ]
  methods = [
    {'name': 'a', 'controls': ['b']},
    {'name': 'b', 'controls': []},
  ]
  tasks = ('click', 'watch')
  found = comparison.differences(methods, runs, tasks, {}, 0.95)
  assert [(d['task'], d['metric']) for d in found] == [
    *(('click', m) for m in ('auc', 'logloss', 'session_logloss')),
    *(('watch', m) for m in ('xauc', 'mae', 'rmse')),
  ]
  assert found[4]['mean'] == pytest.approx(-0.01)
  assert all(d['pairs'] == len(seeds) for d in found)
  summary = comparison.summarise(('a', 'b'), runs, tasks)
  assert {s['metric'] for s in summary if s['task'] == 'watch'} == {
    *('xauc', 'mae', 'rmse'),
  }
  verdicts = comparison.verdicts(methods, found, tasks)
  assert [v['task'] for v in verdicts] == ['click', 'watch']
  assert 'XAUC' in verdicts[1]['reason']
