"""A search for better settings, on validation alone.

TUNING/ holds what a comparison's directory holds, but trials/ for runs/ (their
test rows were not looked at), and tuning.json (every trial, and what fresh
seeds confirmed) and best.json (a config). The search is a deterministic
sequence: started again it meets its own finished runs, so that it goes on where
it stopped without a database.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import reading
from rmtl_jax.training import (
  comparison_runs,
  confirmation,
  search,
  trials,
  workdir,
  writers,
)
from rmtl_jax.training import progress as progress_lib

Record = dict[str, Any]


class Search(NamedTuple):
  """What to search, and how hard.

  Attributes:
    space: the settings.
    stage: the last stage of a trial: 'pretrain', or 'finetune' after all.
    trials: how many points.
    seeds: runs of a trial; their mean decides.
    sampler_seed: of the search.
    confirm: how many of the best trials run again with fresh seeds, which
      choose among them and the settings given; 0 believes the search.
    confirm_seeds: the fresh seeds; () takes four that the search does not use.
  """

  space: tuple[search.Dimension, ...]
  stage: str = 'pretrain'
  trials: int = 30
  seeds: tuple[int, ...] = (0, 1)
  sampler_seed: int = 0
  confirm: int = 3
  confirm_seeds: tuple[int, ...] = ()

  @property
  def fresh(self) -> tuple[int, ...]:
    """The seeds of the confirmation."""
    return self.confirm_seeds or confirmation.fresh_seeds(self.seeds)

  def check(self) -> None:
    """Raises InputError unless the seeds can do what they are for."""
    if not self.confirm:
      return
    stale = [seed for seed in self.fresh if seed in self.seeds]
    if stale:
      raise types.InputError(
        f'--confirm_seeds: {stale[0]} is one of --seeds, which have chosen'
        ' the trials: name others'
      )
    if len(set(self.fresh)) < max(len(self.fresh), 2):
      raise types.InputError(
        f'--confirm_seeds: {",".join(map(str, self.fresh))} is not a list of'
        ' at least two different seeds'
      )


def tune(
  config: config_lib.Config,
  wanted: Search,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Searches settings by their mean validation AUC over tasks and seeds.

  The test split is not read. The best trial's value is too good: it was
  chosen on the same rows and seeds. So the best trials and the settings given
  run again with fresh seeds, and these alone choose (confirmation.py).

  Args:
    config: settings to start from; they are the first trial.
    wanted: the search.
    path: TUNING, created if missing; locked while this runs.
    data_dir: prepared data.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    What TUNING/tuning.json holds: `trials` (settings and value of each, the
    first without any), `best` of them, `confirmed`, `chosen` (settings),
    `base_kept`, `method` (what is chosen, for rmtl compare).

  Raises:
    types.InputError: Optuna is not installed; bad data or settings.
    trainer.Interrupted: a signal arrived; a later call goes on.
    FloatingPointError: a loss with the settings given was not finite.
  """
  optuna = _optuna()
  wanted.check()
  config_values.validate(config)
  live = live or progress_lib.Progress(brief=True)
  with reading.held(data_dir), workdir.locked(path):
    run, base = workdir.find(path, config, data_dir), config
    snapshot = reading.Snapshot(data_dir, run.manifest, ('train', 'validation'))
    config = dataclasses.replace(
      config,
      compare=dataclasses.replace(config.compare, seeds=wanted.seeds),
    )
    runs = comparison_runs.Runs(run, config, live, interrupted, searching=True)
    runs.check([base])
    workdir.create(path, base, data_dir, snapshot.digests())
    trainer = trials.Trainer(runs, config, wanted.stage)
    # Trials whose runs one program can train are drawn before any is told.
    batch = max(runs.population // len(wanted.seeds), 1)
    tried = _search(optuna, config, wanted, trainer, batch, live)
    decision = _confirm(wanted, trainer, tried, live)
    record = _record(config, wanted, tried, decision)
    writers.write_json(path / 'tuning.json', record)
    best = config_values.with_settings(config, record['chosen'])
    best = dataclasses.replace(best, compare=config_lib.CompareConfig())
    writers.write_json(
      path / 'best.json', {'config': config_values.to_dict(best)}
    )
    return record


def _optuna() -> Any:
  optuna = extras.require('optuna', 'rmtl tune')
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna


def _search(
  optuna: Any,
  config: config_lib.Config,
  wanted: Search,
  trainer: trials.Trainer,
  batch: int,
  live: progress_lib.Progress,
) -> list[Record]:
  """All trials, the settings given first."""
  study = optuna.create_study(
    direction='maximize',
    sampler=optuna.samplers.TPESampler(seed=wanted.sampler_seed),
  )
  for start in search.start_points(wanted.space, config):
    study.enqueue_trial(start)
  tried = trainer.trials([{}], wanted.seeds, [])
  while len(tried) <= wanted.trials:
    count = min(batch, wanted.trials + 1 - len(tried))
    asked = [study.ask() for _ in range(count)]
    points = [search.suggest(t, wanted.space, config) for t in asked]
    found = trainer.trials(points, wanted.seeds, tried)
    for trial, record in zip(asked, found, strict=True):
      # A pruned trial's one seed tells the sampler that it is far off.
      study.tell(trial, record['validation_auc'])
      tried.append(record)
      live.say(_line(tried, wanted, trainer))
  return tried


def _line(
  tried: Sequence[Record], wanted: Search, trainer: trials.Trainer
) -> str:
  best, last, done = trials.best(tried), tried[-1], len(tried) - 1
  value = f'validation AUC {last["validation_auc"]:.4f}'
  if last['pruned']:
    value += ' after one seed, the others are spared'
  if not last['by_seed']:
    value = 'its loss was not finite'
  left = (wanted.trials - done) * len(wanted.seeds)
  if wanted.confirm:
    left += (1 + wanted.confirm) * len(wanted.fresh)
  return (
    f'trial {done} of {wanted.trials}: {value}, best'
    f' {best["validation_auc"]:.4f} at trial {tried.index(best)}'
    + trainer.left(left)
  )


def _confirm(
  wanted: Search,
  trainer: trials.Trainer,
  tried: Sequence[Record],
  live: progress_lib.Progress,
) -> Record:
  """`confirmed`, `chosen` and `base_kept`, as confirmation.decide."""
  if not wanted.confirm:
    chosen = trials.best(tried)['settings']
    return {'confirmed': [], 'chosen': chosen, 'base_kept': not chosen}
  best = confirmation.candidates(tried, wanted.confirm)
  if not best:
    return {'confirmed': [], 'chosen': {}, 'base_kept': True}
  measured: list[list[trials.Measured]] = []
  for trial in [tried[0], *best]:
    measured += trainer.measure([trial['settings']], wanted.fresh)
    if not measured[0]:
      raise FloatingPointError(
        f'loss is not finite with the settings given and one of the seeds'
        f' {wanted.fresh}'
      )
    left = (len(best) + 1 - len(measured)) * len(wanted.fresh)
    live.say(
      f'confirmation {len(measured)} of {len(best) + 1}, {len(wanted.fresh)}'
      f' fresh seeds{trainer.left(left)}'
    )
  settings = [trial['settings'] for trial in best]
  tried_again = list(zip(settings, measured[1:], strict=True))
  return confirmation.decide(measured[0], tried_again)


def _record(
  config: config_lib.Config,
  wanted: Search,
  tried: Sequence[Record],
  decision: Record,
) -> Record:
  method = trials.variant(config, wanted.stage, decision['chosen']).method
  return {
    'split': 'validation',
    'backbone': config.backbone,
    'stage': wanted.stage,
    'seeds': list(wanted.seeds),
    'confirm_seeds': list(wanted.fresh) if wanted.confirm else [],
    'best': trials.best(tried),
    **decision,
    'method': method.name,
    'trials': list(tried),
    'versions': workdir.versions(),
    'device': workdir.device(),
  }
