"""`rmtl export`: a trained model as StableHLO, ready to serve."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values)
  flags.DEFINE_string(
    'output',
    '',
    'Where the model goes: a new directory, which appears when it is complete.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'format',
    'stablehlo',
    ['stablehlo', 'saved_model'],
    'saved_model writes a TensorFlow SavedModel too, in OUTPUT/saved_model, as'
    ' TF Serving takes it (extra saved_model).',
    flag_values=values,
  )
  common.define_stage(values)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  for name in ('workdir', 'output'):
    common.require(values, name)
  common.check_there(values, 'workdir')
  common.start_jax(values)
  from rmtl_jax.serving import predictor
  from rmtl_jax.serving.export import writer as export_writer

  output = pathlib.Path(common.value(values, 'output'))
  asked = common.value(values, 'format')
  scorer = predictor.load(
    common.workdir(values),
    common.value(values, 'stage') or '',
    common.value(values, 'calibrated'),
  )
  with common.cleaning_up():
    record = export_writer.export(scorer, output, asked == 'saved_model')
  size = sum(file['bytes'] for file in record['files'].values())
  print(f'model: {output} (stage {record["stage"]}, {size / 1e6:.1f} MB)')
  return 0
