"""A search for better settings, by validation alone.

TUNING/ has the files of a comparison with trials/ in place of runs/ (no test
row was evaluated), tuning.json (all trials and the confirmation) and best.json
(a config). The search is deterministic: a restart draws the same trials, finds
their finished runs, and so resumes without a database.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values
from rmtl_jax.data import reading
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.runtime import provenance, workdir, writers
from rmtl_jax.studies.comparison import runs as comparison_runs
from rmtl_jax.studies.tuning import confirmation, search, storage, trials

Record = dict[str, Any]

_LIMITS: dict[str, Any] = {
  'stage': Literal['pretrain', 'finetune'],
  'trials': limits.Positive,
  'seeds': config_values.kind('compare.seeds'),
  'sampler_seed': limits.Count,
  'confirm': limits.Count,
}


class Options(NamedTuple):
  """The settings of a search, as `rmtl_jax.tune` takes them.

  Attributes:
    space: its dimensions.
    minutes: 0 is no limit. No trial starts that would leave too little for
      confirming the best ones, by the time of the runs so far. What has begun
      is finished, and the best trial confirmed. Earlier starts of an
      interrupted search do not count.
  """

  space: tuple[search.Dimension, ...]
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
    """The seeds of the confirmation."""
    return self.confirm_seeds or confirmation.fresh_seeds(self.seeds)

  @property
  def follows(self) -> Record:
    """What the trials follow from, beside the given settings."""
    return {
      'space': [list(map(str, dimension)) for dimension in self.space],
      'stage': self.stage,
      'seeds': list(self.seeds),
      'sampler_seed': self.sampler_seed,
    }

  def check(self) -> None:
    """Raises InputError unless all have sense, and fresh seeds are fresh."""
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
    if not self.confirm:
      return
    stale = [seed for seed in self.fresh if seed in self.seeds]
    if stale:
      raise types.InputError(
        f'--confirm_seeds: {stale[0]} is one of --seeds, which have chosen'
        ' the trials: name others'
      )
    limits.check('--confirm_seeds', self.fresh, _LIMITS['seeds'])
    if len(self.fresh) < 2:
      raise types.InputError(
        f'--confirm_seeds: {",".join(map(str, self.fresh))} is not a list of at'
        ' least two seeds'
      )


def tune(
  config: config_lib.Config,
  options: Options,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Searches settings by evaluation.monitor, its mean over tasks and seeds.

  The test split is not read. The best trial's value is biased upwards, because
  the same rows and seeds chose it. So the best trials and the given settings
  run again with fresh seeds, which alone decide (confirmation.py).

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
  optuna = _optuna()
  options.check()
  end = time.monotonic() + (60 * options.minutes or math.inf)
  config_values.validate(config)
  live = live or progress_lib.Progress(brief=True)
  with reading.shared_lock(data_dir), workdir.locked(path):
    run, base = workdir.find(path, config, data_dir, workdir.SEARCH), config
    snapshot = reading.Snapshot(data_dir, run.manifest, ('train', 'validation'))
    config = dataclasses.replace(
      config,
      compare=dataclasses.replace(config.compare, seeds=options.seeds),
    )
    runs = comparison_runs.Runs(run, config, live, interrupted, searching=True)
    runs.check([base])
    spec = run.manifest.feature_spec()
    _check_space(runs, config, options, spec)
    monitor = runs.monitor
    follows = {**options.follows, 'monitor': monitor.name}
    copy = storage.open_copy(optuna, options.storage, path, follows, monitor)
    digests = snapshot.digests()
    workdir.create(path, base, data_dir, digests, kind=workdir.SEARCH)
    study = optuna.create_study(
      direction=monitor.direction,
      sampler=optuna.samplers.TPESampler(seed=options.sampler_seed),
    )
    for start in search.start_points(options.space, config):
      study.enqueue_trial(start)
    trainer = trials.Trainer(runs, config, options.stage)
    tuning = _Tuning(options, trainer, live, end)
    tried = tuning.search(
      study,
      lambda trial: search.suggest(trial, options.space, config, spec),
      copy,
    )
    record = _record(config, options, monitor, tried, tuning.confirm(tried))
    writers.write_json(path / 'tuning.json', record)
    best = config_values.with_settings(config, record['chosen'])
    best = dataclasses.replace(best, compare=config_lib.CompareConfig())
    writers.write_json(
      path / 'best.json', {'config': config_values.to_dict(best)}
    )
    return record


def _check_space(
  runs: comparison_runs.Runs,
  config: config_lib.Config,
  options: Options,
  spec: types.FeatureSpec,
) -> None:
  """Refuses a space with values that others, or the data, forbid."""
  for names, point in search.corners(options.space, config, spec):
    try:
      method = trials.variant(config, options.stage, point).method
      # These make another network, which takes a while to build.
      builds = any(
        n.startswith(('network.', 'batch.', 'critic.')) for n in names
      )
      if not builds or (len(names) == 1 and _may_not_fit(names[0], point)):
        runs.check([method.config(config)])
    except types.InputError as error:
      texts = [
        f'{name}={config_values.setting_text(value)}'
        for name, value in point.items()
      ]
      raise types.InputError(
        f'--search: {" and ".join(texts)}: {error}'
      ) from None


def _may_not_fit(name: str, point: Record) -> bool:
  """Whether some data forbid a value: text, or what reads the item."""
  is_text = isinstance(point.get(name), str)
  return is_text or name == 'network.session_encoder'


def _optuna() -> Any:
  optuna = extras.require('optuna', 'rmtl tune')
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna


class _Tuning(NamedTuple):
  """A search under way, till `end` in seconds of time.monotonic."""

  options: Options
  trainer: trials.Trainer
  live: progress_lib.Progress
  end: float

  def search(
    self,
    study: Any,
    suggest: Callable[[Any], Record],
    copy: storage.Copy,
  ) -> list[Record]:
    """Trains an optuna.Study's trials in time, the given settings first."""
    options, trainer = self.options, self.trainer
    tried = [trainer.trial({}, options.seeds, [])]
    copy.add(tried[0], 0)
    while len(tried) <= options.trials:
      begin = time.monotonic()
      needed = trainer.seconds([None], len(options.seeds))
      kept = self._confirmation_seconds(tried, 1)
      if begin + needed + kept >= self.end:
        what = 'are over'
        if begin < self.end:
          what = 'are too short for another one'
          what += ' and the confirmation' if kept else ''
        done = len(tried) - 1
        self.live.say(
          f'--minutes {what} after {done} of {options.trials} trials'
        )
        break
      trial = study.ask()
      record = trainer.trial(suggest(trial), options.seeds, tried)
      # A pruned trial has the value of its one seed: the sampler would learn
      # nothing from a trial without a value.
      study.tell(trial, record[trainer.monitor.figure])
      copy.add(record, len(tried), trial)
      tried.append(record)
      self.live.say(self._line(tried))
    return tried

  def _candidates(self, tried: Sequence[Record]) -> list[Record]:
    most, monitor = self.options.confirm, self.trainer.monitor
    return confirmation.candidates(tried, most, monitor)

  def _confirmation_seconds(
    self, tried: Sequence[Record], more: int = 0
  ) -> float:
    """Estimates the time of the confirmation after so many more trials."""
    best = self._candidates(tried)
    points: list[Record | None] = [trial['settings'] for trial in best]
    points += [None] * min(more, self.options.confirm - len(best))
    if not points:
      return 0.0
    return self.trainer.seconds([{}, *points], len(self.options.fresh))

  def _line(self, tried: Sequence[Record]) -> str:
    """The last trial's result, and how long the search still takes."""
    options, monitor = self.options, self.trainer.monitor
    kept = self._confirmation_seconds(tried)
    seconds = self.end - time.monotonic() - kept
    best, last = trials.best(tried, monitor), tried[-1]
    done = len(tried) - 1
    value = f'validation {monitor.word} {last[monitor.figure]:.4f}'
    if last['pruned']:
      value += ' after one seed, the others are spared'
    if not last['by_seed']:
      value = 'its loss was not finite'
    seeds = len(options.seeds)
    more = options.trials - done if seconds > 0 else 0
    runs = (1 + options.confirm) * len(options.fresh) if options.confirm else 0
    return (
      f'trial {done} of {options.trials}: {value}, best'
      f' {best[monitor.figure]:.4f} at trial {tried.index(best)}'
      + self.trainer.left(runs, more * seeds, seconds)
    )

  def confirm(self, tried: Sequence[Record]) -> Record:
    """Runs the candidates with fresh seeds; see confirmation.decide.

    The best one whatever the time is, the others until it is over.
    """
    monitor, fresh = self.trainer.monitor, self.options.fresh
    if not self.options.confirm:
      chosen = trials.best(tried, monitor)['settings']
      return {'confirmed': [], 'chosen': chosen, 'base_kept': not chosen}
    best = self._candidates(tried)
    if not best:
      return {'confirmed': [], 'chosen': {}, 'base_kept': True}
    measured: list[list[trials.Validated]] = []
    for trial in [tried[0], *best]:
      if len(measured) > 1 and time.monotonic() >= self.end:
        done = len(measured) - 1
        self.live.say(
          f'--minutes are over: {done} of the {len(best)} best trials'
          ' confirmed, the others are not taken'
        )
        best = best[:done]
        break
      measured.append(self.trainer.measure(trial['settings'], fresh))
      if not measured[0]:
        raise FloatingPointError(
          'loss is not finite with the settings given and one of the seeds'
          f' {fresh}'
        )
      left = (len(best) + 1 - len(measured)) * len(fresh)
      self.live.say(
        f'confirmation {len(measured)} of {len(best) + 1}, {len(fresh)} fresh'
        f' seeds{self.trainer.left(left)}'
      )
    settings = [trial['settings'] for trial in best]
    tried_again = list(zip(settings, measured[1:], strict=True))
    return confirmation.decide(measured[0], tried_again, monitor)


def _record(
  config: config_lib.Config,
  options: Options,
  monitor: monitor_lib.Monitor,
  tried: Sequence[Record],
  decision: Record,
) -> Record:
  method = trials.variant(config, options.stage, decision['chosen']).method
  return {
    'split': 'validation',
    'monitor': monitor.name,
    'backbone': config.backbone,
    'ensemble': config.ensemble,
    'stage': options.stage,
    'seeds': list(options.seeds),
    'confirm_seeds': list(options.fresh) if options.confirm else [],
    'best': trials.best(tried, monitor),
    **decision,
    'method': method.name,
    'trials': list(tried),
    'versions': provenance.versions(),
    'device': provenance.device(),
  }
