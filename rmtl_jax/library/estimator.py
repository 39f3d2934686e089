"""The scikit-learn estimator API; scikit-learn need not be installed."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import tables
from rmtl_jax.evaluation import regression
from rmtl_jax.preparation import sql
from rmtl_jax.serving import log_columns, past_log, raw_rows, row_past


class NotFittedError(ValueError, AttributeError):
  """An estimator that is used before it is fitted."""


def tags() -> Any:
  """The estimator's tags: a frame in, labels of several tasks, by position."""
  from sklearn import utils

  return utils.Tags(
    estimator_type=None,
    target_tags=utils.TargetTags(
      required=False, multi_output=True, single_output=True
    ),
    input_tags=utils.InputTags(
      two_d_array=False, string=True, categorical=True, allow_nan=True
    ),
  )


def join(
  found: pa.Table, y: Any, columns: Sequence[str]
) -> tuple[pa.Table, list[str]]:
  """Rows with their labels as further columns, and the names of these.

  Args:
    found: R rows.
    y: their labels by position: a frame, a table or a dict of columns; a named
      series; or an array of [R] or [R, K], a column per name in `columns`.
    columns: names for what has none.

  Raises:
    types.InputError: other rows, or a column that is in both.
  """
  labels = _columns(y, columns)
  both = [name for name in labels.column_names if name in found.column_names]
  if both:
    raise types.InputError(f'y: column {both[0]!r:.80} is in X too')
  if len(labels) != len(found):
    raise types.InputError(f'y: has {len(labels)} rows, X has {len(found)}')
  for name, values in zip(labels.column_names, labels.columns, strict=True):
    found = found.append_column(name, values)
  return found, labels.column_names


def _columns(y: Any, names: Sequence[str]) -> pa.Table:
  named = hasattr(y, 'columns') or hasattr(y, '__arrow_c_stream__')
  if hasattr(y, 'to_frame') and not hasattr(y, 'columns'):  # a series
    return tables.to_arrow({y.name or (*names, 'label')[0]: list(y)}, 'y')
  if named or isinstance(y, Mapping):
    found = tables.to_arrow(y, 'y')
    index = [n for n in tables.index_of(y) if n in found.column_names]
    return found.drop_columns(index)
  values = np.asarray(y)
  values = values[:, None] if values.ndim == 1 else values
  names = names or ('label',)
  if values.ndim != 2 or values.shape[1] != len(names):
    raise types.InputError(
      f'y: has shape {values.shape}, expected a column for each of'
      f' {", ".join(names)}; a frame names its own'
    )
  return tables.to_arrow(dict(zip(names, values.T.tolist(), strict=True)), 'y')


def read_labels(
  manifest: manifest_lib.Manifest, table: pa.Table
) -> dict[str, np.ndarray]:
  """Labels of raw rows as training reads them, {task: f64[R]}; NaN: none.

  Raises:
    types.InputError: a column that is missing, or no label in it.
  """
  schema = log_columns.make_log_schema(manifest)
  past_log.check(schema, table.schema, 'table', needs_labels=True)
  chunk = raw_rows.Chunk(table, 'table', range(1, len(table) + 1))
  columns = [
    f't_{t.name} IS NOT NULL' if t.timed else sql.quote(f'y_{t.name}')
    for t in schema.tasks
  ]
  with row_past.scratch_database() as (connection, _):
    past_log.create_table(connection, schema)
    past_log.append_rows(connection, schema, chunk, 0, scored=False)
    found = connection.execute(
      f'SELECT {", ".join(columns)} FROM {past_log.TABLE} ORDER BY row_id'
    ).fetchall()
  if len(found) != len(table):
    raise types.InputError('score: rows of a log of events have no labels')
  values = np.array(found, np.float64).reshape(len(found), len(columns))
  return {task.name: values[:, k] for k, task in enumerate(schema.tasks)}


def score(
  labels: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray]
) -> float:
  """The mean over tasks of AUC, or of XAUC for numbers; NaN: undefined."""
  found = []
  for task, values in labels.items():
    seen = ~np.isnan(values)
    if np.ptp(values[seen]) if seen.any() else 0.0:
      found.append(regression.xauc(values[seen], predicted[task][seen]))
  return float(np.mean(found)) if found else float('nan')


def to_bytes(save: Any) -> dict[str, bytes]:
  """The files that `save(path)` writes, by their relative names."""
  with tempfile.TemporaryDirectory(prefix='rmtl-') as directory:
    place = pathlib.Path(directory, 'saved')
    save(place)
    return {
      str(path.relative_to(place)): path.read_bytes()
      for path in sorted(place.rglob('*'))
      if path.is_file()
    }


def from_bytes(files: Mapping[str, bytes], place: pathlib.Path) -> None:
  """Writes the files of `to_bytes` to a directory."""
  for name, content in files.items():
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
