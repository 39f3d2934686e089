"""Results of a comparison that never ran: realistic figures from a seed."""

from __future__ import annotations

import itertools

import numpy as np

from rmtl_jax.evaluation import bootstrap, comparison

CONTROLS = ('', '+constant', '+constant_mean', '+q_shuffled')
# Gain over the pre-trained model's AUC, as fine-tuning tends to give.
GAINS = {
  '': 0.0,
  'constant': 12e-4,
  'constant_mean': 13e-4,
  'q_shuffled': 11e-4,
  'critic': 22e-4,
}


def build(seeds=16, tasks=('click', 'conversion'), judged=('ple+critic',)):
  """What results.json would hold.

  Args:
    seeds: how many.
    tasks: names.
    judged: names of methods, `backbone+weighting`; their controls and
      pre-trained models are added.
  """
  rng = np.random.default_rng(len(judged))
  controls = {
    name: [name.partition('+')[0] + control for control in CONTROLS]
    for name in judged
  }
  names = dict.fromkeys([*itertools.chain(*controls.values()), *judged])
  methods = [
    {
      'name': name,
      'backbone': name.partition('+')[0],
      'weighting': name.partition('+')[2],
      'controls': controls.get(name, []),
      'learning_rate': 1e-3 if '+' in name else None,
    }
    for name in names
  ]
  # Of the seed and backbone: what makes pairs agree.
  noise = {
    (method['backbone'], seed): rng.normal(0.0, 2e-3, len(tasks))
    for method in methods
    for seed in range(seeds)
  }
  draws = rng.normal(0.0, 4e-3, (200, len(tasks)))
  runs, replicates = [], {}
  for method in methods:
    weighting = method['weighting']
    for seed in range(seeds):
      aucs = 0.7 + noise[method['backbone'], seed] + GAINS.get(weighting, 14e-4)
      if weighting:
        aucs = aucs + rng.normal(0.0, 4e-4, len(tasks))
      metrics = {t: _metrics(a) for t, a in zip(tasks, aucs, strict=True)}
      run = {'method': method['name'], 'seed': seed, 'metrics': metrics}
      runs.append({**run, 'best_epoch': seed % 5})
      replicates[method['name'], seed] = {
        name: draws
        + [metrics[task][name] for task in tasks]
        + rng.normal(0.0, 8e-4, draws.shape)
        for name in bootstrap.METRICS
      }
  differences = comparison.differences(methods, runs, tasks, replicates)
  return {
    'split': 'test',
    'tasks': list(tasks),
    'seeds': list(range(seeds)),
    'data': {
      'source': 'simulated',
      'rows': {'train': 36000, 'validation': 12000, 'test': 12000},
    },
    'methods': methods,
    'runs': runs,
    'tuning': [
      {'method': name, 'learning_rate': rate, 'validation_auc': 0.7 + rate}
      for name in names
      for rate in (1e-3, 3e-4)
    ],
    'critics': [],
    'summary': comparison.summarise([*names], runs, tasks),
    'differences': differences,
    'verdicts': comparison.verdicts(methods, differences, tasks),
    'baseline': {task: _metrics(0.55) for task in tasks},
    'oracle': {task: _metrics(0.81) for task in tasks},
    'warnings': [],
    'config': {},
    'versions': {'python': '3.11.9', 'jax': '0.10.2'},
    'device': 'cpu, 2 cores',
    'commit': '0123abc',
    'seconds': {'stage 1': 61.2, 'stage 3': 245.0},
  }


def _metrics(auc):
  return {
    'rows': 12000,
    'positives': 900,
    'auc': float(auc),
    'auc_interval': [float(auc) - 0.01, float(auc) + 0.01],
    'gauc': float(auc) - 0.05,
    'logloss': float(0.6 - 0.5 * auc),
    'session_logloss': float(0.62 - 0.5 * auc),
  }
