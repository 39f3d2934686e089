"""Stage 3's arms at the same number of epochs: after the last one.

Early stopping may keep the pre-trained parameters for every arm. What
fine-tuning did is then seen here alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.results import ensemble, summary, verdict
from rmtl_jax.results import record as run_record
from rmtl_jax.runtime import checkpoints, stages, workdir
from rmtl_jax.training import saved

# The control and the method; they train for the same number of epochs.
ARMS = stages.LEFT_BY['finetune']


def extend(
  record: Mapping[str, Any],
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: run_record.Data,
  history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
  """A run's record with `finetuned_at` and with the verdict on both arms.

  Args:
    record: of the run, from record.build.
    history: one record per epoch.
  """
  record = dict(record)
  try:
    found = _evaluate(run, trained, data, history)
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
) -> dict[str, Any]:
  """How the arms differ after their last epoch.

  Returns:
    `epoch` (of an ensemble a list, one per member) and `difference`; {} where
    stage 3 has not finished or has no epoch.
  """
  epochs = last_epochs(history, run.config.ensemble)
  if 'finetune' not in trained.actors or not any(epochs):
    return {}
  predictions = {}
  for name in ARMS:
    if name not in trained.actors:
      continue
    params = _params(run, trained, name, epochs)
    if params is None:
      return {}
    predictions[name] = data.predicted(
      functools.partial(trained.models.probabilities, run.config, params)
    )
    del params  # before the next arm's are read: tables may be large
  of = data.evaluated.host, run.manifest.task_names, run.config
  return {
    'epoch': epochs if len(epochs) > 1 else epochs[0],
    'difference': summary.differences(predictions, *of),
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
