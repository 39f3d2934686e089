"""Which stage's model a run predicts with: what validation keeps.

Prediction, export, serving, monitoring and reports use this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import comparison, labelled
from rmtl_jax.results import summary
from rmtl_jax.runtime import workdir

_DIFFERENCE = 'finetune_minus_pretrain'


def decide(
  predictions: Mapping[str, np.ndarray],
  validation: columns_lib.Rows,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> dict[str, Any]:
  """Stage 1, unless stage 3 ranks validation rows better than it.

  Better: above it by more than the paired session bootstrap's interval on some
  task, and below it by as much on none.

  Args:
    predictions: of the validation rows by stage, [R, K].

  Returns:
    `served` of metrics.json: `stage`, and `difference` by task where both
    stages are there.
  """
  found = {name: labelled.Predicted(p) for name, p in predictions.items()}
  by_task = summary.differences(found, validation, tasks, config).get(
    _DIFFERENCE
  )
  if by_task is None:
    return {'stage': first(predictions)}
  outcomes = {comparison.outcome(values) for values in by_task.values()}
  is_better = 'gain' in outcomes and 'loss' not in outcomes
  stage = 'finetune' if is_better else 'pretrain'
  return {'stage': stage, 'difference': by_task}


def first(stages: Any) -> str:
  """The stage to predict with where nothing has decided."""
  return next(s for s in ('pretrain', 'finetune', 'constant') if s in stages)


def of_record(record: Mapping[str, Any]) -> str:
  """The stage by the content of metrics.json or evaluation/<split>.json."""
  return record.get('served', {}).get('stage') or first(record['stages'])


def of_run(run: workdir.Run) -> dict[str, Any]:
  """`served` of RUN/metrics.json; {} before the run is evaluated."""
  path = run.path / 'metrics.json'
  if not path.exists():
    return {}
  record = json_files.read(path)
  with json_files.parsing(str(path)):
    return {**record.get('served', {}), 'stage': of_record(record)}
