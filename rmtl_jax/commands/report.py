"""`rmtl report`: a run or a study as Markdown and as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values, 'RUN, or where a comparison or a backtest is.')
  flags.DEFINE_string(
    'output',
    '',
    'Where report.html, report.md and pictures/ go; WORKDIR/report if not'
    ' given.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'data_dir',
    '',
    "The run's prepared data, where it is no longer where it was trained on.",
    flag_values=values,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  common.check_there(values, 'workdir', 'data_dir')
  common.start_jax(values)
  from rmtl_jax.library import studies
  from rmtl_jax.report import tables

  report = studies.write_report(
    path, common.value(values, 'output'), common.value(values, 'data_dir')
  )
  print(tables.text_of_paths(report=report, markdown=report.with_suffix('.md')))
  return 0
