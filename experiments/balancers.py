"""Loss balancers of stage 1 on four backbones, each against equal weights.

    rmtl compare --config=experiments/balancers.py:data/retailrocket \
      --data_dir=data/retailrocket --workdir=runs/balancers

The text after the colon is the prepared data, then backbones, joined by
commas; without these all four. Settings are the recommended ones for the data
(one model: the first member), so that what is compared is what users train.

Methods: equal weights; every balancer of docs/balancers.md with its paper's
settings; and static weights of one task from a quarter to four times those of
the others. `python -m experiments.balancers FILE.json...` prints a table: what
each gained over equal weights in comparisons (results.json), and what it costs
in rows per CPU second and memory by `python -m benchmarks.balancers`
(benchmarks/results/balancers.json). `static` in it is the best of the grid on
validation, a method that many balancers lose to.

Expected: docs/balancers.md. Four seeds give means and intervals, and no claims;
the verdict's tests need --seeds=0,1,...,15.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.balancing import registry
from rmtl_jax.config import values, variants
from rmtl_jax.data import manifest_file

BACKBONES = ('shared_bottom', 'mmoe', 'ple', 'esmm')
# Weight of one task in units of the others'.
GRID = (0.25, 0.5, 2.0, 4.0)


def get_config(argument: str) -> config_lib.Config:
  """The methods, four seeds, and the settings for the data.

  Args:
    argument: prepared data, then backbones, joined by commas.

  Raises:
    types.InputError: there is no such data.
  """
  data_dir, *chosen = argument.split(',')
  manifest = manifest_file.read(data_dir)
  start = config_lib.preset('recommended', manifest)
  methods = [
    method
    for backbone in chosen or BACKBONES
    for method in methods_of(backbone, len(manifest.tasks))
  ]
  config = values.with_settings(
    variants.first(start), {'backbone': (chosen or BACKBONES)[0]}
  )
  return dataclasses.replace(
    config,
    compare=config_lib.CompareConfig(
      methods=tuple(methods), seeds=(0, 1, 2, 3)
    ),
  )


def methods_of(backbone: str, num_tasks: int) -> list[str]:
  """A backbone under equal weights, the static grid, and every balancer.

  Examples:
    >>> methods_of('ple', 2)[:3]
    ['ple', 'ple/static:pretrain.balancing.weights=0.25+1', \
'ple/static:pretrain.balancing.weights=0.5+1']
  """
  # Of two tasks the second's grid is the first's, turned round.
  tasks = range(num_tasks if num_tasks > 2 else 1)
  grid = [
    '+'.join(f'{weight if k == task else 1:g}' for k in range(num_tasks))
    for task in tasks
    for weight in GRID
  ]
  return [
    backbone,
    *(f'{backbone}/static:pretrain.balancing.weights={w}' for w in grid),
    *(
      f'{backbone}/{record.name}'
      for record in registry.RECORDS.values()
      if not record.is_static
    ),
  ]


def differences(
  results: Mapping[str, Any], metric: str = 'auc'
) -> dict[str, tuple[float, float]]:
  """Each method minus equal weights, paired by seed, mean over tasks.

  The static weights that validation chooses, equal ones among them, are the
  method `BACKBONE/static`.

  Args:
    results: of the comparison (results.json).
    metric: of the test split.

  Returns:
    {method: (mean, standard error)} over seeds.
  """
  by_method: dict[str, dict[int, float]] = {}
  validation: dict[str, list[float]] = {}
  for run in results['runs']:
    values = [of_task[metric] for of_task in run['metrics'].values()]
    by_method.setdefault(run['method'], {})[run['seed']] = np.mean(values)
    validation.setdefault(run['method'], []).append(
      min(run['validation_logloss'])
    )
  found = {}
  for method in list(by_method):
    backbone, _, balancer = method.partition('/')
    if balancer.startswith('static:'):
      grid = [m for m in by_method if m.split('/static:')[0] == backbone]
      best = min(grid, key=lambda m: np.mean(validation[m]))
      by_method[f'{backbone}/static'] = by_method[best]
  for method, by_seed in by_method.items():
    backbone, _, balancer = method.partition('/')
    if balancer and not balancer.startswith('static:'):
      equal = by_method[backbone]
      gains = [by_seed[seed] - equal[seed] for seed in by_seed]
      error = np.std(gains, ddof=1) / len(gains) ** 0.5
      found[method] = (float(np.mean(gains)), float(error))
  return found


def costs(benchmark: Mapping[str, Any]) -> dict[str, dict[str, str]]:
  """{column: {balancer: cell}} of rows per CPU second and memory.

  Args:
    benchmark: what benchmarks/balancers.py has written.
  """
  where = f'{benchmark["backbone"]}, K = {benchmark["tasks"]}'
  figures = {one['balancer']: one for one in benchmark['figures']}
  return {
    f'rows/s of CPU over those of equal ({where})': {
      name: f'{1 / one["cpu_to_equal"]:.2f}' for name, one in figures.items()
    },
    f'memory over that of equal ({where})': {
      name: f'{one["mebibytes"] / one["equal_mebibytes"]:.2f}'
      for name, one in figures.items()
    },
  }


def markdown(paths: Sequence[str]) -> str:
  """A table with a row per balancer: gains in units of 1e-4 AUC, and costs.

  Args:
    paths: of comparisons' results and of benchmarks, a column or two each.
  """
  columns: dict[str, dict[str, str]] = {}
  for path in paths:
    results = json_files.read(path)
    if 'benchmark' in results:
      columns |= costs(results)
      continue
    for method, (mean, error) in differences(results).items():
      backbone, balancer = method.split('/')
      name = f'{results["data"]["source"]}, {backbone}'
      columns.setdefault(name, {})[balancer] = (
        f'{1e4 * mean:+.0f} ± {1e4 * error:.0f}'
      )
  lines = [
    f'| balancer | {" | ".join(columns)} |',
    f'|---|{"---|" * len(columns)}',
  ]
  for name in registry.RECORDS:
    cells = [column.get(name, '') for column in columns.values()]
    if any(cells):
      lines.append(f'| `{name}` | {" | ".join(cells)} |')
  return '\n'.join(lines)


if __name__ == '__main__':
  print(markdown(sys.argv[1:]))
