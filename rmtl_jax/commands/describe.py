"""`rmtl describe`: what is in prepared data, as tables and as a page."""

from __future__ import annotations

import logging
import pathlib

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string(
    'data_dir', '', 'DATA, prepared; `rmtl describe DATA` says the same.'
  )
  flag.string(
    'output',
    '',
    'Where report.html, report.md and pictures/ go; DATA/report if not given.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'data_dir')
  # Matplotlib warns of a user without a home directory.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  from rmtl_jax.preparation.description import describe
  from rmtl_jax.report import tables
  from rmtl_jax.report.description import page
  from rmtl_jax.report.page import files
  from rmtl_jax.runtime import progress

  data_dir = pathlib.Path(values.data_dir)
  live = progress.Progress()
  record = describe.describe(data_dir, live.step)
  live.clear()
  print(page.text(record))
  place = common.path(values, 'output') or data_dir / 'report'
  report = files.write(page.build(record), place)
  print()
  print(tables.text_of_paths(report=report, markdown=report.with_suffix('.md')))
  return 0
