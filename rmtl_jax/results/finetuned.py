"""Stage 3's arms at the same number of epochs: after the last one.

Early stopping may keep the pre-trained parameters for every arm. What
fine-tuning did is then seen here alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.results import calibrations, ensemble, summary, verdict
from rmtl_jax.results import record as run_record
from rmtl_jax.runtime import checkpoints, stages, workdir
from rmtl_jax.training import saved

# The control and the method; they train for the same number of epochs.
ARMS = stages.RECORDS['finetune'].leaves


def extend(
  record: Mapping[str, Any],
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: run_record.Data,
  history: Sequence[Mapping[str, Any]],
  maps: calibrations.Maps | None = None,
) -> dict[str, Any]:
  """A run's record with `finetuned_at` and with the verdict on both arms.

  Args:
    record: of the run, from record.build.
    history: one record per epoch.
    maps: calibration maps by arm; None: fitted on the validation rows.
  """
  record = dict(record)
  try:
    found = _evaluate(run, trained, data, history, maps)
  except checkpoints.Damaged as error:
    line = f'{error}: no figures of stage 3 after its last epoch'
    record['warnings'] = [*record['warnings'], line]
    found = {}
  if found:
    record['finetuned_at'] = found
  record['verdict'] = verdict.sentences(record)
  return record


def _evaluate(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: run_record.Data,
  history: Sequence[Mapping[str, Any]],
  maps: calibrations.Maps | None,
) -> dict[str, Any]:
  """Metrics of the arms after their last epoch, as of those that were kept.

  Returns:
    `epoch` (of an ensemble a list, one per member), `stages`, `difference`,
    `calibrated` and `calibration`; {} where stage 3 has not finished or has no
    epoch.
  """
  epochs = last_epochs(history, run.config.ensemble)
  if 'finetune' not in trained.actors or not any(epochs):
    return {}
  predictions, fitted = {}, dict(maps or {})
  for name in ARMS:
    if name not in trained.actors:
      continue
    params = _params(run, trained, name, epochs)
    if params is None:
      return {}
    predictions[name] = data.predicted(
      functools.partial(trained.models.probabilities, run.config, params)
    )
    if maps is None:
      fitted |= calibrations.fit(
        (name,),
        lambda _, params=params: trained.models.probabilities(
          run.config, params, data.validation
        ),
        data.validation.host,
        run.manifest.task_names,
        run.config.evaluation.calibration,
      )
    del params  # before the next arm's are read: tables may be large
  of = data.evaluated.host, run.manifest.task_names, run.config
  return {
    'epoch': epochs if len(epochs) > 1 else epochs[0],
    'stages': summary.stages(predictions, *of)['stages'],
    'difference': summary.differences(predictions, *of),
    **calibrations.evaluate(fitted, predictions, *of),
  }


def last_epochs(
  history: Sequence[Mapping[str, Any]], members: int
) -> list[int]:
  """The last epoch of stage 3, one per member; 0 without any.

  Args:
    history: one record per epoch; those of an ensemble say whose they are.
  """
  epochs = [0] * members
  for entry in history:
    if entry['stage'] == 'finetune':
      member = entry.get('member', 0)
      epochs[member] = max(epochs[member], entry['epoch'])
  return epochs


def _params(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  name: str,
  epochs: Sequence[int],
) -> Any:
  """An arm's parameters after its last epoch; None if they were not saved."""
  found = []
  for one, member, epoch in zip(
    run.members, trained.members, epochs, strict=True
  ):
    result: saved.Result | None = member.results[name]
    if result.epoch != epoch:
      result = saved.restore_last(one, trained.models, name)
    if result is None:
      return None
    found.append(result.params)
  return trained.joined(name, found)
