"""The record of a run: metrics.json and evaluation/<split>.json."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import json_files
from rmtl_jax.config import variants
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import evaluator, labelled
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.results import (
  calibrations,
  ensemble,
  list_starts,
  reference,
  row_values,
  summary,
)
from rmtl_jax.runtime import provenance, workdir
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.weighting import critic as weights_lib
from rmtl_jax.weighting import registry


@dataclasses.dataclass(frozen=True)
class Data:
  """The data of a record.

  Attributes:
    train: rows of the rate baseline.
    validation: rows of the critics' statistics.
    evaluated: rows of the metrics.
  """

  manifest: manifest_lib.Manifest
  train: splits_lib.Split
  validation: splits_lib.Split
  evaluated: splits_lib.Split

  @functools.cached_property
  def lists(self) -> list_starts.ListStarts | None:
    """The evaluated rows as they stood in lists."""
    return list_starts.of(self.evaluated, self.manifest)

  def predicted(
    self, predict: Callable[[splits_lib.Split], np.ndarray]
  ) -> labelled.Predicted:
    """Predictions of the evaluated rows by model."""
    return list_starts.predicted(predict, self.evaluated, self.lists)


def build(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: Data,
  maps: calibrations.Maps,
  critic_values: Sequence[row_values.CriticValues],
  chosen: Mapping[str, Any],
) -> dict[str, Any]:
  """Builds the entries that metrics.json and evaluation/<split>.json share.

  Args:
    maps: calibration maps by stage; {} without calibration.
    critic_values: the critics' values of the validation rows.
    chosen: which stage predicts, see served.decide.
  """
  host, tasks = data.evaluated.host, run.manifest.task_names
  predict = trained.once(
    lambda name: data.predicted(
      functools.partial(
        trained.models.probabilities, run.config, trained.actors[name]
      )
    )
  )
  predictions = {name: predict(name) for name in trained.actors}
  used = predictions | calibrations.apply(maps, predictions, tasks)
  record = {
    'backbone': run.config.backbone,
    'weighting': run.config.weighting.name,
    'form': registry.form_of(run.config.weighting).name,
    'seed': run.config.seed,
    'tasks': list(tasks),
    **summary.stages(predictions, host, tasks, run.config),
    'served': dict(chosen),
    'difference': summary.differences(used, host, tasks, run.config),
    'reliability': summary.reliabilities(
      used[chosen['stage']].rows, host, tasks
    ),
    'best_epoch': _best_epochs(trained, predictions),
    **calibrations.evaluate(maps, predictions, host, tasks, run.config),
  }
  record['predicted'] = reference.predicted(
    {name: one.rows for name, one in predictions.items()},
    {
      name: one.rows
      for name, one in calibrations.apply(maps, predictions, tasks).items()
    },
    tasks,
    columns_lib.log_rows(host),
  )
  rates = summary.rate_baseline(
    data.train.host, host, data.manifest, run.config, data.lists
  )
  if rates is not None:
    record['baseline'] = rates
  validation = data.validation.host
  warnings = []
  if not run.refit_of:  # which stops by none of these rows
    warnings += summary.one_class_warnings(
      validation.labels, tasks, validation.sample_weight
    )
  warnings += calibrations.warnings(record)
  if run.config.ensemble > 1:
    record['ensemble'] = run.config.ensemble
    record['members'] = _members(run, trained, data)
    record['member_names'] = [
      variants.difference(run.config, m) for m in range(run.config.ensemble)
    ]
  if trained.weights:
    record['member_weights'] = ensemble.weights_record(trained, tasks)
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


def paper_model(run: workdir.Run) -> dict[str, Any]:
  """Test metrics of RUN/paper, if it is there.

  Returns:
    {'paper_model': `backbone` and `metrics`, {task: metrics}}, or {}.

  Raises:
    types.InputError: its metrics can't be read.
  """
  path = run.paper / 'metrics.json'
  if not path.exists():
    return {}
  found = json_files.read(path)
  with json_files.parsing(str(path)):
    kept = {
      'backbone': found['backbone'],
      'metrics': found.get('calibrated', found['stages'])['pretrain'],
    }
  return {'paper_model': kept}


def _best_epochs(
  trained: ensemble.Ensemble, names: Iterable[str]
) -> dict[str, int | list[int]]:
  """The best epoch of each actor; of an ensemble a list, one per member."""
  return {
    name: epochs if len(epochs) > 1 else epochs[0]
    for name in names
    for epochs in (trained.best_epochs(name),)
  }


def _members(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: Data,
) -> dict[str, Any]:
  """{stage: {task: metrics of each member}}: what ensembling gained."""
  rows = labelled.Labelled.of(data.evaluated.host, run.manifest.task_names)

  def metrics(name: str) -> dict[str, Any]:
    found = [
      data.predicted(
        functools.partial(
          trained.models.probabilities, config, one.results[name].params
        )
      )
      for config, one in zip(trained.configs, trained.members, strict=True)
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
  return {name: by_stage(name) for name in trained.actors}


def _critics(
  run: workdir.Run,
  critic_values: Sequence[row_values.CriticValues],
  validation: splits_lib.Split,
) -> tuple[dict[str, Any], list[str]]:
  """Statistics and curves of the critics on validation rows, and warnings.

  Each member's critics evaluate its own policy. The statistics of an ensemble
  are means over members, but `collapsed` is true if any member's is; warnings
  name the member, and the curves are of the mean Q and the mean weight: that of
  the run, or RMTL's where no critic weighs the run's rows.
  """
  count, host = len(critic_values), validation.host
  tasks = run.manifest.task_names
  records, warnings = [], []
  for member, one in enumerate(critic_values):
    records.append(
      summary.critic(one.q_values, one.policy, host, tasks, one.config.critic)
    )
    title = f'member {member + 1}: ' if count > 1 else ''
    warnings += [title + line for line in summary.critic_warnings(records[-1])]
  weighting = registry.find(run.config.weighting.name)
  if weighting.by_row:
    weights = row_values.weights(
      run.config, critic_values, validation, lambda: ()
    )
  else:
    weighting = registry.find('critic')
    lambda_ = run.config.weighting.lambda_
    weights = [
      np.asarray(weights_lib.critic_weights(one.q_values, lambda_))
      for one in critic_values
    ]
  mean_q = np.mean([one.q_values for one in critic_values], axis=0)
  found = {
    'critic': summary.mean_of_critics(records),
    'curves': {
      **summary.curves(mean_q, host, tasks, np.mean(weights, axis=0)),
      'weights': weighting.label,
    },
  }
  return found, warnings


def predict_validation(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  validation: splits_lib.Split,
) -> dict[str, np.ndarray]:
  """Predictions of the validation rows by actor, [R, K] each."""
  predict = trained.once(
    lambda name: trained.models.probabilities(
      run.config, trained.actors[name], validation
    )
  )
  return {name: predict(name) for name in trained.actors}


def fit_calibrations(
  run: workdir.Run,
  predictions: Mapping[str, np.ndarray],
  validation: splits_lib.Split,
) -> calibrations.Maps:
  """Fits the calibration maps of every actor on the validation rows.

  Those of a refit, which has learnt from these rows, were fitted before: they
  get its level.
  """
  tasks = run.manifest.task_names
  if run.refit_of:
    where = f'{run.path}/config.json: refit_of.calibration'
    maps = calibrations.of_record(run.refit_of, where)
    return calibrations.levelled(maps, predictions, validation.host, tasks)
  return calibrations.fit(
    predictions,
    validation.host,
    tasks,
    run.config.evaluation.calibration,
  )
