"""Reference distributions of inputs and predictions for `rmtl monitor`.

RUN/reference.json has how often the train and the test rows have the values of
every field. RUN/metrics.json has the metrics of the test rows, and how their
predictions are distributed. An export has both in one reference.json. Of a log
whose negatives were sampled they are those of the whole log: negatives count
1 / rate, and all rows together as many as tell as much (Kish).
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax import json_files
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import described_splits, drift
from rmtl_jax.runtime import workdir, writers

Record = dict[str, Any]

FILE = 'reference.json'
# The splits of which a field's values are counted.
SPLITS = ('train', 'test')
# A group is a byte where live values are counted.
_MOST_GROUPS = 256
_TENTHS = np.arange(1, 10) / 10
# Metrics of a task that an export includes.
_METRICS = (
  *('rows', 'positives', 'auc', 'logloss', 'calibration_error'),
  *('predicted_over_actual', 'xauc', 'mae', 'rmse'),
)


def distributions(
  predictions: np.ndarray,
  tasks: Sequence[str],
  log_rows: np.ndarray | None = None,
) -> dict[str, Record]:
  """How often predictions lie between their own deciles.

  Args:
    predictions: [R, K].
    tasks: K names.
    log_rows: how many rows of the log each represents, [R]; None: 1.

  Returns:
    {task: `edges`, rising, and `counts`, of one more: those at most the first
    edge, and so on}.
  """
  found = {}
  # Of 32 bits, as they are served: an edge may be a value of many rows.
  values = predictions.astype(np.float32).astype(float)
  if log_rows is not None:
    log_rows = log_rows * (np.sum(log_rows) / np.sum(log_rows**2))
  for k, task in enumerate(tasks):
    edges = np.unique(np.quantile(values[:, k], _TENTHS))
    group = place(values[:, k], edges)
    counts = np.bincount(group, log_rows, len(edges) + 1)
    found[task] = {'edges': edges.tolist(), 'counts': counts.tolist()}
  return found


def place(
  values: np.ndarray, edges: np.ndarray | Sequence[float]
) -> np.ndarray:
  """The group of each value: how many edges it is above, i64[R]."""
  return np.searchsorted(np.asarray(edges, np.float64), values, 'left')


def write(run: workdir.Run) -> None:
  """Counts the values of every field and writes RUN/reference.json.

  Raises:
    types.InputError: a file of the data that can't be read; names it.
  """
  manifest, found = run.manifest, {}
  with (
    sql.connect() as connection,
    described_splits.scan(run.data_dir, manifest) as relations,
  ):
    rows = {name: relations[name] for name in SPLITS}
    weight = _log_rows_sql(manifest)
    factors = _factors(connection, rows, weight)
    for field in manifest.fields:
      of = drift.grouped(connection, run.data_dir, rows, field, weight)
      found[field.name] = {
        'groups': list(of.parts),
        'counts': {
          n: (factors[n] * c).tolist() if weight else c.astype(int).tolist()
          for n, c in of.counts.items()
        },
        'blank': of.blank,
        'untrained': _ranges(of.untrained),
      }
  record = {'format_version': 1, 'fields': found}
  writers.write_sealed(run.path / FILE, record)


def _ranges(ids: np.ndarray) -> list[list[int]]:
  """Rising whole numbers as ranges [first, end).

  >>> _ranges(np.array([3, 4, 5, 9]))
  [[3, 6], [9, 10]]
  """
  runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
  return [[int(run[0]), int(run[-1]) + 1] for run in runs if len(run)]


def _log_rows_sql(manifest: manifest_lib.Manifest) -> str:
  """SQL of how many rows of the log a row represents; '': one each."""
  sampling = manifest_lib.sampling(manifest.tasks)
  if sampling is None:
    return ''
  task = manifest.tasks[sampling.task]
  negative = f'{sql.quote(f"y_{task.name}")} = 0'
  if task.weighted:
    negative += f' AND {sql.quote(f"w_{task.name}")} > 0'
  kept = sql.float_literal(1.0 / sampling.rate)
  return f'CASE WHEN {negative} THEN {kept} ELSE 1 END'


def _factors(
  connection: Any, rows: Mapping[str, str], weight: str
) -> dict[str, float]:
  """Ratio of effective rows to rows of the log, by split."""
  if not weight:
    return {}
  query = f'SELECT sum({weight}) / sum(({weight}) * ({weight})) FROM'
  return {
    n: sql.fetch_row(connection, f'{query} {r}')[0] for n, r in rows.items()
  }


def of_run(run: workdir.Run, stage: str) -> Record:
  """The reference of one model of a run: `fields` and `tasks` (see `read`).

  Raises:
    types.InputError: a file is missing or lacks an entry.
  """
  fields = writers.read_sealed(run.path / FILE, 'rmtl train writes it')
  path = run.path / 'metrics.json'
  metrics = json_files.read(path, 'rmtl train writes it')
  with json_files.parsing(f'{path}'):
    tasks = {
      task: {
        **metrics['predicted'][stage][task],
        'metrics': {
          name: value
          for name, value in metrics['stages'][stage][task].items()
          if name in _METRICS
        },
      }
      for task in run.manifest.task_names
    }
  record = {'fields': fields['fields'], 'tasks': tasks}
  return checked(record, run.manifest, f'{path.parent}')


def read(path: pathlib.Path, manifest: manifest_lib.Manifest) -> Record:
  """Reads the reference of an export.

  Args:
    path: OUT/reference.json.
    manifest: of the data that the model was trained on.

  Returns:
    `fields`: {name: `groups` (rows of the vocabulary, or edges of a number),
    `counts` and `blank` by split, `untrained` (drift.Groups, as ranges
    [first, end))}; `tasks`: {name: `edges`, `counts`, `metrics` of the
    test rows}.

  Raises:
    types.InputError: not there, or not of these fields and tasks.
  """
  found = json_files.read(path, 'export the run again')
  return checked(found, manifest, str(path))


def checked(
  record: Record, manifest: manifest_lib.Manifest, where: str
) -> Record:
  """Refuses a record of other fields, groups or tasks; returns it.

  Raises:
    types.InputError: names what is wrong.
  """
  with json_files.parsing(where):
    for field in manifest.fields:
      of = record['fields'][field.name]
      groups = {len(of['groups']) + 1, *map(len, of['counts'].values())}
      if len(groups) > 1 or max(groups) > _MOST_GROUPS:
        raise ValueError(f'fields: {field.name!r}: groups without counts')
    for task in manifest.task_names:
      of = record['tasks'][task]
      if len(of['counts']) != len(of['edges']) + 1:
        raise ValueError(f'tasks: {task!r}: edges without counts')
  return record
