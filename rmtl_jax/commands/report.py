"""`rmtl report`: a run or a comparison as one HTML page."""

from __future__ import annotations

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag, 'RUN, or where a comparison is.')
  flag.string(
    'output',
    '',
    'The directory of report.html; WORKDIR/report if not given.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.start_on(values)
  from rmtl_jax.report import pages, write_report

  report = write_report.write_report(path, values.output)
  print(pages.text_of_paths(report=report))
  return 0
