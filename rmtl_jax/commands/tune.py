"""`rmtl tune`: a search of settings of stage 1 on validation."""

from __future__ import annotations

from typing import Any

from absl import flags

from rmtl_jax import config as config_lib
from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(
    flag, 'Directory of the search; the same command resumes it.'
  )
  common.define_data(flag)
  flag.list(
    'search',
    None,
    'The space: SETTING=LOW:HIGH, SETTING=LOW:HIGH:log or SETTING=A|B|...'
    ' each; the settings of network, pretrain and batch that are numbers, texts'
    ' or true/false, and ensemble. Without it: learning rate, L2 (of embeddings'
    ' too), scale of embeddings, dropout, id-dropout and encoder of the'
    ' session, as far as the data have them.',
  )
  flag.integer('trials', 30, 'Points to try.', lower_bound=1)
  flag.float(
    'minutes',
    0.0,
    'No trial starts after so many minutes; 0 is no limit. The best trials are'
    ' confirmed in any case. A search that is started again has its finished'
    ' trials and all of the time again.',
  )
  flag.list(
    'seeds',
    ['0', '1'],
    'Runs of a trial; their mean decides. A trial below the median of the'
    ' earlier ones after a seed is pruned.',
  )
  flag.integer(
    'confirm',
    3,
    'How many of the best trials run again, next to the settings given, with'
    ' four seeds that the search has not used. These choose: a trial that does'
    ' not gain by more than seed noise is not taken. 0 takes the best trial as'
    ' it is.',
    lower_bound=0,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  config = config_flags.parse(values)
  common.check_paths(values, path)
  common.start_jax(values)
  from rmtl_jax.report import pages, tuning_text
  from rmtl_jax.runtime import progress
  from rmtl_jax.studies import search_space, tuning

  named = values.search or ()
  plain: dict[str, Any] = {
    'trials': values.trials,
    'minutes': values.minutes,
    'confirm': values.confirm,
    'seeds': tuple(common.integers('seeds', values.seeds)),
  }
  # Errors are reported before data are simulated.
  space = tuple(search_space.parse(text, config) for text in named)
  tuning.Options(space, **plain).check()
  data_dir, manifest = common.study_data(values, path)
  config = config_lib.resolve(config, manifest)
  live = progress.Progress(brief=True)
  record = common.interruptible(
    lambda number: tuning.tune(
      path,
      data_dir,
      named,
      config=config,
      live=live,
      interrupted=number,
      **plain,
    )
  )
  if isinstance(record, int):
    return record
  live.clear()
  print(tuning_text.text(record, path))
  best = path / 'best.json'
  print(pages.text_of_paths(trials=path / 'tuning.json', config=best))
  return 0
