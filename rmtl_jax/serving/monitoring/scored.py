"""Reads a scored log: inputs as the model sees them, predictions and labels.

The log is what `rmtl predict` wrote: raw rows with a column p_<task> per task,
and labels where they have come. It is read chunk by chunk; what stays is a byte
per row and field, the predictions and the labels.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, sql, value_checks
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings
from rmtl_jax.results import reference as reference_lib
from rmtl_jax.serving import encoder as encoder_lib
from rmtl_jax.serving import (
  log_columns,
  past_log,
  predict_file,
  raw_fields,
  raw_rows,
)
from rmtl_jax.serving.monitoring import model as model_lib

_CHUNK_ROWS = 65_536


@dataclasses.dataclass(frozen=True)
class Field:
  """A field's live values.

  Attributes:
    group: u8[V], the group of each (drift.Groups).
    row: i64[V], its row.
    blank: bool[V], whether it has no row of its own in the vocabulary, or no
      train row has it (drift.Groups); of a number whether it is missing.
    missing: rows in which the raw column has no value.
  """

  group: np.ndarray
  row: np.ndarray
  blank: np.ndarray
  missing: int


@dataclasses.dataclass(frozen=True)
class Scored:
  """A scored log of R rows.

  Attributes:
    rows: R.
    fields: by name, in the manifest's order; those that the model reads and
      the log has.
    absent: as-of features that the log does not have.
    predictions: f64[R] by task.
    labels: f64[R] by task, NaN where not observed; only of tasks of which the
      log has a column of labels.
    weights: f64[R] by task, how much a label counts in metrics; only of tasks
      with labels whose columns of weights the log has.
    cluster: i64[R], codes from 0 of the rows' user, or of their session; None
      without either.
  """

  rows: int
  fields: dict[str, Field]
  absent: tuple[str, ...]
  predictions: dict[str, np.ndarray]
  labels: dict[str, np.ndarray]
  weights: dict[str, np.ndarray]
  cluster: np.ndarray | None


def read(model: model_lib.Model, log: str) -> Scored:
  """Reads a scored log.

  Args:
    log: a Parquet or CSV file, or a directory of such.

  Raises:
    types.InputError: no such file, no rows, a column that is missing, or a
      value that its field, prediction or label can't have; names it.
  """
  with raw_rows.open_log(log, raw_rows.log_delimiter(model.manifest)) as parts:
    reader: _Reader | None = None
    for part in parts:
      if reader is None:
        reader = _Reader(model, part.schema)
      reader.check(part)
      for chunk in part.chunks(_CHUNK_ROWS):
        reader.add(chunk)
  if reader is None or not reader.rows:
    raise types.InputError(f'{log}: has no rows')
  return reader.scored()


class _Reader:
  """Collects the compared statistics, chunk by chunk."""

  def __init__(self, model: model_lib.Model, schema: pa.Schema):
    manifest = model.manifest
    absent = [
      f.name
      for f in manifest.fields
      if 'as_of' in f.details
      and f.name not in model.ignored
      and f.name not in schema.names
    ]
    self.rows = 0
    self._absent = tuple(absent)
    self._encoder = encoder_lib.Encoder(
      model.path, manifest, {*model.ignored, *absent}
    )
    self._manifest = manifest
    self._log_schema = log_columns.make_log_schema(manifest)
    self._tasks = _tasks(manifest, self._log_schema)
    self._makers = {
      field.name: _Grouping(field, model.reference['fields'][field.name])
      for field in self._encoder.read
    }
    self._missing = dict.fromkeys(self._makers, 0)
    self._parts: dict[str, list[Any]] = {}
    self._has_keys = bool(self._log_schema.keys(schema))
    self._labels = {
      task.name: column
      for task, column in self._tasks
      if column in schema.names
    }
    self._weights = {
      task.name: task.weights
      for task, _ in self._tasks
      if task.name in self._labels
      and task.weights
      and {*task.weights} <= {*schema.names}
    }
    self._connection = sql.connect()

  def check(self, part: raw_rows.Rows) -> None:
    """Refuses a file without the columns of the first one."""
    self._encoder.check(part.schema, part.path)
    wanted = [predict_file.PREFIX + name for name in self._manifest.task_names]
    for name in wanted:
      if name not in part.schema.names:
        raise types.InputError(
          f'{part.path}: no column {name!r}, which rmtl predict writes'
        )
    raw.check_columns(
      pathlib.Path(part.path),
      part.schema.names,
      [
        *wanted,
        *self._labels.values(),
        *(c for columns in self._weights.values() for c in columns),
      ],
    )

  def add(self, chunk: raw_rows.Chunk) -> None:
    """Reads the rows of a chunk."""
    inputs = self._encoder.encode(chunk)
    for name, values in _by_field(self._manifest, inputs).items():
      if name in self._makers:
        group, row, blank = self._makers[name].of(values)
        self._keep('group/' + name, group)
        self._keep('row/' + name, row + self.rows)
        self._keep('blank/' + name, blank)
    self._read_raw(chunk)
    self.rows += chunk.table.num_rows

  def scored(self) -> Scored:
    """Everything that was read."""
    whole = {name: np.concatenate(parts) for name, parts in self._parts.items()}
    cluster = None
    if self._has_keys:
      _, cluster = np.unique(whole['key'], return_inverse=True)
    fields = {}
    for name in self._makers:
      group, row = whole['group/' + name], whole['row/' + name]
      blank, missing = whole['blank/' + name], self._missing[name]
      fields[name] = Field(group, row, blank, missing)
    labels = {name: whole['y_' + name] for name in self._labels}
    timed = [t for t, _ in self._tasks if t.timed and t.name in labels]
    for task in reversed(timed):
      # An event makes what it implies positive too.
      if task.after in {one.name for one in timed}:
        found = labels[task.after], labels[task.name]
        labels[task.after] = np.maximum(*found)
    for task in self._manifest.tasks:
      # Judged on the positives of its parent, as in training.
      if task.only_after and task.name in labels:
        parent = labels.get(task.after or '')
        if parent is None:
          del labels[task.name]
        else:
          own = labels[task.name]
          labels[task.name] = np.where(parent > 0.5, own, np.nan)
    return Scored(
      self.rows,
      fields,
      self._absent,
      {name: whole['p_' + name] for name in self._manifest.task_names},
      labels,
      {name: whole['w_' + name] for name in self._weights},
      cluster,
    )

  def _keep(self, name: str, values: np.ndarray) -> None:
    self._parts.setdefault(name, []).append(values)

  def _read_raw(self, chunk: raw_rows.Chunk) -> None:
    """Missing values, keys, predictions and labels, by SQL."""
    table = raw_fields.to_duckdb_types(chunk.table.combine_chunks(), chunk.path)
    schema = table.schema
    columns, faulty = [], []
    for i, task in enumerate(self._manifest.tasks):
      name = predict_file.PREFIX + task.name
      written = sql.quote(name)
      columns.append(f'TRY_CAST({written} AS DOUBLE) AS p{i}')
      fault, expected = f'p{i} IS NULL OR NOT isfinite(p{i})', 'a number'
      if task.kind == kinds.BINARY:
        fault += f' OR p{i} < 0 OR p{i} > 1'
        expected = 'a probability'
      faulty.append((name, fault, expected))
    for i, (task, name) in enumerate(self._tasks):
      if task.name in self._labels:
        given, value = self._label(task, name, schema)
        columns += [f'{value} AS y{i}', f'{given} AS given_y{i}']
        fault = f'y{i} IS NULL AND given_y{i} IS NOT NULL'
        if task.kind == kinds.BINARY:
          fault += f' OR y{i} NOT IN (0, 1)'
        faulty.append((name, fault, f'{task.expected}, or nothing'))
      # A row without a label may have no weight yet.
      for j, weight in enumerate(self._weights.get(task.name, ())):
        columns.append(f'{self._weight(weight, schema)} AS w{i}_{j}')
        _, fault, expected = value_checks.weight_fault(weight, f'w{i}_{j}')
        faulty.append((weight, f'y{i} IS NOT NULL AND ({fault})', expected))
    for i, field in enumerate(self._encoder.fields):
      columns.append(f'{self._is_missing(field, schema)} AS m{i}')
    columns.append(f'{self._key(schema)} AS key')
    query = (
      f'SELECT {", ".join(columns)}, row_number() OVER () - 1 AS position'
      ' FROM chunk'
    )
    self._connection.register('chunk', table)
    try:
      with sql.name_errors(chunk.path, 'not usable'):
        raw_fields.check_faults(self._connection, chunk, query, faulty)
        found = self._connection.execute(query).fetchnumpy()
    finally:
      self._connection.unregister('chunk')
    for i, task in enumerate(self._manifest.task_names):
      self._keep('p_' + task, np.ma.getdata(found[f'p{i}']))
    for i, (task, _) in enumerate(self._tasks):
      if task.name in self._labels:
        values = np.ma.filled(found[f'y{i}'].astype(np.float64), np.nan)
        self._keep('y_' + task.name, values)
      if task.name in self._weights:
        factors = [
          np.ma.filled(found[f'w{i}_{j}'], 0.0)
          for j in range(len(task.weights))
        ]
        self._keep('w_' + task.name, np.prod(factors, axis=0))
    for i, field in enumerate(self._encoder.read):
      self._missing[field.name] += int(np.sum(found[f'm{i}']))
    self._keep('key', np.ma.getdata(found['key']))

  def _label(
    self, task: source.SourceTask, column: str, schema: pa.Schema
  ) -> tuple[str, str]:
    """SQL of the value in a column of labels, and of the label."""
    kind = schema.field(column).type
    reading = log_columns.label_reading(self._log_schema, task)
    given = reading.given(sql.quote(column), kind)
    value = reading.value(given, kind)
    if task.timed:  # no time: no such event so far
      value = (
        f'CASE WHEN {given} IS NULL THEN 0.0 WHEN {value} IS NOT NULL THEN 1.0'
        ' END'
      )
    return given, value

  def _weight(self, column: str, schema: pa.Schema) -> str:
    """SQL of a column of weights."""
    reading = readings.of_number(column, readings.Missing())
    return reading.sql(sql.quote(column), schema.field(column).type)

  def _is_missing(self, field: source.SourceField, schema: pa.Schema) -> str:
    """SQL of whether a raw column has no value."""
    kind, value = schema.field(field.column).type, sql.quote(field.column)
    if pa.types.is_nested(kind):
      return f'coalesce(len({value}), 0) = 0'
    missing = self._encoder.missing_in(field.column)
    return f'({readings.given(value, kind, missing)}) IS NULL'

  def _key(self, schema: pa.Schema) -> str:
    """SQL of a number that rows of one user or session share.

    A user's rows depend on each other in all of their sessions; rows without a
    user are as their session, and without both alone.
    """
    keys = self._log_schema.keys(schema)
    texts = [
      past_log.key_text(
        self._log_schema, schema, keys[role], sql.quote(keys[role])
      )
      for role in ('user', 'session')
      if role in keys
    ]
    alone = f"'row ' || (row_number() OVER () + {self.rows})"
    return f'hash(coalesce({", ".join([*texts, alone])}))'


class _Grouping:
  """Finds the groups of a field's values."""

  def __init__(self, field: manifest_lib.Field, of: Mapping[str, Any]):
    self._field, self._groups = field, of['groups']
    if field.kind != 'numeric':
      # The last group has what is not listed.
      size = max(field.size, 1)
      self._of_id = np.full(size, len(self._groups), np.uint8)
      self._of_id[self._groups] = np.arange(len(self._groups))
      self._is_blank = np.arange(size) == 0
      for first, end in of['untrained']:
        self._of_id[first:end] = 0
        self._is_blank[first:end] = True

  def of(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Group, row and blankness of each value; values [R] or [R, width]."""
    if self._field.kind == 'numeric':
      group = reference_lib.place(values, self._groups).astype(np.uint8)
      is_blank = (values == 0.0) | np.isnan(values)
      return group, np.arange(len(values)), is_blank
    if self._field.kind == 'multi_valued':
      row, slot = np.nonzero(values >= 0)
      values = values[row, slot]
    else:
      row = np.arange(len(values))
    return self._of_id[values], row, self._is_blank[values]


def _by_field(
  manifest: manifest_lib.Manifest, inputs: types.Inputs
) -> dict[str, np.ndarray]:
  """Encoded values by field, [R], of a multi-valued one [R, width]."""
  found = {}
  for i, field in enumerate(manifest.of_kind('categorical')):
    found[field.name] = np.asarray(inputs.categorical)[:, i]
  for i, field in enumerate(manifest.of_kind('numeric')):
    found[field.name] = np.asarray(inputs.numeric)[:, i]
  first = 0
  for field in manifest.of_kind('multi_valued'):
    slots = slice(first, first + field.width)
    found[field.name] = np.asarray(inputs.multi_valued)[:, slots]
    first += field.width
  return found


def _tasks(
  manifest: manifest_lib.Manifest, log_schema: log_columns.LogSchema
) -> Sequence[tuple[source.SourceTask, str]]:
  """Tasks of every kind and the raw columns of their labels."""
  binary = dict(
    zip((t.name for t in log_schema.tasks), log_schema.labels, strict=True)
  )
  schema = schema_lib.schema_of_manifest(manifest)
  if schema is not None:
    known = {task.name: task for task in schema.tasks}
  else:
    known = {task.name: task for task in log_schema.tasks}
    for task in manifest.tasks:
      known.setdefault(
        task.name,
        source.SourceTask(
          task.name, task.after, task.name, kind=task.kind, loss=task.loss
        ),
      )
  return [
    (known[name], binary.get(name, known[name].column or name))
    for name in manifest.task_names
    if name in known
  ]
