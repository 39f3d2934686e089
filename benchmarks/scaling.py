r"""What a log of simulated rows costs by its size, next to LightGBM.

    pip install '.[trees]'
    python -m benchmarks.scaling --rows=10000 --rows=100000 --rows=1000000 \
      --output=benchmarks/results/scaling.json

Each size is prepared by `rmtl prepare` and trained by `rmtl train` with all
defaults (three stages, the control, three members, no paper's model), each a
process. LightGBM has the same features: a model per task with the settings of
benchmarks/lightgbm_baseline.py, not searched. `in_seconds` is the share of
training's wall time that `seconds` of metrics.json contains.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import app, flags

from benchmarks import lightgbm_baseline, machine
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import metrics

_ROWS = flags.DEFINE_multi_integer('rows', [10_000, 100_000], 'Of the log.')
_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_MAX_CATEGORIES = 255


def run(*arguments: str) -> tuple[float, float]:
  """Wall and CPU seconds of one command."""
  begin, before = time.perf_counter(), _children()
  subprocess.run(
    [sys.executable, '-m', 'rmtl_jax', *arguments],
    check=True,
    capture_output=True,
  )
  return time.perf_counter() - begin, _children() - before


def _children() -> float:
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def lightgbm(data_dir: str) -> tuple[float, dict[str, dict[str, float]]]:
  """CPU seconds of a model per task, and their test metrics."""
  manifest, splits = lightgbm_baseline.read(data_dir)
  begin, found = time.process_time(), {}
  for k, name in enumerate(manifest.task_names):
    task = lightgbm_baseline.Task(splits, manifest, k, 0, _MAX_CATEGORIES)
    choice = lightgbm_baseline.Choice()
    _, model = task.fit(choice)
    predicted = model.predict(task.features('test', choice), num_threads=1)
    counts = columns_lib.metric_weight(splits['test'])
    weight = lightgbm_baseline.of_task(counts, k)
    tested = splits['test'].labels[:, k], predicted, weight
    found[name] = {
      'auc': metrics.auc(*tested),
      'logloss': metrics.logloss(*tested),
    }
  return time.process_time() - begin, found


def measure(rows: int) -> dict[str, Any]:
  """Seconds and test metrics of a log of so many rows."""
  with tempfile.TemporaryDirectory() as place:
    data, workdir = f'{place}/data', f'{place}/run'
    prepare = run(
      'prepare',
      '--source=simulated',
      f'--simulated_rows={rows}',
      f'--data_dir={data}',
    )
    train = run('train', f'--data_dir={data}', f'--workdir={workdir}')
    record = json.loads(pathlib.Path(workdir, 'metrics.json').read_text())
    cpu, others = lightgbm(data)
  seconds = record['seconds']
  known = sum(x for name, x in seconds.items() if name != 'compiling')
  stages = record['stages']
  ours = stages[record['served']['stage']]
  return {
    'rows': rows,
    'prepare': dict(zip(('wall', 'cpu'), prepare, strict=True)),
    'train': dict(zip(('wall', 'cpu'), train, strict=True)),
    'lightgbm_cpu': cpu,
    'in_seconds': known / train[0],
    'seconds': seconds,
    'test': {
      task: {
        name: {metric: by[task][metric] for metric in ('auc', 'logloss')}
        for name, by in (('rmtl', ours), ('lightgbm', others))
      }
      for task in others
    },
  }


def row(figure: dict[str, Any]) -> dict[str, Any]:
  """One size's line of the table."""
  return {
    'rows': figure['rows'],
    'prepare, CPU s': figure['prepare']['cpu'],
    'train, s': figure['train']['wall'],
    'train, CPU s': figure['train']['cpu'],
    'in seconds': figure['in_seconds'],
    'LightGBM, CPU s': figure['lightgbm_cpu'],
    **{
      f'{task} AUC, {name}': f'{by[name]["auc"]:.4f}'
      for task, by in figure['test'].items()
      for name in ('rmtl', 'lightgbm')
    },
  }


def main(_: list[str]) -> None:
  """Prints the table, writes the file."""
  found = []
  for rows in _ROWS.value:
    found.append(measure(rows))
    print(machine.table([row(figure) for figure in found]), flush=True)
  machine.write(_OUTPUT.value, {'benchmark': 'scaling', 'figures': found})


if __name__ == '__main__':
  app.run(main)
