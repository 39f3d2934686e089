"""`rmtl monitor`: a scored log beside what its model was trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from absl import flags

from rmtl_jax.commands import common
from rmtl_jax.config import flags as config_flags
from rmtl_jax.serving.monitoring import thresholds

# {name: default}.
_THRESHOLDS = dataclasses.asdict(thresholds.Thresholds())


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  flags.DEFINE_string(
    'workdir',
    '',
    'RUN, or the directory that rmtl export wrote.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'log',
    '',
    'What rmtl predict wrote: a .parquet, .csv or .tsv file (text also as .gz'
    ' or .zst) or a directory of such, with the raw rows, a column p_<task> per'
    ' task, and labels where they have come.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'output',
    '',
    'Where monitor.json, report.html, report.md and pictures/ go;'
    ' WORKDIR/monitor if not given.',
    flag_values=values,
  )
  texts = config_flags.attribute_texts(thresholds.Thresholds)
  for name, default in _THRESHOLDS.items():
    flags.DEFINE_float(
      name, default, texts[name], lower_bound=0.0, flag_values=values
    )
  common.define_stage(values)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code, 1 where there is an alarm."""
  common.require(values, 'log')
  path = common.workdir(values)
  common.check_there(values, 'workdir', 'log')
  common.start_jax(values)
  from rmtl_jax.report import monitor as report
  from rmtl_jax.report import tables
  from rmtl_jax.report.page import files
  from rmtl_jax.runtime import writers
  from rmtl_jax.serving.monitoring import judge

  value = functools.partial(common.value, values)
  record = judge.monitor(
    path,
    value('log'),
    {name: value(name) for name in _THRESHOLDS},
    value('stage') or '',
    value('calibrated'),
  )
  place = common.path(values, 'output') or path / 'monitor'
  page = files.write(report.build(record), place)
  writers.write_json(place / 'monitor.json', record)
  print(report.text(record))
  print(tables.text_of_paths(monitor=place / 'monitor.json', report=page))
  return 1 if record['alarms'] else 0
