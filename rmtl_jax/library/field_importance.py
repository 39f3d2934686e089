"""Permutation importance: what a model loses without a field.

The importance of a field is the loss of a metric when its values are given to
other rows (Breiman, "Random Forests", 2001, section 10; Fisher, Rudin and
Dominici, "All Models are Wrong, but Many are Useful", 2019). A field that is
constant within every session is exchanged between sessions, any other between
rows. Fields of a group are exchanged together, so that none of them can stand
in for another.

Intervals: a replicate draws sessions, as all intervals do, and of the
permutations as many as there are, with replacement.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import kinds
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import (
  bootstrap,
  evaluator,
  intervals,
  labelled,
  metric_registry,
)
from rmtl_jax.networks import ignore
from rmtl_jax.results import list_starts
from rmtl_jax.runtime import (
  programs,
  progress,
  provenance,
  workdir,
  workdir_checks,
  writers,
)
from rmtl_jax.serving import predictor
from rmtl_jax.training import split_data

# The metrics that are measured, by the task's kind; the first decides the order
# of tables.
METRICS = {
  kinds.BINARY: ('auc', 'logloss'),
  kinds.REGRESSION: ('rmse', 'xauc'),
  kinds.ORDINAL: ('rmse', 'xauc'),
}

Predict = Callable[[types.Inputs], np.ndarray]


class Part(NamedTuple):
  """The name of a field or of a group that is permuted together; its fields."""

  name: str
  fields: tuple[str, ...]


class Rows(NamedTuple):
  """The rows that are predicted, sessions one after the other.

  Attributes:
    inputs: the features, [R, ...], numpy arrays.
    labelled: their labels, sessions and weights.
  """

  inputs: types.Inputs
  labelled: labelled.Labelled


@programs.in_32_bits
def importance(
  path: str | os.PathLike[str],
  groups: Sequence[str] | None = None,
  split: str = 'validation',
  repeats: int = 5,
  stage: str = '',
  calibrated: bool | None = None,
  data_dir: str | os.PathLike[str] = '',
  rows: int = 50_000,
  seed: int = 0,
  live: progress.Progress | None = None,
) -> dict[str, Any]:
  """Measures permutation importance per field and task, with intervals.

  A field that is constant within every session is exchanged between sessions,
  any other between rows; the model predicts, and AUC and logloss are compared
  with those of the rows as they are. Intervals draw sessions and permutations.

  Args:
    path: RUN; an ensemble counts as the one model that it predicts as.
    groups: fields that are permuted together: `NAME:FIELD+FIELD`, or the name
      of a group of as-of features. None: these groups, where they have two
      fields or more.
    split: 'train', 'validation' or 'test'.
    repeats: permutations of each field and group.
    stage: as for `load`.
    calibrated: likewise.
    data_dir: prepared data with the run's fields; empty: the run's own.
    rows: measure on at most so many, in whole sessions, drawn at random; 0:
      on all.
    seed: of permutations, intervals and the draw of sessions.
    live: where progress goes.

  Returns:
    The content of RUN/importance.json, which it writes: `base` (metrics of the
    rows as they are), `parts` (see `Importance.measure`), and how both came
    about.

  Raises:
    types.InputError: not a run, no such stage, split, field or group, or the
      run's data was replaced.
  """
  path = pathlib.Path(path)
  if repeats < 1 or rows < 0:
    what, least = ('repeats', 1) if repeats < 1 else ('rows', 0)
    raise types.InputError(f'{what}: expected at least {least}')
  run = workdir.read_run(path)
  spec = run.manifest.feature_spec()
  parts = [
    *(Part(f.name, (f.name,)) for f in run.manifest.fields),
    *find_groups(groups, spec),
  ]
  live = live or progress.Progress(quiet=True)
  place = pathlib.Path(data_dir) if data_dir else run.data_dir
  with contextlib.ExitStack() as stack:
    workdir.hold_data(stack, place)
    manifest = (
      manifest_file.read(place) if data_dir else workdir.own_manifest(run)
    )
    workdir_checks.check_compatible(run.manifest, manifest, str(place))
    if data_dir:
      workdir_checks.check_encoding(run.path, run.manifest, manifest, place)
    else:
      workdir.check_own_data(run, (split,))
    host = split_data.read(place, manifest, split, run.config.batch, live).host
    seen, starts = _sample(host, run.manifest.task_names, rows, seed)
  live.start('importance', 0, compiles=True)
  model = predictor.load(path, stage, calibrated)
  measured = Importance(
    lambda inputs: _predict(model, inputs, starts),
    seen._replace(labelled=seen.labelled._replace(losses=spec.losses)),
    list_starts.columns(spec),
    run.config.evaluation,
    repeats,
    seed,
  )
  read = [not set(part.fields) <= model.ignored for part in parts]
  live.start('importance', sum(read) * repeats * len(seen.labelled.session))
  found = [
    measured.measure(part, live.advance, is_read)
    for part, is_read in zip(parts, read, strict=True)
  ]
  live.finish(f'{sum(read) * repeats} permutations')
  record = {
    'name': path.resolve().name,
    'stage': model.stage,
    'calibrated': bool(model.maps),
    'split': split,
    'rows': len(seen.labelled.session),
    'sessions': len(starts) - 1,
    'rows_of_split': host.rows,
    'repeats': repeats,
    'seed': seed,
    'bootstrap': run.config.evaluation.bootstrap,
    'confidence': intervals.CONFIDENCE,
    'tasks': list(run.manifest.task_names),
    'base': measured.base,
    'parts': found,
    'versions': provenance.versions(),
  }
  writers.write_json(path / 'importance.json', record)
  return record


def find_groups(
  texts: Sequence[str] | None, spec: types.FeatureSpec
) -> list[Part]:
  """The groups that are meant.

  Raises:
    types.InputError: no such field or group, no name, or one that is taken.
  """
  if texts is None:
    texts = [name for name, names in spec.groups if len(names) > 1]
  elif isinstance(texts, str):
    texts = (texts,)
  taken = {*spec.names, *spec.numeric_names}
  found = []
  for text in texts:
    name, colon, members = text.partition(':')
    if not name or (colon and not members):
      raise types.InputError(
        f'groups: {text!r:.80} is not NAME:FIELD+FIELD or a group of as-of'
        ' features'
      )
    if name in taken:
      raise types.InputError(
        f'groups: {name!r:.80} is the name of a field or of another group'
      )
    taken.add(name)
    fields = ignore.fields(members or name, spec, 'groups')
    if not fields:
      raise types.InputError(f'groups: {name!r:.80} has no field in the data')
    ordered = (n for n in (*spec.names, *spec.numeric_names) if n in fields)
    found.append(Part(name, tuple(ordered)))
  return found


def _sample(
  host: columns_lib.Rows, tasks: Sequence[str], most: int, seed: int
) -> tuple[Rows, np.ndarray]:
  """The rows to measure on: whole sessions, in their order, and `starts`."""
  lengths = np.diff(host.starts)
  kept = np.arange(len(lengths))
  if most and host.rows > most:
    order = np.random.default_rng(seed).permutation(len(lengths))
    count = np.searchsorted(np.cumsum(lengths[order]), most, side='right')
    kept = np.sort(order[: max(int(count), 1)])
  starts = np.concatenate([[0], np.cumsum(lengths[kept])])
  places = np.repeat(host.starts[kept] - starts[:-1], lengths[kept])
  places += np.arange(starts[-1])
  features = host.take(places)
  inputs = types.Inputs(
    features.categorical,
    features.multi_valued,
    features.numeric,
    time=features.time,
  )
  session = np.repeat(np.arange(len(kept)), lengths[kept])
  weights = columns_lib.metric_weight(host)
  if weights is not None:
    weights = weights[places]
  rows = labelled.Labelled(features.labels, session, tasks, weights=weights)
  return Rows(inputs, rows), starts


def _predict(
  model: predictor.Predictor, inputs: types.Inputs, starts: np.ndarray
) -> np.ndarray:
  """Probabilities of all rows, whole sessions at a time, f32[R, K]."""
  found, begin, rows = [], 0, int(starts[-1])
  while begin < rows:
    last = np.searchsorted(starts, begin + model.chunk_rows, side='right') - 1
    end = int(starts[last])
    if end <= begin:  # a session of more rows than a chunk has
      end = min(begin + model.chunk_rows, rows)
    part = jax.tree.map(lambda x, b=begin, e=end: x[b:e], inputs)
    own = np.unique(np.clip(starts, begin, end)) - begin
    found.append(np.array(model.infer(part, own)))
    begin = end
  return np.concatenate(found)


class Importance:
  """Measures parts one by one; all share permutations and drawn sessions.

  Attributes:
    base: {task: {metric: its value, None where undefined}}, nothing permuted.
  """

  def __init__(
    self,
    predict: Predict,
    rows: Rows,
    columns: dict[str, tuple[str, slice]],
    config: config_lib.EvaluationConfig,
    repeats: int,
    seed: int,
  ):
    """Predicts the rows as they are.

    Args:
      predict: features of all rows -> predictions, f32[R, K].
      columns: of the features, see list_starts.columns.
      config: `bootstrap`.
      repeats: permutations of each part, at least 1.
    """
    self._predict, self._rows, self._columns = predict, rows, columns
    self._repeats, self._seed = repeats, seed
    self._first = np.array(predict(rows.inputs))
    self._values = self._metrics(self._first)
    # One session is not enough to estimate how sessions vary.
    session = rows.labelled.session
    self._draws = config.bootstrap if np.any(session != session[:1]) else 0
    self._replicates = self._resampled([self._first])
    self._counts = intervals.counts(rows.labelled)
    self.base = {
      task: {name: json_files.number(value) for name, value in found.items()}
      for task, found in zip(rows.labelled.tasks, self._values, strict=True)
    }

  def measure(
    self,
    part: Part,
    advance: Callable[[int], None] = lambda rows: None,
    is_read: bool = True,
  ) -> dict[str, Any]:
    """The loss without a part.

    Args:
      advance: called with the number of rows that were predicted.
      is_read: whether the model reads it; if not, nothing is predicted, and
        the loss is 0.

    Returns:
      `name`, `fields`, `between` ('sessions' or 'rows'), `read` and `tasks`:
      {task: {metric: the mean loss over permutations (of AUC a fall, of logloss
      a rise: positive where the part helps), metric_interval: [low, high] or
      None, metric_repeats: the loss by each permutation}}; None where
      undefined.
    """
    places = [self._columns[name] for name in part.fields]
    session = self._rows.labelled.session
    of_session = self._is_of_session(places)
    predictions = [] if is_read else [self._first] * self._repeats
    for number in range(self._repeats if is_read else 0):
      source = exchanged(session, of_session, self._seed, number)
      inputs = self._rows.inputs
      for kind, where in places:
        values = np.array(getattr(inputs, kind))
        values[:, where] = values[source, where]
        inputs = inputs._replace(**{kind: values})
      predictions.append(np.array(self._predict(inputs)))
      advance(len(source))
    return {
      'name': part.name,
      'fields': list(part.fields),
      'between': 'sessions' if of_session else 'rows',
      'read': is_read,
      'tasks': self._losses(predictions),
    }

  def _is_of_session(self, places: Sequence[tuple[str, slice]]) -> bool:
    """Whether some columns are constant within every session."""
    session = self._rows.labelled.session
    same = session[1:] == session[:-1]
    for kind, where in places:
      values = np.asarray(getattr(self._rows.inputs, kind))[:, where]
      if (values[1:] != values[:-1])[same].any():
        return False
    return True

  def _losses(self, predictions: list[np.ndarray]) -> dict[str, Any]:
    values = [self._metrics(p) for p in predictions]
    if all(np.array_equal(p, self._first) for p in predictions):
      sets = [
        {name: np.repeat(v, len(predictions), axis=1) for name, v in of.items()}
        for of in self._replicates
      ]
    else:
      sets = self._resampled(predictions)
    # Replicate b draws new repeats: the variance of permutations counts too.
    generator = np.random.default_rng((self._seed, self._repeats))
    drawn = generator.integers(self._repeats, size=(self._draws, self._repeats))
    found: dict[str, Any] = {task: {} for task in self._rows.labelled.tasks}
    for k, task in enumerate(self._rows.labelled.tasks):
      for name, base in self._values[k].items():
        sign = 1.0 if metric_registry.RECORDS[name].better == 'higher' else -1.0
        # Differences first, so that equal predictions lose exactly 0.
        losses = [sign * (base - one[k][name]) for one in values]
        bounds = np.full(2, np.nan)
        if self._draws and name in sets[k]:
          spread = sign * (self._replicates[k][name] - sets[k][name])
          spread = np.take_along_axis(spread, drawn, axis=1).mean(axis=1)
          clusters = intervals.clusters(name, *self._counts[k])
          bounds = intervals.percentile_interval(
            spread, intervals.CONFIDENCE, clusters
          )
        found[task] |= {
          name: json_files.number(float(np.mean(losses))),
          f'{name}_interval': intervals.as_json(bounds),
          f'{name}_repeats': [json_files.number(loss) for loss in losses],
        }
    return found

  def _metrics(self, predictions: np.ndarray) -> list[dict[str, float]]:
    """Each task's metrics."""
    every, found = self._rows.labelled, []
    for k, kind in enumerate(every.kinds):
      seen, rows = evaluator.observed(every, every.weight(k))
      y, p = every.labels[seen, k], predictions[seen, k]
      found.append(
        {
          n: metric_registry.RECORDS[n].function(y, p, rows)
          for n in METRICS[kind]
        }
      )
    return found

  def _resampled(
    self, predictions: list[np.ndarray]
  ) -> list[dict[str, np.ndarray]]:
    """Each task's metrics of resampled sessions, f64[B, M]; the same draws."""
    values = bootstrap.replicates(
      list(map(labelled.Predicted, predictions)),
      self._rows.labelled,
      self._draws,
      self._seed,
    )
    return [
      {name: values[name][:, :, k] for name in METRICS[kind] if name in values}
      for k, kind in enumerate(self._rows.labelled.kinds)
    ]


def exchanged(
  session: np.ndarray, between_sessions: bool, seed: int, number: int
) -> np.ndarray:
  """Whose values each row gets in a permutation, i64[R].

  Args:
    session: i64[R], equal within a session; a session's rows are neighbours.
    between_sessions: every session gets the values of another's first row; else
      every row gets those of another row.
  """
  generator = np.random.default_rng((seed, number))
  if not between_sessions:
    return generator.permutation(len(session))
  first = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
  lengths = np.diff(first, append=len(session))
  of_row = np.repeat(np.arange(len(first)), lengths)
  return first[generator.permutation(len(first))][of_row]
