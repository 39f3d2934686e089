"""`rmtl backtest`: daily warm starts against retraining from scratch."""

from __future__ import annotations

from absl import flags

from rmtl_jax import config as config_lib
from rmtl_jax.commands import common, prepare_command
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values

# Settings of the preparation that are the backtest's own.
_OWN = frozenset(
  {
    *('data_dir', 'overwrite', 'extend', 'since', 'until', 'split', 'split_by'),
    *('split_dates', 'split_column', 'split_values'),
    *('validation_dir', 'test_dir'),
  }
)


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(
    flag, 'Directory of the backtest; the same command resumes it.'
  )
  flag.integer(
    'days',
    7,
    'Days to evaluate on, the last ones of the log.',
    lower_bound=1,
    upper_bound=10_000,
  )
  flag.string('step', '1d', 'Length of a day: 1d, 7d, 12h, ...')
  flag.list('seeds', ['0'], 'Of paired runs, each a chain.')
  flag.list(
    'continued',
    [],
    'Settings of warm-started runs, as pretrain.max_epochs=3; the others are'
    ' those of the run that they start from.',
  )
  flag.enum(
    'stage',
    'all',
    ['all', 'pretrain'],
    'Which stages runs have: pretrain is a model without stages 2 and 3.',
  )
  prepare_command.define_settings(flag, _OWN)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  source = prepare_command.settings(values, _OWN)
  prepare_command.check_source(values, source)
  config = config_flags.parse(values)
  seeds = common.integers('seeds', values.seeds)
  known = config_values.flatten(config_values.from_dict({}))
  continued = dict(
    config_values.parse_setting('--continued', text, known)
    for text in values.continued
  )
  common.check_there(values, 'raw_dir')
  common.start_jax(values)
  from rmtl_jax import run
  from rmtl_jax.report import backtest_text, pages
  from rmtl_jax.runtime import progress
  from rmtl_jax.studies import backtesting

  stage = values.stage
  options = backtesting.Options(
    values.days,
    values.step,
    tuple(seeds),
    continued,
    run.ORDER if stage == 'all' else (stage,),
  )
  live = progress.Progress(brief=True)
  record = common.interruptible(
    lambda number: backtesting.backtest(
      backtesting.Backtest(
        path,
        source,
        lambda manifest: config_lib.resolve(config, manifest),
        options,
        live,
        number,
      )
    )
  )
  if isinstance(record, int):
    return record
  print(backtest_text.text(record))
  print(pages.text_of_paths(results=path / 'backtest.json'))
  return 0
