"""Permutation importance: what a model loses without a field.

The importance of a field is the loss of a metric when its values are given to
other rows (Breiman, "Random Forests", 2001, section 10; Fisher, Rudin and
Dominici, "All Models are Wrong, but Many are Useful", 2019). A field that is
constant within every session is exchanged between sessions, any other between
rows. Fields of a group are exchanged together, so that none of them can stand
in for another.

Intervals draw sessions, as all intervals do, each with all its permutations.
"""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import kinds, limits
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import reading
from rmtl_jax.evaluation import (
  evaluator,
  intervals,
  labelled,
  metric_registry,
)
from rmtl_jax.networks import ignore
from rmtl_jax.results import list_starts
from rmtl_jax.runtime import programs, progress, provenance, workdir, writers
from rmtl_jax.serving import predictor, scorer
from rmtl_jax.training import split_data

# The metrics that are measured, by the task's kind; the first decides the order
# of tables.
METRICS = {
  kinds.BINARY: ('auc', 'logloss'),
  kinds.REGRESSION: ('rmse', 'xauc'),
  kinds.ORDINAL: ('rmse', 'xauc'),
}

Predict = Callable[[types.Inputs], np.ndarray]


@programs.in_32_bits
def importance(
  path: str | os.PathLike[str],
  groups: Sequence[str] | None = None,
  split: str = 'validation',
  repeats: int = 5,
  rows: int = 50_000,
  seed: int = 0,
  live: progress.Progress | None = None,
) -> dict[str, Any]:
  """Measures permutation importance per field and task, with intervals.

  Args:
    path: RUN; an ensemble counts as the one model that it predicts as.
    groups: fields and groups of as-of features that are permuted together,
      `FIELD+FIELD` each. None: the groups of as-of features that have two
      fields or more.
    split: 'train', 'validation' or 'test'.
    repeats: permutations of each field and group.
    rows: measure on at most so many, the first whole sessions; 0: on all.
    seed: of permutations and intervals.
    live: where progress goes.

  Returns:
    The content of RUN/importance.json, which it writes: `base` (metrics of the
    rows as they are), `parts` (see `Permutations.losses`), and how both came
    about.

  Raises:
    types.InputError: not a run, no such split, field or group, or the run's
      data was replaced.
  """
  path = pathlib.Path(path)
  limits.check('repeats', repeats, limits.Positive)
  limits.check('rows', rows, limits.Count)
  run = workdir.read_run(path)
  spec = run.manifest.feature_spec()
  parts = {field.name: [field.name] for field in run.manifest.fields}
  parts |= find_groups(groups, spec)
  live = live or progress.Progress(quiet=True)
  with reading.shared_lock(run.data_dir):
    workdir.check_own_data(run, (split,))
    host = split_data.read(
      run.data_dir, run.manifest, split, run.config.batch, live
    ).host
    inputs, seen = _sample(host, run.manifest.task_names, rows)
  live.start('importance', 0, compiles=True)
  model = predictor.load(path)
  columns, config, found = list_starts.columns(spec), run.config.evaluation, []

  predict = functools.partial(_predict, model)
  permuted = Permutations(predict, inputs, seen, config, repeats, seed)
  live.start('importance', len(parts) * repeats * len(seen.session))
  for name, fields in parts.items():
    places = [columns[field] for field in fields]
    found.append({'name': name, 'fields': fields, **permuted.losses(places)})
    live.advance(repeats * len(seen.session))
  live.finish(f'{len(parts) * repeats} permutations')
  record = {
    'name': path.resolve().name,
    'stage': model.stage,
    'split': split,
    'rows': len(seen.session),
    'sessions': int(seen.session[-1]) + 1,
    'rows_of_split': host.rows,
    'repeats': repeats,
    'seed': seed,
    'bootstrap': run.config.evaluation.bootstrap,
    'confidence': intervals.CONFIDENCE,
    'tasks': list(run.manifest.task_names),
    'base': permuted.base_metrics(),
    'parts': found,
    'versions': provenance.versions(),
  }
  writers.write_json(path / 'importance.json', record)
  return record


def find_groups(
  texts: Sequence[str] | None, spec: types.FeatureSpec
) -> dict[str, list[str]]:
  """The fields of each group.

  Raises:
    types.InputError: no such field or group of as-of features, or an empty one.
  """
  if texts is None:
    texts = [name for name, names in spec.groups if len(names) > 1]
  every = (*spec.names, *spec.numeric_names)
  found = {}
  for text in texts:
    fields = ignore.fields(text, spec, 'groups')
    if not fields:
      raise types.InputError(f'groups: {text!r:.80} has no field in the data')
    found[text] = [name for name in every if name in fields]
  return found


def _sample(
  host: columns_lib.Rows, tasks: Sequence[str], most: int
) -> tuple[types.Inputs, labelled.Labelled]:
  """The rows to measure on: the first whole sessions."""
  count = len(host.starts) - 1
  if most:
    last = int(np.searchsorted(host.starts, most, 'right')) - 1
    count = min(count, max(last, 1))
  places = np.arange(host.starts[count])
  features = host.take(places)
  inputs = types.Inputs(
    features.categorical, features.multi_valued, features.numeric
  )
  rows = labelled.Labelled.of(host, tasks).take(places)
  session = np.repeat(np.arange(count), np.diff(host.starts[: count + 1]))
  return inputs, rows._replace(session=session)


def _predict(model: predictor.Predictor, inputs: types.Inputs) -> np.ndarray:
  """Probabilities of all rows, f32[R, K]."""
  found, size = [], scorer.CHUNK_ROWS
  for begin in range(0, len(inputs.categorical), size):
    part = jax.tree.map(lambda x, b=begin: x[b : b + size], inputs)
    found.append(model.infer(part))
  return np.concatenate(found)


class Permutations:
  """What a model's predictions of some rows lose without fields."""

  def __init__(
    self,
    predict: Predict,
    inputs: types.Inputs,
    rows: labelled.Labelled,
    config: config_lib.EvaluationConfig,
    repeats: int,
    seed: int,
  ):
    """Predicts for the rows as they are.

    Args:
      predict: features of all rows -> predictions, f32[R, K].
      inputs: features, [R, ...]; sessions one after the other.
      config: `bootstrap`.
      repeats: permutations of each field.
    """
    self._predict, self._inputs, self._rows = predict, inputs, rows
    self._config, self._repeats, self._seed = config, repeats, seed
    base = predict(inputs)
    self._base = labelled.Predicted(base)
    # Every row stands there once per permutation, so that a resample that draws
    # a session draws all of its permutations.
    again = np.repeat(np.arange(len(base)), repeats)
    self._repeated = labelled.Predicted(base[again]), rows.take(again)
    self._drawn = evaluator.replicates(*self._repeated, config, seed)

  def base_metrics(self) -> dict[str, dict[str, float | None]]:
    """The metrics of the rows as they are, {task: {metric: value}}."""
    rows = self._rows
    return {
      task: {
        name: (found := evaluator.measured(name, self._base, rows, k))
        and json_files.number(found)
        for name in METRICS[kind]
      }
      for k, (task, kind) in enumerate(zip(rows.tasks, rows.kinds, strict=True))
    }

  def losses(self, places: Sequence[tuple[str, slice]]) -> dict[str, Any]:
    """The loss without some fields.

    Args:
      places: of the fields' columns, see list_starts.columns.

    Returns:
      `between` ('sessions' or 'rows') and `tasks`: {task: {metric: the loss (of
      AUC a fall, of logloss a rise: positive where the fields help),
      metric_interval: [low, high] or None}}; None where undefined.
    """
    session = self._rows.session
    is_next = session[1:] == session[:-1]
    of_session = not any(
      (values[1:] != values[:-1])[is_next].any()
      for kind, where in places
      for values in [np.asarray(getattr(self._inputs, kind))[:, where]]
    )
    found = []
    for number in range(self._repeats):
      source = exchanged(session, of_session, self._seed, number)
      changed = self._inputs
      for kind, where in places:
        values = np.array(getattr(changed, kind))
        values[:, where] = values[source, where]
        changed = changed._replace(**{kind: values})
      found.append(self._predict(changed))
    base, rows = self._repeated
    permuted = np.stack(found, axis=1).reshape(base.rows.shape)
    permuted = labelled.Predicted(permuted)
    drawn = evaluator.replicates(permuted, rows, self._config, self._seed)
    differences = evaluator.evaluate_difference(
      base, permuted, rows, (self._drawn, drawn)
    )
    return {
      'between': 'sessions' if of_session else 'rows',
      'tasks': {
        task: _losses(differences[task], METRICS[kind])
        for task, kind in zip(rows.tasks, rows.kinds, strict=True)
      },
    }


def _losses(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Differences as losses, which are positive where a metric gets worse."""
  found = {}
  for name in names:
    value, bounds = record[name], record.get(f'{name}_interval')
    if metric_registry.RECORDS[name].better == 'lower':
      value = None if value is None else 0.0 - value
      bounds = bounds and [0.0 - bound for bound in reversed(bounds)]
    found |= {name: value, f'{name}_interval': bounds}
  return found


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
