"""Daily training over the last days of a log: `rmtl backtest`.

For every day two models are evaluated on its rows: one that continues the day
before's (`--start_from`) on extended data, and one that is trained from scratch
on the same window, prepared at once. The rates of users and items are their
baseline. A restart computes only what is missing.

DIR/data/K        prepared data of day K, extended from those of the day before;
                  K_at_once/ the same window from the raw log
DIR/runs/SEED/K   runs: continued/ and scratch/
DIR/days/K-SEED.json, asked.json (what was asked for), backtest.json
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, run, types
from rmtl_jax.config import limits, prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file, parquet
from rmtl_jax.evaluation import comparison, metric_registry
from rmtl_jax.preparation import prepare_log as prepare_lib
from rmtl_jax.results import verdict
from rmtl_jax.runtime import (
  progress,
  provenance,
  stages,
  workdir,
  workdir_checks,
  writers,
)
from rmtl_jax.training import start_rules

Record = dict[str, Any]
PrepareConfig = prepare_settings.PrepareConfig
Step = Callable[[str, float], None]

ARMS = ('continued', 'scratch')
# Rates of users and items, and true probabilities of simulated sessions.
REFERENCES = ('baseline', 'oracle')
# Metrics of a day's table, as far as a task has them.
SHOWN = ('auc', 'xauc', 'gauc', 'logloss', 'rmse', 'predicted_over_actual')
_UNITS = {'m': 60_000, 'h': 3_600_000, 'd': 86_400_000}


class Options(NamedTuple):
  """Settings of a backtest.

  Attributes:
    days: to evaluate on, the last ones of the log.
    step: length of a day, as `1d` or `7d`.
    seeds: of paired runs.
    continued: settings of runs that continue, over those of what they started
      from, {'group.field': value}.
    stages: of every run.
  """

  days: int = 7
  step: str = '1d'
  seeds: tuple[int, ...] = (0,)
  continued: Mapping[str, Any] = {}
  stages: tuple[str, ...] = run.ORDER


class Backtest(NamedTuple):
  """A backtest under way.

  Attributes:
    path: DIR, created if missing; locked while it runs.
    source: reads the log; its places of data and splits are the backtest's.
    settings: the manifest of a day's data -> settings of a run from scratch;
      of None those that are known without data.
    interrupted: a signal's number once one has arrived, else 0.
  """

  path: pathlib.Path
  source: PrepareConfig
  settings: Callable[[Any], config_lib.Config]
  options: Options
  live: progress.Progress
  interrupted: Callable[[], int] = lambda: 0


def backtest(work: Backtest) -> Record:
  """Runs the days that are missing; writes and returns backtest.json.

  Raises:
    types.InputError: bad data or settings, or a directory of another backtest.
    fit.Interrupted: a signal arrived; a later call resumes.
  """
  path, options, live = work.path, work.options, work.live
  step = parse_step(options.step)
  limits.check('--seeds', options.seeds, config_values.kind('compare.seeds'))
  _check_continued(work.settings(None), options.continued)
  with workdir.locked(path):
    asked = _asked(work)
    if 'last' not in asked:
      live.say('reading the log for its last row')
      scratch = path / 'data' / 'whole'
      first, last = first_and_last_row(work.source, scratch, live.step)
      check_room(first, last, options.days, step)
      asked['last'] = last
      writers.write_sealed(path / workdir_checks.BACKTEST, asked)
    found: list[Record] = []
    for day in plan(asked['last'], options.days, step):
      since, until = iso(day.since), iso(day.until)
      live.say(f'day {day.number} of {options.days}: {since} to {until}')
      data = prepared(work.source, day, path / 'data', live.step)
      live.clear()
      runs = [_runs(work, day, seed, data) for seed in options.seeds]
      splits = manifest_file.read(data['continued']).splits
      found.append(
        {
          'number': day.number,
          'since': since,
          'until': until,
          'train_rows': splits['train'].rows,
          'rows': splits['test'].rows,
          'runs': runs,
        }
      )
      if day.number:  # so that finished days can be looked at
        writers.write_json(path / 'backtest.json', _record(found, options))
    return _record(found, options)


def _check_continued(
  config: config_lib.Config, continued: Mapping[str, Any]
) -> None:
  """Refuses settings with which no run could continue, before training."""
  try:
    config_values.with_settings(config, continued)
  except types.InputError as error:
    raise types.InputError(f'--continued: {error}') from None
  for name in filter(start_rules.makes_network, continued):
    raise types.InputError(
      f'--continued: {name}: a run keeps the networks that it starts from'
    )


def _asked(work: Backtest) -> Record:
  """Checks the settings against those of the directory's backtest.

  More seeds may follow.
  """
  options = work.options
  asked = {
    'source': dataclasses.asdict(work.source),
    'settings': config_values.to_dict(work.settings(None)),
    'days': options.days,
    'step': options.step,
    'continued': dict(options.continued),
    'stages': list(options.stages),
  }
  asked = json.loads(json.dumps(asked))  # as it comes back from the file
  file = work.path / workdir_checks.BACKTEST
  if not file.exists():
    workdir_checks.check_place(work.path)
    return asked
  old = writers.read_sealed(file, 'choose another --workdir')
  other = [name for name in asked if old.get(name) != asked[name]]
  if other:
    raise types.InputError(
      f'{work.path}: this backtest has other {other[0]}; choose another'
      ' --workdir'
    )
  return old


class Day(NamedTuple):
  """One step of a backtest.

  Attributes:
    number: from 0, the one that everything starts with.
    since: when it begins, ms.
    until: when it ends, ms.
  """

  number: int
  since: int
  until: int


def parse_step(text: str) -> int:
  """The length of a step, ms.

  >>> parse_step('7d') // 86_400_000
  7

  Raises:
    types.InputError: no number of days, hours or minutes.
  """
  found = re.fullmatch(r'([1-9]\d{0,5})([mhd])', text)
  if not found:
    raise types.InputError(
      f'--step: {text!r:.80} is no length of time; expected 1d, 7d, 12h or so'
    )
  return int(found[1]) * _UNITS[found[2]]


def plan(last: int, count: int, step: int) -> list[Day]:
  """Days 0 to `count`; the last one ends after the log's last row.

  Days of whole days begin at midnight (UTC).

  >>> day = 86_400_000
  >>> [one.since // day for one in plan(10 * day + 5, 2, day)]
  [8, 9, 10]

  Args:
    last: time of the last row, ms.
    count: days to evaluate on, after day 0.
    step: length of one, ms.
  """
  end, day = last + 1, _UNITS['d']
  if step % day == 0:
    end = -(-end // day) * day
  starts = [end - (count + 1 - number) * step for number in range(count + 1)]
  return [Day(i, since, since + step) for i, since in enumerate(starts)]


def iso(ms: int) -> str:
  """A time as `rmtl prepare` takes it, UTC."""
  found = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
  return found.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]


def first_and_last_row(
  config: PrepareConfig, scratch: pathlib.Path, step: Step
) -> tuple[int, int]:
  """The times of the log's first and last row, ms, found by preparing it.

  `scratch`, where that is done, is removed again.

  Raises:
    types.InputError: the log has no times.
  """
  shutil.rmtree(scratch, ignore_errors=True)
  whole = dataclasses.replace(config, data_dir=str(scratch), as_of=('none',))
  manifest = prepare_lib.prepare(whole, step)
  if not manifest.has_time:
    raise types.InputError(
      f'{config.raw_dir or config.source}: has no times, so no days follow each'
      ' other'
    )
  ends = []
  for split in manifest.splits.values():
    for name in split.files:
      with parquet.open_file(scratch / name) as file:
        times = file.read(['timestamp'])['timestamp']
      ends.append(pc.call_function('min_max', [times]).as_py())
  shutil.rmtree(scratch, ignore_errors=True)
  return min(one['min'] for one in ends), max(one['max'] for one in ends)


def check_room(first: int, last: int, count: int, step: int) -> None:
  """Refuses more days than a log has after day 0 and its train rows.

  Args:
    first: time of the first row, ms.
    last: time of the last row, ms.
    count: days to evaluate on, after day 0.
    step: length of one, ms.

  Raises:
    types.InputError: day 0 has no train rows before its validation.
  """
  day = plan(last, count, step)[0]
  if first < day.since - step:
    return
  most = count - 1 - (first - day.since + step) // step
  raise types.InputError(
    f'--days: the log is from {iso(first)} to {iso(last)}, which has no train'
    f' rows before {count} steps and the two before them; expected'
    + (f' {most} or fewer' if most > 0 else ' a shorter --step')
  )


def prepared(
  config: PrepareConfig, day: Day, place: pathlib.Path, step: Step
) -> dict[str, pathlib.Path]:
  """The data of a day by arm, prepared unless they are there.

  Day 0 prepares the log up to its end, with the last day as test and the one
  before as validation. Every later day extends the data of the day before by
  its own rows, and splits move on by a day: validation becomes train.

  Vocabularies of extended data contain values of the new rows; those of data
  that are prepared at once contain values of train rows alone. So each arm gets
  data as a team that works that way has them. Day 0 has one form, prepared at
  once.

  Args:
    place: the directory of all days' data; those of the day before are in it.

  Raises:
    types.InputError: as for `rmtl prepare`.
  """
  extended = place / str(day.number)
  at_once = place / f'{day.number}_at_once' if day.number else extended
  since, until = iso(day.since), iso(day.until)
  before = iso(day.since - (day.until - day.since))
  wanted = [
    dataclasses.replace(
      config,
      data_dir=str(at_once),
      until=until,
      split_by='auto',
      split_dates=(before, since),
    )
  ]
  if day.number:
    last = PrepareConfig(
      raw_dir=config.raw_dir,
      data_dir=str(extended),
      extend=str(place / str(day.number - 1)),
      since=since,
      until=until,
      memory_limit=config.memory_limit,
      threads=config.threads,
      temp_dir=config.temp_dir,
    )
    wanted.append(last)
  for settings in wanted:
    if not (pathlib.Path(settings.data_dir) / 'manifest.json').exists():
      prepare_lib.prepare(settings, step)
  return {'continued': extended, 'scratch': at_once}


def _runs(
  work: Backtest, day: Day, seed: int, data: Mapping[str, pathlib.Path]
) -> Record:
  """Both models of a day and a seed; of day 0 the one that all start with."""
  file = work.path / 'days' / f'{day.number}-{seed}.json'
  if file.exists():
    return writers.read_sealed(file, 'remove it to evaluate the day again')
  runs = work.path / 'runs' / str(seed)
  found: Record = {'seed': seed}
  for arm in ARMS if day.number else ARMS[1:]:
    before = None
    if arm == 'continued':
      # Day 0 has one model, from scratch.
      was = ARMS[0] if day.number > 1 else ARMS[1]
      before = runs / str(day.number - 1) / was
      config = config_values.with_settings(
        workdir.read(before).config, work.options.continued
      )
    else:
      config = work.settings(manifest_file.read(data[arm]))
      config = dataclasses.replace(config, seed=seed)
    work.live.say(f'day {day.number}, seed {seed}: {arm}')
    place = runs / str(day.number) / arm
    trained = run.train(
      config,
      place,
      data[arm],
      work.options.stages,
      work.live,
      before,
      run.RunOptions(work.interrupted, trackers=()),
    )
    # The model that predicts, its metrics, and costs: passes over the train
    # rows and seconds of all stages, compilations included.
    stage = verdict.served_stage(trained)
    metrics = trained['stages'][stage]
    seconds = trained['seconds']
    found[arm] = {
      'stage': stage,
      'metrics': _shown(metrics),
      'epochs': trained['best_epoch'],
      'passes': len(writers.read_history(place)),
      'seconds': sum(
        seconds.get(name, 0) for name in (*stages.LEAVES, 'trees')
      ),
    }
    for name in REFERENCES:
      if name in trained:
        found[name] = {'metrics': _shown(trained[name])}
  file.parent.mkdir(exist_ok=True)
  writers.write_sealed(file, found)
  return found


def _shown(metrics: Mapping[str, Record]) -> Record:
  return {
    task: {name: one[name] for name in SHOWN if name in one}
    for task, one in metrics.items()
  }


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


def of_day(
  day: Mapping[str, Any], arm: str, task: str, metric: str
) -> float | None:
  """The mean of a metric over a day's seeds; None where no run defines it."""
  found = [
    one[arm]['metrics'].get(task, {}).get(metric)
    for one in day['runs']
    if arm in one
  ]
  return comparison.mean_and_error(found)['mean']


def summarise(days: Sequence[Record], task: str, metric: str) -> Record:
  """Means over days of a metric, and continued minus from scratch.

  Args:
    days: of backtest.json, without day 0.

  Returns:
    `continued`, `scratch`, `baseline`, `oracle`: means over days and seeds,
    None where there are none;
    `difference`, of continued minus scratch: `mean`, `low` and `high`, the 95 %
    interval over days and seeds (`comparison.crossed_mean`), `days`, `seeds`
    and `better`, days on which continued is better, in the mean over seeds;
    None where a metric is undefined.
  """
  result: Record = {}
  for arm in (*ARMS, *REFERENCES):
    found = [of_day(day, arm, task, metric) for day in days]
    result[arm] = comparison.mean_and_error(found)['mean']
  first, second = (
    np.array(
      [
        [one[arm]['metrics'][task][metric] for one in day['runs']]
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
  found = comparison.crossed_mean(differences)
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
