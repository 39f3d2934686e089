"""`rmtl compare`: methods x seeds on the same data."""

from __future__ import annotations

from typing import Any

from absl import flags

from rmtl_jax import config as config_lib
from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(
    flag, 'Directory of the comparison; the same command resumes it.'
  )
  common.define_data(flag)
  flag.list(
    'methods',
    None,
    'What to compare (config.compare.methods), as'
    ' BACKBONE[/BALANCER][+WEIGHTING[@CRITIC_BACKBONE]][:SETTING=VALUE ...]:'
    ' mmoe is the pre-trained model, mmoe/famo one whose losses famo balances,'
    ' ple+critic is RMTL, ple+critic@esmm takes the critics of esmm,'
    ' ple+critic:weighting.lambda_=0.3 changes a setting. The controls of'
    ' methods are added; mmoe,ple,adatt compares the others with mmoe.',
  )
  flag.list(
    'seeds',
    None,
    'Seeds of the paired runs (config.compare.seeds); 16 for a claim.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  config = _compared(config_flags.parse(values), values)
  common.check_paths(values, path)
  common.start_jax(values)
  from rmtl_jax.report import comparison_report, pages, write_report
  from rmtl_jax.runtime import progress
  from rmtl_jax.studies import comparing

  data_dir, manifest = common.study_data(values, path)
  config = config_lib.resolve(config, manifest, one_model=True)
  live = progress.Progress(brief=True)
  results = common.interruptible(
    lambda number: comparing.compare(
      path, data_dir, config=config, live=live, interrupted=number
    )
  )
  if isinstance(results, int):
    return results
  live.clear()
  print(comparison_report.text(results))
  report = write_report.write_report(path)
  print(pages.text_of_paths(results=path / 'results.json', report=report))
  return 0


def _compared(
  config: config_lib.Config, values: flags.FlagValues
) -> config_lib.Config:
  """Sets --methods and --seeds in the config."""
  changes: dict[str, Any] = {}
  if values.methods:
    changes['methods'] = values.methods
  if values.seeds:
    changes['seeds'] = common.integers('seeds', values.seeds)
  return config_values.from_dict({'compare': changes}, config)
