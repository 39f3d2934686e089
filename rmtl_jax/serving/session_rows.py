"""Scores rows in the order of sessions, for models that encode the session.

Encoded rows are stored in DuckDB, read back session by session together with
the history, scored, and their probabilities are stored until the output reads
them in the order of the raw rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.serving import raw_rows, row_past


def infer(
  past: row_past.Past,
  encoded: Iterable[tuple[raw_rows.Chunk, types.Inputs]],
  model: Callable[[types.Inputs, np.ndarray], np.ndarray],
  chunk_rows: int,
  lane_length: int,
) -> Callable[[int], np.ndarray]:
  """Probabilities of raw rows, by a model that reads the session so far.

  Args:
    encoded: the raw rows in their order, with their inputs.
    model: `Scorer.infer`.
    chunk_rows: most rows of a call of the model.
    lane_length: most rows of a session, or of a piece of one.

  Returns:
    take(n) -> the probabilities of the next n raw rows, f32[n, K].
  """
  writer = past.connection.cursor()
  inputs, found = sql.unique_name('inputs'), sql.unique_name('found')
  writer.execute(
    f'CREATE TABLE {inputs} (row_id BIGINT, c INTEGER[], m INTEGER[],'
    ' x FLOAT[])'
  )
  # Raw rows come in the file's order; sessions may lie anywhere in it. So all
  # inputs wait in DuckDB, which spills them, until a join orders them.
  first = past.first
  for _, part in encoded:
    row_id = np.arange(first, first + len(part.categorical))
    lists = {'c': part.categorical, 'm': part.multi_valued, 'x': part.numeric}
    _insert(writer, inputs, row_id, **lists)
    first += len(row_id)
  writer.execute(f'CREATE TABLE {found} (row_id BIGINT, p FLOAT[])')
  for table, starts in _whole_pieces(
    past.sessions(inputs), chunk_rows, lane_length
  ):
    # Pieces of the history alone would be computed and thrown away.
    table, starts = _with_own_rows(table, starts)
    own = table['c'].is_valid().to_numpy()
    values = model(_inputs(table, past.manifest), starts)
    _insert(writer, found, table['row_id'].to_numpy()[own], p=values[own])
  # Back to the order of the raw rows, which the output keeps.
  query = f'SELECT p FROM {found} ORDER BY row_id'
  ordered = raw_rows.RowReader(writer.sql(query).to_arrow_reader(chunk_rows))
  tasks = len(past.manifest.tasks)
  return lambda count: _matrix(ordered.take(count)['p'], tasks, np.float32)


def _inputs(table: pa.Table, manifest: manifest_lib.Manifest) -> types.Inputs:
  """Inputs of sessions' rows; rows of the history have their item alone."""
  own = table['c'].is_valid().to_numpy()
  spec, found = manifest.feature_spec(), {}
  for name, (width, dtype) in zip('cmx', spec.input_widths, strict=True):
    found[name] = np.zeros((table.num_rows, width), dtype)
    found[name][own] = _matrix(table[name].drop_null(), width, dtype)
  # Encoders of the session read nothing else of earlier rows.
  found['c'][~own, spec.item] = table['item'].to_numpy()[~own]
  time = np.cumsum(table['begins_time'].to_numpy()).astype(np.int32)
  return types.Inputs(found['c'], found['m'], found['x'], time=time)


def _insert(
  writer: sql.Connection,
  table: str,
  row_id: np.ndarray,
  **columns: Any,
) -> None:
  """Inserts rows with columns of fixed-length lists, [R, n] each."""
  arrays: dict[str, Any] = {'row_id': row_id}
  for name, values in columns.items():
    flat = np.ascontiguousarray(values)
    offsets = np.arange(len(flat) + 1, dtype=np.int64) * flat.shape[1]
    arrays[name] = pa.LargeListArray.from_arrays(
      pa.array(offsets), pa.array(flat.reshape(-1))
    )
  sql.insert(writer, table, pa.table(arrays))


def _matrix(column: pa.ChunkedArray, width: int, dtype: Any) -> np.ndarray:
  """Fixed-length lists as an array, [R, width]."""
  parts = [chunk.flatten().to_numpy() for chunk in column.chunks]
  flat = np.concatenate(parts) if parts else np.zeros(0)
  return flat.astype(dtype).reshape(len(column), width)


def _whole_pieces(
  tables: Iterable[pa.Table], size: int, length: int
) -> Iterator[tuple[pa.Table, np.ndarray]]:
  """Regroups tables into whole pieces of sessions, up to `size` rows each.

  Args:
    tables: rows in order, with columns `session` and `begins_time`.
    size: most rows of a group.
    length: most rows of a piece, at most `size`; cut as in training.

  Yields:
    (rows, i64[pieces + 1]).
  """
  rest: pa.Table | None = None
  for table in tables:
    held = table if rest is None else pa.concat_tables([rest, table])
    while held.num_rows > size:
      starts = _starts(held, length)
      # The last piece may go on in the next table, so it waits for that.
      end = int(starts[starts <= size][-1])
      yield held.slice(0, end), starts[starts <= end]
      held = held.slice(end)
    rest = held
  if rest is not None and rest.num_rows:
    yield rest, _starts(rest, length)


def _with_own_rows(
  table: pa.Table, starts: np.ndarray
) -> tuple[pa.Table, np.ndarray]:
  """Keeps the pieces that have rows to predict for."""
  own = table['c'].is_valid().to_numpy()
  kept, length = np.logical_or.reduceat(own, starts[:-1]), np.diff(starts)
  rows = table.filter(pa.array(np.repeat(kept, length)))
  return rows, np.cumsum([0, *length[kept]])


def _starts(table: pa.Table, length: int) -> np.ndarray:
  """First rows of the pieces of sessions, then the number of rows."""
  session = table['session'].to_numpy()
  begins_time = table['begins_time'].to_numpy()
  changes = np.flatnonzero(np.diff(session)) + 1
  starts = np.concatenate([[0], changes, [len(session)]])
  # The first session may continue one that was cut, so its first row may lie
  # within a time; find_session_cuts takes that, find_cuts does not.
  end = starts[1]
  first = batches.find_session_cuts(begins_time[:end], length)
  others = batches.find_cuts(starts[1:], length, lambda rows: begins_time[rows])
  return np.sort(np.concatenate([starts, first, others]))
