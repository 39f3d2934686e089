"""`rmtl predict`: probabilities for raw rows."""

from __future__ import annotations

import pathlib
import signal
import sys
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
    'Raw rows: a .parquet, .csv, .csv.gz, .tsv or .tsv.gz file, or - for an'
    ' Arrow IPC stream on standard input. The columns of the features are'
    ' needed, no labels: named as in the raw log where the run was trained on'
    ' source table, as the fields (RUN/manifest.json) for other sources.',
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
  flags.DEFINE_enum(
    'stage',
    None,
    ['finetune', 'constant', 'pretrain'],
    'Whose parameters; if not given finetune, or pretrain where that is all'
    ' there is. constant is the control.',
    flag_values=values,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  for name in ('workdir', 'input', 'output'):
    common.require(values, name)
  common.start_jax(values)
  from rmtl_jax.serving import predict

  # Ends as an error does, so that no half-written file is left.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  output = common.value(values, 'output')
  predict.predict(
    pathlib.Path(common.value(values, 'workdir')),
    common.value(values, 'input'),
    output,
    common.value(values, 'stage') or '',
  )
  if output != '-':
    print(f'predictions: {output}')
  return 0
