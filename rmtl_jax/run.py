"""A run, from prepared data to metrics.json: this file is the whole flow.

What a stage starts from, in this order (training/saved.py):
  1. the finished stage of this run, if its checkpoint is sound;
  2. else the newest sound checkpoint of the unfinished stage, with its place
     in the data;
  3. else what the stage before has left.
A directory of other settings or other data is refused (runtime/checks.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import presets, variants
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading, vectors
from rmtl_jax.results import ensemble, evaluate, final, verdict
from rmtl_jax.runtime import (
  mesh,
  processes,
  programs,
  progress,
  workdir,
  writers,
)
from rmtl_jax.runtime import stages as stages_lib
from rmtl_jax.runtime.tracking import registry as tracking
from rmtl_jax.training import (
  actor_stage,
  critic_stage,
  models,
  refit,
  saved,
  splits,
  stage,
  warm_start,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.weighting import registry

ORDER = stages_lib.ORDER
# Fewer steps an epoch than this are warned of, and how many would be enough;
# not where stages wait for so many steps without a better validation.
_FEW_STEPS, _ENOUGH_STEPS, _LONG_WAIT = 20, 50, 100


class Inputs(NamedTuple):
  """What runs on the same data share, as the members of an ensemble do.

  Attributes:
    splits: train, validation and test rows, by name.
    models: networks and compiled programs.
    snapshot: the data's files as they were before they were read.
    digests: of these files.
  """

  splits: Mapping[str, splits.Split]
  models: models.Models
  snapshot: reading.Snapshot
  digests: dict[str, str]


@programs.in_32_bits
def train(
  config: config_lib.Config | None,
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  stages: Iterable[str] = ORDER,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  layout: mesh.Layout | None = None,
  inputs: Inputs | None = None,
  trackers: Sequence[str] = tracking.DEFAULT,
  keep_checkpoints: bool = False,
  start_from: str | os.PathLike[str] | None = None,
  paper_model: bool = False,
  refit_of: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
  """Trains the stages that the directory does not hold yet, and evaluates.

  Started again on the same directory it goes on: finished stages are
  restored, the stage that was cut off continues after its last checkpoint,
  also on a mesh of another shape. Of several processes all call this, with
  the same arguments and directories that all of them see; the first one
  writes.

  Args:
    config: settings; None: those of `start_from`, or else the recommended
      ones for the data. An ensemble is trained as a run of each member, one
      after the other, in RUN/members, and evaluated as their mean.
    path: RUN, created if missing; locked while this runs.
    data_dir: prepared data.
    stages: of 'pretrain', 'critic', 'finetune', in this order.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0; several
      processes must agree on it (`processes.all_max`).
    layout: the mesh to train on, or None: one device.
    inputs: of these data, where another run has read them already.
    trackers: what keeps track of the run beside RUN/metrics.jsonl, names of
      `rmtl_jax.runtime.tracking`.
    keep_checkpoints: whether checkpoints of stages in training stay when these
      have finished and nothing needs them.
    start_from: another run, whose models this one goes on from; its data may
      have other vocabularies (training/warm_start.py). It stays as it is, and
      must, until this one has finished.
    paper_model: whether stage 1 of the paper's model is trained last, in
      RUN/paper, and stands in the record beside this one
      (presets.paper_model).
    refit_of: a finished run, whose stage 1 is trained again with the rows of
      validation among those of train (training/refit.py).

  Returns:
    What RUN/metrics.json holds.

  Raises:
    types.InputError: bad data, or a directory of another run.
    trainer.Interrupted: a signal arrived; a later call goes on.
    FloatingPointError: a loss was not finite.
  """
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  stages = (stages,) if isinstance(stages, str) else tuple(stages)
  trackers = (trackers,) if isinstance(trackers, str) else tuple(trackers)
  config = _settings(config, data_dir, stages, start_from, refit_of)
  tracking.check(trackers)
  live = live or progress.Progress()
  is_own = inputs is None  # neither a member nor a run of a study
  with contextlib.ExitStack() as held:
    # --- Read and build. The data stay in place, and RUN is ours, until all is
    # written. Nothing of a run that can't begin is left in its directory.
    workdir.hold_data(held, data_dir)
    run = workdir.opened(held, path, config, data_dir, layout)
    run, start = _begin(run, start_from, refit_of)
    _check_stages(run, stages)
    if is_own:  # of an ensemble once
      _say_origin(run, start, live)
    inputs = _read_and_build(run, config, live, layout, inputs)
    if is_own and not run.has('pretrain'):
      first = dataclasses.replace(run, config=variants.first(run.config))
      for line in _step_advice(_context(first, inputs, live)):
        live.say(f'WARNING: {line}')
      missing = extras.unavailable('lightgbm')
      if missing and config.preset == presets.DEFAULT_PRESET:
        live.say(f'no member of LightGBM, which needs {missing}')
    train_beside = functools.partial(
      train,
      data_dir=data_dir,
      live=live,
      interrupted=interrupted,
      layout=layout,
      inputs=inputs,
      # Trackers outside of RUN get it as a part of one run.
      trackers=[n for n in trackers if tracking.TRACKERS.find(n).is_local],
      keep_checkpoints=keep_checkpoints,
    )

    # The paper's model has batches of its own size.
    paper = _paper_model(run)
    beside = _with_batch(inputs, run, paper, layout) if paper_model else inputs

    def train_paper_model():
      if paper_model:
        live.say(verdict.paper_model(paper.backbone))
        train_beside(
          paper,
          run.paper,
          inputs=beside,
          stages=ORDER[:1],
        )

    # --- Train. An ensemble is M ordinary runs, and a mean when it predicts.
    if config.ensemble > 1:
      _train_members(
        config,
        run,
        lambda member, place: train_beside(
          member,
          place,
          stages=stages,
          start_from=start and start.member(place),
          refit_of=refit.member(run, place),
        ),
        live,
      )
      train_paper_model()
      trained = ensemble.weighed(
        ensemble.restore(run, inputs.models), inputs.splits['validation'], run
      )
      writer = _open_writer(held, run, trained.history, trackers, live)
    else:
      context = _context(run, inputs, live)
      context.start, context.interrupted = start, interrupted
      finished, writer = _train_stages(held, run, context, stages, trackers)
      train_paper_model()
      writer.rewrite(finished.history)
      trained = ensemble.Ensemble(inputs.models, (run.config,), (finished,))

    # --- Evaluate and write, then drop what a resume would have needed.
    record = final.write(run, trained, inputs.splits, writer)
    if config.ensemble == 1 and not keep_checkpoints:
      _drop_unfinished(run, live)
    return record


def _train_stages(
  held: contextlib.ExitStack,
  run: workdir.Run,
  context: context_lib.Context,
  stages: Sequence[str],
  trackers: Sequence[str],
) -> tuple[saved.FinishedStages, writers.Writer]:
  """Trains the stages that a run of one model does not hold yet.

  Args:
    held: closes the writer.
    context: of the run; gets its history, and where checkpoints go.

  Returns:
    All finished stages, their history in the stages' order; and the run's
    logs, which have the records in the order in which they came.
  """
  config, live = run.config, context.progress
  # --- Restore what is finished; a damaged stage is trained again.
  finished = saved.restore(run, context.models, trains=True)
  for line in finished.damaged:
    live.say(f'WARNING: {line}; the stage is trained again')

  def keep(name, left):
    saved.keep(run, context, finished, left)

  with contextlib.closing(run.unfinished()) as store:
    context.store = store
    context.history = saved.latest_history(context, finished)
    writer = _open_writer(held, run, context.history, trackers, live)
    context.on_record = writer.write

    # --- Pre-train: the actor, on the unweighted loss.
    fit = context.models.actor(config).fit
    if 'pretrain' in stages and not finished.has('pretrain'):
      saved.begin(context, finished, 'pretrain')
      if fit:  # no gradient trains it, as trees
        keep('pretrain', actor_stage.fitted(context, fit))
      else:
        keep('pretrain', stage.run(actor_stage.pretrain(context)))

    # --- Critics: one per task learns what the pre-trained actor's
    # predictions earn over the rest of a session. Constant weights need none.
    needs_critics = not fit and registry.needs_critics(config.weighting.name)
    if 'critic' in stages and needs_critics and not finished.has('critic'):
      actor = finished.needed('pretrain', 'critic', run.path)
      saved.begin(context, finished, 'critic')
      keep('critic', stage.run(critic_stage.start(context, actor)))

    # --- Fine-tune: the actor goes on, its losses weighed by what the critics
    # say; the control does the same without weights.
    if 'finetune' in stages and not finished.has('finetune', config.control):
      actor = finished.needed('pretrain', 'finetune', run.path)
      critic = ()
      if needs_critics:
        critic = finished.needed('critic', 'finetune', run.path)
      weightings = actor_stage.weightings(config)
      saved.begin(context, finished, 'finetune')
      if fit:  # it stays as it is, so that all members have all stages
        left = dict.fromkeys(weightings, saved.Result(actor, 0))
      else:
        arms = actor_stage.finetune(context, weightings, actor, critic)
        left = stage.run(arms)
        del arms  # with what only training needs
      keep('finetune', left)

  # Stages that were trained again stand where they belong.
  finished.history = ensemble.in_order(context.history)
  return finished, writer


def _settings(
  given: config_lib.Config | None,
  data_dir: pathlib.Path,
  stages: Sequence[str],
  start_from: str | os.PathLike[str] | None,
  refit_of: str | os.PathLike[str] | None,
) -> config_lib.Config:
  """The settings, or those of the other run, or the recommended ones.

  Raises:
    types.InputError: no such settings, or no such stage.
  """
  for name in stages:
    if name not in ORDER:
      raise types.InputError(
        f'stages: {name!r} is not one of {", ".join(ORDER)}'
      )
  if given is not None:
    config = given
  elif start_from:
    config = warm_start.read_source(pathlib.Path(start_from)).config
  elif refit_of:
    config = workdir.read(pathlib.Path(refit_of)).config
  else:
    config = presets.start(manifest_file.read(data_dir))
  config_values.validate(config)
  return config


def _say_origin(
  run: workdir.Run, start: warm_start.Start | None, live: progress.Progress
) -> None:
  """Says which other run this one goes on from or trains again, if any."""
  if start:
    live.say(verdict.started(run.started_from))
  if run.refit_of:
    live.say(verdict.refit(run.refit_of))


def _begin(
  run: workdir.Run,
  start_from: str | os.PathLike[str] | None,
  refit_of: str | os.PathLike[str] | None,
) -> tuple[workdir.Run, warm_start.Start | None]:
  """The run with what it goes on from or trains again, checked if it is new.

  Returns:
    It, and what it starts from; None if it begins anew.
  """
  start = warm_start.find(run, start_from)
  if start is not None:
    if not run.started_from:
      run = dataclasses.replace(run, started_from=start.describe())
    start.run = run
  return dataclasses.replace(run, refit_of=refit.find(run, refit_of)), start


def _check_stages(run: workdir.Run, stages: Sequence[str]) -> None:
  """Refuses stages that would choose on rows that a refit has learnt from."""
  if run.refit_of and set(stages) - {'pretrain'}:
    raise types.InputError(
      f'{run.path}: is a refit, which has stage 1 alone: validation rows are'
      ' learnt from, so that nothing is left to choose on'
    )


def _read_and_build(
  run: workdir.Run,
  given: config_lib.Config,
  live: progress.Progress,
  layout: mesh.Layout | None,
  inputs: Inputs | None,
) -> Inputs:
  """Reads the data, builds the networks, and describes the run on disk.

  Args:
    run: with the settings that it computes with.
    given: the settings that its directory says.
    live: where progress goes.
    layout: the mesh, or None.
    inputs: what another run on these data has read, or None.
  """
  config, manifest = run.config, run.manifest
  if inputs is None:
    rows = manifest.with_validation() if run.refit_of else manifest
    snapshot = reading.Snapshot(run.data_dir, manifest)
    by_name = {
      name: splits.read(run.data_dir, rows, name, config.batch, live, layout)
      for name in manifest_lib.SPLITS
    }
    built = _build(run, by_name['train'], layout)
    inputs = Inputs(splits.of_one_size(by_name), built, snapshot, {})
  evaluate.check(layout, inputs.models, config, run, copies=3)

  def describe():
    if not inputs.digests:  # of all files: it takes its time
      inputs.digests.update(inputs.snapshot.digests(live.step))
    refit.check_data(run, inputs.digests)
    workdir.create(
      run.path,
      given,
      run.data_dir,
      inputs.digests,
      run.started_from,
      run.refit_of,
    )

  processes.on_first(describe, types.InputError)
  # With other settings, processes would wait for each other for ever.
  processes.all_or_raise(
    lambda: workdir.find(run.path, given, run.data_dir),
    types.InputError,
    workdir.OTHER,
  )
  live.clear()
  processes.all_or_raise(inputs.snapshot.check, types.InputError)
  for line in layout.advice(config) if layout else ():
    live.say(line)
  return inputs


def _build(
  run: workdir.Run, train_rows: splits.Split, layout: mesh.Layout | None
) -> models.Models:
  """Networks and programs for the batches of the train rows."""
  manifest = run.manifest
  spec = splits.with_room(manifest.feature_spec(), train_rows)
  return models.Models(spec, layout, vectors.read(run.data_dir, manifest))


def _paper_model(run: workdir.Run) -> config_lib.Config:
  """The settings of the paper's model: those that it has begun with."""
  if (run.paper / 'config.json').exists():
    return workdir.read(run.paper).config
  return presets.paper_model(run.manifest, run.config)


def _with_batch(
  inputs: Inputs,
  run: workdir.Run,
  config: config_lib.Config,
  layout: mesh.Layout | None,
) -> Inputs:
  """The same data for a model with other batches."""
  rows = {
    name: dataclasses.replace(split, config=config.batch)
    for name, split in inputs.splits.items()
  }
  built = _build(run, rows['train'], layout)
  return inputs._replace(splits=rows, models=built)


def _context(
  run: workdir.Run, inputs: Inputs, live: progress.Progress
) -> context_lib.Context:
  """What the stages of one model share."""
  return context_lib.Context(
    run.config,
    run.manifest.task_names,
    inputs.splits['train'],
    inputs.splits['validation'],
    inputs.models,
    live,
    refit_epochs=refit.epochs(run),
  )


def _drop_unfinished(run: workdir.Run, live: progress.Progress) -> None:
  """Drops checkpoints; a disk that refuses leaves a run as whole."""
  if processes.is_first():
    try:
      saved.drop_unfinished(run)
    except OSError as error:
      live.say(f'WARNING: old checkpoints stay: {error}')
  processes.barrier('pruned')


def _train_members(
  config: config_lib.Config,
  run: workdir.Run,
  train_one: Callable[[config_lib.Config, pathlib.Path], Any],
  live: progress.Progress,
) -> None:
  """Trains every member of an ensemble as a run of its own."""
  paths = [one.path for one in run.members]
  members = variants.member_configs(config)
  for number, (member, path) in enumerate(zip(members, paths, strict=True)):
    live.say(
      f'member {number + 1} of {len(paths)} (members/{number}):'
      f' {variants.difference(config, number)}'
    )
    try:
      train_one(member, path)
    except FloatingPointError as error:
      raise FloatingPointError(f'member {number + 1}: {error}') from None


def _open_writer(
  held: contextlib.ExitStack,
  run: workdir.Run,
  history: list[dict[str, Any]],
  trackers: Sequence[str],
  live: progress.Progress,
) -> writers.Writer:
  """The run's logs, begun anew from its history; `held` closes them."""
  writer = (
    writers.Writer(run.path, history, trackers, live.say)
    if processes.is_first()
    else writers.NoWriter()
  )
  held.callback(writer.close)
  writer.parameters(config_values.flatten(run.config))
  return writer


def _step_advice(context: context_lib.Context) -> list[str]:
  """A line if passes have so few steps that early stopping is too early."""
  batch, steps = context.config.batch, context.epoch('pretrain', 0).steps
  waits_long = steps * context.config.pretrain.patience >= _LONG_WAIT
  # A batch has as many lanes of each reader's.
  per_reader = steps * batch.lanes // (_ENOUGH_STEPS * batch.readers)
  lanes = max(per_reader, 1) * batch.readers
  if steps >= _FEW_STEPS or waits_long or lanes >= batch.lanes:
    return []
  return [
    f'{steps} steps an epoch, so stages may stop before they have learnt;'
    f' --config.batch.lanes={lanes} makes about {steps * batch.lanes // lanes}'
  ]
