"""A table in, a ranking model out: `Ranker(tasks=...).fit(table)`."""

from __future__ import annotations

import inspect
import os
import pathlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import presets, variants
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import tables
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.library import columns, fitting, starting
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.runtime import progress, workdir
from rmtl_jax.runtime.tracking import registry as tracking
from rmtl_jax.serving import kept, predictor, scorer
from rmtl_jax.training import start_rules

# A test AUC above this is a label among the features more often than not.
_TOO_GOOD = 0.99
# Parameters that are not the model's.
_LOCAL = ('workdir', 'tracker', 'verbose')


class Ranker:
  """A multi-task ranking model that is trained on a table.

  Attributes:
    tasks_: K names, once fitted, as are all that follow.
    metrics_: test metrics of the model that predicts, {task: {metric: value}}.
    record_: the content of metrics.json.
    schema_: what the columns mean, as `rmtl prepare --schema` takes it.
    left_out_: why, by the columns that are nothing of it.
    feature_names_in_: columns of its features. Models that read the past read
      those of sessions, users, items and times beside them.
    run_dir_: RUN, for `evaluate`, `write_report` and the commands.
    data_dir_: the prepared data, for `compare` and `tune`.
    model_: what predicts, a Scorer.
  """

  def __init__(
    self,
    *,
    tasks: Sequence[str] | Mapping[str, columns.Entry] = (),
    session: str | None = columns.AUTO,
    user: str | None = columns.AUTO,
    item: str | None = columns.AUTO,
    time: str | None = columns.AUTO,
    time_unit: str | None = None,
    time_zone: str | None = None,
    from_time: Sequence[str] | None = None,
    categorical: Sequence[columns.Entry] | None = None,
    numeric: Sequence[columns.Entry] | None = None,
    multi_valued: Sequence[columns.Entry] | None = None,
    exclude: Sequence[str] = (),
    missing: Sequence[str] = (),
    weight: str | None = None,
    schema: Mapping[str, Any] | None = None,
    as_of: str | Sequence[str] | None = None,
    prepare: Mapping[str, Any] | None = None,
    backbone: str | None = None,
    weighting: str | None = None,
    fine_tune: bool = True,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    workdir: str | os.PathLike[str] | None = None,
    tracker: str | Sequence[str] = tracking.DEFAULT,
    verbose: bool = False,
  ):
    """Reads nothing yet; `fit` checks the parameters.

    Args:
      tasks: columns of labels of 0 and 1, or {task: column}, or {task: entry
        of a schema}, as `{'buy': {'column': 'bought', 'after': 'click'}}` or
        `{'watch': {'column': 'seconds', 'kind': 'regression'}}`.
      session: column of session ids; 'auto' finds it by its name, None says
        that there is none, as in the next two.
      user: column of users; without sessions their rows are cut by idle gaps.
      item: column of items.
      time: column of times; 'auto' finds it by its type or name, None says that
        there is none: rows are then split at random.
      time_unit: `ms`, `s`, `us`, `ns` or `d` since 1970, or `iso`; None: by the
        column.
      time_zone: of times that name none, as `Europe/Berlin`, and of
        `from_time`; None: UTC.
      from_time: fields that the time makes: `('hour', 'weekday')`, one of
        them, or () for none; None: both, or the weekday where times are days.
      categorical: columns that get embeddings, or entries of a schema. None:
        user and item, text, true/false, and integers whose name ends like an
        id's or that have few values.
      numeric: columns of numbers, or entries of a schema, as `{'column':
        'price', 'transform': 'log1p'}`. None: all other numbers.
      multi_valued: columns of lists, or entries of a schema, as `{'column':
        'tags', 'separator': '|'}` for text. None: lists.
      exclude: columns that are no features. Labels, times and sessions never
        are.
      missing: texts that stand for nothing, as `NULL`.
      weight: column that says how much a row counts; tasks may have their own
        (docs/your_data.md#labels).
      schema: what the columns mean, as `rmtl init` writes it, in place of all
        parameters above but `tasks`, which are then those of the schema.
      as_of: groups of as-of features, or 'all'; None: those of `rmtl prepare`.
      prepare: further settings of PrepareConfig, as `{'split': (8, 1, 1)}`.
      backbone: `single_task`, `shared_bottom`, `mmoe`, `ple` or another one.
      weighting: how stage 3 weighs rows: `critic` (RMTL), `constant`, ...
      fine_tune: whether stages 2 and 3 follow stage 1.
      preset: what settings start from; None: the default.
      settings: any settings, as `{'pretrain.learning_rate': 1e-3}`.
      seed: of everything that is drawn.
      workdir: RUN, to keep it and to resume there; None: a private temporary
        directory, which goes with this object.
      tracker: what keeps track of the run: `tensorboard`, `mlflow`, `wandb`, or
        several of them.
      verbose: shows a live line on a terminal, elsewhere a line per epoch.
    """
    self.tasks = tasks
    self.session, self.user, self.item = session, user, item
    self.time, self.time_unit = time, time_unit
    self.time_zone, self.from_time = time_zone, from_time
    self.categorical, self.numeric = categorical, numeric
    self.multi_valued = multi_valued
    self.exclude, self.missing = exclude, missing
    self.weight, self.schema = weight, schema
    self.as_of, self.prepare = as_of, prepare
    self.backbone, self.weighting = backbone, weighting
    self.fine_tune, self.preset = fine_tune, preset
    self.settings, self.seed = settings, seed
    self.workdir, self.tracker, self.verbose = workdir, tracker, verbose

  def _described(self, rows: Any, index: Collection[str]) -> columns.Described:
    """What the columns mean: as the schema says, or guessed."""
    if self.schema is not None:
      schema = _mapping('schema', self.schema)
      schema_lib.parse(schema)
      return columns.Described(dict(schema), {})
    names = inspect.signature(columns.Wanted).parameters
    wanted = columns.Wanted(**{name: getattr(self, name) for name in names})
    return columns.describe(rows, wanted, index)

  def get_params(self, deep: bool = True) -> dict[str, Any]:
    """The parameters as they were given, by name, as scikit-learn asks."""
    del deep
    return {name: getattr(self, name) for name in _parameters()}

  def set_params(self, **params: Any) -> Ranker:
    """Changes parameters for the next `fit`; returns self.

    Raises:
      types.InputError: no such parameter.
    """
    for name, value in params.items():
      if name not in _parameters():
        raise types.InputError(
          config_values.unknown_setting(f'Ranker.{name}', _parameters())
        )
      setattr(self, name, value)
    return self

  def fit(
    self,
    table: Any,
    start_from: Ranker | str | os.PathLike[str] | None = None,
  ) -> Ranker:
    """Prepares the table, trains on it and evaluates; returns self.

    Rows are split by time into train, validation and test (`prepare={'split':
    ...}`, or `{'split_by': 'user'}` and other settings of PrepareConfig).
    Remarks go to `warnings.warn`. With `workdir` a call that was cut off goes
    on when it is made again. Compiled programs are kept on disk for the next
    fit, unless JAX has a cache of its own.

    Args:
      table: raw rows, labels included: a pandas or Polars frame, an Arrow
        table or reader (what has `__arrow_c_stream__`), a list of dicts, or a
        dict of columns. Beside `start_from` the new rows alone.
      start_from: a fitted Ranker, or the directory of a fitted or saved one, to
        go on from: the rows are added to its data, whose vocabularies grow, and
        its model goes on (docs/every_day.md). Test rows are then the new ones.
        Columns, preparation and settings are its own; `settings` may change
        what makes no other network.

    Raises:
      types.InputError: a parameter, column or value that can't be used.
      FloatingPointError: a loss was not finite.
    """
    from rmtl_jax import run
    from rmtl_jax.runtime import programs

    programs.keep_unless_set()
    rows = tables.to_arrow(table)
    start = self._start(start_from)
    if start:
      schema, left_out = start.asked['schema'], start.asked['left_out']
    else:
      described = self._described(rows, tables.index_of(table))
      schema, left_out = described.schema, described.left_out
      for line in described.lines:
        print(line)
    config = self._config(start)  # what is wrong is said before any work
    if start:
      start_rules.check_settings(start.run, config)
    options = fitting.options(_mapping('prepare', self.prepare), self.as_of)
    live = progress.Progress(quiet=not self.verbose)
    trackers = () if self.tracker is None else self.tracker
    trackers = (trackers,) if isinstance(trackers, str) else tuple(trackers)
    tracking.check(trackers)
    scratch, place = fitting.make_place(self.workdir)
    asked = {
      'schema': schema,
      'prepare': options,
      'left_out': left_out,
      'parameters': {
        name: value
        for name, value in self.get_params().items()
        if name not in _LOCAL
      },
    }
    earlier = None
    if start:
      asked['start_from'] = str(start.run.path)
      earlier = start.earlier(options)
    manifest = fitting.prepare(place, rows, asked, live, earlier)
    config = self._config(start, manifest)
    stages = run.ORDER if self.fine_tune else run.ORDER[:1]
    record = run.train(
      config,
      place,
      place / fitting.DATA,
      stages,
      live,
      trackers=trackers,
      start_from=start and start.run.path,
    )
    self._scratch = scratch  # that of an earlier fit goes now
    self._restore(place)
    for line in (
      *map(fitting.without_flags, manifest.report.get('warnings', ())),
      *record['warnings'],
      *_leaks(self.metrics_),
    ):
      warnings.warn(line, stacklevel=2)
    return self

  def refit(self, workdir: str | os.PathLike[str] | None = None) -> Ranker:
    """Trains the fitted model again, with validation rows too; returns self.

    They have chosen epochs, members' weights and the calibration's slope, which
    stay as they are (docs/every_day.md).
    What predicts from now on is stage 1 of the new model, and `metrics_` and
    all else that a fitted one has is of it; the same call with `workdir` goes
    on where it was cut off.

    Args:
      workdir: RUN of the new model; None: a private temporary directory.

    Raises:
      types.InputError: it is not fitted, its prepared data are gone, or it went
        on from another one.
    """
    from rmtl_jax import run
    from rmtl_jax.runtime import programs

    programs.keep_unless_set()
    source = self._fitted().path
    live = progress.Progress(quiet=not self.verbose)
    scratch, place = fitting.make_place(workdir)
    with fitting.refitting(source, place):
      record = run.train(
        None, place, self.data_dir_, run.ORDER[:1], live, refit_of=source
      )
    # The data are in the first one's.
    self._scratch = (getattr(self, '_scratch', None), scratch)
    self._restore(place)
    for line in record['warnings']:
      warnings.warn(line, stacklevel=2)
    return self

  def predict_proba(self, table: Any, history: Any = None) -> np.ndarray:
    """Probabilities of raw rows, of tasks that are not binary expected labels.

    Remarks go to `warnings.warn`.

    Args:
      table: R rows as for `fit`; labels are not needed.
      history: earlier rows, labels included, for models that read the past: a
        table as for `fit`, the path of a file, or what `model_.keep_history`
        gave. None: the rows that the model was fitted on.

    Returns:
      f32[R, K], rows and `tasks_` in their order.

    Raises:
      types.InputError: it is not fitted, or a column is missing or has a value
        that can't be used.
    """
    found = self._score(table, history)
    return np.stack([found[task] for task in self.tasks_], axis=1)

  def predict(self, table: Any, history: Any = None) -> dict[str, np.ndarray]:
    """As `predict_proba`, by task: {task: f32[R]}."""
    return self._score(table, history)

  def save(
    self,
    path: str | os.PathLike[str],
    with_log: bool = True,
    overwrite: bool = False,
    with_data: bool = False,
  ) -> None:
    """Writes a directory that `rmtl_jax.load` restores, and the commands take.

    Args:
      path: where, a new directory.
      with_log: whether a model that reads the past keeps the rows that it was
        fitted on as its history.
      overwrite: replaces a saved model that is there.
      with_data: whether it keeps its prepared data, and with them the rows it
        was fitted on, so that another fit may go on from it (`start_from`) when
        its workdir is gone.

    Raises:
      types.InputError: it is not fitted, or the place is taken.
    """
    source = self._fitted().path
    log = with_log and (with_data or bool(self.model_.needs))
    data = self.data_dir_ if with_data else None
    fitting.save(source, pathlib.Path(path), log, data, overwrite)

  def __repr__(self) -> str:
    if not hasattr(self, 'model_'):
      return f'Ranker({_shown(self.get_params())})'
    config, splits = self._run.config, self.model_.manifest.splits
    rows = ', '.join(f'{s.rows:,} {name}' for name, s in splits.items())
    lines = [
      f'Ranker: {config.backbone}, stage {self.model_.stage}, seed'
      f' {config.seed}',
      f'  rows: {rows}',
    ]
    for task, found in self.metrics_.items():
      values = '  '.join(
        f'{one.label} {found[one.name]:{one.form}}'
        for one in metric_registry.short(found)
        if found.get(one.name) is not None
      )
      lines.append(f'  test {task}: {values}')
    return '\n'.join([*lines, f'  {self.run_dir_}'])

  def __getstate__(self) -> dict[str, Any]:
    if hasattr(self, 'model_'):
      raise TypeError(
        'a fitted Ranker can be neither pickled nor deep-copied: save(path)'
        ' writes it and rmtl_jax.load(path) restores it'
      )
    return dict(self.__dict__)

  def __copy__(self) -> Ranker:
    made = type(self).__new__(type(self))
    made.__dict__.update(self.__dict__)  # the model itself is shared
    return made

  def _start(
    self, given: Ranker | str | os.PathLike[str] | None
  ) -> starting.Start | None:
    """What a fit goes on from, checked against the parameters."""
    if given is None:
      return None
    if not isinstance(given, Ranker | str | os.PathLike):
      raise types.InputError(
        f'start_from: a {type(given).__name__}, expected a fitted Ranker or the'
        ' path of one; labels are columns of the table'
      )
    path = given._fitted().path if isinstance(given, Ranker) else given
    start = starting.read(path)
    starting.check(start, self.get_params())
    if self.workdir and start.run.path == pathlib.Path(self.workdir).resolve():
      raise types.InputError(
        f'start_from: {self.workdir}: is this workdir; name another'
      )
    return start

  def _config(
    self,
    start: starting.Start | None = None,
    manifest: manifest_lib.Manifest | None = None,
  ) -> config_lib.Config:
    """The settings, as far as they are known without the prepared data."""
    config = (
      start.run.config if start else presets.start(manifest, self.preset or '')
    )
    own = {
      'backbone': self.backbone,
      'weighting.name': self.weighting,
      'seed': self.seed,
    }
    changes = {name: value for name, value in own.items() if value is not None}
    changes |= _mapping('settings', self.settings)
    if not start:
      config = variants.of_preset(config, changes)
    return config_values.with_settings(config, changes, 'settings')

  def _fitted(self) -> workdir.Run:
    if not hasattr(self, 'model_'):
      raise types.InputError('this Ranker is not fitted: call fit(table) first')
    return self._run

  def _score(self, table: Any, history: Any) -> dict[str, np.ndarray]:
    run = self._fitted()
    rows = tables.to_arrow(table)
    if history is None and self.model_.needs:
      given = set(self.model_.needs.columns)
      if not given or not given <= set(rows.column_names):
        # Read once: every call would take what reading the log takes.
        log = run.path / fitting.LOG
        if self._history is None and log.is_file():
          self._history = self.model_.keep_history(log)
        history = self._history
    scored = self.model_.score(rows, history)
    for line in scored.warnings:
      warnings.warn(line, stacklevel=3)
    return scored.probabilities

  def _restore(self, path: pathlib.Path) -> None:
    """Sets what a fitted one has, from its directory."""
    self._run = workdir.read(path)
    self.model_: scorer.Scorer = predictor.load(path)
    self._history: kept.KeptHistory | None = None
    self.run_dir_, self.data_dir_ = path, fitting.data_dir(self._run)
    self.tasks_ = self.model_.tasks
    computed = self.model_.computed
    self.feature_names_in_ = tuple(
      name for name in self.model_.encoder.columns if name not in computed
    )
    self.schema_ = self.model_.manifest.options['schema']
    with json_files.parsing(f'{path}: {fitting.FILE} or metrics.json'):
      self.left_out_ = dict(json_files.read(path / fitting.FILE)['left_out'])
      self.record_ = json_files.read(path / 'metrics.json')
      shown = self.record_.get('calibrated', self.record_['stages'])
      self.metrics_ = dict(shown[self.model_.stage])


def load(path: str | os.PathLike[str]) -> Ranker:
  """Restores a saved Ranker.

  Args:
    path: what `Ranker.save` wrote, or the `workdir` of a fitted one.

  Raises:
    types.InputError: neither of the two, or a damaged file in it.
  """
  place = pathlib.Path(path)
  file = place / fitting.FILE
  with json_files.parsing(str(file)):
    given = dict(json_files.read(file)['parameters'])
  unknown = [name for name in given if name not in _parameters()]
  if unknown or not {*given}.isdisjoint(_LOCAL):
    raise types.InputError(f'{file}: parameters are not as rmtl wrote them')
  ranker = Ranker(**{'tasks': (), **given})
  ranker._restore(place)
  return ranker


def _leaks(metrics: Mapping[str, Any]) -> list[str]:
  """A line for each task whose test AUC is too good to be true."""
  return [
    f'task {task!r}: test AUC {found["auc"]:.4f}: is there a column that is'
    ' known only after the label? Leave it out with exclude='
    for task, found in metrics.items()
    if (found.get('auc') or 0.0) > _TOO_GOOD
  ]


def _mapping(name: str, given: Any) -> dict[str, Any]:
  if given is None:
    return {}
  if not isinstance(given, Mapping):
    raise types.InputError(f'{name}: expected a dict, found {given!r:.80}')
  return dict(given)


def _parameters() -> list[str]:
  return list(inspect.signature(Ranker).parameters)


def _shown(params: Mapping[str, Any]) -> str:
  """The parameters that differ from their defaults."""
  defaults = inspect.signature(Ranker).parameters
  return ', '.join(
    f'{name}={value!r}'
    for name, value in params.items()
    if repr(value) != repr(defaults[name].default)
  )
