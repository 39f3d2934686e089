"""Permutation importance of fields.

The importance of a field is the metric's loss when its values go to other rows
(Breiman, "Random Forests", 2001, section 10; Fisher, Rudin and Dominici, "All
Models are Wrong, but Many are Useful", 2019). What is exchanged is what the
field describes: a field that is constant within every session is exchanged
between sessions, any other between rows. Fields of a group are exchanged
together, so that what one of them could say for another is lost too.

Intervals: a replicate draws sessions, as all intervals here, and of the
permutations as many as there are, with replacement.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import (
  bootstrap,
  evaluator,
  groups,
  intervals,
  labelled,
)
from rmtl_jax.evaluation import registry as metric_registry

# Of the registry of metrics, those that are measured, by the task's kind;
# the first decides the order of tables.
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
    labels: f32[R, K].
    session: i64[R], equal within a session.
    weights: [R, K] >= 0, how much a row counts for a task, 0 where its label is
      not observed; None: rows count alike.
  """

  inputs: types.Inputs
  labels: np.ndarray
  session: np.ndarray
  weights: np.ndarray | None = None


def columns(spec: types.FeatureSpec) -> dict[str, tuple[str, slice]]:
  """Position of each field: a part of Inputs, and its columns there.

  >>> spec = types.FeatureSpec((9,), ((5, 3),), 0, 1, names=('item', 'tags'))
  >>> columns(spec)['tags']
  ('multi_valued', slice(0, 3, None))
  """
  count = len(spec.categorical)
  ends = np.cumsum([0, *(width for _, width in spec.multi_valued)]).tolist()
  found = {
    name: ('categorical', slice(i, i + 1))
    for i, name in enumerate(spec.names[:count])
  }
  for i, name in enumerate(spec.names[count:]):
    found[name] = 'multi_valued', slice(ends[i], ends[i + 1])
  for i, name in enumerate(spec.numeric_names):
    found[name] = 'numeric', slice(i, i + 1)
  return found


def is_of_session(rows: Rows, places: Sequence[tuple[str, slice]]) -> bool:
  """Whether some columns are constant within every session."""
  same = rows.session[1:] == rows.session[:-1]
  for kind, where in places:
    values = np.asarray(getattr(rows.inputs, kind))[:, where]
    if (values[1:] != values[:-1])[same].any():
      return False
  return True


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


def permuted(
  inputs: types.Inputs, places: Sequence[tuple[str, slice]], source: np.ndarray
) -> types.Inputs:
  """The features, with some columns those of other rows.

  Args:
    inputs: [R, ...].
    source: whose values each row gets, i64[R].
  """
  for kind, where in places:
    values = np.array(getattr(inputs, kind))
    values[:, where] = values[source, where]
    inputs = inputs._replace(**{kind: values})
  return inputs


class Importance:
  """Measures parts one by one; all share permutations and drawn sessions.

  Attributes:
    base: {task: {metric: its value, None where undefined}}, nothing permuted.
  """

  def __init__(
    self,
    predict: Predict,
    rows: Rows,
    spec: types.FeatureSpec,
    tasks: Sequence[str],
    config: config_lib.EvaluationConfig,
    repeats: int,
    seed: int,
  ):
    """Predicts the rows as they are.

    Args:
      predict: features of all rows -> predictions, f32[R, K].
      spec: their fields, and the kinds of the tasks.
      tasks: K names.
      config: `bootstrap`.
      repeats: permutations of each part, at least 1.
    """
    self._predict, self._rows, self._tasks = predict, rows, tuple(tasks)
    self._columns, self._config = columns(spec), config
    self._repeats, self._seed = repeats, seed
    self._labelled = labelled.Labelled(
      rows.labels,
      rows.session,
      tasks,
      losses=spec.losses,
      weights=rows.weights,
    )
    self._sessions = groups.group_codes(rows.session)[1]
    self._first = np.array(predict(rows.inputs))
    self._values = self._metrics(self._first)
    # One session is not enough to estimate how sessions vary.
    self._draws = config.bootstrap if self._sessions > 1 else 0
    self._replicates = self._resampled([self._first])
    self.base = {
      task: {name: json_files.number(value) for name, value in found.items()}
      for task, found in zip(self._tasks, self._values, strict=True)
    }

  def measure(
    self,
    part: Part,
    advance: Callable[[int], None] = lambda rows: None,
    is_read: bool = True,
  ) -> dict[str, Any]:
    """The loss of the model without a part.

    Args:
      advance: called with the number of predicted rows.
      is_read: whether the model reads it; if not, nothing is predicted, and it
        loses 0.

    Returns:
      `name`, `fields`, `between` ('sessions' or 'rows'), `read` and `tasks`:
      {task:
      {metric: the mean loss over permutations (of AUC a fall, of logloss a
      rise: positive where the part helps), metric_interval: [low, high] or
      None, metric_repeats: the loss by each permutation}}; None where
      undefined.
    """
    places = [self._columns[name] for name in part.fields]
    of_session = is_of_session(self._rows, places)
    predictions = [] if is_read else [self._first] * self._repeats
    for number in range(self._repeats if is_read else 0):
      source = exchanged(self._rows.session, of_session, self._seed, number)
      inputs = permuted(self._rows.inputs, places, source)
      predictions.append(np.array(self._predict(inputs)))
      advance(len(source))
    return {
      'name': part.name,
      'fields': list(part.fields),
      'between': 'sessions' if of_session else 'rows',
      'read': is_read,
      'tasks': self._losses(predictions),
    }

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
    found: dict[str, Any] = {task: {} for task in self._tasks}
    for k, task in enumerate(self._tasks):
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

  @functools.cached_property
  def _counts(self) -> list[tuple[int, int | None]]:
    rarer = intervals.rarer_sessions(self._labelled)
    return intervals.counts(self._labelled, rarer)

  def _metrics(self, predictions: np.ndarray) -> list[dict[str, float]]:
    """Each task's metrics."""
    every, found = self._labelled, []
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
      self._labelled,
      self._draws,
      self._seed,
    )
    return [
      {name: values[name][:, :, k] for name in METRICS[kind] if name in values}
      for k, kind in enumerate(self._labelled.kinds)
    ]
