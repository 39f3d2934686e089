"""Results of a comparison that never ran: realistic figures from a seed."""

from __future__ import annotations

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


def build(
  seeds=16,
  tasks=('click', 'conversion'),
  judged=('ple+critic',),
  replicates=200,
):
  """What results.json would hold, `summary` to `verdicts` included.

  Args:
    seeds: how many.
    tasks: names.
    judged: names of methods, `backbone+weighting...`; their controls and
      pre-trained models are added.
    replicates: of the session bootstrap, 0 for none.
  """
  generator = np.random.default_rng(len(judged))
  methods = _methods(judged)
  tuning = [
    {
      'method': method['name'],
      'learning_rate': rate,
      'validation_auc': 0.7 + generator.normal(0.0, 1e-3),
    }
    for method in methods
    if method['weighting']
    for rate in (1e-3, 3e-4)
  ]
  for method in methods:
    tried = [t for t in tuning if t['method'] == method['name']]
    if tried:
      best = max(tried, key=lambda t: t['validation_auc'])
      method['learning_rate'] = best['learning_rate']
  noise = {}  # of the seed and backbone: what makes pairs agree
  for method in methods:
    for seed in range(seeds):
      key = method['backbone'], seed
      if key not in noise:
        noise[key] = generator.normal(0.0, 2e-3, len(tasks))
  runs = [
    _run(method, seed, tasks, noise[method['backbone'], seed], generator)
    for method in methods
    for seed in range(seeds)
  ]
  draws = generator.normal(0.0, 4e-3, (replicates, len(tasks)))
  bootstrap = {
    (run['method'], run['seed']): _replicates(run, tasks, draws, generator)
    for run in runs
    if replicates
  }
  results = {
    'split': 'test',
    'tasks': list(tasks),
    'seeds': list(range(seeds)),
    'data': {
      'source': 'simulated',
      'rows': {'train': 36000, 'validation': 12000, 'test': 12000},
    },
    'methods': methods,
    'runs': runs,
    'tuning': tuning,
    'critics': [],
    'baseline': {task: _metrics(0.55) for task in tasks},
    'oracle': {task: _metrics(0.81) for task in tasks},
    'warnings': [],
    'config': {},
    'versions': {'python': '3.11.9', 'jax': '0.10.2'},
    'device': 'cpu, 2 cores',
    'commit': '0123abc',
    'seconds': {'stage 1': 61.2, 'stage 3': 245.0},
  }
  return judge(results, bootstrap)


def judge(results, bootstrap=None):
  """Computes `summary`, `differences` and `verdicts` in place."""
  methods, runs, tasks = (results[k] for k in ('methods', 'runs', 'tasks'))
  results['summary'] = comparison.summarise(
    [m['name'] for m in methods], runs, tasks
  )
  found = comparison.differences(methods, runs, tasks, bootstrap or {})
  results['differences'] = found
  results['verdicts'] = comparison.verdicts(methods, found, tasks)
  return results


def _methods(judged):
  methods = {}
  for name in judged:
    backbone = name.partition('+')[0]
    controls = [backbone + c for c in CONTROLS]
    for control in controls:
      methods.setdefault(control, _method(control, []))
  for name in judged:
    backbone = name.partition('+')[0]
    methods[name] = _method(name, [backbone + c for c in CONTROLS])
  return list(methods.values())


def _method(name, controls):
  backbone, _, rest = name.partition('+')
  weighting, _, settings = rest.partition(':')
  weighting, _, origin = weighting.partition('@')
  return {
    'name': name,
    'backbone': backbone,
    'weighting': weighting,
    'critic_backbone': (origin or backbone) if weighting else None,
    'settings': dict(s.split('=') for s in settings.split(':') if s),
    'controls': controls,
    'learning_rate': None,
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


def _run(method, seed, tasks, noise, generator):
  weighting = method['weighting']
  gain = GAINS.get(weighting, 14e-4) + generator.normal(0, 4e-4, len(tasks))
  if not weighting:
    gain, epochs = np.zeros(len(tasks)), 5 + generator.integers(4)
    curve = 0.7 - 0.1 * np.exp(-np.arange(epochs)) + noise.mean()
  else:
    curve = 0.7 + noise.mean() + gain.mean() * (1 - 0.5 ** np.arange(5))
  aucs = 0.7 + 0.02 * np.arange(len(tasks)) + noise + gain
  return {
    'method': method['name'],
    'seed': seed,
    'learning_rate': method['learning_rate'],
    'best_epoch': int(np.argmax(curve)) if seed else 0,
    'metrics': {t: _metrics(a) for t, a in zip(tasks, aucs, strict=True)},
  }


def _replicates(run, tasks, draws, generator):
  values = {}
  for metric in bootstrap.METRICS:
    means = [run['metrics'][task][metric] for task in tasks]
    values[metric] = draws + means + generator.normal(0.0, 8e-4, draws.shape)
  return values
