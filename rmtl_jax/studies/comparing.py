"""Compares methods x seeds on the same data, with paired tests: `rmtl compare`.

COMPARISON/ has config.json and manifest.json as a run, and

runs/, critics/  a JSON file per finished run and critics; a search has trials/
models/          runs of stages 1 and 2, which others start from
unfinished/      runs of which nothing but the JSON file will be kept
results.json

A run is finished when its file exists, so a restart trains only what is
missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import durable, json_files, types
from rmtl_jax import run as run_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading, vectors
from rmtl_jax.evaluation import (
  bootstrap,
  comparison,
  evaluator,
  labelled,
  validation_monitor,
)
from rmtl_jax.results import figures, list_starts, trained_ensemble
from rmtl_jax.runtime import memory, programs, provenance, workdir, writers
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies import methods as methods_lib
from rmtl_jax.training import actors, critics, delayed, saved, split_data
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import validation as validation_lib

Job = methods_lib.Job
Method = methods_lib.Method
Record = dict[str, Any]
# Learning rate of stage 3 by method name.
Rates = Mapping[str, float]

# Of the session bootstrap: all runs share the draws, so that differences of
# their replicates are paired.
_BOOTSTRAP_SEED = 0
_LONGEST_NAME = 120


@programs.in_32_bits
def compare(
  path: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  methods: Sequence[str] = (),
  seeds: Sequence[int] = (),
  config: config_lib.Config | None = None,
  live: progress_lib.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> Record:
  """Trains methods x seeds on the same data, with paired tests and controls.

  Runs that exist in the directory are not trained again, so an interrupted call
  can be resumed, and seeds and methods may be added.

  Args:
    path: COMPARISON, created if missing; gets results.json, and
      report/report.html by `write_report`.
    data_dir: prepared data.
    methods: backbones, with a weighting to fine-tune by it: `ple`,
      `ple+critic`, `ple+critic@esmm` (critics of ESMM),
      `ple+critic:weighting.lambda_=0.3` (another setting). The controls of
      weighted ones are added, of backbones alone the first is the control of
      the others. Empty: those of `config.compare`.
    seeds: of the paired runs, 16 for a claim. Empty: those of
      `config.compare`.
    config: settings of every method; None: the recommended ones for the data,
      of its member without ids.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    The content of results.json: `methods`, `runs`, `tuning`, `critics`,
    `summary`, `differences`, `verdicts`, the setting, `warnings`.

  Raises:
    types.InputError: bad data, methods or settings, a directory of another
      comparison, or a stage 1 that has not converged.
    epoch_loop.Interrupted: a signal arrived; a later call resumes.
    FloatingPointError: a loss was not finite.
  """
  changes: Record = {}
  if len(methods):
    is_one = isinstance(methods, str)
    changes['methods'] = [methods] if is_one else list(methods)
  if len(seeds):
    changes['seeds'] = np.asarray(seeds).tolist()
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  config = config_values.from_dict({'compare': changes}, config)
  config = config_lib.resolve(config, manifest_file.read(data_dir), True)
  every = methods_lib.expand(config)
  weighted = [method for method in every if method.weighting]
  with reading.shared_lock(data_dir), workdir.locked(path):
    study = workdir.find(path, config, data_dir, workdir.COMPARISON)
    snapshot = reading.Snapshot(data_dir, study.manifest)
    runs = Runs(study, snapshot, config, live, interrupted)
    runs.check(method.config(config) for method in every)
    digests = snapshot.digests()
    workdir.create(path, config, data_dir, digests, kind=workdir.COMPARISON)
    # The learning rate of each method: the best one on the first seeds.
    tuning = _tune(runs, weighted)
    rates = _choose(runs, tuning, weighted)
    # All methods with all seeds; stages that several methods share come once.
    for method in every:
      if not method.weighting:
        runs.pretrain(method, config.compare.seeds)
    runs.finetune([(m, rates[m.name]) for m in weighted], config.compare.seeds)
    results = _results(runs, study.manifest, every, rates, tuning)
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


class Runs:
  """Trains the missing runs of a comparison or a search.

  Attributes:
    config: settings of all runs.
    monitor: what decides between runs, of the validation rows.
    data: settings of batches -> data and models that runs with these share.
    lists: settings of batches -> the test rows as they stood in lists.
  """

  def __init__(
    self,
    study: workdir.Run,
    snapshot: reading.Snapshot,
    config: config_lib.Config,
    live: progress_lib.Progress | None,
    interrupted: Callable[[], int],
    searching: bool = False,
  ):
    """Reads the data; trains nothing.

    Args:
      study: the study's directory and data.
      snapshot: of the data's files, before they are read.
      interrupted: a signal's number once one has arrived, else 0.
      searching: whether runs are evaluated on validation only: the test split
        is not read, stage 1 need not converge, and no model is kept.
    """
    self.config, self._study, self._searching = config, study, searching
    self.monitor = validation_monitor.of(config.evaluation.monitor)
    memory.check_tables(
      str(study.path / 'manifest.json'),
      study.manifest,
      config.network.embedding_dim,
      copies=3,
    )
    self._snapshot = snapshot
    self._splits = {
      name: split_data.read(study.data_dir, study.manifest, name, config.batch)
      for name in manifest_lib.SPLITS
      if name != 'test' or not searching
    }
    self._vectors = vectors.read(study.data_dir, study.manifest)
    self._live = live or progress_lib.Progress(brief=True)
    self._interrupted, self._count = interrupted, 0
    self.data = functools.cache(self._data)
    self.lists = functools.cache(
      lambda batch: list_starts.of(
        self.data(batch).splits['test'], study.manifest
      )
    )
    self._with_labels = functools.lru_cache(1)(self._completed)

  def _data(self, batch: config_lib.BatchConfig) -> run_lib.Data:
    splits = {
      name: dataclasses.replace(split, config=batch)
      for name, split in self._splits.items()
    }
    spec = self._study.manifest.feature_spec()
    spec = split_data.with_room(spec, splits['train'])
    models = models_lib.Models(spec, vectors=self._vectors)
    return run_lib.Data(splits, models, self._snapshot, {})

  def _completed(self, config: config_lib.Config) -> run_lib.Data:
    """The data with the labels of `config.delayed`."""
    data = self.data(config.batch)
    train, spec = data.splits['train'], data.models.spec
    train = delayed.complete(config, spec, train, self._live)
    return data._replace(splits={**data.splits, 'train': train})

  def check(self, configs: Iterable[config_lib.Config]) -> None:
    """Raises InputError unless networks with these settings fit the data."""
    for config in configs:
      self.data(config.batch).models.check(config)

  def _missing(self, jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if not self._file(job).exists()]

  def pretrain(self, method: Method, seeds: Sequence[int]) -> None:
    """Trains stage 1 of a method, one model or an ensemble."""
    for job in self._missing([Job(method, seed) for seed in seeds]):
      self._pretrain(job)

  def _pretrain(self, job: Job) -> None:
    config = job.config(self.config)
    is_kept = config.ensemble == 1 and not self._searching
    place = self._model(job) if is_kept else self._unfinished(job)
    trained = self._train(str(job), place, config, 'pretrain')
    if not self._searching:
      for member in trained.members:
        _check_converged(job, config.pretrain, member)
    self._finish(job, trained, 'pretrain')
    if not is_kept:
      durable.remove_tree(place)

  def finetune(
    self, methods: Sequence[tuple[Method, float]], seeds: Sequence[int]
  ) -> None:
    """Trains stage 3 of methods with their learning rates, by seed.

    The stages before are trained where they are missing.
    """
    for seed in seeds:
      for job in self._missing([Job(m, seed, rate) for m, rate in methods]):
        self._finetune(job)

  def _finetune(self, job: Job) -> None:
    self.pretrain(job.method.pretrained, [job.seed])
    place = self._unfinished(job)
    _link(self._model(job.pretrained), place, 'pretrain')
    if job.method.needs_critics:
      self._critics(job.critics)
      _link(self._model(job.critics), place, 'critic')
    config = dataclasses.replace(job.config(self.config), control=False)
    trained = self._train(str(job), place, config, 'finetune')
    self._finish(job, trained, 'finetune')
    durable.remove_tree(place)

  def _critics(self, job: Job) -> None:
    """Trains critics and records their statistics, if they are missing."""
    if self.critics_file(job).exists():
      return
    self.pretrain(job.method.pretrained, [job.seed])
    place = self._model(job)
    if job.method != job.method.pretrained:
      _link(self._model(job.pretrained), place, 'pretrain')
    config = actors.with_weighting(job.config(self.config), 'critic')
    trained = self._train(f'critics of {job}', place, config, 'critic')
    rows = self.data(config.batch).splits['validation']
    (values,) = trained.critic_values(rows)
    statistics = figures.critic(
      values.q_values,
      values.policy,
      rows.host,
      self._study.manifest.task_names,
      config.critic,
    )
    for line in figures.critic_warnings(statistics):
      self._live.say(f'WARNING: {job}: {line}')
    entries = _entries(trained, 'critic')
    error = f'validation_{config.critic.stopping}'
    record = {
      'critic': job.method.name,
      'seed': job.seed,
      'statistics': statistics,
      'converged': critics.converged(
        [entry[error] for entry in entries], config.critic
      ),
      'seconds': sum(entry['seconds'] for entry in entries),
    }
    _write(self.critics_file(job), record)

  def _train(
    self, name: str, place: pathlib.Path, config: config_lib.Config, stage: str
  ) -> trained_ensemble.Ensemble:
    """Trains a stage of a run, or of every member of an ensemble."""
    memory.clear_programs()
    options = run_lib.RunOptions(self._interrupted, trackers=())
    # Every method gets the same number of steps in stage 3: unequal training
    # would look like a difference of weightings.
    job = run_lib.Job(
      self._study.data_dir, (stage,), self._live, options, every_epoch=True
    )
    study = dataclasses.replace(self._study, path=place, config=config)
    data = self._with_labels(
      dataclasses.replace(config, weighting=config_lib.WeightingConfig())
    )
    finished = []
    for one in study.members:
      one.path.mkdir(parents=True, exist_ok=True)
      with contextlib.ExitStack() as stack:
        try:
          found, _ = run_lib.train_model(stack, one, job, None, data)
        except FloatingPointError as error:
          raise FloatingPointError(f'{name}: {error}') from None
        finished.append(found)
    return trained_ensemble.Ensemble(
      data.models, tuple(one.config for one in study.members), tuple(finished)
    )

  def _finish(
    self, job: Job, trained: trained_ensemble.Ensemble, stage: str
  ) -> None:
    """Writes the record of a run, or of an ensemble as one model.

    It has `epochs`, `best_epoch` (the latest member's), the monitored figure of
    validation (the mean over tasks), `seconds` and, unless this is a search,
    the entries of `_tested`.
    """
    config = trained.configs[0]
    validation = self.data(config.batch).splits['validation']
    trained = trained_ensemble.fitted(trained, validation)
    predict = functools.partial(trained.probabilities, stage)
    value = validation_lib.measure(
      predict(validation), validation, self._study.manifest.task_names, config
    ).value(self.monitor)
    entries, best = _entries(trained, stage), max(trained.best_epochs(stage))
    seconds = sum(entry.get('seconds', 0.0) for entry in entries)
    record = {
      'method': job.method.name,
      'seed': job.seed,
      'learning_rate': job.learning_rate,
      'epochs': max((entry['epoch'] for entry in entries), default=0),
      'best_epoch': best,
      self.monitor.figure: value,
      **({} if self._searching else self._tested(predict, config.batch)),
      'seconds': seconds,
    }
    _write(self._file(job), record)
    self._count += 1
    self._live.say(
      f'run {self._count}  {job}: validation {self.monitor.word} {value:.4f},'
      f' kept epoch {best}, {seconds:.1f} s'
    )

  def _tested(
    self,
    predict: Callable[[split_data.Split], np.ndarray],
    batch: config_lib.BatchConfig,
  ) -> Record:
    """`metrics` of the test rows, and their bootstrap `replicates`."""
    test, config = self.data(batch).splits['test'], self.config.evaluation
    predictions = list_starts.predicted(predict, test, self.lists(batch))
    rows = labelled.Labelled.of(test.host, self._study.manifest.task_names)
    replicates = bootstrap.replicates(
      predictions, rows, config.bootstrap, _BOOTSTRAP_SEED
    )
    return {
      # Intervals are of differences, from the replicates.
      'metrics': evaluator.evaluate(predictions, rows, {}),
      # A draw of one class has no AUC: None, because JSON has no NaN.
      'replicates': {
        name: [[json_files.number(v) for v in draw] for draw in values]
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
    return self.record(job)[self.monitor.figure]

  def _file(self, job: Job) -> pathlib.Path:
    rate = '' if job.learning_rate is None else str(job.learning_rate)
    runs = self._study.path / ('trials' if self._searching else 'runs')
    return runs / _slug(job.method) / rate / f'{job.seed}.json'

  def critics_file(self, job: Job) -> pathlib.Path:
    """Where the record of critics is."""
    return self._study.path / 'critics' / _slug(job.method) / f'{job.seed}.json'

  def _model(self, job: Job) -> pathlib.Path:
    """The run of a pre-trained model, or of critics, that others start from."""
    return self._study.path / 'models' / _slug(job.method) / str(job.seed)

  def _unfinished(self, job: Job) -> pathlib.Path:
    """The run of a job that nothing is kept of but its record."""
    name = f'{_slug(job.method)}-{job.learning_rate}-{job.seed}'
    return self._study.path / 'unfinished' / name


def _check_converged(
  job: Job, limits: config_lib.PretrainConfig, member: saved.FinishedStages
) -> None:
  """Refuses a stage 1 that max_epochs ended; trees have one epoch."""
  last, best = member.history[-1]['epoch'], member.results['pretrain'].epoch
  if last == limits.max_epochs and last - best < limits.patience:
    raise types.InputError(
      f'stage 1 of {job}, has not converged in {limits.max_epochs} epochs, and'
      ' unequal training would look like a difference between methods: start'
      ' in another --workdir with a larger --config.pretrain.max_epochs'
    )


def _entries(trained: trained_ensemble.Ensemble, stage: str) -> list[Record]:
  """The records of a stage's epochs."""
  return [entry for entry in trained.history if entry['stage'] == stage]


def _link(model: pathlib.Path, place: pathlib.Path, stage: str) -> None:
  """Gives a run the finished stage of another."""
  link = place / 'checkpoints' / stage
  link.parent.mkdir(parents=True, exist_ok=True)
  link.unlink(missing_ok=True)
  link.symlink_to((model / 'checkpoints' / stage).resolve())


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


def _results(
  runs: Runs,
  manifest: manifest_lib.Manifest,
  methods: Sequence[Method],
  rates: Rates,
  tuning: Sequence[Record],
) -> Record:
  """Builds results.json from the finished runs."""
  config, tasks = runs.config, manifest.task_names
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
  splits, lists = runs.data(config.batch).splits, runs.lists(config.batch)
  train, test = splits['train'].host, splits['test'].host
  return {
    'split': 'test',
    'tasks': list(tasks),
    'seeds': list(seeds),
    'data': {
      'source': manifest.source,
      'rows': {name: s.host.rows for name, s in splits.items()},
    },
    'methods': described,
    'summary': comparison.summarise([m.name for m in methods], kept, tasks),
    'differences': differences,
    'verdicts': comparison.verdicts(described, differences, tasks),
    'tuning': list(tuning),
    'critics': trained,
    'baseline': figures.rate_baseline(train, test, manifest, config, lists),
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
