"""`rmtl train`: the three stages, then metrics, a table and a picture."""

from __future__ import annotations

import functools
import pathlib
import shlex
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from rmtl_jax import clock, extras, types
from rmtl_jax import config as config_lib
from rmtl_jax.commands import common, distributed
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import presets
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime.tracking import trackers as tracking


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  common.define_data(flag)
  distributed.define(flag)
  flag.string(
    'start_from',
    '',
    'Another RUN: its models and settings start this one, on data of'
    ' the same fields with other vocabularies (rmtl prepare --extend). Flags'
    ' may change the settings that make no other network.',
  )
  flag.enum(
    'stage',
    'all',
    ['all', 'pretrain', 'critic', 'finetune'],
    'Train one stage only; earlier ones must have been trained in RUN.',
  )
  flag.list(
    'tracker',
    list(tracking.DEFAULT),
    'Trackers of the run, in addition to RUN/metrics.jsonl:'
    f' {", ".join(tracking.TRACKERS)}, or several joined by commas. mlflow and'
    ' wandb find their server in their own environment variables.',
  )


@clock.measured()
def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  # Errors are reported before any work.
  given = config_flags.parse(values)
  tracking.check(values.tracker)
  common.check_paths(values, path)
  _check_start(values, path)
  print(
    'starting; compiling takes about a minute in all the first time'
    + (', and is kept' if values.compilation_cache else ''),
    file=sys.stderr,
    flush=True,
  )
  common.start_jax(values)
  layout = distributed.layout(values)
  from rmtl_jax import run
  from rmtl_jax.report import opening, pages
  from rmtl_jax.runtime import collectives, progress, workdir
  from rmtl_jax.training import run_start

  live = progress.Progress(quiet=not collectives.is_first())

  find_data = functools.partial(common.data_dir, values, path, live)
  with clock.part('preparing'):
    collectives.on_first(find_data, types.InputError)
    data_dir = find_data()
  manifest = manifest_file.read(data_dir)
  source = common.path(values, 'start_from')
  begun = None
  if (path / 'config.json').exists():
    begun = workdir.read(path).config
  elif source:
    begun = run_start.read_source(source).config
  config = config_lib.resolve(config_flags.parse(values, begun), manifest)
  config = workdir.padded(path, config, layout.shape if layout else None)
  stages = run.ORDER if values.stage == 'all' else (values.stage,)
  if not (path / 'config.json').exists():
    live.say(opening.text(config, manifest, data_dir, stages))
  missing = extras.unavailable('lightgbm')
  if missing and not begun and given.variants == 'auto':
    live.say(f'no member of LightGBM, which needs {missing}')
  is_simulated = data_dir.resolve() == (path / 'data').resolve()
  is_first = is_simulated and values.preset == 'recommended' and not source

  def train(interrupted: Callable[[], int]) -> dict[str, Any]:
    if is_first:  # the table compares the run with the paper's model
      paper = presets.paper_model(config, manifest)
      live.say(f"to compare with, stage 1 of the paper's {paper.backbone}")
      options = run.RunOptions(interrupted, layout, ())
      place = path / workdir.PAPER
      run.train(paper, place, data_dir, ('pretrain',), live, None, options)
    options = run.RunOptions(interrupted, layout, values.tracker)
    return run.train(config, path, data_dir, stages, live, source, options)

  record = common.interruptible(train, collectives.all_max)
  if isinstance(record, int):
    return record
  if not collectives.is_first():
    return 0
  common.print_report(record)
  print(pages.text_of_paths(metrics=path / 'metrics.json'))
  common.print_next(f'report --workdir={shlex.quote(str(path))}')
  return 0


def _check_start(values: flags.FlagValues, path: pathlib.Path) -> None:
  """Refuses a start that is no run, or without data, before JAX starts."""
  source = common.path(values, 'start_from')
  if source is None:
    return
  common.check_there(values, 'start_from')
  if not (values.data_dir or (path / 'config.json').exists()):
    raise types.InputError('--data_dir: is needed with --start_from')
