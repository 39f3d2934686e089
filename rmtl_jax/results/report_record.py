"""The record of a report, read and computed from a run's directory."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.evaluation import evaluator, regression, reliability
from rmtl_jax.evaluation import metrics as metrics_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import drift
from rmtl_jax.results import (
  calibrations,
  ensemble,
  evaluate,
  row_values,
  served,
  summary,
)
from rmtl_jax.runtime import stages, workdir, writers
from rmtl_jax.training import splits as splits_lib

Record = dict[str, Any]

# Entries of results.json that the report of a comparison needs.
_OF_COMPARISON = (
  *('split', 'tasks', 'seeds', 'data', 'budget', 'methods', 'summary'),
  *('differences', 'verdicts', 'tuning', 'critics', 'baseline', 'oracle'),
  *('warnings', 'runs', 'config', 'versions', 'device', 'commit', 'seconds'),
)

# Most positions in the session that are shown, and least rows at each.
_POSITIONS, _LEAST_ROWS = 30, 20
# Quantiles of the weights at a position: the ends of the band.
_SPREAD = (0.1, 0.9)


def gather(path: pathlib.Path, data_dir: pathlib.Path | None = None) -> Record:
  """Reads a run's figures and computes calibration and weights of its rows.

  The metrics come from metrics.json. If that is missing or lacks finished
  stages, the run is evaluated as by `rmtl evaluate`. Without the run's data
  there are the figures of metrics.json only.

  Args:
    path: RUN.
    data_dir: the run's prepared data if it has moved.

  Returns:
    `name`; `config` and `defaults` (flat); `data` (`source`, `fields`,
    `splits`); `stages` that have finished; `ended`, whether training has, with
    these; `metrics` (as metrics.json); `history`; `reliability` and `weights`
    ({} without data); `drift` (see preparation/description/drift.of_fields, []
    without data); `missing`, why the data is, or ''.

  Raises:
    types.InputError: not a run, no finished stage, a damaged file, or other
      data than the run's.
  """
  run = workdir.read(path)
  finished = [name for name in stages.LEAVES if run.has(name)]
  if run.kind == workdir.SEARCH:
    raise types.InputError(f'{path}: a search (rmtl tune) has no report')
  if run.kind == workdir.COMPARISON:
    raise types.InputError(
      f'{path}: no finished comparison to report on (rmtl compare goes on with'
      ' it)'
    )
  if not set(finished) & set(stages.ACTORS):
    raise types.InputError(
      f'{path}: no finished stage to report on (rmtl train goes on with it)'
    )
  rows, drifts = {}, []
  with reading.shared_lock(data_dir or run.data_dir):
    run, missing = _with_data(run, data_dir)
    metrics, ended = _metrics(run, finished, missing)
    history = _history(path)
    if not missing:
      rows = _of_rows(run, metrics)
      with sql.connect() as connection:
        drifts = drift.of_fields(connection, run.data_dir, run.manifest)
  return {
    'name': path.resolve().name,
    'config': config_values.flatten(run.config),
    'defaults': config_values.flatten(config_lib.Config()),
    'data': _data(run.manifest),
    'stages': finished,
    'ended': ended,
    'metrics': metrics,
    'history': history,
    'reliability': {},
    'weights': {},
    'drift': drifts,
    **rows,
    'missing': missing,
  }


def is_comparison(path: pathlib.Path) -> bool:
  """Whether a directory is that of a comparison that has finished."""
  return (path / 'results.json').exists()


def comparison(path: pathlib.Path) -> Record:
  """Reads COMPARISON/results.json, and adds `splits`, `settings`, `defaults`.

  Raises:
    types.InputError: a damaged file.
  """
  file = path / 'results.json'
  results = json_files.read(file)
  lacking = [
    name
    for name in _OF_COMPARISON
    if not isinstance(results, dict) or name not in results
  ]
  if lacking:
    raise types.InputError(f'{file}: lacks {lacking[0]!r}')
  return {
    **results,
    'name': path.resolve().name,
    'splits': _data(manifest_file.read_copy(path))['splits'],
    'defaults': config_values.flatten(config_lib.Config()),
    'settings': config_values.flatten(
      config_values.from_dict(results['config'], path=f'{file}: config')
    ),
  }


def _with_data(
  run: workdir.Run, data_dir: pathlib.Path | None
) -> tuple[workdir.Run, str]:
  """Sets the run's `data_dir`; also returns why it can't be read, or ''."""
  place = data_dir or run.data_dir
  try:
    manifest = (
      manifest_file.read(place) if data_dir else workdir.own_manifest(run)
    )
  except types.InputError as error:
    if data_dir:
      raise
    return run, str(error)
  if manifest != run.manifest:
    raise types.InputError(
      f'{place}: is not the data that {run.path} was trained on'
    )
  run = dataclasses.replace(run, data_dir=place)
  workdir.check_own_data(run, manifest_lib.SPLITS)
  return run, ''


def _metrics(
  run: workdir.Run, finished: Sequence[str], missing: str
) -> tuple[Record, bool]:
  """Reads metrics.json; evaluates the run if it is missing or outdated.

  Returns:
    The record, and whether it was there: training has ended with these stages.
  """
  file = run.path / 'metrics.json'
  record = json_files.read(file) if file.exists() else {}
  actors = {name for name in finished if name in stages.ACTORS}
  if (
    isinstance(record, dict)
    and isinstance(record.get('stages'), dict)
    and set(record['stages']) == actors
    and ('critic' in record) == ('critic' in finished)
  ):
    return record, True
  if missing:
    raise types.InputError(f'{missing}; {file} alone can not be reported on')
  record = evaluate.evaluate(run.path, data_dir=run.data_dir)
  record['warnings'] += summary.history_warnings(
    _history(run.path), run.config.weighting.name
  )
  return record, False


def _history(path: pathlib.Path) -> list[Record]:
  file = path / 'metrics.jsonl'
  if not file.exists():
    return []
  try:
    return writers.read_history(path)
  # Truncated or edited JSON, or not UTF-8.
  except (ValueError, RecursionError) as error:
    raise types.InputError(f'{file}: not JSON lines: {error}') from None


def _data(manifest: manifest_lib.Manifest) -> Record:
  return {
    'source': manifest.source,
    'fields': [[f.name, f.kind, f.size] for f in manifest.fields],
    'splits': {
      name: {
        'rows': split.rows,
        'sessions': split.sessions,
        'positives': split.positives,
        **({'observed': split.observed} if split.observed else {}),
      }
      for name, split in manifest.splits.items()
    },
  }


def _of_rows(run: workdir.Run, metrics: Record) -> Record:
  """Computes `reliability` of test rows and `weights` of validation rows."""
  trained = ensemble.restore(run)

  def split(name):
    return splits_lib.read(run.data_dir, run.manifest, name, run.config.batch)

  rows = {'reliability': _reliability(run, trained, split('test'), metrics)}
  if not trained.has_critics:
    return rows
  validation = split('validation')
  critic_values = row_values.critic_values(trained, validation)
  weights = row_values.weights(
    run.config,
    critic_values,
    validation,
    lambda: row_values.critic_values(trained, split('train')),
  )
  if weights:
    rows['weights'] = {
      'by_position': by_position(
        weights,
        validation.host.starts,
        run.manifest.task_names,
        validation.host.sample_weight,
      ),
    }
  return rows


def _reliability(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  test: splits_lib.Split,
  metrics: Record,
) -> Record:
  """{'stage', 'points': {task: [...]}} of what the run predicts."""
  stage = served.of_record(metrics)
  predictions = trained.models.probabilities(
    run.config, trained.actors[stage], test
  )
  weights = columns_lib.metric_weight(test.host)
  where = f'{run.path / "metrics.json"}: calibration'
  maps = calibrations.of_record(metrics, where).get(stage, {})
  points = {}
  for k, task in enumerate(run.manifest.task_names):
    is_binary = run.manifest.tasks[k].is_binary
    own = None if weights is None else weights[:, k]
    values = predictions[:, k]
    if task in maps:
      values = maps[task].apply(values)
    points[task] = _points(test.host.labels[:, k], values, own, is_binary)
  return {'stage': stage, 'points': points}


def _points(
  labels: np.ndarray,
  values: np.ndarray,
  weights: np.ndarray | None,
  is_binary: bool,
) -> list[Record]:
  """Points of a task's calibration curve; of numbers deciles, without bars."""
  if is_binary:
    found = reliability.reliability(
      labels, values, evaluator.CALIBRATION_BINS, weights=weights
    )
    return [point._asdict() for point in found]
  return [
    {'predicted': p, 'actual': y, 'rows': n, 'low': y, 'high': y}
    for p, y, n in regression.deciles(
      *metrics_lib.counted(labels, values, weights)
    )
  ]


def by_position(
  weights: Sequence[np.ndarray],
  starts: np.ndarray,
  tasks: Sequence[str],
  sample_weight: np.ndarray | None = None,
) -> dict[str, dict[str, list[float]]]:
  """Mean and quantiles of the weights by position in the session.

  Args:
    weights: f32[R, K] of each member.
    starts: i64[S + 1], first row of every session, then R.
    tasks: K names.
    sample_weight: f32[R, K], 0 where a task's label is not observed: no loss
      has the weights of such rows; None: all are.

  Returns:
    {task: {'mean', 'low', 'high' (quantiles 0.1 and 0.9, members pooled),
    'rows'}}, lists up to the first position with few rows; without tasks that
    no first row of a session tells of.
  """
  lengths = np.diff(starts)
  every = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
  found = {}
  for k, task in enumerate(tasks):
    seen = columns_lib.observed(sample_weight, k)
    position = every[seen]
    counts = np.bincount(position, minlength=1)[:_POSITIONS]
    if not counts[0]:
      continue
    few = np.flatnonzero(counts < _LEAST_ROWS)
    shown = max(int(few[0]) if len(few) else len(counts), 1)
    curve: dict[str, list[float]] = {'mean': [], 'low': [], 'high': []}
    for at in range(shown):
      here = np.concatenate([w[seen][position == at, k] for w in weights])
      low, high = np.quantile(here.astype(np.float64), _SPREAD)
      for name, value in (('mean', here.mean()), ('low', low), ('high', high)):
        curve[name].append(float(value))
    found[task] = {**curve, 'rows': counts[:shown].tolist()}
  return found
