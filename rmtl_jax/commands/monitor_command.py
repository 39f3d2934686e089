"""`rmtl monitor`: compares a scored log with the training data."""

from __future__ import annotations

import dataclasses

from absl import flags

from rmtl_jax import durable
from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags
from rmtl_jax.serving.monitoring import thresholds

# {name: default}.
_THRESHOLDS = dataclasses.asdict(thresholds.Thresholds())


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string('workdir', '', 'RUN, or the directory that rmtl export wrote.')
  flag.string(
    'log',
    '',
    'What rmtl predict wrote: a .parquet, .csv or .tsv file (text also as .gz'
    ' or .zst) or a directory of such, with the raw rows, a column p_<task> per'
    ' task, and labels where they have come.',
  )
  flag.string(
    'output',
    '',
    'Where monitor.json goes; WORKDIR/monitor if not given.',
  )
  texts = config_flags.attribute_texts(thresholds.Thresholds)
  for name, default in _THRESHOLDS.items():
    flag.float(name, default, texts[name], lower_bound=0.0)
  common.define_stage(flag)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code, 1 where there is an alarm."""
  common.require(values, 'log')
  path = common.start_on(values, 'log')
  from rmtl_jax.report import monitor_report, pages
  from rmtl_jax.runtime import writers
  from rmtl_jax.serving.monitoring import judge

  record = judge.monitor(
    path,
    values.log,
    {name: getattr(values, name) for name in _THRESHOLDS},
    values.stage or '',
  )
  place = common.path(values, 'output') or path / 'monitor'
  with durable.name_errors(place):
    place.mkdir(parents=True, exist_ok=True)
  writers.write_json(place / 'monitor.json', record)
  print(monitor_report.text(record))
  print(pages.text_of_paths(monitor=place / 'monitor.json'))
  return 1 if record['alarms'] else 0
