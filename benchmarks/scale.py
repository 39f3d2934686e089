"""A plan for machines that nobody had: rows per second on 1 to 256 devices.

    python -m benchmarks.scale --scale_output=benchmarks/results/scale.json

Counts the work of stage 1's real steps from their jaxprs, puts it beside
vendors' figures of devices (benchmarks/scale_devices.py) in a model of a step
(benchmarks/scale_model.py), and says which part of the step binds. Nothing here
was run on an accelerator. What can be checked is checked: the compute part
against steps on this CPU, in this run and in benchmarks/results/stages.json,
and bytes of collectives against benchmarks/mesh.py's compiled programs
(--mesh_result).
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import Any

from absl import app, flags

from benchmarks import (
  machine,
  scale_checks,
  scale_devices,
  scale_model,
  scale_work,
  workload,
)
from rmtl_jax import config as config_lib

_OUTPUT = flags.DEFINE_string('scale_output', '', 'JSON; none if empty.')
_MESH = flags.DEFINE_string(
  'mesh_result', 'benchmarks/results/mesh.json', 'Of benchmarks/mesh.py.'
)
_BACKBONES = flags.DEFINE_list(
  'backbones', ['shared_bottom', 'esmm', 'mmoe'], 'That are timed here.'
)
_REPETITIONS = flags.DEFINE_integer('repetitions', 7, 'Calls of a figure.')

DEVICES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROWS = (10**9, 10**10, 10**11, 10**12)
ROWS_OF_A_DEVICE = (2048, 16384)
# Doubling the devices is worth it where it gives so much more.
WORTH = 1.5
# Mean rows of a session, as in benchmarks/workload.py.
SESSION = 4

_LARGE = (10**8, 10**7, *[10**5] * 6, *[10**3] * 20)
PLANS = {
  'defaults': scale_work.Plan(
    'mmoe', config_lib.NetworkConfig(), workload.VOCABULARIES
  ),
  'large tables': scale_work.Plan(
    'mmoe',
    config_lib.NetworkConfig(embedding_dim=32, embedding_adam='rows'),
    _LARGE,
  ),
  'large tables, small network': scale_work.Plan(
    'shared_bottom',
    config_lib.NetworkConfig(
      embedding_dim=32,
      embedding_adam='rows',
      bottom_units=(128, 64),
      tower_units=(32,),
    ),
    _LARGE,
  ),
}


def described(name: str, rates: scale_model.Host) -> dict[str, Any]:
  """What a plan's rows cost."""
  rows = ROWS_OF_A_DEVICE[0]
  job, work = scale_work.count(PLANS[name], rows)
  tables = 4 * job.table_numbers / 1e9
  # Session starts; labels and the frozen policy in stages 2 and 3.
  of_rows = 8 / SESSION + 2 * 4 * job.tasks
  return {
    'plan': name,
    'backbone': PLANS[name].backbone,
    'MFLOP per row': work.flops / rows / 1e6,
    'dense parameters': job.dense,
    'table rows': sum(job.fields),
    'tables, Adam, GB': 3 * tables,
    'stage 3, GB': scale_model.COPIES * tables,
    'rows of a small table': job.rows(rows),
    'bytes to a device per row': job.input_bytes,
    'process, bytes per row': of_rows,
    'one process reads, rows/s': rates.values / job.columns,
  }


def table(
  name: str, assumed: scale_devices.Assumptions, rates: scale_model.Host
) -> list[dict[str, Any]]:
  """Predictions of one plan, for all devices and sizes of a batch."""
  found = []
  for rows in ROWS_OF_A_DEVICE:
    job, work = scale_work.count(PLANS[name], rows)
    for kind, device in scale_devices.DEVICES.items():
      model = scale_model.model_axis(job, device, assumed)
      for devices in DEVICES:
        if devices < model:
          continue
        mesh = devices // model, model
        one = scale_model.predict(job, work, rows, mesh, device, rates, assumed)
        found.append(
          {
            'plan': name,
            'device': kind,
            'rows of a device': rows,
            'devices': devices,
            'mesh': f'data:{mesh[0]},model:{model}',
            'rows/s': one.rows_per_second,
            'bound': one.bound,
            'devices alone, rows/s': one.batch / one.on_device,
            'bound of devices': one.bound_of_devices,
            'milliseconds': {k: 1e3 * v for k, v in one.seconds.items()},
            'days': {f'{n:.0e}': one.days(n) for n in ROWS},
          }
        )
  return found


def bends(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """After how many devices twice as many give less than WORTH as much.

  Args:
    predictions: of `table`.

  Returns:
    Per plan, device and rows of a device: as built, and for devices alone, as
    if rows came from the host for nothing, the number and the part of a step
    that grows most there.
  """
  keys = ('plan', 'device', 'rows of a device')
  groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
  for p in predictions:
    groups.setdefault(tuple(p[k] for k in keys), []).append(p)
  found = []
  for key, group in groups.items():
    row: dict[str, Any] = dict(zip(keys, key, strict=True))
    for title, rate in (
      ('as built', 'rows/s'),
      ('devices alone', 'devices alone, rows/s'),
    ):
      row[title] = row[f'{title}, by'] = '-'
      for before, after in itertools.pairwise(group):
        if after[rate] < WORTH * before[rate]:
          row[title] = before['devices']
          parts = _growth(before, after, title == 'as built')
          row[f'{title}, by'] = max(parts, key=lambda name: parts[name])
          break
    found.append(row)
  return found


def _growth(
  before: dict[str, Any], after: dict[str, Any], with_host: bool
) -> dict[str, float]:
  """Milliseconds that parts of a step grow by."""
  old, new = before['milliseconds'], after['milliseconds']
  return {
    name: new[name] - old[name]
    for name in new
    if with_host or name not in ('input', 'plan')
  }


def rounded(tree: Any) -> Any:
  """With four digits of every float: they are no better than that."""
  if isinstance(tree, dict):
    return {name: rounded(value) for name, value in tree.items()}
  if isinstance(tree, list):
    return [rounded(value) for value in tree]
  return float(f'{tree:.4g}') if isinstance(tree, float) else tree


def main(argv: list[str]) -> None:
  """Prints the tables, writes the file."""
  del argv
  load = os.getloadavg()[0]
  assumed = scale_devices.Assumptions()
  rates, source = scale_checks.host()
  plans = [described(name, rates) for name in PLANS]
  predictions = [row for name in PLANS for row in table(name, assumed, rates)]
  checks = {
    'steps': [
      scale_checks.steps(backbone, _REPETITIONS.value)
      for backbone in _BACKBONES.value
    ],
    'stages': [scale_checks.stages()],
    'collectives': scale_checks.collectives(_MESH.value),
  }
  whole = {
    'plan, seconds': 1e9 / rates.planned,
    'check at a start, seconds': [
      1e9 * scale_work.count(plan, 2048)[0].columns / rates.checked
      for plan in PLANS.values()
    ],
    'metrics, seconds': 1e9 / scale_checks.metrics_rate(),
  }
  brief = [
    {k: v for k, v in p.items() if k not in ('milliseconds', 'days')}
    | {f'days, {n}': days for n, days in p['days'].items() if n[-1] in '92'}
    for p in predictions
  ]
  for rows in (plans, brief, bends(predictions), *checks.values()):
    if rows:
      print(machine.table(rows), end='\n\n')
  print(f'of 1e9 rows, in every process: {whole}')
  record = {
    'benchmark': 'scale',
    'load_before': load,
    'assumed': dataclasses.asdict(assumed),
    'devices': {
      k: dataclasses.asdict(v) for k, v in scale_devices.DEVICES.items()
    },
    'host': dataclasses.asdict(rates) | {'source': source},
    'in every process, of 1e9 rows': whole,
    'plans': plans,
    'checks': checks,
    'bends': bends(predictions),
    'predictions': predictions,
  }
  machine.write(_OUTPUT.value, rounded(record))


if __name__ == '__main__':
  app.run(main)
