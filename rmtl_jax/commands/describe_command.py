"""`rmtl describe`: prints tables about prepared data."""

from __future__ import annotations

import pathlib

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string(
    'data_dir', '', 'DATA, prepared; `rmtl describe DATA` does the same.'
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'data_dir')
  from rmtl_jax.preparation.description import overview
  from rmtl_jax.report import description_text
  from rmtl_jax.runtime import progress

  live = progress.Progress()
  record = overview.describe(pathlib.Path(values.data_dir), live.step)
  live.clear()
  print(description_text.text(record))
  return 0
