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
from rmtl_jax.results import list_starts, summary
from rmtl_jax.runtime import checkpoints, memory, workdir
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies.comparison import files as comparison_files
from rmtl_jax.studies.comparison import methods
from rmtl_jax.studies.comparison import records as comparison_records
from rmtl_jax.training import actors, critics, delayed, fit, saved
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib

Job = methods.Job
Method = methods.Method
Record = dict[str, Any]


class Variant(NamedTuple):
  """A method with a weighting, and the learning rate of its stage 3."""

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
      config: settings.
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
    memory.check_tables(
      str(run.path / 'manifest.json'),
      run.manifest,
      config.network.embedding_dim,
      copies=3,
    )
    self._spec = run.manifest.feature_spec()
    self._vectors = vectors.read(run.data_dir, run.manifest)
    self._shared: dict[config_lib.BatchConfig, _Shared] = {}
    self._manifest = run.manifest
    self._of_lists: dict[
      config_lib.BatchConfig, list_starts.ListStarts | None
    ] = {}
    self._live, self._interrupted = live, interrupted
    self._train: tuple[config_lib.Config, splits_lib.Split] | None = None
    # Parameters of the seeds at hand.
    self._params: dict[tuple[str, Job], Any] = {}
    self._begin, self.finished, self._expected = time.monotonic(), 0, 0

  def check(self, configs: Iterable[config_lib.Config]) -> None:
    """Raises InputError unless networks with these settings fit the data."""
    for config in configs:
      self._share(config).models.check(config)

  def check_epochs(self, methods: Iterable[Method]) -> None:
    """Raises InputError if stage 1 of a method can't converge.

    After the best epoch as many must follow as the patience is.
    """
    for method in methods:
      config = method.config(self.config)
      for one in variants.of_members(config):
        least = one.pretrain.patience + 1
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
      spec = splits_lib.with_room(self._spec, splits['train'])
      models = models_lib.Models(spec, vectors=self._vectors)
      self._shared[batch] = _Shared(splits, models)
    return self._shared[batch]

  def _lists(self, config: config_lib.Config) -> list_starts.ListStarts | None:
    """The test rows as they stood in lists; None in a search."""
    test = self._share(config).splits.get('test')
    if test is None:
      return None
    if config.batch not in self._of_lists:
      self._of_lists[config.batch] = list_starts.of(test, self._manifest)
    return self._of_lists[config.batch]

  def expect(self, methods: Sequence[Method]) -> None:
    """Counts the missing runs of all methods, to estimate the time left."""
    config = self.config.compare
    tuned = len(config.learning_rates) > 1
    for method in methods:
      for position, seed in enumerate(config.seeds):
        rates = [None] if not method.weighting else config.learning_rates
        jobs = [Job(method, seed, rate) for rate in rates]
        missing = len(self._missing(jobs))
        if method.weighting and not (tuned and position < config.tuning_seeds):
          # One of the rates, whichever is chosen.
          missing = int(missing == len(rates))
        self._expected += missing

  def _missing(self, jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if not self._files.run(job).exists()]

  def train(self, variants: Sequence[Variant], seeds: Sequence[int]) -> None:
    """Trains stage 3 of variants x seeds, and the stages before it."""
    for seed in seeds:
      # Parameters of earlier seeds are not needed again: memory stays constant.
      self._params.clear()
      jobs = [Job(v.method, seed, v.learning_rate) for v in variants]
      for job in self._missing(jobs):
        memory.clear_programs()
        self._finetune(job)

  def pretrain(self, methods: Sequence[Method], seeds: Sequence[int]) -> None:
    """Trains stage 1 of models x seeds."""
    jobs = [Job(m, seed) for m in dict.fromkeys(methods) for seed in seeds]
    for job in self._missing(jobs):
      self._params.clear()
      memory.clear_programs()
      config = job.config(self.config)
      if config.ensemble == 1:
        self._pretrain(job)
      else:
        self._pretrain_ensemble(job, config)

  def _pretrain(self, job: Job) -> None:
    context = self._context(job, 'pretrain')
    result = self._pretrained(job, context)
    self._keep('pretrain', job, result.params)
    self._finish_actor(job, context, 'pretrain', result, {})

  def _pretrained(self, job: Job, context: context_lib.Context) -> saved.Result:
    """Stage 1 of one model, which must have converged."""
    arms, limits = actors.pretrain(context), context.config.pretrain
    stopping = actors.stopping(context, 'pretrain')
    with _named(job):
      results = fit.fit(context, 'pretrain', arms, stopping)
    if not (stopping.is_done(arms) or self._searching):
      raise types.InputError(
        f'stage 1 of {job}, has not converged in'
        f' {limits.max_epochs} epochs, and unequal training would look like'
        ' a difference between methods: start in another --workdir with a'
        ' larger --config.pretrain.max_epochs'
      )
    return results['pretrain']

  def _pretrain_ensemble(self, job: Job, config: config_lib.Config) -> None:
    """Stage 1 of every member, one after the other; no parameters are kept."""
    members = []
    for one in variants.member_configs(config):
      # Of the member's seed, not the job's.
      own = job._replace(seed=one.seed)
      context = self._context_of(one, self._files.unfinished('pretrain', own))
      members.append((context, self._pretrained(job, context)))
    test = self._share(config).splits.get('test')
    figures = comparison_records.of_ensemble(
      config, members, test, self._lists(config)
    )
    self._finish(job, [context for context, _ in members], figures)

  def _actor(self, job: Job) -> Any:
    """Parameters of a pre-trained model, trained if they are missing."""
    if self._missing([job]) or not self._has('pretrain', job):
      self._pretrain(job)
    return self._kept('pretrain', job)

  def _critics(self, job: Job) -> Any:
    """Critics' parameters, trained if they are missing."""
    if self._files.critics(job).exists() and self._has('critic', job):
      return self._kept('critic', job)
    context = self._context(job, 'critic')
    actor = self._actor(job.pretrained)
    policies = critics.policies(context, actor)
    arms = critics.start(context, actor, policies)
    stopping = critics.stopping(context, policies)
    of_rows = critics.extras(context, context.train, policies.train)
    with _named(f'critics of {job}'):
      results = fit.fit(context, 'critic', arms, stopping, of_rows)
    params = results['critic'].params
    self._keep('critic', job, params)
    errors = critics.errors_of(arms)
    record = {
      'critic': job.method.name,
      'seed': job.seed,
      **comparison_records.of_critics(context, policies, params, errors),
    }
    for line in summary.critic_warnings(record['statistics']):
      self._live.say(f'WARNING: {job}: {line}')
    self._files.write(self._files.critics(job), record)
    context.drop_store()
    return self._kept('critic', job)

  def _finetune(self, job: Job) -> None:
    """Trains stage 3 of a run."""
    critic = self._critics(job.critics) if job.method.needs_critics else ()
    context = self._context(job, 'finetune')
    weightings = {'finetune': job.method.weighting}
    actor = self._actor(job.pretrained)
    arms = actors.finetune(context, weightings, actor, critic)
    stopping = actors.stopping(context, 'finetune')
    # Every method gets the same number of steps: unequal training would look
    # like a difference of weightings.
    stopping = stopping._replace(is_done=lambda arms: False)
    with _named(job):
      results = fit.fit(context, 'finetune', arms, stopping)
    # Epoch 0 is the pre-trained model, at its best.
    before = self.record(job.pretrained)['kept']
    self._finish_actor(job, context, 'finetune', results['finetune'], before)

  def _context(self, job: Job, stage: str) -> context_lib.Context:
    """The context of a run of one model."""
    store = self._files.unfinished(stage, job)
    return self._context_of(job.config(self.config), store)

  def _context_of(
    self, config: config_lib.Config, store: checkpoints.LateStore
  ) -> context_lib.Context:
    """The context of one model's settings: a run's, or a member's."""
    shared = self._share(config)
    return context_lib.Context(
      config,
      self._tasks,
      self._completed(config, shared),
      shared.splits['validation'],
      shared.models,
      self._live,
      store=store,
      interrupted=self._interrupted,
    )

  def _completed(
    self, config: config_lib.Config, shared: _Shared
  ) -> splits_lib.Split:
    """The train rows with the labels of `config.delayed`; the last are kept."""
    key = dataclasses.replace(config, weighting=config_lib.WeightingConfig())
    if self._train is None or self._train[0] != key:
      train = delayed.complete(
        config,
        self._spec,
        shared.splits['train'],
        shared.splits['validation'],
        self._live,
      )
      self._train = key, train
    return self._train[1]

  def _finish_actor(
    self,
    job: Job,
    context: context_lib.Context,
    stage: str,
    result: saved.Result,
    before: Mapping[str, float],
  ) -> None:
    """Finishes a run of one model; `before` is as for records.of_actor."""
    test = self._share(context.config).splits.get('test')
    lists = self._lists(context.config)
    figures = comparison_records.of_actor(
      context, stage, result, before, test, lists
    )
    self._finish(job, [context], figures, f', kept epoch {result.epoch}')

  def _finish(
    self,
    job: Job,
    contexts: Iterable[context_lib.Context],
    figures: Record,
    note: str = '',
  ) -> None:
    """Writes a run's record; prints 'run 3 of 40, 12:30 left', and what it is.

    Its last stage, of every member, drops its checkpoints.
    """
    record = {
      'method': job.method.name,
      'seed': job.seed,
      'learning_rate': job.learning_rate,
      **figures,
    }
    self._files.write(self._files.run(job), record)
    for context in contexts:
      context.drop_store()
    self.finished += 1
    count = f'run {self.finished}'
    if self._expected:
      seconds = (time.monotonic() - self._begin) / self.finished
      left = max(self._expected - self.finished, 0)
      clock = progress_lib.clock(seconds * left)
      count += f' of {self._expected}, {clock} left'
    self._live.say(
      f'{count}  {job}: validation'
      f' {self.monitor.word} {figures["kept"][self.monitor.figure]:.4f}{note},'
      f' {figures["seconds"]:.1f} s'
    )

  def record(self, job: Job) -> Record:
    """Reads a finished run's record."""
    return self._files.read(self._files.run(job))

  def best(self, job: Job) -> float:
    """The kept epoch's value of what is monitored, of a finished run."""
    return self.record(job)['kept'][self.monitor.figure]

  def critics_record(self, job: Job) -> Record:
    """Reads finished critics' record."""
    return self._files.read(self._files.critics(job))

  def _keep(self, stage: str, job: Job, params: Any) -> None:
    self._files.save_params(stage, job, params)
    self._params[stage, job] = params

  def _has(self, stage: str, job: Job) -> bool:
    """Whether parameters are here or on disk."""
    return (stage, job) in self._params or self._files.has_params(stage, job)

  def _kept(self, stage: str, job: Job) -> Any:
    if (stage, job) not in self._params:
      config = job.method.config(self.config)
      shapes = self._share(config).models.shapes_left(config, stage)
      loaded = self._files.load_params(stage, job, shapes)
      self._params[stage, job] = loaded
    return self._params[stage, job]


@contextlib.contextmanager
def _named(run: Job | str) -> Iterator[None]:
  """Says which run's loss is not finite."""
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{run}: {error}') from None
