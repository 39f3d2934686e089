"""A run from prepared data to metrics.json, and its evaluation later."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from absl import logging

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.training import (
  actor_stages,
  calibrations,
  checkpoints,
  critic_stage,
  progress,
  summary,
  trainer,
  workdir,
  writers,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib

ORDER = ('pretrain', 'critic', 'finetune')
# What stage 3 leaves, in the order in which reports show it.
ACTORS = ('pretrain', 'constant', 'finetune')


def train(
  config: config_lib.Config,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  stages: Iterable[str] = ORDER,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
  """Trains the stages that the directory does not hold yet, and evaluates.

  Started again on the same directory it goes on: finished stages are
  restored, the stage that was cut off continues after its last saved epoch.

  Args:
    config: settings.
    path: RUN, created if missing; locked while this runs.
    data_dir: prepared data.
    stages: of 'pretrain', 'critic', 'finetune', in this order.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    What RUN/metrics.json holds.

  Raises:
    types.InputError: bad data, or a directory of another run.
    trainer.Interrupted: a signal arrived; a later call goes on.
    FloatingPointError: a loss was not finite.
  """
  live = live or progress.Progress()
  with workdir.locked(path):
    run = workdir.create(path, config, data_dir)
    splits = {
      name: trainer.place(
        columns_lib.read_split(data_dir, run.manifest, name), config.batch
      )
      for name in manifest_lib.SPLITS
    }
    store = checkpoints.Store(path / 'checkpoints' / 'state')
    newest = store.restore(lambda record: None)
    history = list(newest.record['history']) if newest else []
    writer = writers.Writer(path, history)
    writer.text('config', _as_markdown(config))
    context = context_lib.Context(
      config,
      run.manifest.task_names,
      splits['train'],
      splits['validation'],
      models_lib.Models(run.manifest.feature_spec()),
      live,
      history,
      store,
      writer.write,
      interrupted,
    )
    try:
      trained = _stages(run, context, tuple(stages))
    finally:
      store.close()
      writer.close()
    begin = time.perf_counter()
    data = _Data(
      run.manifest, splits['train'], splits['validation'], splits['test']
    )
    maps = _fit_calibrations(run, context.models, trained, data.validation)
    record = {
      'split': 'test',
      **_record(run, context.models, trained, data, maps),
    }
    for line in record['warnings']:
      logging.error('%s', line)
    seconds = _seconds(history)
    seconds['evaluation'] = time.perf_counter() - begin
    record['seconds'] = seconds
    writers.write_json(path / 'metrics.json', record)
    return record


@dataclasses.dataclass(frozen=True)
class _Data:
  """The rows that a record is about.

  Attributes:
    manifest: of the data.
    train: what the rate baseline counts.
    validation: what the critics are judged on.
    evaluated: what the metrics are of.
  """

  manifest: manifest_lib.Manifest
  train: trainer.Split
  validation: trainer.Split
  evaluated: trainer.Split


@dataclasses.dataclass
class _Trained:
  """What the stages of a run have left.

  Attributes:
    actors: parameters per name of ACTORS.
    best_epochs: of each of them.
    critic: the critics' parameters after stage 2, or None.
  """

  actors: dict[str, Any] = dataclasses.field(default_factory=dict)
  best_epochs: dict[str, int] = dataclasses.field(default_factory=dict)
  critic: Any = None


def _stages(
  run: workdir.Run, context: context_lib.Context, stages: tuple[str, ...]
) -> _Trained:
  """Restores the finished stages and trains those that are asked for."""
  config = context.config
  trained = _restore(run, context.models)
  needed = config.weighting.name != 'constant'
  if 'pretrain' in stages and 'pretrain' not in trained.actors:
    team = actor_stages.pretrain_team(context)
    actor_stages.fit([team])
    _keep(run, trained, team)
  if 'critic' in stages and needed and trained.critic is None:
    actor = _earlier(run, trained.actors, 'pretrain', 'critic')
    training = critic_stage.start(context, actor)
    critic_stage.fit([training])
    trained.critic = training.params
    _save(run, 'critic', 0, trained.critic)
  if 'finetune' in stages and 'finetune' not in trained.actors:
    actor = _earlier(run, trained.actors, 'pretrain', 'finetune')
    critic = trained.critic
    if needed and critic is None:
      _earlier(run, {}, 'critic', 'finetune')
    weightings = {'finetune': config.weighting.name}
    if config.control:
      weightings = {'constant': 'constant', **weightings}
    team = actor_stages.finetune_team(
      context, weightings, actor, critic if needed else ()
    )
    actor_stages.fit([team])
    _keep(run, trained, team)
  return trained


def _keep(run: workdir.Run, trained: _Trained, team: actor_stages.Team) -> None:
  for name, arm in team.arms.items():
    trained.actors[name] = arm.best_params
    trained.best_epochs[name] = arm.stopping.best_epoch
    _save(run, name, arm.stopping.best_epoch, arm.best_params)


def _save(run: workdir.Run, stage: str, epoch: int, params: Any) -> None:
  store = run.checkpoint(stage)
  store.save(epoch, params, {'stage': stage, 'epoch': epoch})
  store.close()


def _earlier(
  run: workdir.Run, trained: dict[str, Any], stage: str, wanted: str
) -> Any:
  if stage not in trained:
    raise types.InputError(
      f'{run.path}: stage {wanted} needs stage {stage}, which has not been'
      f' trained here (--stage={stage} first, or --stage=all)'
    )
  return trained[stage]


def _restore(run: workdir.Run, models: models_lib.Models) -> _Trained:
  """The finished stages of a run; their form comes from its own settings."""
  trained = _Trained()
  actor, critic_form = models.forms(run.config)
  for name in workdir.STAGES:
    if not run.has(name):
      continue
    critic = name == 'critic'
    form = critic_form if critic else actor
    store = run.checkpoint(name)
    restored = store.restore(lambda record, form=form: form)
    store.close()
    assert restored is not None
    if critic:
      trained.critic = restored.arrays
    else:
      trained.actors[name] = restored.arrays
      trained.best_epochs[name] = restored.record['epoch']
  return trained


def evaluate(
  path: pathlib.Path,
  split: str = 'test',
  data_dir: pathlib.Path | None = None,
) -> dict[str, Any]:
  """Restores a run's best checkpoints and writes evaluation/<split>.json.

  Args:
    path: RUN.
    split: 'train', 'validation' or 'test'.
    data_dir: prepared data with the run's own fields; what the run was
      trained on if None.

  Returns:
    What the file holds: the keys of metrics.json but for the training's own.

  Raises:
    types.InputError: not a run, no checkpoint, or data of another form.
  """
  run = workdir.read(path)
  data_dir = data_dir or run.data_dir
  manifest = manifest_lib.read(data_dir)
  workdir.check_compatible(run, manifest, str(data_dir))
  models = models_lib.Models(run.manifest.feature_spec())
  trained = _restore(run, models)
  if not trained.actors:
    raise types.InputError(f'{path}: no finished stage to evaluate')
  data = _Data(
    manifest,
    *(
      trainer.place(
        columns_lib.read_split(data_dir, manifest, name), run.config.batch
      )
      for name in ('train', 'validation', split)
    ),
  )
  maps = calibrations.saved(run)
  if data_dir == run.data_dir:
    # A run that was cut off has not kept them yet.
    maps = maps or _fit_calibrations(run, models, trained, data.validation)
  record = {'split': split, **_record(run, models, trained, data, maps)}
  (path / 'evaluation').mkdir(exist_ok=True)
  writers.write_json(path / 'evaluation' / f'{split}.json', record)
  return record


def _fit_calibrations(
  run: workdir.Run,
  models: models_lib.Models,
  trained: _Trained,
  validation: trainer.Split,
) -> calibrations.Maps:
  return calibrations.fit(
    trained.actors,
    lambda name: models.predict(run.config, trained.actors[name], validation),
    validation.host,
    run.manifest.task_names,
    run.config.evaluation.calibration,
  )


def _record(
  run: workdir.Run,
  models: models_lib.Models,
  trained: _Trained,
  data: _Data,
  maps: calibrations.Maps,
) -> dict[str, Any]:
  """What metrics.json and evaluation/<split>.json share."""
  tasks = run.manifest.task_names
  predictions = {
    name: models.predict(run.config, trained.actors[name], data.evaluated)
    for name in ACTORS
    if name in trained.actors
  }
  record = {
    'backbone': run.config.backbone,
    'weighting': run.config.weighting.name,
    'start': run.config.finetune.start,
    'seed': run.config.seed,
    'tasks': list(tasks),
    **summary.stages(predictions, data.evaluated.host, tasks, run.config),
    'difference': summary.differences(
      predictions, data.evaluated.host, tasks, run.config
    ),
    'best_epoch': {name: trained.best_epochs[name] for name in predictions},
  }
  record |= calibrations.evaluate(
    maps, predictions, data.evaluated.host, tasks, run.config
  )
  rates = summary.rate_baseline(
    data.train.host, data.evaluated.host, data.manifest, run.config
  )
  if rates is not None:
    record['baseline'] = rates
  warnings = calibrations.warnings(record)
  if trained.critic is not None:
    policy = models.predict(
      run.config, trained.actors['pretrain'], data.validation
    )
    q_values = models.values(
      run.config, trained.critic, data.validation, policy
    )
    record['critic'] = summary.critic(
      q_values, policy, data.validation.host, tasks, run.config.critic
    )
    record['curves'] = summary.curves(
      q_values, data.validation.host, tasks, run.config.weighting.lambda_
    )
    warnings += summary.collapse_warnings(record['critic'])
  return {
    **record,
    'warnings': warnings,
    'versions': workdir.versions(),
    'device': workdir.device(),
  }


def _seconds(history: list[dict[str, Any]]) -> dict[str, float]:
  """Seconds per stage, over all epochs."""
  seconds: dict[str, float] = {}
  for entry in history:
    stage = entry['stage']
    seconds[stage] = seconds.get(stage, 0.0) + entry['seconds']
  return seconds


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of RUN/metrics.jsonl, one per epoch or pass."""
  lines = (path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return [json.loads(line) for line in lines]


def _as_markdown(config: config_lib.Config) -> str:
  rows = [
    f'| {name} | {value} |'
    for name, value in config_lib.flatten(config).items()
  ]
  return '\n'.join(['| setting | value |', '|---|---|', *rows])
