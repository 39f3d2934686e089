r"""The recommended settings on prepared data, beside the rates and LightGBM.

    python -m benchmarks.recommended --data_dir=data/mine --seed=0 --seed=1 \
      --lightgbm=benchmarks/results/lightgbm_baseline.json \
      --output=benchmarks/results/recommended.json

`--setting=network.binned_fields=categories` changes a setting, to see what it
is worth. Stage 1 alone, as `rmtl train --stage=pretrain` trains it: nothing is
chosen by the test rows, which are predicted once; with --refit as `rmtl refit`
trains it again. LightGBM's figures are those of benchmarks/lightgbm_baseline.py
on data of the same name.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging

from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import json_files, run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import comparison
from rmtl_jax.runtime import progress

METRICS = ('auc', 'logloss')


def measure(
  data_dir: str,
  seeds: list[int],
  settings: Sequence[str] = (),
  refit: bool = False,
) -> list[dict[str, Any]]:
  """Each task's test metrics and seconds, means over seeds with their errors.

  Args:
    data_dir: prepared data.
    seeds: of the models.
    settings: `GROUP.NAME=VALUE` over the recommended ones.
    refit: whether the models are trained again, with validation rows.

  Raises:
    types.InputError: bad data, or no such setting.
  """
  manifest = manifest_file.read(data_dir)
  start = config_lib.resolve(config_lib.Config(), manifest)
  known = config_values.flatten(start)
  changes = [
    config_values.parse_setting('--setting', one, known) for one in settings
  ]
  start = config_values.with_settings(start, dict(changes))
  records, seconds = [], []
  for seed in seeds:
    config = config_values.with_settings(
      start, {'seed': seed, 'evaluation.bootstrap': 0}
    )
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as workdir:
      quiet = progress.Progress(quiet=True)
      first = pathlib.Path(workdir, 'first')
      record = run.train(config, first, data_dir, ('pretrain',), quiet)
      if refit:
        again = pathlib.Path(workdir, 'again')
        record = run.refit(first, again, data_dir, quiet)
    records.append(record)
    seconds.append(time.perf_counter() - begin)

  def of(task, metric):
    stages = [r['stages']['pretrain'] for r in records]
    values = [stage[task][metric] for stage in stages]
    return {**comparison.mean_and_error(values), 'runs': values}

  rates = records[0].get('baseline')
  return [
    {
      'data': pathlib.Path(data_dir).name,
      'task': task,
      'rates': rates and {metric: rates[task][metric] for metric in METRICS},
      **{metric: of(task, metric) for metric in METRICS},
      'seconds': {**comparison.mean_and_error(seconds), 'runs': seconds},
      'weights': [
        r['member_weights']['pretrain'][task]
        for r in records
        if 'member_weights' in r
      ],
    }
    for task in manifest.task_names
  ]


def row(
  figure: dict[str, Any], others: dict[tuple[str, str], Any]
) -> dict[str, str]:
  """One task's line of the table; others: LightGBM's figures."""
  rates = figure['rates']
  other = others.get((figure['data'], figure['task']))
  line = {'data': figure['data'], 'task': figure['task']}
  for metric in METRICS:
    mean = figure[metric]['mean']
    line[f'rates {metric}'] = f'{rates[metric]:.4f}' if rates else '-'
    line[f'LightGBM {metric}'] = (
      f'{other[metric]["mean"]:.4f}' if other else '-'
    )
    line[metric] = f'{mean:.4f}'
  gain = figure['auc']['mean'] - other['auc']['mean'] if other else None
  line['AUC gain'] = '-' if gain is None else f'{gain:+.4f}'
  return {**line, 'seconds': f'{figure["seconds"]["mean"]:.0f}'}


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values, figures = flags.FLAGS, []
  logging.set_verbosity(logging.WARNING)
  try:
    others = json_files.read(values.lightgbm) if values.lightgbm else {}
    for data_dir in values.data_dir:
      figures += measure(data_dir, values.seed, values.setting, values.refit)
      print(f'{data_dir}: {len(values.seed)} seeds', flush=True)
  except types.InputError as error:
    print(f'recommended: {error}', file=sys.stderr)
    sys.exit(2)
  by_task = {(f['data'], f['task']): f for f in others.get('figures', [])}
  print(machine.table([row(figure, by_task) for figure in figures]))
  machine.write(
    values.output,
    {
      'benchmark': 'recommended',
      'unit': 'test AUC and logloss, calibrated; seconds of stage 1 with all'
      ' members, its compiling and its evaluation',
      'settings': values.setting,
      'refit': values.refit,
      'figures': figures,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_multi_string(
    'data_dir', None, 'Prepared data; repeatable.', required=True
  )
  flags.DEFINE_multi_integer('seed', [0], 'Of the models; repeatable.')
  flags.DEFINE_multi_string(
    'setting', [], 'GROUP.NAME=VALUE over the recommended settings; repeatable.'
  )
  flags.DEFINE_boolean(
    'refit', False, 'Trains the models again, with validation rows.'
  )
  flags.DEFINE_string(
    'lightgbm', '', 'What lightgbm_baseline.py wrote; none if empty.'
  )
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
