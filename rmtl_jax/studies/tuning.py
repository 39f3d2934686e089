"""A search for better settings with Optuna, on validation: `rmtl tune`.

TUNING/ has the files of a comparison with trials/ in place of runs/ (no test
row was evaluated), search.log (Optuna's journal), tuning.json (all trials and
the confirmation) and best.json (a config). A restart finds the trials in the
journal and the finished runs of an interrupted one in trials/.

The best of many trials is biased upwards on the seeds that chose it. So the
best trials and the given settings run again with fresh seeds; where no trial
gains by more than seed noise, the given settings are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.evaluation import comparison, validation_monitor
from rmtl_jax.runtime import programs, provenance, workdir, writers
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies import comparing, search_space
from rmtl_jax.studies import methods as methods_lib

Record = dict[str, Any]
Monitor = validation_monitor.Monitor

# Trials that the pruner lets finish, because it prunes below their median.
_UNPRUNED = 4


class Options(NamedTuple):
  """The settings of a search.

  Attributes:
    space: its dimensions.
    trials: points to try.
    seeds: runs of a trial; their mean decides.
    confirm: how many of the best trials run again with fresh seeds, which
      choose; 0 takes the best trial as it is.
    minutes: no trial starts after so many; 0 is no limit. The best trials are
      confirmed in any case.
  """

  space: tuple[search_space.Dimension, ...]
  trials: int = 30
  seeds: tuple[int, ...] = (0, 1)
  confirm: int = 3
  minutes: float = 0.0

  @property
  def fresh(self) -> tuple[int, ...]:
    """Four seeds for the confirmation; none without one."""
    unused = (seed for seed in itertools.count() if seed not in self.seeds)
    return tuple(itertools.islice(unused, 4 if self.confirm else 0))

  def check(self) -> None:
    """Raises InputError unless all are in range."""
    seeds = config_values.kind('compare.seeds')
    limits.check('--trials', self.trials, limits.Positive)
    limits.check('--seeds', self.seeds, seeds)
    limits.check('--confirm', self.confirm, limits.Count)
    names = [dimension.name for dimension in self.space]
    for name in names:
      if names.count(name) > 1:
        raise types.InputError(f'--search: has {name} twice')
    if not self.minutes >= 0:
      raise types.InputError(
        f'--minutes: {self.minutes} is not a time, expected 0 (no limit) or'
        ' more'
      )


@programs.in_32_bits
def tune(
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  search: Sequence[str] = (),
  config: config_lib.Config | None = None,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  **options: Any,
) -> Record:
  """Searches settings of stage 1 by evaluation.monitor; reads no test split.

  An interrupted call resumes: finished trials are not trained again.

  Args:
    path: TUNING, created if missing; gets tuning.json and best.json.
    data_dir: prepared data.
    search: the space, a text per dimension: `SETTING=LOW:HIGH`,
      `SETTING=LOW:HIGH:log` or `SETTING=A|B`. Empty: the default space for the
      data.
    config: the given settings, of one model or of an ensemble, which are the
      first trial; None: the recommended ones for the data.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.
    options: as the flags of `rmtl tune`: `trials`, `minutes`, `seeds`,
      `confirm`.

  Returns:
    The content of tuning.json: `trials` (settings and value of each; the first
    has no settings), `best` of them, `confirmed`, `chosen` (settings),
    `base_kept`, `method` (the choice, for rmtl compare).

  Raises:
    types.InputError: Optuna is not installed; bad data or settings.
    epoch_loop.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss with the given settings was not finite.
  """
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  manifest = manifest_file.read(data_dir)
  config = config_values.validate(config or config_lib.Config())
  config = config_lib.resolve(config, manifest)
  texts = (search,) if isinstance(search, str) else search
  texts = texts or search_space.defaults(manifest)
  space = tuple(search_space.parse(text, config) for text in texts)
  wanted = Options(space, **options)
  wanted = wanted._replace(seeds=tuple(wanted.seeds))
  wanted.check()
  return _tune(config, wanted, path, data_dir, live, interrupted)


def _tune(
  config: config_lib.Config,
  options: Options,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None,
  interrupted: Callable[[], int],
) -> Record:
  optuna = extras.require('optuna', 'rmtl tune')
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  live = live or progress_lib.Progress(brief=True)
  with reading.shared_lock(data_dir), workdir.locked(path):
    run, base = workdir.find(path, config, data_dir, workdir.SEARCH), config
    snapshot = reading.Snapshot(data_dir, run.manifest, ('train', 'validation'))
    seeds = dataclasses.replace(config.compare, seeds=options.seeds)
    config = dataclasses.replace(config, compare=seeds)
    runs = comparing.Runs(
      run, snapshot, config, live, interrupted, searching=True
    )
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
      'seeds': list(options.seeds),
      'confirm_seeds': list(options.fresh),
      'best': best(tried, runs.monitor),
      **decision,
      'method': trials.method(decision['chosen']).name,
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
  optuna: Any, path: pathlib.Path, options: Options, monitor: Monitor
) -> Any:
  """Opens the search's study in its journal.

  Its name depends on the space and seeds, because trials of another space mean
  other settings.
  """
  follows = json.dumps(
    [
      [list(map(str, dimension)) for dimension in options.space],
      *(options.seeds, monitor.name),
    ]
  )
  digest = hashlib.blake2b(follows.encode(), digest_size=6).hexdigest()
  journal = path / 'search.log'
  try:
    return optuna.create_study(
      storage=optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(journal))
      ),
      study_name=digest,
      direction=monitor.direction,
      pruner=optuna.pruners.MedianPruner(_UNPRUNED),
      load_if_exists=True,
    )
  except ValueError as error:  # damaged
    raise types.InputError(f'{journal}: {types.first_line(error)}') from None


class _Trials:
  """Trains trials: points of the space, each with several seeds."""

  def __init__(
    self, runs: comparing.Runs, options: Options, live: progress_lib.Progress
  ):
    self._runs, self._options, self._live = runs, options, live
    self._monitor, self._config = runs.monitor, runs.config
    self._begin = time.monotonic()

  def method(self, point: Record) -> methods_lib.Method:
    """Turns a point into a method.

    Raises:
      types.InputError: the values contradict each other.
    """
    settings = tuple(sorted(point.items()))
    method = methods_lib.Method(self._config.backbone, settings=settings)
    method.config(self._config)  # checks the values together
    return method

  def check_space(self) -> None:
    """Refuses values that the other settings or the data forbid, one by one."""
    for dimension in self._options.space:
      for value in dimension.choices or (dimension.low, dimension.high):
        point = {dimension.name: value}
        try:
          method = self.method(point)
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
    tried = [make_record({}, self._train({}, options.seeds), monitor)]
    # Trials that an interruption has cut off are drawn again.
    for trial in study.get_trials(states=[states.RUNNING]):
      study.enqueue_trial(trial.params)
      study.tell(trial.number, state=states.FAIL)
    known = study.get_trials(states=[states.COMPLETE])[: options.trials]
    tried += [trial.user_attrs['record'] for trial in known]
    while len(tried) <= options.trials and not self._is_over():
      # Of the trial's number, so that a resumed search draws the same.
      study.sampler = optuna.samplers.TPESampler(seed=len(tried))
      tried.append(self._trial(study, study.ask()))
      last, top = tried[-1], best(tried, monitor)
      value = f'validation {monitor.word} {last[monitor.figure]:.4f}'
      if last['pruned']:
        value += ' (pruned)' if last['by_seed'] else ' (diverged)'
      self._live.say(
        f'trial {len(tried) - 1} of {options.trials}: {value}, best'
        f' {top[monitor.figure]:.4f} at trial {tried.index(top)}'
      )
    return tried

  def _trial(self, study: Any, trial: Any) -> Record:
    """Trains a trial seed by seed until the pruner stops it."""
    point = search_space.suggest(trial, self._options.space, self._config)
    values, is_pruned = [], False
    try:
      for step, seed in enumerate(self._options.seeds):
        values += self._train(point, [seed])
        trial.report(values[-1], step)
        is_last = step + 1 == len(self._options.seeds)
        if not is_last and trial.should_prune():
          is_pruned = True
          break
    except (FloatingPointError, types.InputError):
      # It has diverged, or its values contradict each other.
      values, is_pruned = [], True
    record = make_record(point, values, self._monitor, is_pruned)
    trial.set_user_attr('record', record)
    # The sampler learns from a pruned trial by the value of its seeds so far.
    study.tell(trial, record[self._monitor.figure])
    return record

  def confirm(self, tried: Sequence[Record]) -> Record:
    """Runs the best trials with fresh seeds; see `decide`.

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
    for number, trial in enumerate(found, 1):
      try:
        again = self._train(trial['settings'], fresh)
      except FloatingPointError:
        again = []
      measured.append((trial['settings'], again))
      self._live.say(
        f'confirmation {number} of {len(found)}, {len(fresh)} fresh seeds'
      )
    return decide(base, measured, monitor)

  def _train(self, point: Record, seeds: Sequence[int]) -> list[float]:
    """Trains a point with every seed, unless its runs are there."""
    method = self.method(point)
    self._runs.pretrain(method, seeds)
    return [self._runs.best(methods_lib.Job(method, seed)) for seed in seeds]

  def _is_over(self) -> bool:
    """Whether the time limit is over; says so."""
    minutes = (time.monotonic() - self._begin) / 60
    if not 0 < self._options.minutes <= minutes:
      return False
    self._live.say('--minutes are over')
    return True


def make_record(
  settings: Record,
  by_seed: Sequence[float],
  monitor: Monitor,
  pruned: bool = False,
) -> Record:
  """The record of a trial in tuning.json; without seeds it has diverged."""
  return {
    'settings': settings,
    monitor.figure: float(np.mean(by_seed)) if by_seed else monitor.worst,
    'by_seed': list(by_seed),
    'pruned': pruned,
  }


def best(trials: Sequence[Record], monitor: Monitor) -> Record:
  """The best unpruned trial, the first of equals."""
  whole = [t for t in trials if not t['pruned']]
  return max(whole, key=lambda t: monitor.sign * t[monitor.figure])


def candidates(
  trials: Sequence[Record], most: int, monitor: Monitor
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
  base: Sequence[float],
  candidates: Sequence[tuple[Mapping[str, Any], Sequence[float]]],
  monitor: Monitor,
) -> Record:
  """Chooses the candidate with the greatest gain that passes, if any.

  A candidate passes if its mean gain over fresh seeds is above 0 and above one
  standard error of the paired difference: seeds alone move a value by more than
  settings do.

  Args:
    base: monitored values of the given settings, one per fresh seed.
    candidates: (settings, values with the same seeds) of each; a candidate that
      diverged has no values and does not pass.
    monitor: what decides; a gain is above 0 whether it rises or falls.

  Returns:
    `confirmed`: for the given settings ({}) and each candidate `settings`,
    `by_seed`, `gain`, `standard_error` and `passes`; `chosen`: settings;
    `base_kept`.
  """
  confirmed: list[Record] = []
  for settings, values in [({}, base), *candidates]:
    gain, error = None, None
    if values:
      pairs = zip(values, base, strict=True)
      gains = comparison.mean_and_error([monitor.gain(*pair) for pair in pairs])
      gain, error = gains['mean'], gains['standard_error']
    confirmed.append(
      {
        'settings': dict(settings),
        'by_seed': list(values),
        'gain': gain,
        'standard_error': error,
        'passes': gain is not None and gain > max(error or 0.0, 0.0),
      }
    )
  passing = [entry for entry in confirmed if entry['passes']]
  chosen = max(passing, key=lambda entry: entry['gain'], default=confirmed[0])
  return {
    'confirmed': confirmed,
    'chosen': chosen['settings'],
    'base_kept': not passing,
  }
