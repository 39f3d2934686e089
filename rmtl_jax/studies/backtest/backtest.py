"""What a team does every night, over the last days of a log: `rmtl backtest`.

For every day two models are evaluated on its rows: one that goes on from the
day before's (`--start_from`) on extended data, and one that is trained from
scratch on the same window, prepared at once. Beside them stand the rates of
users and items. What a day has left is not computed again, so a backtest that
was cut off goes on.

DIR/data/K        prepared data of day K, extended from those of the day before;
                  K_at_once/ the same window from the raw log, K.json both
DIR/runs/SEED/K   runs: continued/ and scratch/
DIR/days/K-SEED.json, asked.json (what was asked for), backtest.json
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, run, types
from rmtl_jax.config import limits
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import comparison, significance
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.results import served
from rmtl_jax.runtime import (
  checks,
  progress,
  provenance,
  workdir,
  writers,
)
from rmtl_jax.studies.backtest import days as days_lib
from rmtl_jax.training import start_rules

Record = dict[str, Any]
Settings = Callable[[Any], config_lib.Config]

ARMS = ('continued', 'scratch')
# Beside them: rates of users and items, and true probabilities of simulated
# sessions.
BESIDE = ('baseline', 'oracle')
# Metrics of a day's table, as far as a task has them.
SHOWN = ('auc', 'xauc', 'gauc', 'logloss', 'rmse', 'predicted_over_actual')


class Options(NamedTuple):
  """What a backtest does.

  Attributes:
    days: to evaluate on, the last ones of the log.
    step: length of a day, as `1d` or `7d`.
    seeds: of paired runs.
    continued: settings of runs that go on, beside those of what they started
      from, {'group.field': value}.
    stages: of every run.
  """

  days: int = 7
  step: str = '1d'
  seeds: tuple[int, ...] = (0,)
  continued: Mapping[str, Any] = {}
  stages: tuple[str, ...] = run.ORDER


def backtest(
  path: pathlib.Path,
  source: prepare_config.PrepareConfig,
  settings: Settings,
  options: Options,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Runs the days that are missing; writes and returns backtest.json.

  Args:
    path: DIR, created if missing; locked while this runs.
    source: reads the log; its places of data and splits are the backtest's.
    settings: the manifest of a day's data -> settings of a run from scratch;
      of None what is known of them without.
    interrupted: a signal's number once one has arrived, else 0.

  Raises:
    types.InputError: bad data or settings, or a directory of another backtest.
    fit.Interrupted: a signal arrived; a later call resumes.
  """
  live = live or progress.Progress()
  step = days_lib.parse_step(options.step)
  limits.check('--seeds', options.seeds, config_values.kind('compare.seeds'))
  _check_continued(settings(None), options.continued)
  with contextlib.ExitStack() as held:
    held.enter_context(workdir.locked(path))
    asked = _asked(path, source, settings, options)
    last = asked.get('last')
    if last is None:
      live.say('reading the log for its last row')
      first, last = days_lib.first_and_last_row(
        source, path / 'data' / 'whole', live.step
      )
      days_lib.check_room(first, last, options.days, step)
      writers.write_sealed(path / checks.BACKTEST, asked | {'last': last})
    days = days_lib.plan(last, options.days, step)
    found = []
    for day in days:
      live.say(
        f'day {day.number} of {options.days}: {days_lib.iso(day.since)} to'
        f' {days_lib.iso(day.until)}'
      )
      one = days_lib.prepared(source, day, path / 'data', live.step)
      live.clear()
      runs = [
        _runs(path, day, seed, one, settings, options, live, interrupted)
        for seed in options.seeds
      ]
      found.append(
        {
          'number': day.number,
          'since': days_lib.iso(day.since),
          'until': days_lib.iso(day.until),
          **one.record,
          'runs': runs,
          'mean': means(runs),
        }
      )
      if day.number:  # what there is can be looked at before all is there
        writers.write_json(path / 'backtest.json', _record(found, options))
    return _record(found, options)


def _check_continued(
  config: config_lib.Config, continued: Mapping[str, Any]
) -> None:
  """Refuses settings with which no run could go on, before day 0 is trained.

  Raises:
    types.InputError: names the setting.
  """
  try:
    config_values.with_settings(config, continued)
  except types.InputError as error:
    raise types.InputError(f'--continued: {error}') from None
  for name in filter(start_rules.makes_network, continued):
    raise types.InputError(
      f'--continued: {name}: a run goes on with the networks it starts from'
    )


def _asked(
  path: pathlib.Path,
  source: prepare_config.PrepareConfig,
  settings: Settings,
  options: Options,
) -> Record:
  """What the directory's backtest was asked for; refuses another one.

  More seeds may follow.
  """
  asked = {
    'source': dataclasses.asdict(source),
    'settings': config_values.to_dict(settings(None)),
    'days': options.days,
    'step': options.step,
    'continued': dict(options.continued),
    'stages': list(options.stages),
  }
  asked = json.loads(json.dumps(asked))  # as it comes back from the file
  file = path / checks.BACKTEST
  if not file.exists():
    checks.check_place(path)
    return asked
  old = writers.read_sealed(file, 'choose another --workdir')
  for name, value in asked.items():
    if old.get(name) != value:
      which, before, after = _first_unlike(name, old.get(name), value)
      raise types.InputError(
        f'{path}: this backtest has {which}={before!r:.80}, not {after!r:.80};'
        ' choose another --workdir'
      )
  return old


def _first_unlike(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
  """The first part in which two records of JSON differ, and both values."""
  if isinstance(old, dict) and isinstance(new, dict) and set(old) == set(new):
    key = next(key for key in new if old[key] != new[key])
    return _first_unlike(f'{name}.{key}', old[key], new[key])
  return name, old, new


def _runs(
  path: pathlib.Path,
  day: days_lib.Day,
  seed: int,
  data: days_lib.Data,
  settings: Settings,
  options: Options,
  live: progress.Progress,
  interrupted: Callable[[], int],
) -> Record:
  """Both models of a day and a seed; of day 0 the one that all start with."""
  file = path / 'days' / f'{day.number}-{seed}.json'
  if file.exists():
    return writers.read_sealed(file, 'remove it to evaluate the day again')
  runs = path / 'runs' / str(seed)
  found: Record = {'seed': seed}
  for arm in ARMS if day.number else ARMS[1:]:
    before, config = None, None
    if arm == 'continued':
      # Day 0 has one model, from scratch.
      was = ARMS[0] if day.number > 1 else ARMS[1]
      before = runs / str(day.number - 1) / was
      config = config_values.with_settings(
        workdir.read(before).config, options.continued
      )
    else:
      config = settings(manifest_file.read(data.at_once))
      config = dataclasses.replace(config, seed=seed)
    live.say(f'day {day.number}, seed {seed}: {arm}')
    place = runs / str(day.number) / arm
    trained = run.train(
      config,
      place,
      data.extended if before else data.at_once,
      options.stages,
      live,
      interrupted,
      trackers=(),
      start_from=before,
    )
    found[arm] = _figures(trained, place)
    for name in BESIDE:
      if name in trained:
        found[name] = {
          'metrics': {task: _shown(one) for task, one in trained[name].items()}
        }
  file.parent.mkdir(exist_ok=True)
  writers.write_sealed(file, found)
  return found


def _figures(trained: Record, place: pathlib.Path) -> Record:
  """Of a run: the model that predicts, its calibrated figures, and costs.

  Returns:
    `stage`, `metrics`, `epochs` that were kept, `passes` over the train rows of
    all stages and members, and `seconds` of these, compilations included.
  """
  stage = served.of_record(trained)
  by_task = trained.get('calibrated', trained['stages'])[stage]
  seconds = trained['seconds']
  return {
    'stage': stage,
    'metrics': {task: _shown(one) for task, one in by_task.items()},
    'epochs': trained['best_epoch'],
    'passes': len(writers.read_history(place)),
    'seconds': sum(v for name, v in seconds.items() if name != 'evaluation'),
  }


def _shown(metrics: Mapping[str, Any]) -> Record:
  return {name: metrics[name] for name in SHOWN if name in metrics}


def _record(found: Sequence[Record], options: Options) -> Record:
  """The content of backtest.json."""
  first = found[0]['runs'][0]['scratch']['metrics']
  return {
    'days': list(found),
    'tasks': list(first),
    'options': {
      **options._asdict(),
      'seeds': list(options.seeds),
      'stages': list(options.stages),
      'continued': dict(options.continued),
    },
    'summary': {
      task: {name: summarise(found[1:], task, name) for name in first[task]}
      for task in first
    },
    'versions': provenance.versions(),
    'device': provenance.device(),
  }


def summarise(days: Sequence[Record], task: str, metric: str) -> Record:
  """Means over days of a metric, and what going on gains over starting anew.

  Args:
    days: of backtest.json, day 0 aside.

  Returns:
    `continued`, `scratch`, `baseline`, `oracle`: means over days and seeds,
    None where there are none;
    `difference`, of continued minus scratch: `mean`, `low` and `high`, the 95 %
    interval over days and seeds (`significance.crossed_mean`), `days`, `seeds`
    and `better`, days on which continued is better, in the mean over seeds;
    None where a metric is undefined.
  """
  result: Record = {}
  for arm in (*ARMS, *BESIDE):
    found = [of_day(day, arm, task, metric) for day in days]
    result[arm] = comparison.mean_and_error(found)['mean']
  first, second = (
    np.array(
      [
        [run[arm]['metrics'][task][metric] for run in day['runs']]
        for day in days
      ],
      np.float64,
    )
    for arm in ARMS
  )
  differences = first - second
  differences = differences[np.isfinite(differences).all(axis=1)]
  if not differences.size:
    return result | {'difference': None}
  found = significance.crossed_mean(differences)
  by_day = differences.mean(axis=1)
  better = {'higher': by_day > 0, 'lower': by_day < 0}
  direction = metric_registry.describe(metric).better
  result['difference'] = {
    'mean': found.mean,
    'low': json_files.number(found.low),
    'high': json_files.number(found.high),
    'days': differences.shape[0],
    'seeds': differences.shape[1],
    'better': int(better[direction].sum()) if direction in better else None,
  }
  return result


def of_day(
  day: Mapping[str, Any], arm: str, task: str, metric: str
) -> float | None:
  """A metric of a day over its seeds; None where no run defines it."""
  by_task = day['mean'].get(arm, {'metrics': {}})['metrics']
  return by_task.get(task, {}).get(metric)


def means(runs: Sequence[Record]) -> Record:
  """A day's figures over its seeds.

  Returns:
    By arm, as far as runs have it: `metrics` {task: {name: mean, None where no
    run defines it}}, and of trained ones `seconds` and `passes`.
  """
  found: Record = {}
  for arm in (*BESIDE, *ARMS):
    of_arm = [one[arm] for one in runs if arm in one]
    if not of_arm:
      continue
    by_task = {
      task: {
        name: comparison.mean_and_error(
          [one['metrics'][task][name] for one in of_arm]
        )['mean']
        for name in metrics
      }
      for task, metrics in of_arm[0]['metrics'].items()
    }
    costs = {
      name: float(np.mean([one[name] for one in of_arm]))
      for name in ('seconds', 'passes')
      if name in of_arm[0]
    }
    found[arm] = {'metrics': by_task, **costs}
  return found
