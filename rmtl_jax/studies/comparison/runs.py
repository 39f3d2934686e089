"""The runs of a comparison: each is trained once and has its own file."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import vectors
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.results import summary
from rmtl_jax.runtime import memory, workdir
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies import population as population_lib
from rmtl_jax.studies.comparison import files as comparison_files
from rmtl_jax.studies.comparison import methods
from rmtl_jax.studies.comparison import records as comparison_records
from rmtl_jax.training import actor_stage, critic_stage, stage
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib

Method = methods.Method
Record = dict[str, Any]


class Variant(NamedTuple):
  """A method and its learning rate.

  Attributes:
    method: with a weighting.
    learning_rate: of stage 3.
  """

  method: Method
  learning_rate: float


class _Shared(NamedTuple):
  """What runs with the same batches share.

  Attributes:
    splits: the data; all batches have the same columns, on the device once.
    models: networks and programs.
  """

  splits: dict[str, splits_lib.Split]
  models: models_lib.Models


class Runs:
  """Trains the missing runs of a comparison.

  Attributes:
    config: settings of all runs.
    monitor: what decides between runs, of the validation rows.
    splits: the data.
    population: most runs that one program trains together.
    finished: number of runs that were trained since the start.
  """

  def __init__(
    self,
    run: workdir.Run,
    config: config_lib.Config,
    live: progress_lib.Progress,
    interrupted: Callable[[], int],
    searching: bool = False,
  ):
    """Reads the data; trains nothing.

    Args:
      run: the comparison's directory and data.
      config: settings; `compare.population`.
      live: where progress goes.
      interrupted: a signal's number once one has arrived, else 0.
      searching: whether runs are evaluated on validation only: the test split
        is not read, and stage 1 need not converge.
    """
    self.config, self._searching = config, searching
    self.monitor = monitor_lib.of(config.evaluation.monitor)
    self.splits = {
      name: splits_lib.read(run.data_dir, run.manifest, name, config.batch)
      for name in manifest_lib.SPLITS
      if name != 'test' or not searching
    }
    self._files = comparison_files.Files(
      run.path, 'trials' if searching else 'runs'
    )
    self._tasks = run.manifest.task_names
    self._numeric = run.manifest.numeric_names
    memory.check_tables(
      str(run.path / 'manifest.json'),
      run.manifest,
      config.network.embedding_dim,
      copies=3,
    )
    self._spec = run.manifest.feature_spec()
    self._vectors = vectors.read(run.data_dir, run.manifest)
    self._shared: dict[config_lib.BatchConfig, _Shared] = {}
    self._live, self._interrupted = live, interrupted
    # Ensembles are trained one by one.
    self.population = (
      population_lib.size(config.compare.population, len(config.compare.seeds))
      if config.ensemble == 1
      else 1
    )
    # Parameters of the seeds at hand.
    self._params: dict[tuple[str, Method, int], Any] = {}
    self._begin, self.finished, self._expected = time.monotonic(), 0, 0

  def check(self, configs: Iterable[config_lib.Config]) -> None:
    """Raises InputError unless networks with these settings fit the data."""
    for config in configs:
      self._share(config).models.check(config)

  def check_epochs(self, methods: Iterable[Method]) -> None:
    """Raises InputError if stage 1 of a method can't converge.

    After the best epoch as many must follow as the patience is, and the best
    one is epoch 0 at the earliest where a part is fitted before, else epoch 1.
    """
    for method in methods:
      config = method.config(self.config)
      for one in variants.of_members(config):
        is_fitted = self._share(config).models.actor(one).fit is not None
        least = one.pretrain.patience + (0 if is_fitted else 1)
        if one.pretrain.max_epochs < least:
          raise types.InputError(
            f'method {method.name}: pretrain.max_epochs is'
            f" {one.pretrain.max_epochs}, and stage 1 can't converge in fewer"
            f' than {least} epochs with pretrain.patience='
            f'{one.pretrain.patience}: unequal training would look like a'
            ' difference between methods'
          )

  def _share(self, config: config_lib.Config) -> _Shared:
    """What runs with these settings share with others of the same batches."""
    batch = config.batch
    if batch not in self._shared:
      splits = {
        name: dataclasses.replace(split, config=batch)
        for name, split in self.splits.items()
      }
      spec = splits_lib.with_room(self._spec, splits['train'], batch)
      models = models_lib.Models(spec, vectors=self._vectors)
      self._shared[batch] = _Shared(splits, models)
    return self._shared[batch]

  def expect(self, methods: Sequence[Method]) -> None:
    """Counts the missing runs of all methods, to estimate the time left."""
    config = self.config.compare
    tuned = len(config.learning_rates) > 1
    for method in methods:
      for position, seed in enumerate(config.seeds):
        rates = [None] if not method.weighting else config.learning_rates
        missing = sum(
          not self._files.run(method, seed, rate).exists() for rate in rates
        )
        if method.weighting and not (tuned and position < config.tuning_seeds):
          # One of the rates, whichever is chosen.
          missing = int(missing == len(rates))
        self._expected += missing

  def train(self, variants: Sequence[Variant], seeds: Sequence[int]) -> None:
    """Trains stage 3 of variants x seeds, and the stages before it."""
    for begin in range(0, len(seeds), self.population):
      chunk = seeds[begin : begin + self.population]
      # Parameters of earlier seeds are not needed again: memory stays constant.
      self._params.clear()
      jobs = [
        (variant, seed)
        for variant in variants
        for seed in chunk
        if not self._files.run(
          variant.method, seed, variant.learning_rate
        ).exists()
      ]
      configs = [variant.method.config(self.config) for variant, _ in jobs]
      programs = [self._share(c).models.finetune(c) for c in configs]
      for _, group in population_lib.by_program(
        zip(programs, jobs, strict=True), self.population
      ):
        memory.clear_programs()
        self._finetune(group)

  def pretrain(self, methods: Sequence[Method], seeds: Sequence[int]) -> None:
    """Trains stage 1 of models x seeds; ensembles one by one."""
    jobs = []
    for method in dict.fromkeys(methods):
      config = method.config(self.config)
      for seed in seeds:
        if self._files.run(method, seed).exists():
          continue
        if config.ensemble == 1:
          jobs.append((method, seed))
        else:
          self._pretrain_ensemble(
            method, dataclasses.replace(config, seed=seed)
          )
    configs = [method.config(self.config) for method, _ in jobs]
    programs = [self._share(c).models.pretrain(c) for c in configs]
    for _, group in population_lib.by_program(
      zip(programs, jobs, strict=True), self.population
    ):
      self._params.clear()
      memory.clear_programs()
      self._pretrain(group)

  def _pretrain(self, jobs: Sequence[tuple[Method, int]]) -> None:
    stages = [
      actor_stage.pretrain(self._context(method, seed, 'pretrain'))
      for method, seed in jobs
    ]
    with _named(_run(method, seed) for method, seed in jobs):
      population_lib.fit_together(stages, self.population)
    for one, (method, seed) in zip(stages, jobs, strict=True):
      arm = one.arms['pretrain']
      limits = one.context.config.pretrain
      self._check_converged(arm.stopping, method, seed, limits)
      self._keep('pretrain', method, seed, arm.best_params)
      self._finish_actor(one, method, seed, None, {})

  def _pretrain_ensemble(
    self, method: Method, config: config_lib.Config
  ) -> None:
    """Stage 1 of every member, one after the other; no parameters are kept.

    Args:
      method: an ensemble.
      config: its settings, with the seed.
    """
    self._params.clear()
    memory.clear_programs()
    members = []
    for one in workdir.member_configs(config):
      context = self._context_of(one, method, 'pretrain')
      members.append(actor_stage.pretrain(context))
      with _named([_run(method, config.seed)]):
        stage.run(members[-1])
      stopping = members[-1].arms['pretrain'].stopping
      self._check_converged(stopping, method, config.seed, one.pretrain)
    test = self._share(config).splits.get('test')
    figures = comparison_records.of_ensemble(config, members, test)
    self._finish(members, method, config.seed, None, figures)

  def _check_converged(
    self,
    stopping: actor_stage.EarlyStopping,
    method: Method,
    seed: int,
    limits: config_lib.PretrainConfig,
  ) -> None:
    if stopping.bad < limits.patience and not self._searching:
      raise types.InputError(
        f'stage 1 of {method.name}, seed {seed}, has not converged in'
        f' {limits.max_epochs} epochs, and unequal training would look like'
        ' a difference between methods: start in another --workdir with a'
        ' larger --config.pretrain.max_epochs'
      )

  def _actor(self, method: Method, seed: int) -> Any:
    """Parameters of a pre-trained model, trained if they are missing."""
    if not (
      self._files.run(method, seed).exists()
      and self._has('pretrain', method, seed)
    ):
      self._pretrain([(method, seed)])
    return self._kept('pretrain', method, seed)

  def _critics(self, method: Method, seeds: Sequence[int]) -> list[Any]:
    """Critics' parameters by seed, trained if they are missing."""
    missing = [
      seed
      for seed in seeds
      if not self._files.critics(method, seed).exists()
      or not self._has('critic', method, seed)
    ]
    stages = [
      critic_stage.start(
        self._context(method, seed, 'critic'),
        self._actor(method.pretrained, seed),
      )
      for seed in missing
    ]
    with _named(f'critics of {_run(method, seed)}' for seed in missing):
      left = population_lib.fit_together(stages, self.population)
    for one, seed, results in zip(stages, missing, left, strict=True):
      self._keep('critic', method, seed, results['critic'].params)
      record = {
        'critic': method.name,
        'seed': seed,
        **comparison_records.of_critics(one),
      }
      for line in summary.critic_warnings(record['statistics']):
        self._live.say(f'WARNING: {method.name}, seed {seed}: {line}')
      self._files.write(self._files.critics(method, seed), record)
      one.context.drop_store()
    return [self._kept('critic', method, seed) for seed in seeds]

  def _finetune(self, jobs: Sequence[tuple[Variant, int]]) -> None:
    """Trains stage 3 of runs, all for the same number of epochs."""
    critics: dict[Method, dict[int, Any]] = {}
    for variant, seed in jobs:
      if variant.method.needs_critics:
        critics.setdefault(variant.method.critics, {})[seed] = None
    for method, by_seed in critics.items():
      params = self._critics(method, list(by_seed))
      by_seed.update(zip(by_seed, params, strict=True))
    stages = [
      actor_stage.finetune(
        self._context(v.method, seed, 'finetune', v.learning_rate),
        {'finetune': v.method.weighting},
        self._actor(v.method.pretrained, seed),
        critics[v.method.critics][seed] if v.method.needs_critics else (),
      )
      for v, seed in jobs
    ]
    with _named(_run(v.method, seed, v.learning_rate) for v, seed in jobs):
      population_lib.fit_together(stages, self.population)
    for one, (variant, seed) in zip(stages, jobs, strict=True):
      method, before = variant.method, {}
      if one.context.config.finetune.start == 'pretrained':
        # Epoch 0 is the pre-trained model, at its best.
        before = self.record(method.pretrained, seed)['kept']
      self._finish_actor(one, method, seed, variant.learning_rate, before)

  def _context(
    self,
    method: Method,
    seed: int,
    stage: str,
    learning_rate: float | None = None,
  ) -> context_lib.Context:
    """The context of a run of one model."""
    config = dataclasses.replace(method.config(self.config), seed=seed)
    if learning_rate is not None:
      # Patience never runs out, so that every method gets the same number of
      # steps: unequal training would look like a difference of weightings.
      config = dataclasses.replace(
        config,
        finetune=dataclasses.replace(
          config.finetune,
          learning_rate=learning_rate,
          patience=config.finetune.max_epochs + 1,
        ),
      )
    return self._context_of(config, method, stage, learning_rate)

  def _context_of(
    self,
    config: config_lib.Config,
    method: Method,
    stage: str,
    learning_rate: float | None = None,
  ) -> context_lib.Context:
    """The context of one model's settings: a run's, or a member's."""
    shared = self._share(config)
    return context_lib.Context(
      config,
      self._tasks,
      shared.splits['train'],
      shared.splits['validation'],
      shared.models,
      self._live,
      store=self._files.unfinished(stage, method, config.seed, learning_rate),
      interrupted=self._interrupted,
      numeric=self._numeric,
    )

  def _finish_actor(
    self,
    one: actor_stage.ActorStage,
    method: Method,
    seed: int,
    learning_rate: float | None,
    before: Mapping[str, float],
  ) -> None:
    """Finishes a run of one model; `before` is as for records.of_actor."""
    ((name, arm),) = one.arms.items()
    test = self._share(one.context.config).splits.get('test')
    figures = comparison_records.of_actor(one.context, name, arm, before, test)
    note = f', kept epoch {arm.stopping.best_epoch}'
    self._finish([one], method, seed, learning_rate, figures, note)

  def _finish(
    self,
    trained: Iterable[actor_stage.ActorStage],
    method: Method,
    seed: int,
    learning_rate: float | None,
    figures: Record,
    note: str = '',
  ) -> None:
    """Writes a run's record; prints 'run 3 of 40, 12:30 left', and what it is.

    Args:
      trained: its last stage, of every member; they drop their checkpoints.
      method: what was trained.
      seed: the run's.
      learning_rate: of stage 3, or None after stage 1.
      figures: from records.py.
      note: more to print.
    """
    record = {
      'method': method.name,
      'seed': seed,
      'learning_rate': learning_rate,
      **figures,
    }
    self._files.write(self._files.run(method, seed, learning_rate), record)
    for one in trained:
      one.context.drop_store()
    self.finished += 1
    count = f'run {self.finished}'
    if self._expected:
      seconds = (time.monotonic() - self._begin) / self.finished
      left = max(self._expected - self.finished, 0)
      clock = progress_lib.clock(seconds * left)
      count += f' of {self._expected}, {clock} left'
    self._live.say(
      f'{count}  {_run(method, seed, learning_rate)}: validation'
      f' {self.monitor.word} {figures["kept"][self.monitor.figure]:.4f}{note},'
      f' {figures["seconds"]:.1f} s'
    )

  def record(
    self, method: Method, seed: int, learning_rate: float | None = None
  ) -> Record:
    """Reads a finished run's record."""
    return self._files.read(self._files.run(method, seed, learning_rate))

  def best(
    self, method: Method, seed: int, learning_rate: float | None = None
  ) -> float:
    """The kept epoch's value of what is monitored, of a finished run."""
    record = self.record(method, seed, learning_rate)
    return record['kept'][self.monitor.figure]

  def critics_record(self, method: Method, seed: int) -> Record:
    """Reads finished critics' record."""
    return self._files.read(self._files.critics(method, seed))

  def _keep(self, stage: str, method: Method, seed: int, params: Any) -> None:
    self._files.save_params(stage, method, seed, params)
    self._params[stage, method, seed] = params

  def _has(self, stage: str, method: Method, seed: int) -> bool:
    """Whether parameters are here or on disk."""
    kept = (stage, method, seed) in self._params
    return kept or self._files.has_params(stage, method, seed)

  def _kept(self, stage: str, method: Method, seed: int) -> Any:
    key = (stage, method, seed)
    if key not in self._params:
      config = method.config(self.config)
      shapes = self._share(config).models.shapes_left(config, stage)
      self._params[key] = self._files.load_params(*key, shapes)
    return self._params[key]


def _run(method: Method, seed: int, learning_rate: float | None = None) -> str:
  """What a run is called in lines and errors."""
  rate = '' if learning_rate is None else f' at {learning_rate:g}'
  return f'{method.name}{rate}, seed {seed}'


@contextlib.contextmanager
def _named(runs: Iterable[str]) -> Iterator[None]:
  """Says whose loss is not finite, or whose it may be, of several together.

  Raises:
    FloatingPointError: in place of every such error.
  """
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{" or ".join(runs)}: {error}') from None
