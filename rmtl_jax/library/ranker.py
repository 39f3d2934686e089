"""A table in, a ranking model out: `Ranker(tasks=...).fit(table)`."""

from __future__ import annotations

import inspect
import os
import pathlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import tables
from rmtl_jax.evaluation import metric_registry
from rmtl_jax.library import (
  describe_table,
  estimator,
  fitting,
  one_row,
)
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.runtime import progress, workdir
from rmtl_jax.runtime.tracking import trackers as tracking
from rmtl_jax.serving import kept, log_columns, predictor, scorer
from rmtl_jax.training import start_rules

# A test AUC above this is a label among the features more often than not.
_TOO_GOOD = 0.99
# `set_params` changes single entries of these parameters.
_ENTRIES = ('schema', 'prepare', 'config')
# Parameters that are not the model's.
_LOCAL = ('workdir', 'tracker', 'verbose')


class Ranker:
  """A multi-task ranking model that is trained on a table.

  Attributes:
    tasks_: names of the K tasks; set by `fit`, like all that follow.
    metrics_: test metrics of the model that predicts, {task: {metric: value}}.
    record_: the content of metrics.json.
    schema_: the schema of the columns, as `rmtl prepare --schema` takes it.
    left_out_: {column: reason} of columns that are not used.
    feature_names_in_: columns of its features. Models with as-of features also
      read the columns of sessions, users, items and times.
    run_dir_: RUN, for `evaluate`, `write_report` and the commands.
    data_dir_: the prepared data, for `compare` and `tune`.
    model_: the Scorer that predicts.
  """

  def __init__(
    self,
    *,
    tasks: Sequence[str] | Mapping[str, describe_table.Entry] = (),
    schema: Mapping[str, Any] | None = None,
    prepare: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    fine_tune: bool = True,
    workdir: str | os.PathLike[str] | None = None,
    tracker: str | Sequence[str] = tracking.DEFAULT,
    verbose: bool = False,
  ):
    """Reads nothing yet; `fit` checks the parameters.

    Args:
      tasks: columns of labels of 0 and 1, or {task: column}, or {task: entry
        of a schema}, as `{'buy': {'column': 'bought', 'after': 'click'}}` or
        `{'watch': {'column': 'seconds', 'kind': 'regression'}}`. Empty: the
        columns of y, or the tasks of the schema.
      schema: entries that replace guessed ones, as
        `{'user': 'visitor', 'item': None, 'numeric': ['price']}`
        (docs/your_data.md); None means that there is none, and `exclude` lists
        columns that are no features. With `tasks` it is a whole schema, as
        `rmtl init` writes it, and nothing is guessed.
      prepare: settings of PrepareConfig, as `{'split': (8, 1, 1)}` or
        `{'as_of': ('rates',)}`.
      config: settings, as `{'backbone': 'ple', 'seed': 1,
        'pretrain.learning_rate': 1e-3}`; the others are the recommended ones,
        or those of its `preset`.
      fine_tune: whether stages 2 and 3 follow stage 1.
      workdir: RUN, to keep it and to resume there; None: a private temporary
        directory, which goes with this object.
      tracker: `tensorboard`, `mlflow`, `wandb`, or several of them.
      verbose: shows a live line on a terminal, elsewhere a line per epoch.
    """
    self.tasks, self.schema = tasks, schema
    self.prepare, self.config = prepare, config
    self.fine_tune, self.workdir = fine_tune, workdir
    self.tracker, self.verbose = tracker, verbose

  def get_params(self, deep: bool = True) -> dict[str, Any]:
    """The parameters by name, as scikit-learn expects them."""
    del deep
    return {name: getattr(self, name) for name in _parameters()}

  def set_params(self, **params: Any) -> Ranker:
    """Changes parameters for the next `fit`; returns self.

    `config__NAME`, `prepare__NAME` and `schema__NAME` change one entry, as in
    a search over `{'config__pretrain.learning_rate': [1e-3, 1e-2]}`.

    Raises:
      types.InputError: no such parameter.
    """
    for name, value in params.items():
      whole, _, entry = name.partition('__')
      if whole not in _parameters() or (entry and whole not in _ENTRIES):
        raise types.InputError(
          config_values.unknown_setting(f'Ranker.{name}', _parameters())
        )
      if entry:
        value = {**_mapping(whole, getattr(self, whole)), entry: value}
      setattr(self, whole, value)
    return self

  def fit(
    self,
    X: Any,
    y: Any = None,
    *,
    start_from: Ranker | str | os.PathLike[str] | None = None,
  ) -> Ranker:
    """Prepares the table, trains on it and evaluates; returns self.

    Rows are split by time into train, validation and test (`prepare={'split':
    ...}`, or `{'split_by': 'user'}` and other settings of PrepareConfig).
    Warnings go to `warnings.warn`. With `workdir` the same call resumes an
    interrupted one. Compiled programs are kept on disk for the next fit, unless
    JAX has its own cache.

    Args:
      X: raw rows: a pandas or Polars frame, an Arrow table or reader (what has
        `__arrow_c_stream__`), a list of dicts, or a dict of columns. With
        `start_from`, only the new rows.
      y: their labels, a column per task: a frame, a series or an array. None:
        they are columns of X.
      start_from: a fitted Ranker, or the directory of a fitted or saved one, to
        warm-start from: the rows are added to its data, vocabularies grow, and
        training continues with its parameters (docs/every_day.md). The new rows
        are the test rows. Columns, preparation and settings are those of the
        earlier one; `config` may change settings that keep the network.

    Raises:
      types.InputError: a parameter, column or value that can't be used.
      FloatingPointError: a loss was not finite.
    """
    from rmtl_jax import run
    from rmtl_jax.runtime import programs

    programs.keep_unless_set()
    tasks, rows = self.tasks, tables.to_arrow(X)
    if y is not None:
      rows, names = estimator.join(rows, y, describe_table.of_labels(tasks))
      tasks = tasks if len(tasks) else names
    start = self._start(start_from)
    if start:
      schema, left_out = start.asked['schema'], start.asked['left_out']
    else:
      described = self._described(rows, tasks, tables.index_of(X))
      schema, left_out = described.schema, described.left_out
      for line in described.lines:
        print(line)
    config = self._config(start)  # errors are raised before any work
    if start:
      start_rules.check_settings(start.run, config)
    options = fitting.options(_mapping('prepare', self.prepare))
    live = progress.Progress(quiet=not self.verbose)
    trackers = () if self.tracker is None else self.tracker
    trackers = (trackers,) if isinstance(trackers, str) else tuple(trackers)
    tracking.check(trackers)
    scratch = None if self.workdir else fitting.Scratch()
    place = scratch.path if scratch else pathlib.Path(self.workdir or '')
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
    if start:
      asked['start_from'] = str(start.run.path)
    manifest = fitting.prepare(place, rows, asked, live, start)
    config = self._config(start, manifest)
    stages = run.ORDER if self.fine_tune else run.ORDER[:1]
    record = run.train(
      config,
      place,
      place / fitting.DATA,
      stages,
      live,
      start and start.run.path,
      run.RunOptions(trackers=trackers),
    )
    self._scratch = scratch  # that of an earlier fit goes now
    self._restore(place)
    for line in (
      *manifest.report.get('warnings', ()),
      *record['warnings'],
      *_leaks(self.metrics_),
    ):
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

  def score(self, X: Any, y: Any = None) -> float:
    """The mean test AUC of the tasks; of numbers XAUC, its generalisation.

    Args:
      X: R rows as for `fit`; their labels are not shown to the model.
      y: their labels, as for `fit`.

    Raises:
      types.InputError: as for `predict_proba`, or a label that can't be used.
    """
    self._fitted()
    manifest = self.model_.manifest
    rows = tables.to_arrow(X)
    if y is not None:
      names = [task['column'] for task in self.schema_['tasks']]
      rows, _ = estimator.join(rows, y, names)
    labels = estimator.read_labels(manifest, rows)
    outcomes = log_columns.outcome_columns(manifest)
    known = [name for name in rows.column_names if name not in outcomes]
    return estimator.score(labels, self._score(rows.select(known), None))

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
        was fitted on, so that another fit can start from it (`start_from`) when
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
    """The parameters, and of a fitted one the files that `save` writes."""
    if not hasattr(self, 'model_'):
      return dict(self.__dict__)
    return {**self.get_params(), '_files': estimator.to_bytes(self.save)}

  def __setstate__(self, state: dict[str, Any]) -> None:
    files = state.pop('_files', None)
    self.__dict__.update(state)
    if files is not None:
      self._scratch = fitting.Scratch()
      estimator.from_bytes(files, self._scratch.path)
      self._restore(self._scratch.path)

  def __sklearn_tags__(self) -> Any:
    return estimator.tags()

  def __sklearn_is_fitted__(self) -> bool:
    return hasattr(self, 'model_')

  def __copy__(self) -> Ranker:
    made = type(self).__new__(type(self))
    made.__dict__.update(self.__dict__)  # the model itself is shared
    return made

  def _described(
    self, rows: pa.Table, tasks: Any, index: Collection[str]
  ) -> describe_table.Described:
    """The schema: the given one, or a guess."""
    schema = _mapping('schema', self.schema)
    if 'tasks' not in schema:
      return describe_table.describe(rows, tasks, schema, index)
    if len(self.tasks):
      raise types.InputError('tasks: the schema has tasks, too; leave out one')
    schema_lib.parse(schema)
    return describe_table.Described(schema, {})

  def _start(
    self, given: Ranker | str | os.PathLike[str] | None
  ) -> fitting.Start | None:
    """The earlier Ranker of a warm start, checked against the parameters."""
    if given is None:
      return None
    if not isinstance(given, Ranker | str | os.PathLike):
      raise types.InputError(
        f'start_from: a {type(given).__name__}, expected a fitted Ranker or the'
        ' path of one; labels are columns of the table'
      )
    path = given._fitted().path if isinstance(given, Ranker) else given
    start = fitting.read_start(path)
    fitting.check_start(start, self.get_params())
    if self.workdir and start.run.path == pathlib.Path(self.workdir).resolve():
      raise types.InputError(
        f'start_from: {self.workdir}: is this workdir; name another'
      )
    return start

  def _config(
    self,
    start: fitting.Start | None = None,
    manifest: manifest_lib.Manifest | None = None,
  ) -> config_lib.Config:
    """The settings, as far as they are known without the prepared data."""
    changes = _mapping('config', self.config)
    name = changes.pop('preset', 'recommended')
    config = start.run.config if start else config_lib.preset(name)
    config = config_values.with_settings(config, changes, 'config')
    return config_lib.resolve(config, manifest) if manifest else config

  def _fitted(self) -> workdir.Run:
    if not hasattr(self, 'model_'):
      raise estimator.NotFittedError(
        'this Ranker is not fitted: call fit(table) first'
      )
    return self._run

  def _score(self, table: Any, history: Any) -> dict[str, np.ndarray]:
    run = self._fitted()
    rows = tables.to_arrow(table)
    needs = self.model_.needs
    has_past = history is not None or (
      needs.columns and ({*needs.columns} <= {*rows.column_names})
    )
    wanted = list(self.feature_names_in_)
    if needs and not has_past:
      wanted += [c for c in self._keys if c not in wanted]
    raw.check_columns(pathlib.Path('table'), rows.column_names, wanted)
    scored = None
    if needs and not has_past:
      if len(rows) == 1:
        scored = self._one_row.score(rows)
      # Read once: every call would take what reading the log takes.
      log = run.path / fitting.LOG
      if scored is None and self._history is None and log.is_file():
        self._history = self.model_.keep_history(log)
      history = self._history
    if scored is None:
      scored = self.model_.score(rows, history)
    for line in scored.warnings:
      warnings.warn(line, stacklevel=3)
    return scored.probabilities

  def _restore(self, path: pathlib.Path, warm_up: int = 0) -> None:
    """Sets the attributes of a fitted Ranker from its directory."""
    self._run = workdir.read(path)
    self.model_: scorer.Scorer = predictor.load(path, warm_up=warm_up)
    self._history: kept.KeptHistory | None = None
    self._one_row = one_row.OneRow(self.model_, path / fitting.LOG)
    if warm_up and self.model_.needs:
      self._one_row.warm_up()
    schema = log_columns.make_log_schema(self.model_.manifest)
    keys = (schema.time, schema.session, schema.user)
    self._keys = [column for column in keys if column is not None]
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
      self.metrics_ = dict(self.record_['stages'][self.model_.stage])


def load(path: str | os.PathLike[str], warm_up: int = 0) -> Ranker:
  """Restores a saved Ranker.

  Args:
    path: what `Ranker.save` wrote, or the `workdir` of a fitted one.
    warm_up: compiles the programs of up to so many rows and, of a model that
      reads the past, indexes a short log, so that a single row takes
      milliseconds.

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
  ranker._restore(place, warm_up)
  return ranker


def _leaks(metrics: Mapping[str, Any]) -> list[str]:
  """A warning for each task with a suspiciously high test AUC."""
  return [
    f'task {task!r}: test AUC {found["auc"]:.4f}: is there a column that is'
    ' known only after the label? Leave it out: schema={"exclude": [...]}'
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
