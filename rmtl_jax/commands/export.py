"""`rmtl export`: a trained model as StableHLO, ready to serve."""

from __future__ import annotations

import pathlib

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  flag.string(
    'output',
    '',
    'Where the model goes: a new directory, which appears when it is complete.',
  )
  common.define_stage(flag)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'workdir', 'output')
  path = common.start_on(values)
  from rmtl_jax.serving import predictor
  from rmtl_jax.serving.export import export_writer

  output = pathlib.Path(values.output)
  scorer = predictor.load(path, values.stage or '')
  with common.cleaning_up():
    record = export_writer.export(scorer, output)
  size = sum(file['bytes'] for file in record['files'].values())
  print(f'model: {output} (stage {record["stage"]}, {size / 1e6:.1f} MB)')
  return 0
