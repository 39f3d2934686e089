r"""The recommended settings beside LightGBM, with intervals over the test rows.

    pip install '.[trees]'
    python -m benchmarks.paired --data_dir=data/mine --data_dir=data/other \
      --seed=0 --seed=1 --output=benchmarks/results/paired.json

A difference of AUC on few test rows is mostly chance. Here both models predict
the same rows, of which sessions are resampled together, and a resample's
difference is the mean over the seeds. Both are trained as in
`benchmarks.recommended` and `benchmarks.lightgbm_baseline`. Tasks that are not
binary are left out, as LightGBM's is.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import app, flags, logging

from benchmarks import lightgbm_baseline, machine
from rmtl_jax import config as config_lib
from rmtl_jax import json_files, run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import bootstrap, intervals, labelled, metrics
from rmtl_jax.results import ensemble
from rmtl_jax.runtime import programs, progress, workdir
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib

# Resamples of an interval, and its coverage.
_DRAWS, _CONFIDENCE = 2000, 0.95
# What a model may be behind.
_MARGIN = 0.002


def recommended(
  data_dir: str, manifest: manifest_lib.Manifest, seed: int
) -> np.ndarray:
  """What stage 1 of the recommended settings predicts, f32[R, K].

  Not calibrated, which AUC does not see.

  Args:
    data_dir: prepared data.
    manifest: theirs.
    seed: of the models.
  """
  config = config_values.with_settings(
    config_lib.preset('recommended', manifest),
    {'seed': seed, 'evaluation.bootstrap': 0},
  )
  with tempfile.TemporaryDirectory() as place:
    quiet = progress.Progress(quiet=True)
    run.train(config, pathlib.Path(place), data_dir, ('pretrain',), quiet)
    return _predicted(workdir.read_run(pathlib.Path(place)))


@programs.in_32_bits
def _predicted(one: workdir.Run) -> np.ndarray:
  """What a run's pre-trained model predicts of the test rows, f32[R, K]."""
  models = models_lib.Models(one.manifest.feature_spec())
  actor = ensemble.restore(one, models).actors['pretrain']
  batch = one.config.batch
  test = splits_lib.read(one.data_dir, one.manifest, 'test', batch, None, None)
  return models.predict(one.config, actor, test)


def lightgbm(
  splits: dict[str, columns_lib.SplitColumns],
  manifest: manifest_lib.Manifest,
  seed: int,
  max_categories: int,
) -> np.ndarray:
  """What LightGBM predicts of the test rows, f64[R, K]; 0 if not binary.

  Args:
    splits: rows of each.
    manifest: theirs.
    seed: of folds and of sampling.
    max_categories: values of a categorical field that is no id, at most.
  """
  predicted = np.zeros((len(splits['test'].labels), len(manifest.tasks)))
  for k in binary(manifest):
    of = (splits, manifest, k, seed, max_categories)
    task = lightgbm_baseline.Task(*of)
    choice, model, _ = task.search()
    predicted[:, k] = model.predict(task.features('test', choice))
  return predicted


def binary(manifest: manifest_lib.Manifest) -> list[int]:
  """Places of the binary tasks."""
  return [k for k, task in enumerate(manifest.tasks) if task.is_binary]


def difference(
  ours: Sequence[np.ndarray],
  others: Sequence[np.ndarray],
  rows: labelled.Labelled,
  task: int,
) -> dict[str, Any]:
  """AUC of each model and seed, and what their difference may be.

  Args:
    ours: predictions of each seed, [R, K].
    others: the same of another model.
    rows: the labels.
    task: place of a binary task.

  Returns:
    `auc` and `other` of each seed; `gain`, the mean difference; `interval`,
    [low, high] of it over resampled sessions, None where undefined; and
    `positives` and `rows`, those that count.
  """
  labels, weight = rows.labels[:, [task]], rows.weight(task)
  sets = [one[:, [task]] for one in (*ours, *others)]
  aucs = [metrics.auc(labels[:, 0], one[:, 0], weight) for one in sets]
  counted = None if weight is None else weight[:, None]
  one_task = labelled.Labelled(labels, rows.session, ('',), (), counted)
  predicted = list(map(labelled.Predicted, sets))
  drawn = bootstrap.replicates(predicted, one_task, _DRAWS, 0)['auc'][..., 0]
  split = len(ours)
  gains = drawn[:, :split].mean(1) - drawn[:, split:].mean(1)
  rarer = int(intervals.rarer_sessions(rows)[task])
  bounds = intervals.percentile_interval(gains, _CONFIDENCE, rarer)
  seen = slice(None) if weight is None else weight > 0.0
  gain = float(np.mean(aucs[:split]) - np.mean(aucs[split:]))
  return {
    'auc': list(map(json_files.number, aucs[:split])),
    'other': list(map(json_files.number, aucs[split:])),
    'gain': json_files.number(gain),
    'interval': intervals.as_json(bounds),
    'positives': int(np.count_nonzero(labels[seen])),
    'rows': len(labels[seen]),
  }


def measure(
  data_dir: str, seeds: Sequence[int], max_categories: int
) -> Iterator[dict[str, Any]]:
  """Yields the difference of each binary task.

  Raises:
    types.InputError: LightGBM is not installed, or bad data.
  """
  manifest, splits = lightgbm_baseline.read(data_dir)
  ours = [recommended(data_dir, manifest, seed) for seed in seeds]
  others = [lightgbm(splits, manifest, seed, max_categories) for seed in seeds]
  rows = labelled.Labelled.of(splits['test'], manifest.task_names)
  for k in binary(manifest):
    yield {
      'data': pathlib.Path(data_dir).name,
      'task': manifest.task_names[k],
      **difference(ours, others, rows, k),
    }


def verdict(gain: float | None, interval: Sequence[float] | None) -> str:
  """What an interval says of a gain, and of the margin that it may miss."""
  if gain is None or interval is None:
    return 'unknown'
  low, high = interval
  if low > 0.0:
    return 'ahead'
  if high < -_MARGIN:
    return f'behind by more than {_MARGIN}'
  if high < 0.0:
    return 'behind'
  return 'not told apart' if gain >= -_MARGIN else 'behind, by chance or not'


def row(figure: dict[str, Any]) -> dict[str, str]:
  """One task's line of the table."""
  line = {name: str(figure[name]) for name in ('data', 'task', 'positives')}
  gain, interval = figure['gain'], figure['interval']
  shown = {'LightGBM': '-', 'recommended': '-', 'gain': '-', 'interval': '-'}
  if gain is not None:
    shown['LightGBM'] = f'{np.mean(figure["other"]):.4f}'
    shown['recommended'] = f'{np.mean(figure["auc"]):.4f}'
    shown['gain'] = f'{gain:+.4f}'
  if interval is not None:
    shown['interval'] = f'{interval[0]:+.4f} to {interval[1]:+.4f}'
  return {**line, **shown, 'verdict': verdict(gain, interval)}


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values, figures = flags.FLAGS, []
  logging.set_verbosity(logging.WARNING)
  try:
    for data_dir in values.data_dir:
      for figure in measure(data_dir, values.seed, values.max_categories):
        figures.append(figure)
        print(f'{data_dir}: {figure["task"]}', flush=True)
  except types.InputError as error:
    print(f'paired: {error}', file=sys.stderr)
    sys.exit(2)
  print(machine.table([row(figure) for figure in figures]))
  machine.write(
    values.output,
    {
      'benchmark': 'paired',
      'unit': 'test AUC of stage 1 minus that of LightGBM; intervals of'
      f' {_CONFIDENCE:.0%} over {_DRAWS} resamples of sessions, of the mean'
      ' over seeds',
      'seeds': values.seed,
      'figures': figures,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_multi_string(
    'data_dir', None, 'Prepared data; repeatable.', required=True
  )
  flags.DEFINE_multi_integer('seed', [0], 'Of both models; repeatable.')
  flags.DEFINE_integer(
    'max_categories', 200, 'A categorical field with more values is an id.'
  )
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
