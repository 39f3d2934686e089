"""The runs of a comparison: each trained once, kept in a file of its own."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import evaluator, intervals
from rmtl_jax.training import (
  actor_stages,
  checkpoints,
  critic_stage,
  methods,
  summary,
  trainer,
  workdir,
  writers,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import progress as progress_lib

Method = methods.Method
Record = dict[str, Any]

# An unfinished stage is saved this often, in seconds.
SAVE_PERIOD = 60.0
# Of the session bootstrap: all runs see the same draws, so that differences
# of their replicates are paired.
_BOOTSTRAP_SEED = 0


class Variant(NamedTuple):
  """A method with a learning rate of its stage 3.

  Attributes:
    method: with a weighting.
    learning_rate: Adam's.
  """

  method: Method
  learning_rate: float


class Runs:
  """Trains what a comparison needs and does not have yet.

  Attributes:
    config: settings of all runs.
    splits: the data.
  """

  def __init__(
    self,
    run: workdir.Run,
    config: config_lib.Config,
    live: progress_lib.Progress,
    interrupted: Callable[[], int],
  ):
    """Reads the data; trains nothing.

    Args:
      run: the comparison's directory and data.
      config: settings; `compare.population`.
      live: where progress goes.
      interrupted: a signal's number once one has arrived, else 0.
    """
    self.config = config
    self.splits = {
      name: trainer.place(
        columns_lib.read_split(run.data_dir, run.manifest, name), config.batch
      )
      for name in manifest_lib.SPLITS
    }
    self._path, self._tasks = run.path, run.manifest.task_names
    self._models = models_lib.Models(run.manifest.feature_spec())
    self._live, self._interrupted = live, interrupted
    self._population = config.compare.population
    if not self._population:
      on_cpu = jax.default_backend() == 'cpu'
      self._population = 1 if on_cpu else len(config.compare.seeds)
    # Parameters of the seeds at hand.
    self._params: dict[tuple[str, Method, int], Any] = {}

  def train(self, variants: Sequence[Variant], seeds: Sequence[int]) -> None:
    """Stage 3 of variants x seeds, and what has to come before it."""
    for begin in range(0, len(seeds), self._population):
      chunk = seeds[begin : begin + self._population]
      self._params.clear()
      for method in dict.fromkeys(v.method for v in variants):
        rates = [v.learning_rate for v in variants if v.method == method]
        jobs = [
          (Variant(method, rate), seed)
          for rate in rates
          for seed in chunk
          if not self._run_file(method, seed, rate).exists()
        ]
        for first in range(0, len(jobs), self._population):
          self._finetune(jobs[first : first + self._population])

  def pretrain(self, backbones: Sequence[str], seeds: Sequence[int]) -> None:
    """Stage 1 of backbones x seeds."""
    for backbone in backbones:
      method = Method(backbone)
      missing = [s for s in seeds if not self._run_file(method, s).exists()]
      for begin in range(0, len(missing), self._population):
        self._params.clear()
        self._pretrain(method, missing[begin : begin + self._population])

  def _pretrain(self, method: Method, seeds: Sequence[int]) -> None:
    teams = [
      actor_stages.pretrain_team(self._context(method, seed, 'pretrain'))
      for seed in seeds
    ]
    actor_stages.fit(teams, self._population)
    for team, seed in zip(teams, seeds, strict=True):
      arm, limits = team.arms['pretrain'], team.limits
      if arm.stopping.bad < limits.patience:
        raise types.InputError(
          f'stage 1 of {method.name}, seed {seed}, has not converged in'
          f' {limits.max_epochs} epochs, and unequal training would look like'
          ' a difference between methods: raise --config.pretrain.max_epochs'
        )
      self._save_params('pretrain', method, seed, arm.best_params)
      self._finish(team, method, seed, None, [])

  def _actor(self, backbone: str, seed: int) -> Any:
    """The pre-trained actor's parameters."""
    method = Method(backbone)
    if not self._run_file(method, seed).exists():
      self._pretrain(method, [seed])
    return self._load_params('pretrain', method, seed)

  def _critics(self, method: Method, seeds: Sequence[int]) -> list[Any]:
    """Critics' parameters, after stage 2 of the seeds that lack it."""
    missing = [s for s in seeds if not self._critic_file(method, s).exists()]
    trainings = [
      critic_stage.start(
        self._context(method, seed, 'critic'),
        self._actor(method.backbone, seed),
      )
      for seed in missing
    ]
    critic_stage.fit(trainings, self._population)
    for training, seed in zip(trainings, missing, strict=True):
      self._save_params('critic', method, seed, training.critic.params)
      self._describe_critics(training, method, seed)
    return [self._load_params('critic', method, seed) for seed in seeds]

  def _describe_critics(
    self, training: critic_stage.Training, method: Method, seed: int
  ) -> None:
    """What the critics know of validation rows, as a run's record has it."""
    context = training.context
    host = self.splits['validation'].host
    policy = np.asarray(training.validation_policy)
    q_values = context.values(
      training.critic.params, self.splits['validation'], policy
    )
    statistics = summary.critic(
      q_values, policy, host, self._tasks, context.config.critic
    )
    record = {
      'critic': method.name,
      'seed': seed,
      'statistics': statistics,
      'curves': summary.curves(
        q_values, host, self._tasks, context.config.weighting.lambda_
      ),
      'validation_td_error': training.errors,
      'converged': critic_stage.converged(
        training.errors, context.config.critic
      ),
      'seconds': sum(entry['seconds'] for entry in context.history),
    }
    for line in summary.collapse_warnings({**statistics}):
      self._live.say(f'WARNING: {method.name}, seed {seed}: {line}')
    self._write(self._critic_file(method, seed), record, context)

  def _finetune(self, jobs: Sequence[tuple[Variant, int]]) -> None:
    """Stage 3 of runs of one method, all for the same number of epochs."""
    method = jobs[0][0].method
    seeds = list(dict.fromkeys(seed for _, seed in jobs))
    critics: dict[int, Any] = dict.fromkeys(seeds, ())
    if method.needs_critics:
      critics = dict(
        zip(seeds, self._critics(method.critics, seeds), strict=True)
      )
    teams = [
      actor_stages.finetune_team(
        self._context(method, seed, 'finetune', variant.learning_rate),
        {'finetune': method.weighting},
        self._actor(method.backbone, seed),
        critics[seed],
      )
      for variant, seed in jobs
    ]
    actor_stages.fit(teams, self._population)
    for team, (variant, seed) in zip(teams, jobs, strict=True):
      # Epoch 0 is the pre-trained model, at its best.
      before = max(self.record(Method(method.backbone), seed)['validation_auc'])
      self._finish(team, method, seed, variant.learning_rate, [before])

  def _context(
    self,
    method: Method,
    seed: int,
    stage: str,
    learning_rate: float | None = None,
  ) -> context_lib.Context:
    """One run's."""
    config = dataclasses.replace(method.config(self.config), seed=seed)
    if learning_rate is not None:
      # The same number of steps for every method: patience never runs out.
      config = dataclasses.replace(
        config,
        finetune=dataclasses.replace(
          config.finetune,
          learning_rate=learning_rate,
          patience=config.finetune.max_epochs + 1,
        ),
      )
    name = f'{stage}-{_slug(method)}-{learning_rate}-{seed}'
    return context_lib.Context(
      config,
      self._tasks,
      self.splits['train'],
      self.splits['validation'],
      self._models,
      self._live,
      store=checkpoints.LateStore(
        self._path / 'unfinished' / name, SAVE_PERIOD
      ),
      interrupted=self._interrupted,
    )

  def _finish(
    self,
    team: actor_stages.Team,
    method: Method,
    seed: int,
    learning_rate: float | None,
    before: Sequence[float],
  ) -> None:
    """Writes what a finished run is compared by.

    Args:
      team: with one arm.
      method: what was trained.
      seed: the run's.
      learning_rate: of stage 3, or None after stage 1.
      before: mean validation AUC before the first epoch, if it is a candidate.
    """
    begin = time.perf_counter()
    context = team.context
    ((name, arm),) = team.arms.items()
    test = self.splits['test']
    predictions = context.predict(arm.best_params, test)
    host = test.host
    # Intervals are computed from the replicates of a difference.
    pointwise = dataclasses.replace(self.config.evaluation, bootstrap=0)
    replicates = intervals.replicates(
      [predictions],
      host.labels,
      host.session,
      self.config.evaluation.bootstrap,
      _BOOTSTRAP_SEED,
    )
    history = [e for e in context.history if e['stage'] == name]
    record = {
      'method': method.name,
      'seed': seed,
      'learning_rate': learning_rate,
      'best_epoch': arm.stopping.best_epoch,
      'metrics': evaluator.evaluate(
        predictions,
        host.labels,
        host.session,
        host.user,
        self._tasks,
        pointwise,
        seed,
      ),
      'validation_auc': [*before, *(self._mean_auc(e) for e in history)],
      'weights': _weights(history, self._tasks),
      'replicates': {n: v[:, 0].tolist() for n, v in replicates.items()},
      'seconds': sum(entry['seconds'] for entry in history)
      + time.perf_counter()
      - begin,
    }
    self._write(self._run_file(method, seed, learning_rate), record, context)
    rate = '' if learning_rate is None else f' at {learning_rate:g}'
    self._live.say(
      f'{method.name}{rate}, seed {seed}: validation AUC'
      f' {arm.stopping.best:.4f} at epoch {arm.stopping.best_epoch},'
      f' {record["seconds"]:.1f} s'
    )

  def _mean_auc(self, entry: Record) -> float:
    values = [entry[f'validation_auc_{task}'] for task in self._tasks]
    return float(np.mean([v for v in values if v is not None]))

  def record(
    self, method: Method, seed: int, learning_rate: float | None = None
  ) -> Record:
    """A finished run's file."""
    return _read(self._run_file(method, seed, learning_rate))

  def critics_record(self, method: Method, seed: int) -> Record:
    """The file of finished critics."""
    return _read(self._critic_file(method, seed))

  def _run_file(
    self, method: Method, seed: int, learning_rate: float | None = None
  ) -> pathlib.Path:
    rate = '' if learning_rate is None else f'{learning_rate:g}'
    return self._path / 'runs' / _slug(method) / rate / f'{seed}.json'

  def _critic_file(self, method: Method, seed: int) -> pathlib.Path:
    return self._path / 'critics' / _slug(method) / f'{seed}.json'

  def _write(
    self, file: pathlib.Path, record: Record, context: context_lib.Context
  ) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    writers.write_json(file, record)
    assert isinstance(context.store, checkpoints.LateStore)
    context.store.remove()

  def _params_dir(self, stage: str, method: Method, seed: int) -> pathlib.Path:
    return self._path / 'checkpoints' / stage / _slug(method) / str(seed)

  def _save_params(
    self, stage: str, method: Method, seed: int, params: Any
  ) -> None:
    store = checkpoints.Store(self._params_dir(stage, method, seed), keep=1)
    store.save(0, params, {'stage': stage, 'epoch': 0})
    store.close()
    self._params[stage, method, seed] = params

  def _load_params(self, stage: str, method: Method, seed: int) -> Any:
    if (stage, method, seed) not in self._params:
      forms = self._models.forms(method.config(self.config))
      form = forms[stage == 'critic']
      store = checkpoints.Store(self._params_dir(stage, method, seed), keep=1)
      restored = store.restore(lambda record: form)
      store.close()
      if restored is None:
        raise types.InputError(
          f'{self._params_dir(stage, method, seed)}: no checkpoint, though'
          ' the run is finished: remove its file under runs/ or critics/'
        )
      self._params[stage, method, seed] = restored.arrays
    return self._params[stage, method, seed]


def _weights(
  history: Sequence[Record], tasks: Sequence[str]
) -> dict[str, dict[str, float]] | None:
  """Mean and standard deviation of the weights, averaged over the epochs."""
  if not history or f'weight_mean_{tasks[0]}' not in history[0]:
    return None
  return {
    task: {
      part: float(np.mean([e[f'weight_{part}_{task}'] for e in history]))
      for part in ('mean', 'deviation')
    }
    for task in tasks
  }


def _slug(method: Method) -> str:
  """The method's name as a file's."""
  return re.sub(r'[^\w.+@=-]', ',', method.name)


def _read(file: pathlib.Path) -> Record:
  try:
    return json.loads(file.read_text(encoding='utf-8'))
  except ValueError as error:
    raise types.InputError(
      f'{file}: not readable ({error}): remove it to train the run again'
    ) from None
