"""`rmtl report`: a run or a comparison as Markdown and as one HTML page."""

from __future__ import annotations

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag, 'RUN, or where a comparison is.')
  flag.string(
    'output',
    '',
    'Where report.html, report.md and pictures/ go; WORKDIR/report if not'
    ' given.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.start_on(values)
  from rmtl_jax.library import studies
  from rmtl_jax.report import tables

  report = studies.write_report(path, values.output)
  print(tables.text_of_paths(report=report, markdown=report.with_suffix('.md')))
  return 0
