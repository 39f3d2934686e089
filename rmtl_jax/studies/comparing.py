"""Compares methods x seeds on the same data, with paired tests: `rmtl compare`.

COMPARISON/ has config.json and manifest.json as a run, runs/ and critics/ (a
JSON file per finished run or critics; in a search trials/ instead of runs/),
checkpoints/ (of stages 1 and 2), unfinished/ (of an interrupted stage) and
results.json. A run is finished when its file exists, so a restart trains only
what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading, vectors
from rmtl_jax.evaluation import (
  bootstrap,
  comparison,
  evaluator,
  labelled,
  validation_monitor,
)
from rmtl_jax.results import figures, list_starts, trained_ensemble
from rmtl_jax.runtime import checkpoints, memory, provenance, workdir, writers
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies import methods as methods_lib
from rmtl_jax.training import (
  actors,
  critics,
  delayed,
  epoch_loop,
  saved,
  split_data,
  validation,
)
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib

Job = methods_lib.Job
Method = methods_lib.Method
Record = dict[str, Any]
# Learning rate of stage 3 by method name.
Rates = Mapping[str, float]

# Of the session bootstrap: all runs share the draws, so that differences of
# their replicates are paired.
_BOOTSTRAP_SEED = 0
# Seconds between checkpoints of a stage in training.
SAVE_PERIOD = 60.0
_LONGEST_NAME = 120


def compare(
  config: config_lib.Config,
  path: pathlib.Path,
  data_dir: pathlib.Path,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Trains all methods and seeds of `config.compare`, and compares them.

  A restart on the same directory resumes: finished runs are read, not trained.
  Seeds and methods may be added.

  Args:
    config: settings; `compare` names methods, seeds and learning rates.
    path: COMPARISON, created if missing; locked while this runs.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    The content of COMPARISON/results.json: `methods`, `runs`, `tuning`,
    `critics`, `summary`, `differences`, `verdicts`, the setting, `warnings`.

  Raises:
    types.InputError: bad data or methods, a directory of another comparison,
      or a stage 1 that has not converged.
    epoch_loop.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss was not finite.
  """
  config_values.validate(config)
  methods = methods_lib.expand(config)
  seeds, weighted = config.compare.seeds, [m for m in methods if m.weighting]
  with reading.shared_lock(data_dir), workdir.locked(path):
    run = workdir.find(path, config, data_dir, workdir.COMPARISON)
    snapshot = reading.Snapshot(data_dir, run.manifest)
    runs = Runs(run, config, live, interrupted)
    runs.check(method.config(config) for method in methods)
    digests = snapshot.digests()
    workdir.create(path, config, data_dir, digests, kind=workdir.COMPARISON)
    # The learning rate of each method: the best one on the first seeds.
    tuning = _tune(runs, weighted)
    rates = _choose(runs, tuning, weighted)
    # All methods with all seeds; stages that several methods share come once.
    for method in methods:
      if not method.weighting:
        runs.pretrain(method, seeds)
    runs.finetune([(m, rates[m.name]) for m in weighted], seeds)
    results = _results(runs, run, methods, rates, tuning)
    writers.write_json(path / 'results.json', results)
    return results


def _tune(runs: Runs, methods: Sequence[Method]) -> list[Record]:
  """Trains every method with every learning rate on the first seeds."""
  config = runs.config.compare
  rates, seeds = config.learning_rates, config.seeds[: config.tuning_seeds]
  if len(rates) == 1:
    return []
  runs.finetune([(m, rate) for m in methods for rate in rates], seeds)
  return [
    {
      'method': method.name,
      'learning_rate': rate,
      runs.monitor.figure: float(
        np.mean([runs.best(Job(method, seed, rate)) for seed in seeds])
      ),
    }
    for method in methods
    for rate in rates
  ]


def _choose(
  runs: Runs, tuning: Sequence[Record], methods: Sequence[Method]
) -> dict[str, float]:
  """Chooses each method's rate by the monitored value; the first of equals."""
  monitor = runs.monitor
  chosen = {m.name: runs.config.compare.learning_rates[0] for m in methods}
  best: dict[str, float] = {}
  for entry in tuning:
    name, value = entry['method'], monitor.sign * entry[monitor.figure]
    if value > best.get(name, -np.inf):
      best[name], chosen[name] = value, entry['learning_rate']
  return chosen


class _Shared(NamedTuple):
  """Data and models that runs with the same batches share.

  Attributes:
    splits: the data; all batches have the same columns, on the device once.
    models: networks and programs.
    lists: the test rows as they stood in lists; None in a search.
  """

  splits: dict[str, split_data.Split]
  models: models_lib.Models
  lists: list_starts.ListStarts | None


class Runs:
  """Trains the missing runs of a comparison or a search.

  Attributes:
    config: settings of all runs.
    monitor: what decides between runs, of the validation rows.
    shared: settings of batches -> data and models.
    finished: number of runs that were trained since the start.
  """

  def __init__(
    self,
    run: workdir.Run,
    config: config_lib.Config,
    live: progress_lib.Progress | None,
    interrupted: Callable[[], int],
    searching: bool = False,
  ):
    """Reads the data; trains nothing.

    Args:
      run: the study's directory and data.
      interrupted: a signal's number once one has arrived, else 0.
      searching: whether runs are evaluated on validation only: the test split
        is not read, and stage 1 need not converge.
    """
    self.config, self._searching = config, searching
    self.monitor = validation_monitor.of(config.evaluation.monitor)
    self._splits = {
      name: split_data.read(run.data_dir, run.manifest, name, config.batch)
      for name in manifest_lib.SPLITS
      if name != 'test' or not searching
    }
    memory.check_tables(
      str(run.path / 'manifest.json'),
      run.manifest,
      config.network.embedding_dim,
      copies=3,
    )
    self._path, self._manifest = run.path, run.manifest
    self._spec = run.manifest.feature_spec()
    self._vectors = vectors.read(run.data_dir, run.manifest)
    self._live = live or progress_lib.Progress(brief=True)
    self._interrupted, self.finished = interrupted, 0
    self.shared = functools.cache(self._make_shared)
    self._train_rows = functools.lru_cache(1)(self._completed)

  def _make_shared(self, batch: config_lib.BatchConfig) -> _Shared:
    splits = {
      name: dataclasses.replace(split, config=batch)
      for name, split in self._splits.items()
    }
    spec = split_data.with_room(self._spec, splits['train'])
    models = models_lib.Models(spec, vectors=self._vectors)
    lists = None
    if 'test' in splits:
      lists = list_starts.of(splits['test'], self._manifest)
    return _Shared(splits, models, lists)

  def _completed(self, config: config_lib.Config) -> split_data.Split:
    """The train rows with the labels of `config.delayed`."""
    train = self.shared(config.batch).splits['train']
    return delayed.complete(config, self._spec, train, self._live)

  def check(self, configs: Iterable[config_lib.Config]) -> None:
    """Raises InputError unless networks with these settings fit the data."""
    for config in configs:
      self.shared(config.batch).models.check(config)

  def _missing(self, jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if not self._file(job).exists()]

  # Stage 1.

  def pretrain(self, method: Method, seeds: Sequence[int]) -> None:
    """Trains stage 1 of a method, one model or an ensemble."""
    for job in self._missing([Job(method, seed) for seed in seeds]):
      memory.clear_programs()
      self._pretrain(job)

  def _pretrain(self, job: Job) -> None:
    """Stage 1 of every member; parameters are kept of single models alone."""
    config, contexts, results = job.config(self.config), [], []
    for one in variants.member_configs(config):
      # Of the member's seed, not the job's.
      store = self._unfinished('pretrain', job._replace(seed=one.seed))
      context = self._context(one, store)
      contexts.append(context)
      results.append(self._pretrained(job, context))
    if config.ensemble == 1:
      self._keep('pretrain', job, results[0].params)
    self._finish(job, contexts, 'pretrain', results)

  def _pretrained(self, job: Job, context: context_lib.Context) -> saved.Result:
    """Stage 1 of one model, which must have converged."""
    fit_rows = context.models.actor(context.config).fit
    if fit_rows:  # trees
      return actors.fitted(context, fit_rows)['pretrain']
    arms, limits = actors.pretrain(context), context.config.pretrain
    stopping = actors.stopping(context, 'pretrain')
    with _named(job):
      results = epoch_loop.fit(context, 'pretrain', arms, stopping)
    if not (stopping.is_done(arms) or self._searching):
      raise types.InputError(
        f'stage 1 of {job}, has not converged in'
        f' {limits.max_epochs} epochs, and unequal training would look like'
        ' a difference between methods: start in another --workdir with a'
        ' larger --config.pretrain.max_epochs'
      )
    return results['pretrain']

  # Stage 2.

  def _critics(self, job: Job) -> Any:
    """Critics' parameters, trained if they are missing."""
    if self.critics_file(job).exists():
      return self._kept('critic', job)
    config = job.config(self.config)
    context = self._context(config, self._unfinished('critic', job))
    actor = self._actor(job.pretrained)
    policies = critics.policies(context, actor)
    arms = critics.start(context, actor, policies)
    stopping = critics.stopping(context, policies)
    of_rows = critics.extras(context, context.train, policies.train)
    with _named(f'critics of {job}'):
      results = epoch_loop.fit(context, 'critic', arms, stopping, of_rows)
    params, rows = results['critic'].params, context.validation
    self._keep('critic', job, params)
    policy = policies.validation
    q_values = context.models.values(config, params, rows, policy)
    statistics = figures.critic(
      q_values, policy, rows.host, context.tasks, config.critic
    )
    for line in figures.critic_warnings(statistics):
      self._live.say(f'WARNING: {job}: {line}')
    record = {
      'critic': job.method.name,
      'seed': job.seed,
      'statistics': statistics,
      'converged': critics.converged(critics.errors_of(arms), config.critic),
      'seconds': sum(entry['seconds'] for entry in context.history),
    }
    _write(self.critics_file(job), record)
    context.drop_store()
    return params

  # Stage 3.

  def finetune(
    self, methods: Sequence[tuple[Method, float]], seeds: Sequence[int]
  ) -> None:
    """Trains stage 3 of methods with their learning rates, by seed.

    The stages before are trained where they are missing.
    """
    for seed in seeds:
      for job in self._missing([Job(m, seed, rate) for m, rate in methods]):
        memory.clear_programs()
        self._finetune(job)

  def _finetune(self, job: Job) -> None:
    critic = self._critics(job.critics) if job.method.needs_critics else ()
    store = self._unfinished('finetune', job)
    context = self._context(job.config(self.config), store)
    weightings = {'finetune': job.method.weighting}
    actor = self._actor(job.pretrained)
    arms = actors.finetune(context, weightings, actor, critic)
    stopping = actors.stopping(context, 'finetune')
    # Every method gets the same number of steps: unequal training would look
    # like a difference of weightings.
    stopping = stopping._replace(is_done=lambda arms: False)
    with _named(job):
      results = epoch_loop.fit(context, 'finetune', arms, stopping)
    self._finish(job, [context], 'finetune', [results['finetune']])

  def _actor(self, job: Job) -> Any:
    """Parameters of a pre-trained model, trained if they are missing."""
    if self._missing([job]):
      self._pretrain(job)
    return self._kept('pretrain', job)

  def _context(
    self, config: config_lib.Config, store: checkpoints.LateStore
  ) -> context_lib.Context:
    """The context of one model's settings: a run's, or a member's."""
    shared = self.shared(config.batch)
    return context_lib.Context(
      config,
      self._manifest.task_names,
      self._train_rows(
        dataclasses.replace(config, weighting=config_lib.WeightingConfig())
      ),
      shared.splits['validation'],
      shared.models,
      self._live,
      store=store,
      interrupted=self._interrupted,
    )

  # Records of finished runs: figures, no parameters.

  def _finish(
    self,
    job: Job,
    contexts: Sequence[context_lib.Context],
    stage: str,
    results: Sequence[saved.Result],
  ) -> None:
    """Writes the record of a run, or of an ensemble as one model.

    It has `epochs`, `best_epoch` (the latest member's), `kept` (the monitored
    figure and the AUC on validation, means over tasks), `seconds` and, unless
    this is a search, the entries of `_tested`.
    """
    shared = self.shared(contexts[0].config.batch)
    trained = trained_ensemble.fitted(
      trained_ensemble.Ensemble(
        shared.models,
        tuple(context.config for context in contexts),
        tuple(saved.FinishedStages({stage: one}) for one in results),
      ),
      contexts[0].validation,
    )
    predict = functools.partial(trained.probabilities, stage)
    found = validation.measure(predict(contexts[0].validation), contexts[0])
    shown = {validation_monitor.AUC, self.monitor}
    kept = {one.figure: found.value(one) for one in shown}
    entries = [e for c in contexts for e in c.history if e['stage'] == stage]
    record = {
      'method': job.method.name,
      'seed': job.seed,
      'learning_rate': job.learning_rate,
      'epochs': max((entry['epoch'] for entry in entries), default=0),
      'best_epoch': max(trained.best_epochs(stage)),
      'kept': kept,
      **({} if self._searching else self._tested(predict, shared)),
      'seconds': sum(entry.get('seconds', 0.0) for entry in entries),
    }
    _write(self._file(job), record)
    for context in contexts:
      context.drop_store()
    self.finished += 1
    self._live.say(
      f'run {self.finished}  {job}: validation'
      f' {self.monitor.word} {kept[self.monitor.figure]:.4f}, kept'
      f' epoch {record["best_epoch"]}, {record["seconds"]:.1f} s'
    )

  def _tested(
    self, predict: Callable[[split_data.Split], np.ndarray], shared: _Shared
  ) -> Record:
    """`metrics` of the test rows, and their bootstrap `replicates`."""
    test, config = shared.splits['test'], self.config.evaluation
    predictions = list_starts.predicted(predict, test, shared.lists)
    rows = labelled.Labelled.of(test.host, self._manifest.task_names)
    replicates = bootstrap.replicates(
      [predictions], rows, config.bootstrap, _BOOTSTRAP_SEED
    )
    # Intervals are of differences, from the replicates.
    plain = dataclasses.replace(config, bootstrap=0)
    return {
      'metrics': evaluator.evaluate(predictions, rows, plain, 0),
      # A draw of one class has no AUC: None, because JSON has no NaN.
      'replicates': {
        name: [[json_files.number(v) for v in draw] for draw in values[:, 0]]
        for name, values in replicates.items()
      },
    }

  # Files.

  def record(self, job: Job) -> Record:
    """Reads a finished run's record.

    Raises:
      types.InputError: it is damaged.
    """
    return _read(self._file(job))

  def best(self, job: Job) -> float:
    """The monitored value of a finished run's kept epoch."""
    return self.record(job)['kept'][self.monitor.figure]

  def _file(self, job: Job) -> pathlib.Path:
    rate = '' if job.learning_rate is None else str(job.learning_rate)
    runs = self._path / ('trials' if self._searching else 'runs')
    return runs / _slug(job.method) / rate / f'{job.seed}.json'

  def critics_file(self, job: Job) -> pathlib.Path:
    """Where the record of critics is."""
    return self._path / 'critics' / _slug(job.method) / f'{job.seed}.json'

  def _unfinished(self, stage: str, job: Job) -> checkpoints.LateStore:
    """The checkpoints of a stage in training."""
    name = f'{stage}-{_slug(job.method)}-{job.learning_rate}-{job.seed}'
    return checkpoints.LateStore(self._path / 'unfinished' / name, SAVE_PERIOD)

  def _place(self, stage: str, job: Job) -> pathlib.Path:
    slug = _slug(job.method)
    return self._path / 'checkpoints' / stage / slug / str(job.seed)

  def _keep(self, stage: str, job: Job, params: Any) -> None:
    """Keeps the parameters that later stages start from."""
    store = checkpoints.Store(self._place(stage, job), keep=1)
    with contextlib.closing(store):
      store.save(0, params, {'stage': stage, 'epoch': 0})

  def _kept(self, stage: str, job: Job) -> Any:
    """Parameters that were kept.

    Raises:
      types.InputError: they are damaged or gone.
    """
    config, directory = job.method.config(self.config), self._place(stage, job)
    shapes = self.shared(config.batch).models.shapes_left(config, stage)
    store = checkpoints.Store(directory, keep=1)
    with contextlib.closing(store):
      restored = store.restore(lambda record: shapes)
    if restored is None:
      raise types.InputError(
        f'{directory}: no checkpoint, though the stage is finished: remove'
        ' its file under runs/ or critics/ to train it again'
      )
    return restored.arrays


def _slug(method: Method) -> str:
  """Turns the method's name into a file name; a hash replaces a long end."""
  name = re.sub(r'[^\w.+@=-]', ',', method.name)
  if len(name) <= _LONGEST_NAME:
    return name
  digest = hashlib.blake2b(method.name.encode(), digest_size=8).hexdigest()
  return f'{name[:_LONGEST_NAME]}-{digest}'


def _write(file: pathlib.Path, record: Record) -> None:
  file.parent.mkdir(parents=True, exist_ok=True)
  writers.write_sealed(file, record)


def _read(file: pathlib.Path) -> Record:
  return writers.read_sealed(file, 'remove it to train the run again')


@contextlib.contextmanager
def _named(run: Job | str) -> Iterator[None]:
  """Says which run's loss is not finite."""
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{run}: {error}') from None


def _results(
  runs: Runs,
  run: workdir.Run,
  methods: Sequence[Method],
  rates: Rates,
  tuning: Sequence[Record],
) -> Record:
  """Builds results.json from the finished runs."""
  config, tasks = runs.config, run.manifest.task_names
  seeds = config.compare.seeds
  controls = methods_lib.controls(config)
  described = [
    {
      'name': method.name,
      'backbone': method.backbone,
      'weighting': method.weighting,
      'controls': list(controls[method.name]),
      'learning_rate': rates.get(method.name),
    }
    for method in methods
  ]
  replicates, kept, seconds = {}, [], {}
  for method in methods:
    for seed in seeds:
      record = runs.record(Job(method, seed, rates.get(method.name)))
      draws = record.pop('replicates')
      replicates[method.name, seed] = {
        name: np.asarray(values, np.float64) for name, values in draws.items()
      }
      stage = 'finetune' if method.weighting else 'pretrain'
      seconds[stage] = seconds.get(stage, 0.0) + record.pop('seconds')
      kept.append(record)
  trained = [
    _read(runs.critics_file(Job(critic, seed)))
    for critic in dict.fromkeys(m.critics for m in methods if m.needs_critics)
    for seed in seeds
  ]
  seconds['critic'] = sum(record.pop('seconds') for record in trained)
  differences = comparison.differences(described, kept, tasks, replicates)
  shared = runs.shared(config.batch)
  train, test = shared.splits['train'].host, shared.splits['test'].host
  return {
    'split': 'test',
    'tasks': list(tasks),
    'seeds': list(seeds),
    'data': {
      'source': run.manifest.source,
      'rows': {name: s.host.rows for name, s in shared.splits.items()},
    },
    'methods': described,
    'summary': comparison.summarise([m.name for m in methods], kept, tasks),
    'differences': differences,
    'verdicts': comparison.verdicts(described, differences, tasks),
    'tuning': list(tuning),
    'critics': trained,
    'baseline': figures.rate_baseline(
      train, test, run.manifest, config, shared.lists
    ),
    'oracle': figures.stages({}, test, tasks, config).get('oracle'),
    'warnings': _warnings(trained, tuning, rates),
    'runs': kept,
    'config': config_values.to_dict(config),
    'versions': provenance.versions(),
    'device': provenance.device(),
    'commit': provenance.commit(),
    'seconds': seconds,
  }


def _warnings(
  trained: Sequence[Record], tuning: Sequence[Record], rates: Rates
) -> list[str]:
  """Warns of critics and learning rates that make figures misleading."""
  lines = []
  for name in dict.fromkeys(record['critic'] for record in trained):
    own = [record for record in trained if record['critic'] == name]
    states = {
      'collapsed, so their weights are constants and RMTL is the control': [
        any(r['statistics']['collapsed'].values()) for r in own
      ],
      'diverged, so their weights are noise': [
        any(r['statistics']['diverged'].values()) for r in own
      ],
      'not converged (--config.critic.max_passes)': [
        not r['converged'] for r in own
      ],
    }
    lines += [
      f'critics of {name}: for {sum(of)} of {len(own)} seeds {state}'
      for state, of in states.items()
      if any(of)
    ]
  tried = sorted({entry['learning_rate'] for entry in tuning})
  lowest = [name for name, rate in rates.items() if tried and rate == tried[0]]
  if lowest:
    lines.append(
      f'the lowest learning rate, {tried[0]:g}, was the best for'
      f' {", ".join(lowest)}: a lower one may be better'
    )
  return lines
