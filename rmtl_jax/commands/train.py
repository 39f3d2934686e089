"""`rmtl train`: the three stages, then metrics, a table and a picture."""

from __future__ import annotations

import functools
import pathlib
import shlex
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from rmtl_jax import clock, types
from rmtl_jax import config as config_lib
from rmtl_jax.commands import common, distributed
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import presets
from rmtl_jax.data import manifest as manifest_lib
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
  flag.boolean(
    'keep_checkpoints',
    False,
    'Keep what only a resume needed (optimizer states, the place in the data)'
    ' when the stages have finished.',
  )
  flag.boolean(
    'paper_model',
    None,
    "Also train stage 1 of the paper's model, in RUN/paper, as a row of the"
    ' table. Default: only if a new log is simulated.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  # Errors are reported before any work.
  given = config_flags.parse(values)
  trackers = values.tracker
  tracking.check(trackers)
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

  find_data = functools.partial(common.data_dir, values, path, given, live)
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
  config = config_flags.parse(values, manifest, begun)
  config = workdir.padded(path, config, layout.shape if layout else None)
  stage = values.stage
  stages = run.ORDER if stage == 'all' else (stage,)
  if not (path / 'config.json').exists():
    live.say(opening.text(config, manifest, data_dir, stages))
  paper_model = values.paper_model
  if paper_model is None:
    is_first = config.preset == presets.DEFAULT_PRESET and not source
    is_simulated = data_dir.resolve() == (path / 'data').resolve()
    paper_model = is_first and is_simulated

  def train(interrupted: Callable[[], int]) -> dict[str, Any]:
    shared = {
      'live': live,
      'interrupted': interrupted,
      'layout': layout,
      'keep_checkpoints': values.keep_checkpoints,
    }
    if paper_model:
      _train_paper_model(config, path, data_dir, manifest, shared)
    return run.train(
      config,
      path,
      data_dir,
      stages,
      trackers=trackers,
      start_from=source,
      **shared,
    )

  record = common.interruptible(train, collectives.all_max)
  if isinstance(record, int):
    return record
  if not collectives.is_first():
    return 0
  common.print_report(record)
  print(pages.text_of_paths(metrics=path / 'metrics.json'))
  common.print_next(f'report --workdir={shlex.quote(str(path))}')
  return 0


@clock.part('paper_model')
def _train_paper_model(
  config: config_lib.Config,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  manifest: manifest_lib.Manifest,
  shared: dict[str, Any],
) -> None:
  """Stage 1 of the paper's model in RUN/paper, which the record then has."""
  from rmtl_jax import run
  from rmtl_jax.results import verdict
  from rmtl_jax.runtime import workdir

  place = path / 'paper'
  paper = presets.paper_model(manifest, config)
  if (place / 'config.json').exists():  # as it has begun
    paper = workdir.read(place).config
  shared['live'].say(verdict.paper_model(paper.backbone))
  run.train(paper, place, data_dir, ('pretrain',), **shared)


def _check_start(values: flags.FlagValues, path: pathlib.Path) -> None:
  """Refuses a start that is no run, or without data, before JAX starts."""
  source = common.path(values, 'start_from')
  if source is None:
    return
  common.check_there(values, 'start_from')
  if not (values.data_dir or (path / 'config.json').exists()):
    raise types.InputError('--data_dir: is needed with --start_from')
