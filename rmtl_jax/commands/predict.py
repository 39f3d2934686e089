"""`rmtl predict`: probabilities for raw rows."""

from __future__ import annotations

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  flag.string(
    'input',
    '',
    'Raw rows: a .parquet, .csv or .tsv file (text also as .gz or .zst), or -'
    ' for an Arrow IPC stream on standard input. The columns of the features'
    ' are needed, no labels: named as in the raw log where the run was trained'
    ' on source table, as the fields (RUN/manifest.json) for other sources.',
  )
  flag.string(
    'output',
    '',
    'The same rows in the same order and a column p_<task> per task: a'
    ' .parquet, .csv or .tsv file, which appears when it is complete, or - for'
    ' an Arrow IPC stream on standard output.',
  )
  flag.string(
    'history',
    '',
    'Earlier raw rows, in the form of the input and with labels: a file or a'
    ' directory of files. Models with as-of features of users or items need it;'
    ' sessions that began in it continue in the input.',
  )
  flag.string(
    'memory_limit',
    '',
    'Memory for the past before it spills to disk, as 4GB; by default 80 %'
    " of the machine's memory.",
  )
  common.define_stage(flag)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'workdir', 'input', 'output')
  path = common.start_on(values, 'input', 'history')
  import rmtl_jax
  from rmtl_jax.serving import predict_file

  output = values.output
  predict_file.check_names(values.input, output)
  # Without warm-up: a file is one request, mostly of more rows.
  model = rmtl_jax.load(path, values.stage or '', warm_up=0)
  scorer = model.model_ if isinstance(model, rmtl_jax.Ranker) else model
  with common.cleaning_up():
    predict_file.predict(
      scorer, values.input, output, values.history, values.memory_limit
    )
  if output != '-':
    print(f'predictions: {output}')
  return 0
