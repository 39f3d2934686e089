"""The record of a run: metrics.json and evaluation/<split>.json.

`write` ends `run.train`, `evaluate` restores a trained run and evaluates it on
any split or other prepared data. Both build the same entries.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import clock, json_files, types
from rmtl_jax import config as config_lib
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import evaluator, labelled, metric_registry
from rmtl_jax.networks import backbone_registry
from rmtl_jax.results import (
  calibrations,
  figures,
  list_starts,
  trained_ensemble,
  verdict,
)
from rmtl_jax.runtime import (
  collectives,
  memory,
  mesh,
  programs,
  provenance,
  workdir,
  workdir_checks,
  writers,
)
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import split_data
from rmtl_jax.weighting import scale_by_q, weighting_registry

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Data:
  """The data of a record.

  Attributes:
    train: rows of the rate baseline.
    validation: rows of calibration and of the critics' statistics.
    evaluated: rows of the metrics.
  """

  manifest: manifest_lib.Manifest
  train: split_data.Split
  validation: split_data.Split
  evaluated: split_data.Split

  @functools.cached_property
  def lists(self) -> list_starts.ListStarts | None:
    """The evaluated rows as they stood in lists."""
    return list_starts.of(self.evaluated, self.manifest)

  def predicted(
    self, predict: Callable[[split_data.Split], np.ndarray]
  ) -> labelled.Predicted:
    """A model's predictions of the evaluated rows."""
    return list_starts.predicted(predict, self.evaluated, self.lists)


@clock.part('evaluation')
def write(
  run: workdir.Run,
  trained: trained_ensemble.Ensemble,
  rows: Mapping[str, split_data.Split],
  writer: writers.Writer,
) -> Record:
  """Evaluates a trained run and writes metrics.json, which it returns.

  Args:
    trained: its finished stages, of every member of an ensemble.
    rows: train, validation and test, by name.
  """
  history = trained.history
  data = Data(run.manifest, rows['train'], rows['validation'], rows['test'])
  values = trained.critic_values(data.validation)
  maps, chosen = _calibrate(run, trained, data.validation)
  record = {
    'split': 'test',
    **_build(run, trained, data, maps, values, chosen),
  }
  record['verdict'] = verdict.sentences(record)
  if run.started_from:
    record['started_from'] = run.started_from
  if run.refit_of:
    record['refit_of'] = {
      name: run.refit_of[name] for name in ('run', 'epochs')
    }
  record |= _paper_model(run.path / workdir.PAPER / 'metrics.json')
  record = json_files.sealed({**record, 'seconds': _seconds(history)})
  if collectives.is_first():
    writers.write_json(run.path / 'metrics.json', record)
  writer.finish(record)
  return record


def _seconds(history: Sequence[Record]) -> dict[str, float]:
  """Seconds of stages, over all starts of a run, and of its last start's rest.

  `compiling` is contained in the others.
  """
  found: dict[str, float] = {}
  for entry in history:
    stage = entry['stage']
    found[stage] = found.get(stage, 0.0) + entry.get('seconds', 0.0)
  return clock.take() | found


@programs.in_32_bits
def evaluate(
  path: str | os.PathLike[str],
  split: str = 'test',
  data_dir: str | os.PathLike[str] | None = None,
  layout: mesh.Layout | None = None,
) -> Record:
  """Restores a run's best checkpoints and writes evaluation/<split>.json.

  Args:
    path: RUN.
    split: 'train', 'validation' or 'test'.
    data_dir: prepared data with the run's fields; None: the run's own data.
    layout: the mesh to predict on; None: one device.

  Returns:
    The content of the file: metrics.json without the entries of training, and
    of other data than the run's own `data_dir`.

  Raises:
    types.InputError: not a run, no checkpoint, data with other fields, or the
      run's own data was replaced.
  """
  run = workdir.read_run(pathlib.Path(path)).on(layout)
  place = pathlib.Path(data_dir) if data_dir else run.data_dir
  with contextlib.ExitStack() as held:
    workdir.hold_data(held, place)
    is_own = place.resolve() == run.data_dir.resolve()
    if is_own:
      try:
        collectives.on_first(
          lambda: workdir.check_own_data(run, tuple(run.manifest.splits)),
          types.InputError,
        )
      except types.InputError:
        if not data_dir:
          raise
        is_own = False  # named, they are data like any other
    manifest = manifest_file.read(place)
    workdir_checks.check_compatible(run.manifest, manifest, str(place))
    if not is_own:
      workdir_checks.check_encoding(run.path, run.manifest, manifest, place)
    models = models_lib.Models(run.manifest.feature_spec(), layout)
    check(layout, models, run.config, run, copies=1)
    trained = trained_ensemble.restore(run, models)
    if not trained.names:
      raise types.InputError(f'{run.path}: no finished stage to evaluate')
    # The rates are of the rows that the model has learnt from.
    is_refit = run.refit_of and is_own
    rows = manifest.with_validation() if is_refit else manifest
    data = Data(
      manifest,
      *(
        split_data.read(place, rows, name, run.config.batch, None, layout)
        for name in ('train', 'validation', split)
      ),
    )
    maps, chosen = calibrations.saved(run), verdict.served_by(run)
    if is_own:
      # An interrupted run has not fitted them yet. Other data must not fit
      # them: its rows are those to evaluate.
      if not trained.weights:
        trained = trained_ensemble.weighted(trained, data.validation, run)
      if not chosen:
        maps, chosen = _calibrate(run, trained, data.validation)
    values = trained.critic_values(data.validation)
    record = {
      'split': split,
      **({} if is_own else {'data_dir': str(place.resolve())}),
      **_build(run, trained, data, maps, values, chosen),
    }
    record['verdict'] = verdict.sentences(record)
  if collectives.is_first():
    (run.path / 'evaluation').mkdir(exist_ok=True)
    writers.write_json(run.path / 'evaluation' / f'{split}.json', record)
  return record


def check(
  layout: mesh.Layout | None,
  models: models_lib.Models,
  config: config_lib.Config,
  run: workdir.Run,
  copies: int,
) -> None:
  """Refuses settings that don't fit the data, the mesh or the memory."""
  if layout is None:
    own = run.path / 'manifest.json'  # not yet there in a new run
    memory.check_tables(
      str(own if own.exists() else run.data_dir / 'manifest.json'),
      run.manifest,
      config.network.embedding_dim * config.ensemble,
      copies,
    )
  models.check(config)
  if layout is not None and not backbone_registry.is_fitted(config):
    actor, _ = models.shapes(config)
    layout.check(config, actor['first']['table'].shape[-2])


def _calibrate(
  run: workdir.Run,
  trained: trained_ensemble.Ensemble,
  validation: split_data.Split,
) -> tuple[calibrations.Maps, Record]:
  """Fits calibration maps on validation, and chooses the stage that predicts.

  Maps of a refit, which has learnt from these rows, were fitted before.
  """
  found = {
    name: trained.probabilities(name, validation) for name in trained.names
  }
  host, tasks = validation.host, run.manifest.task_names
  if run.refit_of:
    where = f'{run.path}/config.json: refit_of.calibration'
    maps = calibrations.of_record(run.refit_of, where)
  else:
    method = run.config.evaluation.calibration
    maps = calibrations.fit(found, host, tasks, method)
  return maps, verdict.choose_served(found, host, tasks, run.config)


def _build(
  run: workdir.Run,
  trained: trained_ensemble.Ensemble,
  data: Data,
  maps: calibrations.Maps,
  critic_values: Sequence[trained_ensemble.CriticValues],
  chosen: Mapping[str, Any],
) -> Record:
  """Builds the entries that metrics.json and evaluation/<split>.json share.

  Args:
    maps: calibration maps by stage; {} without calibration.
    critic_values: of the validation rows.
    chosen: which stage predicts, see verdict.choose_served.
  """
  host, tasks = data.evaluated.host, run.manifest.task_names
  predictions = {
    name: data.predicted(functools.partial(trained.probabilities, name))
    for name in trained.names
  }
  predictions |= calibrations.apply(maps, predictions, tasks)
  record = {
    'backbone': run.config.backbone,
    'weighting': run.config.weighting.name,
    'form': weighting_registry.form_of(run.config.weighting).name,
    'seed': run.config.seed,
    'tasks': list(tasks),
    **figures.stages(predictions, host, tasks, run.config),
    'served': dict(chosen),
    'reliability': figures.reliabilities(
      predictions[chosen['stage']].rows, host, tasks
    ),
    # Of an ensemble a list, one per member.
    'best_epoch': {
      name: epochs if len(epochs) > 1 else epochs[0]
      for name in predictions
      for epochs in (trained.best_epochs(name),)
    },
  }
  if maps:
    record['calibration'] = {
      stage: {task: one.to_json() for task, one in maps[stage].items()}
      for stage in predictions
      if stage in maps
    }
  rates = figures.rate_baseline(
    data.train.host, host, data.manifest, run.config, data.lists
  )
  if rates is not None:
    record['baseline'] = rates
  validation, warnings = data.validation.host, []
  if not run.refit_of:  # which stops by none of these rows
    warnings += figures.one_class_warnings(
      validation.labels, tasks, validation.sample_weight
    )
  if run.config.ensemble > 1:
    record['ensemble'] = run.config.ensemble
    record['members'] = _members(run, trained, data)
    record['member_names'] = [
      variants.difference(run.config, m) for m in range(run.config.ensemble)
    ]
  if trained.weights:
    record['member_weights'] = trained_ensemble.weights_record(trained, tasks)
  if critic_values:
    found, lines = _critics(run, critic_values, data.validation)
    record |= found
    warnings += lines
  return {
    **record,
    'warnings': warnings,
    'versions': provenance.versions(),
    'device': provenance.device(),
  }


def _members(
  run: workdir.Run, trained: trained_ensemble.Ensemble, data: Data
) -> Record:
  """{stage: {task: metrics of each member}}: what ensembling gained."""
  rows = labelled.Labelled.of(data.evaluated.host, run.manifest.task_names)

  def metrics(name: str) -> Record:
    found = [
      data.predicted(
        lambda split, m=m: trained.models.of_log(
          trained.of_member(m, name, split).predictions
        )
      )
      for m in range(len(trained.members))
    ]
    return {
      task: {
        one.name: [
          json_files.number(value)
          for predicted in found
          if (value := evaluator.measured(one.name, predicted, rows, k))
          is not None
        ]
        for one in metric_registry.of_kind(kind)
        if one.compared and (data.lists is not None or not one.of_lists)
      }
      for k, (task, kind) in enumerate(zip(rows.tasks, rows.kinds, strict=True))
    }

  by_stage = trained.once(metrics)
  return {name: by_stage(name) for name in trained.names}


def _critics(
  run: workdir.Run,
  critic_values: Sequence[trained_ensemble.CriticValues],
  validation: split_data.Split,
) -> tuple[Record, list[str]]:
  """Statistics and curves of the critics on validation rows, and warnings.

  Each member's critics evaluate its own policy. The statistics of an ensemble
  are means over members, but `collapsed` is true if any member's is; warnings
  name the member, and the curves are of the mean of RMTL's weights.
  """
  count, host = len(critic_values), validation.host
  tasks = run.manifest.task_names
  records, warnings = [], []
  for member, one in enumerate(critic_values):
    records.append(
      figures.critic(one.q_values, one.policy, host, tasks, one.config.critic)
    )
    title = f'member {member + 1}: ' if count > 1 else ''
    warnings += [title + line for line in figures.critic_warnings(records[-1])]
  lambda_ = run.config.weighting.lambda_
  weights = [
    scale_by_q.critic_weights(one.q_values, lambda_, np)
    for one in critic_values
  ]
  found = {
    'critic': figures.mean_of_critics(records),
    'curves': figures.curves(host, tasks, np.mean(weights, axis=0)),
  }
  return found, warnings


def _paper_model(path: pathlib.Path) -> Record:
  """{'paper_model': its backbone and test metrics} of a first run, or {}."""
  if not path.exists():
    return {}
  found = json_files.read(path)
  with json_files.parsing(str(path)):
    metrics = found['stages']['pretrain']
    return {'paper_model': {'backbone': found['backbone'], 'metrics': metrics}}
