"""A search for better settings, on validation alone.

TUNING/ holds what a comparison's directory holds, but trials/ for runs/ (their
test rows were not looked at), and tuning.json (every trial) and best.json (a
config). The search is a
deterministic sequence: started again it meets its own finished runs, so that it
goes on where it stopped without a database.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import comparison_runs, methods, search, workdir, writers
from rmtl_jax.training import progress as progress_lib

Record = dict[str, Any]

_RATE = 'finetune.learning_rate'


class Search(NamedTuple):
  """What to search, and how hard.

  Attributes:
    space: the settings.
    stage: the last stage of a trial: 'pretrain', or 'finetune' after all.
    trials: how many points.
    seeds: runs of a trial; their mean decides.
    sampler_seed: of the search.
  """

  space: tuple[search.Dimension, ...]
  stage: str = 'pretrain'
  trials: int = 30
  seeds: tuple[int, ...] = (0, 1)
  sampler_seed: int = 0


def tune(
  config: config_lib.Config,
  wanted: Search,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Searches settings by their mean validation AUC over tasks and seeds.

  The test split is not read. The best value is too good: it was chosen on the
  same rows. `rmtl compare` on the test split, with other seeds, tells.

  Args:
    config: settings to start from; they are the first trial.
    wanted: the search.
    path: TUNING, created if missing; locked while this runs.
    data_dir: prepared data.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    What TUNING/tuning.json holds: `trials` (settings and value of each, the
    first without any), `best`, `method` (for rmtl compare).

  Raises:
    types.InputError: Optuna is not installed; bad data or settings.
    trainer.Interrupted: a signal arrived; a later call goes on.
  """
  optuna = _optuna()
  live = live or progress_lib.Progress(brief=True)
  with workdir.locked(path):
    run = workdir.create(path, config, data_dir)
    config = dataclasses.replace(
      config,
      compare=dataclasses.replace(config.compare, seeds=wanted.seeds),
    )
    runs = comparison_runs.Runs(run, config, live, interrupted, searching=True)
    study = optuna.create_study(
      direction='maximize',
      sampler=optuna.samplers.TPESampler(seed=wanted.sampler_seed),
    )
    trials = [_trial({}, *_evaluate(runs, config, wanted, [{}]))]
    # Trials whose runs one program can train are drawn before any is told.
    batch = max(runs.population // len(wanted.seeds), 1)
    while len(trials) <= wanted.trials:
      count = min(batch, wanted.trials + 1 - len(trials))
      asked = [study.ask() for _ in range(count)]
      points = [search.suggest(t, wanted.space, config) for t in asked]
      values = _evaluate(runs, config, wanted, points)
      for trial, point, value in zip(asked, points, values, strict=True):
        study.tell(trial, float(np.mean(value)))
        trials.append(_trial(point, value))
        live.say(_line(trials, wanted.trials))
    record = _record(config, wanted, trials)
    writers.write_json(path / 'tuning.json', record)
    best = config_lib.with_settings(config, record['best']['settings'])
    best = dataclasses.replace(best, compare=config_lib.CompareConfig())
    writers.write_json(path / 'best.json', {'config': config_lib.to_dict(best)})
    return record


def _optuna() -> Any:
  try:
    import optuna
  except ImportError:
    raise types.InputError(
      "rmtl tune needs Optuna: pip install 'rmtl-jax[tune]'"
    ) from None
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna


def _evaluate(
  runs: comparison_runs.Runs,
  config: config_lib.Config,
  wanted: Search,
  points: Sequence[Record],
) -> list[list[float]]:
  """Best mean validation AUC of every point and seed."""
  variants = [_variant(config, wanted.stage, point) for point in points]
  if wanted.stage == 'pretrain':
    runs.pretrain([v.method for v in variants], wanted.seeds)
  else:
    runs.pretrain([v.method.first for v in variants], wanted.seeds)
    runs.train(variants, wanted.seeds)
  rates = [v.learning_rate if v.method.weighting else None for v in variants]
  return [
    [
      max(runs.record(v.method, seed, rate)['validation_auc'])
      for seed in wanted.seeds
    ]
    for v, rate in zip(variants, rates, strict=True)
  ]


def _variant(
  config: config_lib.Config, stage: str, point: Record
) -> comparison_runs.Variant:
  """A point as the runs of a comparison know it."""
  settings = tuple(sorted((k, v) for k, v in point.items() if k != _RATE))
  weighting = config.weighting.name if stage == 'finetune' else ''
  method = methods.Method(config.backbone, weighting, settings=settings)
  method.config(config)  # checks the values together
  rate = point.get(_RATE, config.finetune.learning_rate)
  return comparison_runs.Variant(method, rate)


def _trial(settings: Record, values: Sequence[float]) -> Record:
  return {
    'settings': settings,
    'validation_auc': float(np.mean(values)),
    'by_seed': list(values),
  }


def _best(trials: Sequence[Record]) -> Record:
  return max(trials, key=lambda trial: trial['validation_auc'])


def _line(trials: Sequence[Record], wanted: int) -> str:
  best = _best(trials)
  return (
    f'trial {len(trials) - 1} of {wanted}: validation AUC'
    f' {trials[-1]["validation_auc"]:.4f}, best {best["validation_auc"]:.4f}'
    f' at trial {trials.index(best)}'
  )


def _record(
  config: config_lib.Config, wanted: Search, trials: Sequence[Record]
) -> Record:
  best = _best(trials)
  method = _variant(config, wanted.stage, best['settings']).method
  return {
    'split': 'validation',
    'backbone': config.backbone,
    'stage': wanted.stage,
    'seeds': list(wanted.seeds),
    'best': best,
    'method': method.name,
    'trials': list(trials),
    'versions': workdir.versions(),
    'device': workdir.device(),
  }
