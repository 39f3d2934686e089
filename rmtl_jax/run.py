"""A run from prepared data to metrics.json.

What a run starts from, stage by stage:
  1. the finished stage of this run, if its checkpoint is sound;
  2. else the newest sound checkpoint of the unfinished stage;
  3. else what the stage before left.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading
from rmtl_jax.results import evaluate, row_values, summary
from rmtl_jax.results import record as run_record
from rmtl_jax.runtime import (
  checkpoints,
  mesh,
  processes,
  progress,
  workdir,
  writers,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import ensemble
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.training import stages as stages_lib

ORDER = ('pretrain', 'critic', 'finetune')
# Of an epoch: so few are told of, so many would be enough.
_FEW_STEPS, _ENOUGH_STEPS = 20, 50


def train(
  config: config_lib.Config,
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  stages: Iterable[str] = ORDER,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  layout: mesh.Layout | None = None,
) -> dict[str, Any]:
  """Trains the stages that the directory does not hold yet, and evaluates.

  Started again on the same directory it goes on: finished stages are
  restored, the stage that was cut off continues after its last checkpoint,
  also on a mesh of another shape. Of several processes all call this, with
  the same arguments and directories that all of them see; the first one
  writes.

  Args:
    config: settings.
    path: RUN, created if missing; locked while this runs.
    data_dir: prepared data.
    stages: of 'pretrain', 'critic', 'finetune', in this order.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0; several
      processes must agree on it (`processes.all_max`).
    layout: the mesh to train on, or None: one device.

  Returns:
    What RUN/metrics.json holds.

  Raises:
    types.InputError: bad data, or a directory of another run.
    trainer.Interrupted: a signal arrived; a later call goes on.
    FloatingPointError: a loss was not finite.
  """
  config_values.validate(config)
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  live = live or progress.Progress()
  with contextlib.ExitStack() as held:
    # Read: the data stay in place, and RUN is ours, until all is written.
    workdir.hold_data(held, data_dir)
    run = workdir.opened(held, path, config, data_dir, layout)
    snapshot = reading.Snapshot(data_dir, run.manifest)
    given = config
    config = layout.computing(config) if layout else config
    splits = {
      name: splits_lib.read(
        data_dir, run.manifest, name, config.batch, live, layout
      )
      for name in manifest_lib.SPLITS
    }
    # Build the networks, before anything of the run is written: nothing of a
    # run that can't begin is left in its directory.
    spec = splits_lib.with_room(
      run.manifest.feature_spec(), splits['train'], config.batch
    )
    models = models_lib.Models(spec, layout)
    evaluate.check(layout, models, config, run, copies=3)
    processes.on_first(
      lambda: workdir.create(
        path, given, data_dir, snapshot.digests(live.step)
      ),
      types.InputError,
    )
    live.clear()
    processes.all_or_raise(snapshot.check, types.InputError)
    for line in layout.advice(config) if layout else ():
      live.say(line)
    # Restore the finished stages; a damaged one is trained again.
    trained = stages_lib.restore(run, models, trains=True)
    for line in trained.damaged:
      live.say(f'WARNING: {line}; the stage is trained again')
    with contextlib.ExitStack() as stack:
      contexts = _contexts(
        run,
        config,
        splits,
        models,
        trained,
        live,
        interrupted,
        stack,
      )
      for line in _step_advice(contexts[0]) if not trained.actors else ():
        live.say(f'WARNING: {line}')
      writer = (
        writers.Writer(path, whole_history(contexts))
        if processes.is_first()
        else writers.NoWriter()
      )
      stack.callback(writer.close)
      writer.text('config', _as_markdown(config))
      for context in contexts:
        context.on_record = writer.write
      # Pre-train, critics, fine-tune.
      stages_lib.train(run, config, contexts, tuple(stages), trained)
      # Stages that were trained again stand where they belong.
      history = whole_history(contexts)
      writer.rewrite(history)
      # Evaluate and write.
      begin = time.perf_counter()
      data = run_record.Data(
        run.manifest, splits['train'], splits['validation'], splits['test']
      )
      judged = row_values.critic_values(
        run.config, models, trained, data.validation
      )
      _plot_critics(writer, run, models, trained, data, judged, history)
    return _finish(run, models, trained, data, judged, history, begin)


def _finish(
  run: workdir.Run,
  models: models_lib.Models,
  trained: stages_lib.Trained,
  data: run_record.Data,
  judged: Sequence[row_values.CriticValues],
  history: Sequence[dict[str, Any]],
  begin: float,
) -> dict[str, Any]:
  """Evaluates a trained run and writes metrics.json, which it returns.

  Args:
    run: the run.
    models: of its data.
    trained: its stages.
    data: train, validation and test rows.
    judged: what the critics say of the validation rows.
    history: one record per epoch or pass.
    begin: when evaluation began, of time.perf_counter.
  """
  maps = run_record.fit_calibrations(run, models, trained, data.validation)
  record = {
    'split': 'test',
    **run_record.build(run, models, trained, data, maps, judged),
  }
  record['warnings'] += summary.history_warnings(
    history, run.config.weighting.name
  )
  seconds = _seconds(history)
  seconds['evaluation'] = time.perf_counter() - begin
  record['seconds'] = seconds
  if processes.is_first():
    writers.write_json(run.path / 'metrics.json', record)
  return record


def _step_advice(context: context_lib.Context) -> list[str]:
  """A line if passes have so few steps that early stopping is too early."""
  batch, steps = context.config.batch, context.epoch('pretrain', 0).steps
  # A batch has as many lanes of each reader's.
  per_reader = steps * batch.lanes // (_ENOUGH_STEPS * batch.readers)
  lanes = max(per_reader, 1) * batch.readers
  if steps >= _FEW_STEPS or lanes >= batch.lanes:
    return []
  return [
    f'{steps} steps an epoch, so stages may stop before they have learnt;'
    f' --config.batch.lanes={lanes} makes about {steps * batch.lanes // lanes}'
  ]


def _contexts(
  run: workdir.Run,
  config: config_lib.Config,
  splits: Mapping[str, splits_lib.Split],
  models: models_lib.Models,
  trained: stages_lib.Trained,
  live: progress.Progress,
  interrupted: Callable[[], int],
  stack: contextlib.ExitStack,
) -> list[context_lib.Context]:
  """One per member, each with its own store of what is unfinished.

  The stack closes the stores. Of a member's histories the longest counts: a
  finished stage may know more than what is left of the unfinished one.
  """
  contexts = []
  for member, settings in enumerate(ensemble.members(config)):
    number = member if config.ensemble > 1 else None
    store = run.unfinished(number)
    stack.callback(store.close)
    histories = [[], *(h[member] for h in [trained.histories] if h)]
    try:
      newest = store.restore(lambda record: None)
    except checkpoints.Damaged as error:
      live.say(f'WARNING: {error}; the stage is trained from its start')
      store.clear()
    else:
      histories += [newest.record['history']] if newest else []
    contexts.append(
      context_lib.Context(
        settings,
        run.manifest.task_names,
        splits['train'],
        splits['validation'],
        models,
        live,
        list(max(histories, key=len)),
        store,
        interrupted=interrupted,
        member=number,
        numeric=run.manifest.numeric_names,
      )
    )
  return contexts


def whole_history(
  contexts: Sequence[context_lib.Context],
) -> list[dict[str, Any]]:
  """The members' histories, stage by stage, then member by member."""
  entries = [entry for context in contexts for entry in context.history]
  stages = {'pretrain': 1, 'critic': 2}
  return sorted(entries, key=lambda entry: stages.get(entry['stage'], 3))


def _plot_critics(
  writer: writers.Writer | writers.NoWriter,
  run: workdir.Run,
  models: models_lib.Models,
  trained: stages_lib.Trained,
  data: run_record.Data,
  judged: Sequence[row_values.CriticValues],
  history: Sequence[dict[str, Any]],
) -> None:
  """Histograms for TensorBoard, of validation rows: Q, stage 3's weights."""
  weights = row_values.weights(
    run.config,
    models,
    judged,
    data.validation,
    row_values.lambdas(
      run.config, history, trained.best_epochs.get('finetune', ())
    ),
    lambda: row_values.critic_values(run.config, models, trained, data.train),
  )
  values = {'critic/q': [one.q_values for one in judged]}
  values['finetune/weight'] = weights
  for tag, members in values.items():
    stage, name = tag.split('/')
    for member, rows in enumerate(members):
      own = f'{stage}/member_{member}' if len(members) > 1 else stage
      for k, task in enumerate(run.manifest.task_names):
        writer.histogram(f'{own}/{name}_{task}', rows[:, k])


def _seconds(history: Sequence[dict[str, Any]]) -> dict[str, float]:
  """Seconds per stage, over all epochs."""
  seconds: dict[str, float] = {}
  for entry in history:
    stage = entry['stage']
    seconds[stage] = seconds.get(stage, 0.0) + entry.get('seconds', 0.0)
  return seconds


def _as_markdown(config: config_lib.Config) -> str:
  rows = [
    f'| {name} | {value} |'
    for name, value in config_values.flatten(config).items()
  ]
  return '\n'.join(['| setting | value |', '|---|---|', *rows])
