"""`rmtl predict`: probabilities for raw rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from absl import flags

from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values)
  flags.DEFINE_string(
    'input',
    '',
    'Raw rows: a .parquet, .csv or .tsv file (text also as .gz or .zst), or -'
    ' for an Arrow IPC stream on standard input. The columns of the features'
    ' are needed, no labels: named as in the raw log where the run was trained'
    ' on source table, as the fields (RUN/manifest.json) for other sources.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'output',
    '',
    'The same rows in the same order and a column p_<task> per task: a'
    ' .parquet, .csv or .tsv file, which appears when it is complete, or - for'
    ' an Arrow IPC stream on standard output.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'history',
    '',
    'Earlier raw rows, in the form of the input and with labels: a file or a'
    ' directory of files. Models with as-of features of users or items need it;'
    ' sessions that began in it go on in the input.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'memory_limit',
    '',
    'What the past may take before it spills to disk, as 4GB; by default 80 %'
    " of the machine's memory.",
    flag_values=values,
  )
  common.define_stage(values)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  for name in ('workdir', 'input', 'output'):
    common.require(values, name)
  common.check_there(values, 'workdir', 'input', 'history')
  common.start_jax(values)
  import rmtl_jax
  from rmtl_jax.serving import predict

  value = functools.partial(common.value, values)
  output = value('output')
  predict.check_names(value('input'), output)
  path = common.workdir(values)
  # Without warm-up: a file is one request, mostly of more rows.
  model = rmtl_jax.load(
    path, value('stage') or '', value('calibrated'), warm_up=0
  )
  scorer = model.model_ if isinstance(model, rmtl_jax.Ranker) else model
  with common.cleaning_up():
    predict.predict(
      scorer, value('input'), output, value('history'), value('memory_limit')
    )
  if output != '-':
    print(f'predictions: {output}')
  return 0
