"""Loss balancers of stage 1 on four backbones, each against equal weights.

    rmtl compare --config=experiments/balancers.py:data/retailrocket \
      --data_dir=data/retailrocket --workdir=runs/balancers

The text after the colon is the prepared data, then backbones, joined by
commas; without these all four. Settings are the recommended ones for the data
(one model: the first member), so that what is compared is what users train.

Methods: equal weights; every balancer of docs/balancers.md with its paper's
settings; and static weights of one task from a quarter to four times those of
the others. The best of that grid on validation is a method that many balancers
lose to (`best_static` says which it is). What a step costs is another command's:
python -m benchmarks.balancers.

Expected: docs/balancers.md. Four seeds give means and intervals, and no claims;
the verdict's tests need --seeds=0,1,...,15.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.balancing import registry
from rmtl_jax.config import values, variants
from rmtl_jax.data import manifest as manifest_lib

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
  manifest = manifest_lib.read(data_dir)
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


def best_static(results: Mapping[str, Any], backbone: str) -> str:
  """The static weights that validation chooses, equal ones among them.

  Args:
    results: of the comparison (results.json).
    backbone: of the methods.
  """
  by_method: dict[str, list[float]] = {}
  for run in results['runs']:
    method = run['method']
    if method == backbone or method.startswith(f'{backbone}/static:'):
      by_method.setdefault(method, []).append(min(run['validation_logloss']))
  return min(by_method, key=lambda m: sum(by_method[m]) / len(by_method[m]))


if __name__ == '__main__':
  for one in sys.argv[2:]:
    print(one, best_static(json_files.read(sys.argv[1]), one))
