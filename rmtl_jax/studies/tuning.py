"""A search for better settings with Optuna, on validation: `rmtl tune`.

TUNING/ has the files of a comparison with trials/ in place of runs/ (no test
row was evaluated), search.log (Optuna's journal), tuning.json (all trials and
the confirmation) and best.json (a config). A restart finds the trials in the
journal and the finished runs of an interrupted one in trials/.

The best of many trials is biased upwards on the rows and seeds that chose it.
So the best trials and the given settings run again with fresh seeds, which
remove the seeds' part of the bias. The rows stay the same, so a trial must also
gain in both halves of the validation period. Otherwise the given settings are
kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values
from rmtl_jax.data import reading
from rmtl_jax.evaluation import validation_monitor
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.runtime import provenance, workdir, writers
from rmtl_jax.studies import comparing, search_space
from rmtl_jax.studies import methods as methods_lib

Record = dict[str, Any]

_RATE = 'finetune.learning_rate'
# Trials that the pruner lets finish, because it prunes below their median.
_UNPRUNED = 4
_LIMITS: dict[str, Any] = {
  'stage': Literal['pretrain', 'finetune'],
  'trials': limits.Positive,
  'seeds': config_values.kind('compare.seeds'),
  'sampler_seed': limits.Count,
  'confirm': limits.Count,
}


class Options(NamedTuple):
  """The settings of a search.

  Attributes:
    space: its dimensions.
    stage: the last stage of a trial, `pretrain` or `finetune`.
    trials: points to try.
    seeds: runs of a trial; their mean decides.
    sampler_seed: of the search.
    confirm: how many of the best trials run again with fresh seeds, which
      choose; 0 takes the best trial as it is.
    confirm_seeds: the fresh seeds, by default four.
    minutes: 0 is no limit. No trial starts that would leave too little for
      confirming the best ones, by the time of the runs so far. What has begun
      is finished, and the best trial confirmed.
    storage: a database in which Optuna keeps the trials instead of the journal,
      for example `sqlite:///trials.db`.
  """

  space: tuple[search_space.Dimension, ...]
  stage: str = 'pretrain'
  trials: int = 30
  seeds: tuple[int, ...] = (0, 1)
  sampler_seed: int = 0
  confirm: int = 3
  confirm_seeds: tuple[int, ...] = ()
  minutes: float = 0.0
  storage: str = ''

  @property
  def fresh(self) -> tuple[int, ...]:
    """The seeds of the confirmation; none without one."""
    if not self.confirm:
      return ()
    unused = (seed for seed in itertools.count() if seed not in self.seeds)
    return self.confirm_seeds or tuple(itertools.islice(unused, 4))

  def check(self) -> None:
    """Raises InputError unless all are in range, and fresh seeds are fresh."""
    for name, kind in _LIMITS.items():
      limits.check(f'--{name}', getattr(self, name), kind)
    names = [dimension.name for dimension in self.space]
    for name in names:
      if names.count(name) > 1:
        raise types.InputError(f'--search: has {name} twice')
    if not self.minutes >= 0:
      raise types.InputError(
        f'--minutes: {self.minutes} is not a time, expected 0 (no limit) or'
        ' more'
      )
    stale = [seed for seed in self.fresh if seed in self.seeds]
    if stale:
      raise types.InputError(
        f'--confirm_seeds: {stale[0]} is one of --seeds, which have chosen'
        ' the trials: name others'
      )
    if self.confirm:
      limits.check('--confirm_seeds', self.fresh, _LIMITS['seeds'])
    if self.confirm and len(self.fresh) < 2:
      raise types.InputError('--confirm_seeds: expected at least two seeds')


def tune(
  config: config_lib.Config,
  options: Options,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Searches settings by evaluation.monitor, its mean over tasks and seeds.

  The test split is not read.

  Args:
    config: the given settings, which are the first trial.
    path: TUNING, created if missing; locked while this runs.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    The content of TUNING/tuning.json: `trials` (settings and value of each;
    the first has no settings), `best` of them, `confirmed`, `chosen`
    (settings), `base_kept`, `method` (the choice, for rmtl compare).

  Raises:
    types.InputError: Optuna is not installed; bad data or settings.
    fit.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss with the given settings was not finite.
  """
  optuna = extras.require('optuna', 'rmtl tune')
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  options.check()
  config_values.validate(config)
  live = live or progress_lib.Progress(brief=True)
  with reading.shared_lock(data_dir), workdir.locked(path):
    run, base = workdir.find(path, config, data_dir, workdir.SEARCH), config
    snapshot = reading.Snapshot(data_dir, run.manifest, ('train', 'validation'))
    seeds = dataclasses.replace(config.compare, seeds=options.seeds)
    config = dataclasses.replace(config, compare=seeds)
    runs = comparing.Runs(run, config, live, interrupted, searching=True)
    runs.check([base])
    trials = _Trials(runs, options, live)
    trials.check_space()
    digests = snapshot.digests()
    workdir.create(path, base, data_dir, digests, kind=workdir.SEARCH)
    tried = trials.search(optuna, _study(optuna, path, options, runs.monitor))
    decision = trials.confirm(tried)
    record = {
      'split': 'validation',
      'monitor': runs.monitor.name,
      'backbone': config.backbone,
      'ensemble': config.ensemble,
      'stage': options.stage,
      'seeds': list(options.seeds),
      'confirm_seeds': list(options.fresh),
      'best': best(tried, runs.monitor),
      **decision,
      'method': trials.method(decision['chosen'])[0].name,
      'trials': tried,
      'versions': provenance.versions(),
      'device': provenance.device(),
    }
    writers.write_json(path / 'tuning.json', record)
    chosen = config_values.with_settings(config, record['chosen'])
    chosen = dataclasses.replace(chosen, compare=config_lib.CompareConfig())
    as_dict = config_values.to_dict(chosen)
    writers.write_json(path / 'best.json', {'config': as_dict})
    return record


def _study(
  optuna: Any,
  path: pathlib.Path,
  options: Options,
  monitor: validation_monitor.Monitor,
) -> Any:
  """Opens the search's study, in the journal or in --storage.

  Its name depends on the space and seeds, because trials of another space mean
  other settings.

  Raises:
    types.InputError: the database can't be opened.
  """
  follows = json.dumps(
    [
      [list(map(str, dimension)) for dimension in options.space],
      *(options.stage, options.seeds, options.sampler_seed, monitor.name),
    ]
  )
  digest = hashlib.blake2b(follows.encode(), digest_size=6).hexdigest()
  try:
    storage = options.storage or optuna.storages.JournalStorage(
      optuna.storages.journal.JournalFileBackend(str(path / 'search.log'))
    )
    return optuna.create_study(
      storage=storage,
      study_name=f'{path.resolve()} {digest}',
      direction=monitor.direction,
      pruner=optuna.pruners.MedianPruner(_UNPRUNED),
      load_if_exists=True,
    )
  except Exception as error:  # of SQLAlchemy, of a driver, of Optuna
    raise types.InputError(
      f'{options.storage or path / "search.log"}: no storage of trials can be'
      ' opened there (--storage takes a URL such as sqlite:///trials.db):'
      f' {types.first_line(error)}'
    ) from None


class Validated(NamedTuple):
  """The monitored value of a run on the validation split.

  Attributes:
    value: mean over tasks.
    halves: the same of the earlier and the later sessions; NaN where it is
      undefined or unknown.
  """

  value: float
  halves: tuple[float, float] = (math.nan, math.nan)


class _Trials:
  """Trains trials: points of the space, each with several seeds."""

  def __init__(
    self, runs: comparing.Runs, options: Options, live: progress_lib.Progress
  ):
    self._runs, self._options, self._live = runs, options, live
    self._monitor, self._config = runs.monitor, runs.config
    self._begin = time.monotonic()
    # Of the runs that this start has trained, to estimate the time left.
    self._seconds, self._trained = 0.0, 0

  def method(self, point: Record) -> tuple[methods_lib.Method, float]:
    """Turns a point into a method with a learning rate of stage 3.

    Raises:
      types.InputError: the values contradict each other.
    """
    config = self._config
    settings = tuple(sorted((k, v) for k, v in point.items() if k != _RATE))
    is_finetuned = self._options.stage == 'finetune'
    weighting = config.weighting.name if is_finetuned else ''
    method = methods_lib.Method(config.backbone, weighting, settings=settings)
    method.config(config)  # checks the values together
    return method, point.get(_RATE, config.finetune.learning_rate)

  def check_space(self) -> None:
    """Refuses values that the other settings or the data forbid, one by one."""
    for dimension in self._options.space:
      for value in dimension.choices or (dimension.low, dimension.high):
        point = {dimension.name: value}
        try:
          method, _ = self.method(point)
          if isinstance(value, str):  # of some, the data decide
            self._runs.check([method.config(self._config)])
        except types.InputError as error:
          text = config_values.setting_text(value)
          raise types.InputError(
            f'--search: {dimension.name}={text}: {error}'
          ) from None

  def search(self, optuna: Any, study: Any) -> list[Record]:
    """Trains a study's trials in time, the given settings first."""
    options, monitor = self._options, self._monitor
    states = optuna.trial.TrialState
    runs = self._train({}, options.seeds)
    tried = [make_record({}, [one.value for one in runs], monitor)]
    # Trials that an interruption has cut off are drawn again.
    for trial in study.get_trials(states=[states.RUNNING]):
      study.enqueue_trial(trial.params)
      study.tell(trial.number, state=states.FAIL)
    if not study.trials:
      for point in search_space.start_points(options.space, self._config):
        study.enqueue_trial(point)
    known = study.get_trials(states=[states.COMPLETE])[: options.trials]
    tried += [trial.user_attrs['record'] for trial in known]
    while len(tried) <= options.trials and self._has_time():
      seed = options.sampler_seed + len(tried)
      study.sampler = optuna.samplers.TPESampler(seed=seed)
      trial = study.ask()
      tried.append(self._trial(optuna, study, trial))
      last, top = tried[-1], best(tried, monitor)
      value = f'validation {monitor.word} {last[monitor.figure]:.4f}'
      if last['pruned']:
        value += ' (pruned)' if last['by_seed'] else ' (diverged)'
      left = options.trials + 1 - len(tried)
      self._live.say(
        f'trial {len(tried) - 1} of {options.trials}: {value}, best'
        f' {top[monitor.figure]:.4f} at trial {tried.index(top)}'
        + self._left(left * len(options.seeds))
      )
    return tried

  def _trial(self, optuna: Any, study: Any, trial: Any) -> Record:
    """Trains a trial seed by seed until the pruner stops it."""
    states = optuna.trial.TrialState
    spec = self._runs.spec
    point = search_space.suggest(trial, self._options.space, self._config, spec)
    values: list[float] = []
    state = states.COMPLETE
    try:
      for step, seed in enumerate(self._options.seeds):
        (one,) = self._train(point, [seed])
        values.append(one.value)
        trial.report(one.value, step)
        is_last = step + 1 == len(self._options.seeds)
        if not is_last and trial.should_prune():
          state = states.PRUNED
          break
    except (FloatingPointError, types.InputError):
      # It has diverged, or its values contradict each other.
      values, state = [], states.PRUNED
    is_pruned = state == states.PRUNED
    record = make_record(point, values, self._monitor, is_pruned)
    trial.set_user_attr('record', record)
    # The sampler learns from a pruned trial by the value of its seeds so far.
    study.tell(trial, record[self._monitor.figure], state=states.COMPLETE)
    return record

  def confirm(self, tried: Sequence[Record]) -> Record:
    """Runs the best trials with fresh seeds; see `decide`.

    The best one whatever the time is, the others until it is over.

    Raises:
      FloatingPointError: a loss with the given settings was not finite.
    """
    monitor, fresh = self._monitor, self._options.fresh
    if not fresh:
      chosen = best(tried, monitor)['settings']
      return {'confirmed': [], 'chosen': chosen, 'base_kept': not chosen}
    found = candidates(tried, self._options.confirm, monitor)
    if not found:
      return {'confirmed': [], 'chosen': {}, 'base_kept': True}
    base = self._train({}, fresh)
    measured = []
    for trial in found:
      if measured and self._is_over():
        self._live.say(
          f'--minutes are over: {len(measured)} of the {len(found)} best'
          ' trials confirmed, the others are not taken'
        )
        break
      try:
        again = self._train(trial['settings'], fresh)
      except FloatingPointError:
        again = []
      measured.append((trial['settings'], again))
      left = self._left((len(found) - len(measured)) * len(fresh))
      self._live.say(
        f'confirmation {len(measured)} of {len(found)}, {len(fresh)} fresh'
        f' seeds{left}'
      )
    return decide(base, measured, monitor)

  def _train(self, point: Record, seeds: Sequence[int]) -> list[Validated]:
    """Trains a point with every seed, unless its runs are there."""
    begin, before = time.monotonic(), self._runs.finished
    method, rate = self.method(point)
    if self._options.stage == 'pretrain':
      self._runs.pretrain(method, seeds)
    else:
      self._runs.pretrain(method.pretrained, seeds)
      self._runs.finetune([(method, rate)], seeds)
    # Runs that an earlier start finished take no time, which is no estimate.
    if self._runs.finished > before:
      self._seconds += time.monotonic() - begin
      self._trained += len(seeds)
    found = []
    for seed in seeds:
      job = methods_lib.Job(method, seed, rate if method.weighting else None)
      earlier, later = (
        math.nan if value is None else value
        for value in self._runs.record(job)['validation_halves']
      )
      found.append(Validated(self._runs.best(job), (earlier, later)))
    return found

  def _is_over(self, seconds: float = 0.0) -> bool:
    """Whether the time limit is over after so many seconds more."""
    spent = time.monotonic() - self._begin + seconds
    return bool(self._options.minutes) and spent >= 60 * self._options.minutes

  def _has_time(self) -> bool:
    """Whether a trial and the confirmation have time; says so if not."""
    options = self._options
    runs = len(options.seeds) + (1 + options.confirm) * len(options.fresh)
    if not self._is_over(runs * self._seconds / max(self._trained, 1)):
      return True
    self._live.say(
      '--minutes are over, or too short for another trial and the confirmation'
    )
    return False

  def _left(self, runs: int) -> str:
    """Formats ', at most 12:30 left'; '' if unknown."""
    if not (self._trained and runs):
      return ''
    clock = progress_lib.clock(runs * self._seconds / self._trained)
    return f', at most {clock} left'


def make_record(
  settings: Record,
  by_seed: Sequence[float],
  monitor: validation_monitor.Monitor,
  pruned: bool = False,
) -> Record:
  """The record of a trial in tuning.json; without seeds it has diverged."""
  return {
    'settings': settings,
    monitor.figure: float(np.mean(by_seed)) if by_seed else monitor.worst,
    'by_seed': list(by_seed),
    'pruned': pruned,
  }


def best(
  trials: Sequence[Record], monitor: validation_monitor.Monitor
) -> Record:
  """The best unpruned trial, the first of equals."""
  whole = [t for t in trials if not t['pruned']]
  return max(whole, key=lambda t: monitor.sign * t[monitor.figure])


def candidates(
  trials: Sequence[Record], most: int, monitor: validation_monitor.Monitor
) -> list[Record]:
  """Selects the trials to confirm.

  Args:
    trials: of a search; the first has the given settings.

  Returns:
    The best unpruned trials with different settings that beat the given ones,
    best first.
  """

  def score(trial: Record) -> float:
    return monitor.sign * trial[monitor.figure]

  found: list[Record] = []
  for trial in sorted(trials[1:], key=score, reverse=True):
    if trial['pruned'] or score(trial) <= score(trials[0]):
      continue
    known = [other['settings'] for other in (trials[0], *found)]
    if trial['settings'] not in known:
      found.append(trial)
  return found[:most]


def decide(
  base: Sequence[Validated],
  candidates: Sequence[tuple[Mapping[str, Any], Sequence[Validated]]],
  monitor: validation_monitor.Monitor,
) -> Record:
  """Chooses the candidate with the greatest gain that passes, if any.

  A candidate passes if its mean gain over fresh seeds is above 0 and above one
  standard error of the paired difference, and if its mean gain in each half of
  the validation period is not below 0 by more than one standard error.

  Args:
    base: the given settings, one run per fresh seed.
    candidates: (settings, runs with the same seeds) of each; a candidate that
      diverged has no runs and does not pass.
    monitor: what decides; a gain is above 0 whether it rises or falls.

  Returns:
    `confirmed`: for the given settings ({}) and each candidate `settings`,
    `by_seed`, `gain`, `standard_error`, `halves` (gain and error of the earlier
    and the later half) and `passes`; `chosen`: settings; `base_kept`.
  """
  confirmed = [
    _confirm(settings, runs, base, monitor)
    for settings, runs in [({}, base), *candidates]
  ]
  passing = [entry for entry in confirmed if entry['passes']]
  chosen = max(passing, key=lambda entry: entry['gain'], default=confirmed[0])
  return {
    'confirmed': confirmed,
    'chosen': chosen['settings'],
    'base_kept': not passing,
  }


def _confirm(
  settings: Mapping[str, Any],
  runs: Sequence[Validated],
  base: Sequence[Validated],
  monitor: validation_monitor.Monitor,
) -> Record:
  record: Record = {
    'settings': dict(settings),
    'by_seed': [run.value for run in runs],
    'gain': None,
    'standard_error': None,
    'halves': [],
    'passes': False,
  }
  if not runs:
    return record
  # The same seed on both sides: seeds alone move it by more than settings do.
  pairs = list(zip(runs, base, strict=True))
  gain, error = paired([monitor.gain(a.value, b.value) for a, b in pairs])
  halves = [
    paired([monitor.gain(a.halves[half], b.halves[half]) for a, b in pairs])
    for half in range(2)
  ]
  # A gain in one half alone is a fit to that period's rows; a half without a
  # value (one class) can't object.
  halves = [half for half in halves if not math.isnan(half[0])]
  return record | {
    'gain': gain,
    'standard_error': error,
    'halves': [{'gain': g, 'standard_error': e} for g, e in halves],
    'passes': gain > max(error, 0.0) and all(g >= -e for g, e in halves),
  }


def paired(differences: Sequence[float]) -> tuple[float, float]:
  """Mean and standard error of at least two paired differences."""
  values = np.asarray(differences, np.float64)
  error = np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(error)
