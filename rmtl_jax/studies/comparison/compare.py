"""Compares methods x seeds on the same data, with paired tests.

COMPARISON/ has config.json and manifest.json as a run, runs/ and critics/ (a
JSON file per finished run or critics), checkpoints/ (of stages 1 and 2),
unfinished/ (of an interrupted stage) and results.json.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.data import reading
from rmtl_jax.evaluation import comparison, intervals
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.results import list_starts, summary
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.runtime import provenance, workdir, writers
from rmtl_jax.studies.comparison import methods as methods_lib
from rmtl_jax.studies.comparison import runs as comparison_runs

Job = methods_lib.Job
Method = methods_lib.Method
Record = dict[str, Any]
# Learning rate of stage 3 by method name.
Rates = Mapping[str, float]


def compare(
  config: config_lib.Config,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Trains all methods and seeds of `config.compare`, and compares them.

  A restart on the same directory resumes: finished runs are read, not trained.
  Seeds and methods may be added.

  Args:
    config: settings; `compare` names methods, seeds and learning rates.
    path: COMPARISON, created if missing; locked while this runs.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    The content of COMPARISON/results.json: `methods`, `runs`, `tuning`,
    `critics`, `summary`, `differences`, `verdicts`, the setting, `warnings`.

  Raises:
    types.InputError: bad data or methods, a directory of another comparison,
      or a stage 1 that has not converged, or can't.
    fit.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss was not finite.
  """
  config_values.validate(config)
  methods = methods_lib.expand(config)
  with reading.shared_lock(data_dir), workdir.locked(path):
    run = workdir.find(path, config, data_dir, workdir.COMPARISON)
    snapshot = reading.Snapshot(data_dir, run.manifest)
    runs = comparison_runs.Runs(
      run, config, live or progress_lib.Progress(brief=True), interrupted
    )
    runs.check(method.config(config) for method in methods)
    runs.check_epochs(methods)
    digests = snapshot.digests()
    workdir.create(path, config, data_dir, digests, kind=workdir.COMPARISON)
    runs.expect(methods)
    weighted = [m for m in methods if m.weighting]
    tuning = _tune(runs, weighted)
    rates = _choose(
      runs.monitor, tuning, weighted, config.compare.learning_rates
    )
    seeds = config.compare.seeds
    runs.pretrain([m for m in methods if not m.weighting], seeds)
    runs.train(
      [comparison_runs.Variant(m, rates[m.name]) for m in weighted], seeds
    )
    results = _results(runs, run, methods, rates, tuning)
    writers.write_json(path / 'results.json', results)
    return results


def _tune(
  runs: comparison_runs.Runs, methods: Sequence[Method]
) -> list[Record]:
  """Trains every method with every learning rate on the first seeds."""
  config = runs.config.compare
  rates, seeds = config.learning_rates, config.seeds[: config.tuning_seeds]
  if len(rates) == 1:
    return []
  runs.train(
    [comparison_runs.Variant(m, rate) for m in methods for rate in rates],
    seeds,
  )
  return [
    {
      'method': method.name,
      'learning_rate': rate,
      runs.monitor.figure: float(
        np.mean([runs.best(Job(method, seed, rate)) for seed in seeds])
      ),
    }
    for method in methods
    for rate in rates
  ]


def _choose(
  monitor: monitor_lib.Monitor,
  tuning: Sequence[Record],
  methods: Sequence[Method],
  rates: Sequence[float],
) -> dict[str, float]:
  """Chooses each method's rate by what is monitored; the first of equals."""
  chosen = {method.name: rates[0] for method in methods}
  best: dict[str, float] = {}
  for entry in tuning:
    name, value = entry['method'], monitor.sign * entry[monitor.figure]
    if value > best.get(name, -np.inf):
      best[name], chosen[name] = value, entry['learning_rate']
  return chosen


def _results(
  runs: comparison_runs.Runs,
  run: workdir.Run,
  methods: Sequence[Method],
  rates: Rates,
  tuning: Sequence[Record],
) -> Record:
  """Builds results.json from the finished runs."""
  config, tasks = runs.config, run.manifest.task_names
  seeds = config.compare.seeds
  controls = methods_lib.controls(config)
  described = [_describe(m, controls[m.name], rates) for m in methods]
  replicates, kept, seconds = {}, [], {}
  for method in methods:
    for seed in seeds:
      record = runs.record(Job(method, seed, rates.get(method.name)))
      draws = record.pop('replicates')
      replicates[method.name, seed] = {
        name: np.asarray(values, np.float64) for name, values in draws.items()
      }
      stage = 'finetune' if method.weighting else 'pretrain'
      seconds[stage] = seconds.get(stage, 0.0) + record.pop('seconds')
      kept.append(record)
  critics = [
    runs.critics_record(Job(critic, seed))
    for critic in dict.fromkeys(m.critics for m in methods if m.needs_critics)
    for seed in seeds
  ]
  seconds['critic'] = sum(record.pop('seconds') for record in critics)
  differences = comparison.differences(
    described, kept, tasks, replicates, intervals.CONFIDENCE
  )
  test = runs.splits['test'].host
  return {
    'split': 'test',
    'tasks': list(tasks),
    'seeds': list(seeds),
    'data': {
      'source': run.manifest.source,
      'rows': {name: s.host.rows for name, s in runs.splits.items()},
    },
    'budget': {
      'finetune_epochs': config.finetune.max_epochs,
      'learning_rates': list(config.compare.learning_rates),
      'tuning_seeds': min(config.compare.tuning_seeds, len(seeds)),
    },
    'methods': described,
    'summary': comparison.summarise([m.name for m in methods], kept, tasks),
    'differences': differences,
    'verdicts': comparison.verdicts(described, differences, tasks),
    'tuning': list(tuning),
    'critics': critics,
    'baseline': summary.rate_baseline(
      runs.splits['train'].host,
      test,
      run.manifest,
      config,
      list_starts.of(runs.splits['test'], run.manifest),
    ),
    'oracle': summary.stages({}, test, tasks, config).get('oracle'),
    'warnings': _warnings(critics, tuning, rates),
    'runs': kept,
    'config': config_values.to_dict(config),
    'versions': provenance.versions(),
    'device': provenance.device(),
    'commit': provenance.commit(),
    'seconds': seconds,
  }


def _describe(method: Method, controls: Sequence[str], rates: Rates) -> Record:
  return {
    'name': method.name,
    'backbone': method.backbone,
    'weighting': method.weighting,
    'critic_backbone': (method.critic_backbone or method.backbone)
    if method.needs_critics
    else None,
    'settings': dict(method.settings),
    'controls': list(controls),
    'learning_rate': rates.get(method.name),
  }


def _warnings(
  critics: Sequence[Record], tuning: Sequence[Record], rates: Rates
) -> list[str]:
  """Warns of critics and learning rates that make figures misleading."""
  lines = []
  for name in dict.fromkeys(record['critic'] for record in critics):
    own = [record for record in critics if record['critic'] == name]
    collapsed = sum(any(r['statistics']['collapsed'].values()) for r in own)
    diverged = sum(
      any(r['statistics'].get('diverged', {}).values()) for r in own
    )
    unfinished = sum(not r['converged'] for r in own)
    if collapsed:
      lines.append(
        f'critics of {name}: collapsed for {collapsed} of {len(own)} seeds:'
        ' their weights are constants, so RMTL is the control there'
      )
    if diverged:
      lines.append(
        f'critics of {name}: diverged for {diverged} of {len(own)} seeds: their'
        ' weights are noise there'
      )
    if unfinished:
      lines.append(
        f'critics of {name}: not converged for {unfinished} of {len(own)} seeds'
        ' (--config.critic.max_passes)'
      )
  tried = sorted({entry['learning_rate'] for entry in tuning})
  lowest = [name for name, rate in rates.items() if tried and rate == tried[0]]
  if lowest:
    lines.append(
      f'the lowest learning rate, {tried[0]:g}, was the best for'
      f' {", ".join(lowest)}: a lower one may be better'
    )
  return lines
