"""A run, from prepared data to metrics.json: this file is the whole flow.

A directory of other settings or other data is refused (workdir_checks.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax import clock, types
from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading, vectors
from rmtl_jax.results import run_record, trained_ensemble, verdict
from rmtl_jax.runtime import (
  collectives,
  mesh,
  programs,
  progress,
  workdir,
  writers,
)
from rmtl_jax.runtime import stages as stages_lib
from rmtl_jax.runtime.tracking import trackers as tracking
from rmtl_jax.training import (
  actors,
  critics,
  delayed,
  epoch_loop,
  models,
  run_start,
  saved,
  split_data,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import refit as refit_lib
from rmtl_jax.weighting import weighting_registry

ORDER = stages_lib.ORDER
# Fewer steps an epoch than this are warned of, and how many would be enough;
# not where stages wait for so many steps without a better validation.
_FEW_STEPS, _ENOUGH_STEPS, _LONG_WAIT = 20, 50, 100


class RunOptions(NamedTuple):
  """How a run is carried out; no metric depends on it.

  Attributes:
    interrupted: returns a signal's number once one has arrived, else 0; several
      processes must agree on it (`collectives.all_max`).
    layout: the mesh to train on, or None: one device.
    trackers: names of `rmtl_jax.runtime.tracking`, which write the run's
      metrics in addition to RUN/metrics.jsonl.
  """

  interrupted: Callable[[], int] = lambda: 0
  layout: mesh.Layout | None = None
  trackers: Sequence[str] = tracking.DEFAULT


_DEFAULTS = RunOptions()


class Job(NamedTuple):
  """What the members of an ensemble have in common with their run.

  Attributes:
    every_epoch: whether stage 3 has no early stopping.
  """

  data_dir: pathlib.Path
  stages: tuple[str, ...]
  live: progress.Progress
  options: RunOptions
  every_epoch: bool = False


class Data(NamedTuple):
  """Data and models of a run; the members of an ensemble share them.

  Attributes:
    splits: train, validation and test rows, by name.
    models: networks and compiled programs.
    snapshot: the data's files as they were before they were read.
    digests: of these files.
  """

  splits: Mapping[str, split_data.Split]
  models: models.Models
  snapshot: reading.Snapshot
  digests: dict[str, str]


def train(
  config: config_lib.Config | None,
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  stages: Iterable[str] = ORDER,
  live: progress.Progress | None = None,
  start_from: str | os.PathLike[str] | None = None,
  options: RunOptions = _DEFAULTS,
) -> dict[str, Any]:
  """Trains the stages that the directory does not have yet, and evaluates.

  Started again on the same directory it resumes: finished stages are restored,
  the stage that was cut off continues after its last checkpoint, also on a mesh
  of another shape. Of several processes all call this, with the same arguments
  and directories that all of them see; the first one writes.

  Args:
    config: settings; None: those of `start_from`, or else the recommended
      ones. An ensemble is trained as a run of each member, one after the other,
      in RUN/members, and evaluated as their mean.
    path: RUN, created if missing; locked while this runs.
    data_dir: prepared data.
    stages: of 'pretrain', 'critic', 'finetune', in this order.
    live: where progress goes.
    start_from: another run, with the first models of this one; its data may
      have other vocabularies (training/run_start.py). It stays as it is, and
      must, until this one has finished.
    options: see `RunOptions`.

  Returns:
    The content of RUN/metrics.json.

  Raises:
    types.InputError: bad data, or a directory of another run.
    epoch_loop.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss was not finite.
  """
  stages = (stages,) if isinstance(stages, str) else tuple(stages)
  for name in stages:
    if name not in ORDER:
      raise types.InputError(
        f'stages: {name!r} is not one of {", ".join(ORDER)}'
      )
  if config is None and start_from:
    config = run_start.read_source(pathlib.Path(start_from)).config
  job = Job(pathlib.Path(data_dir), stages, _shown(live), options)
  return _train(
    config or config_lib.Config(), pathlib.Path(path), job, start_from
  )


def refit(
  source: str | os.PathLike[str],
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str] | None = None,
  live: progress.Progress | None = None,
  options: RunOptions = _DEFAULTS,
) -> dict[str, Any]:
  """Trains a run's stage 1 again, with the rows of validation among train's.

  Args:
    source: the finished run (training/refit.py).
    path: RUN of the new model; an interrupted refit resumes.
    data_dir: where the data of `source` are, if they were moved.
    live: where progress goes.
    options: see `RunOptions`.

  Returns:
    The content of RUN/metrics.json.

  Raises:
    types.InputError: as `train`, or a run that can't be trained again.
  """
  first = workdir.read(pathlib.Path(source))
  if data_dir is None:
    workdir.own_manifest(first)
  place = pathlib.Path(data_dir or first.data_dir)
  job = Job(place, ('pretrain',), _shown(live), options)
  return _train(first.config, pathlib.Path(path), job, refit_of=source)


@programs.in_32_bits
def _train(
  config: config_lib.Config,
  path: pathlib.Path,
  job: Job,
  start_from: str | os.PathLike[str] | None = None,
  refit_of: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
  """The whole run, in the order of the data."""
  tracking.check(job.options.trackers)
  config = config_lib.resolve(config, manifest_file.read(job.data_dir))
  with contextlib.ExitStack() as stack:
    stack.enter_context(clock.measured())
    # The data stay in place until all is written.
    workdir.hold_data(stack, job.data_dir)

    # --- Read and build. Nothing of a run that can't begin is left behind.
    with clock.part('reading'):
      run = workdir.opened(
        stack, path, config, job.data_dir, job.options.layout
      )
      start = _started(run, start_from)
      run = start.run if start else run
      run = dataclasses.replace(run, refit_of=refit_lib.find(run, refit_of))
      _check_stages(run, job.stages)
      data = _read_and_build(run, job)
      _describe(run, config, job, data)
      _advise(run, start, job, data)
    if not all(run.has(stage) for stage in job.stages):
      data = _completed(run, job, data)

    # --- Train. An ensemble is M models, and a mean when it predicts.
    if config.ensemble > 1:
      members = _train_members(job, config, run, start, data)
      trained = trained_ensemble.Ensemble(
        data.models, tuple(one.config for one in run.members), members
      )
      trained = trained_ensemble.weighted(
        trained, data.splits['validation'], run
      )
      writer = _open_writer(stack, run, job, trained.history)
    else:
      finished, writer = train_model(stack, run, job, start, data)
      trained = trained_ensemble.Ensemble(
        data.models, (run.config,), (finished,)
      )

    # --- Evaluate and write.
    return run_record.write(run, trained, data.splits, writer)


@clock.part('starting')  # networks, states, policies
def train_model(
  stack: contextlib.ExitStack,
  run: workdir.Run,
  job: Job,
  start: run_start.Start | None,
  data: Data,
) -> tuple[saved.FinishedStages, writers.Writer]:
  """Trains the three stages of one model.

  Args:
    stack: closes the writer.
    start: what the run starts from, or None.

  Returns:
    All finished stages, their history in the stages' order; and the run's
    logs.
  """
  config, live = run.config, job.live
  context = _context(run, job, data)
  context.start = start
  # --- Where each stage begins:
  # 1. it has finished: its checkpoint is restored, unless it is damaged;
  # 2. it was cut off: `fit` resumes from its newest sound checkpoint;
  # 3. stages 1 and 2 of a run with `start_from`: with that run's parameters;
  # 4. else with new parameters, or with those of the stage before.
  finished = saved.restore(run, context.models, trains=True)
  for line in finished.damaged:
    live.say(f'WARNING: {line}; the stage is trained again')

  def missing(stage: str, control: bool = True) -> bool:
    if stage not in job.stages or finished.has(stage, control):
      return False
    saved.begin(context, finished, stage)
    return True

  def left(name: str, stage: str) -> Any:
    return finished.needed(name, stage, run.path)

  with contextlib.closing(run.unfinished()) as context.store:
    context.history = saved.latest_history(context, finished)
    writer = _open_writer(stack, run, job, context.history)
    context.on_record = writer.write
    fit_rows = context.models.actor(config).fit  # trees: no gradient, no critic
    weights = not fit_rows and weighting_registry.needs_critics(
      config.weighting.name
    )

    # --- Stage 1, pre-train: the actor, on the plain mean of its losses.
    if missing('pretrain'):
      if fit_rows:
        results = actors.fitted(context, fit_rows)
      else:
        arms = actors.pretrain(context)
        stopping = actors.stopping(context, 'pretrain')
        results = epoch_loop.fit(context, 'pretrain', arms, stopping)
      saved.keep(run, context, finished, results)

    # --- Stage 2, critics: one per task learns what the pre-trained actor's
    # predictions earn over the rest of a session. Constant weights need none.
    if weights and missing('critic'):
      actor = left('pretrain', 'critic')
      policies = critics.policies(context, actor)
      arms = critics.start(context, actor, policies)
      stopping = critics.stopping(context, policies)
      of_rows = critics.extras(context, context.train, policies.train)
      results = epoch_loop.fit(context, 'critic', arms, stopping, of_rows)
      critics.warn(context, arms)
      saved.keep(run, context, finished, results)

    # --- Stage 3, fine-tune: the actor's losses are weighted by the critics'
    # values; the control does the same with constant weights.
    if missing('finetune', config.control):
      actor = left('pretrain', 'finetune')
      critic = left('critic', 'finetune') if weights else ()
      names = actors.weightings(config)
      if fit_rows:  # trees stay as they are: all members have all stages
        results = dict.fromkeys(names, saved.Result(actor, 0))
      else:
        arms = actors.finetune(context, names, actor, critic)
        stopping = actors.stopping(context, 'finetune')
        if job.every_epoch:
          stopping = stopping._replace(is_done=lambda arms: False)
        results = epoch_loop.fit(context, 'finetune', arms, stopping)
        del arms  # with what only training needs
      saved.keep(run, context, finished, results)

  # Checkpoints for resuming within a stage go.
  _drop_unfinished(run, live)
  # Stages that were trained again keep their place.
  finished.history = trained_ensemble.in_order(context.history)
  writer.rewrite(finished.history)
  return finished, writer


def _train_members(
  job: Job,
  config: config_lib.Config,
  run: workdir.Run,
  start: run_start.Start | None,
  data: Data,
) -> tuple[saved.FinishedStages, ...]:
  """Trains every member of an ensemble, in a directory that is a run's."""
  # Trackers outside of RUN get it as a part of one run.
  local = [
    name
    for name in job.options.trackers
    if tracking.TRACKERS.find(name).is_local
  ]
  job = job._replace(options=job.options._replace(trackers=tuple(local)))
  members, finished = variants.member_configs(config), []
  for number, own in enumerate(members):
    place = run.members[number].path
    job.live.say(
      f'member {number + 1} of {len(members)} (members/{number}):'
      f' {variants.difference(config, number)}'
    )
    with contextlib.ExitStack() as stack:
      one = workdir.opened(stack, place, own, job.data_dir, job.options.layout)
      own_start = _started(one, start and start.member(place))
      one = own_start.run if own_start else one
      refit_of = refit_lib.of_member(run, place, number)
      one = dataclasses.replace(one, refit_of=refit_of)
      _describe(one, own, job, data)
      try:
        found, _ = train_model(stack, one, job, own_start, data)
      except FloatingPointError as error:
        raise FloatingPointError(f'member {number + 1}: {error}') from None
      finished.append(found)
  return tuple(finished)


def _shown(live: progress.Progress | None) -> progress.Progress:
  return live or progress.Progress()


def _started(
  run: workdir.Run, start_from: str | os.PathLike[str] | None
) -> run_start.Start | None:
  """The start of a run, checked if it is new and recorded in its `run`."""
  start = run_start.find(run, start_from)
  if start is not None and not run.started_from:
    start.run = dataclasses.replace(run, started_from=start.describe())
  return start


def _check_stages(run: workdir.Run, stages: Sequence[str]) -> None:
  """Refuses stages that would choose on rows that a refit has learnt from."""
  if run.refit_of and set(stages) - {'pretrain'}:
    raise types.InputError(
      f'{run.path}: is a refit, which has stage 1 alone: validation rows are'
      ' learnt from, so that nothing is left to choose on'
    )


def _read_and_build(run: workdir.Run, job: Job) -> Data:
  """Reads the data and builds the networks."""
  manifest = run.manifest
  rows = manifest.with_validation() if run.refit_of else manifest
  snapshot = reading.Snapshot(run.data_dir, manifest)
  batch, live, layout = run.config.batch, job.live, job.options.layout
  by_name = split_data.of_one_size(
    {
      name: split_data.read(run.data_dir, rows, name, batch, live, layout)
      for name in manifest_lib.SPLITS
    }
  )
  return Data(by_name, _build(run, by_name['train'], layout), snapshot, {})


@clock.part('completing')
def _completed(run: workdir.Run, job: Job, data: Data) -> Data:
  """The data with completed labels of train rows that are not final yet."""
  earlier, seconds = refit_lib.ends_earlier(run) if run.refit_of else (0, 0.0)
  spec, train = data.models.spec, data.splits['train']
  train = delayed.complete(run.config, spec, train, job.live, earlier, seconds)
  return data._replace(splits={**data.splits, 'train': train})


def _build(
  run: workdir.Run, train_rows: split_data.Split, layout: mesh.Layout | None
) -> models.Models:
  """Networks and programs for the batches of the train rows."""
  manifest = run.manifest
  spec = split_data.with_room(manifest.feature_spec(), train_rows)
  return models.Models(spec, layout, vectors.read(run.data_dir, manifest))


def _describe(
  run: workdir.Run, given: config_lib.Config, job: Job, data: Data
) -> None:
  """Checks a run against its data, and writes its config.json.

  Args:
    given: the settings that its directory records.
  """
  run_record.check(job.options.layout, data.models, run.config, run, copies=3)

  def describe():
    if not data.digests:  # of all files: it takes its time
      data.digests.update(data.snapshot.digests(job.live.step))
    refit_lib.check_data(run, data.digests)
    workdir.create(
      run.path,
      given,
      run.data_dir,
      data.digests,
      run.started_from,
      run.refit_of,
    )

  collectives.on_first(describe, types.InputError)
  # With other settings, processes would wait for each other for ever.
  collectives.all_or_raise(
    lambda: workdir.find(run.path, given, run.data_dir),
    types.InputError,
    workdir.OTHER,
  )
  job.live.clear()
  collectives.all_or_raise(data.snapshot.check, types.InputError)


def _advise(
  run: workdir.Run, start: run_start.Start | None, job: Job, data: Data
) -> None:
  """Says where a run comes from, and what about it may be unwise."""
  if start:
    job.live.say(verdict.started(run.started_from))
  if run.refit_of:
    job.live.say(verdict.refit(run.refit_of))
  for line in (
    job.options.layout.advice(run.config) if job.options.layout else ()
  ):
    job.live.say(line)
  if run.has('pretrain'):
    return
  first = dataclasses.replace(run, config=variants.first(run.config))
  for line in _step_advice(_context(first, job, data)):
    job.live.say(f'WARNING: {line}')


def _context(run: workdir.Run, job: Job, data: Data) -> context_lib.Context:
  """Context of the stages of one model."""
  return context_lib.Context(
    run.config,
    run.manifest.task_names,
    data.splits['train'],
    data.splits['validation'],
    data.models,
    job.live,
    interrupted=job.options.interrupted,
    refit_epochs=refit_lib.epochs(run),
  )


def _drop_unfinished(run: workdir.Run, live: progress.Progress) -> None:
  """Drops checkpoints; a disk that refuses leaves a run as whole."""
  if collectives.is_first():
    try:
      saved.drop_unfinished(run)
    except OSError as error:
      live.say(f'WARNING: old checkpoints stay: {error}')
  collectives.barrier('pruned')


def _open_writer(
  stack: contextlib.ExitStack,
  run: workdir.Run,
  job: Job,
  history: list[dict[str, Any]],
) -> writers.Writer:
  """The run's logs, rewritten from its history; `stack` closes them."""
  writer = writers.NoWriter()
  if collectives.is_first():
    writer = writers.Writer(
      run.path, history, job.options.trackers, job.live.say
    )
  stack.callback(writer.close)
  writer.parameters(config_values.flatten(run.config))
  return writer


def _step_advice(context: context_lib.Context) -> list[str]:
  """A line if passes have so few steps that early stopping is too early."""
  batch, steps = context.config.batch, context.epoch('pretrain', 0).steps
  waits_long = steps * context.config.pretrain.patience >= _LONG_WAIT
  lanes = max(steps * batch.lanes // _ENOUGH_STEPS, 1)
  if steps >= _FEW_STEPS or waits_long or lanes >= batch.lanes:
    return []
  return [
    f'{steps} steps an epoch, so stages may stop before they have learnt;'
    f' --config.batch.lanes={lanes} makes about {steps * batch.lanes // lanes}'
  ]
