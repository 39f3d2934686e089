"""Keys, times and labels of raw rows, read as `rmtl predict --history` does."""

from __future__ import annotations

import dataclasses
import decimal
import json
import math
import pathlib
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet
from rmtl_jax.preparation import label_sql as labels_sql
from rmtl_jax.preparation import source, sql, value_checks
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.sources import table_events
from rmtl_jax.server.state import row_types
from rmtl_jax.serving import (
  log_columns,
  lookup,
  past_log,
  raw_rows,
  row_past,
  vocabulary_lookup,
)

# Rows that DuckDB reads at a time.
_CHUNK = 4096
# Of Arrow's units.
_NANOSECONDS = {'s': 10**9, 'ms': 10**6, 'us': 10**3}
# Numbers as programs write them; 007 is a code and not a number.
_WHOLE = re.compile(r'-?(0|[1-9][0-9]{0,30})')
_WRITTEN = re.compile(
  _WHOLE.pattern + r'(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?'
)
_TRUTH = {'true': True, 'false': False}


class Reader:
  """Reads raw rows of one model's log; threads may share it."""

  def __init__(self, manifest: manifest_lib.Manifest):
    """Makes a database for rows that are being read."""
    self.schema = log_columns.make_log_schema(manifest)
    self._outcomes = log_columns.outcome_columns(manifest)
    events = self.schema.events
    codes = table_events.codes(events).impressions if events else ()
    self._impressions = frozenset(codes)
    self._has_plain_labels = (
      events is None
      and all(map(_is_plain, self.schema.tasks))
      and not any(self.schema.missing_in(n).values for n in self.schema.labels)
    )
    self._lock = threading.Lock()
    self._connection = sql.connect(threads=1)
    past_log.create_table(self._connection, self.schema)
    # Times of labels end with their row's split, which only the state knows.
    self._labels = labels_sql.label_and_time_columns(
      self.schema.tasks, (None, None), '2', 'r.labelled'
    )

  def read(
    self, table: raw_rows.Rows, needs: row_past.Needs, scored: bool
  ) -> Iterator[row_types.Row | None]:
    """Reads rows.

    Args:
      scored: whether these are rows to predict for, without labels.

    Yields:
      The rows in their order; None for an event of a kind that means nothing.

    Raises:
      types.InputError: a column or a value that can't be used; names column
        and row.
    """
    of_events = not scored and self.schema.event_column(table.schema)
    past_log.check(
      self.schema,
      table.schema,
      table.path,
      needs_user=needs.users,
      needs_item=needs.user_history,
      needs_labels=not scored,
      # A later model may read what this one ignores; of events it reads
      # impressions.
      needs_tastes=not of_events and (needs.tastes or not scored),
    )
    for chunk in table.chunks(_CHUNK):
      plain = self._keys if scored else self._labelled
      rows: Sequence[row_types.Row | None] | None = plain(chunk.table)
      if rows is None:
        rows = self._queried(chunk, scored)
      if scored:
        yield from rows
        continue
      identities = self._identities(chunk.table)
      for row, identity in zip(rows, identities, strict=True):
        yield row and row._replace(identity=identity)

  def _queried(
    self, chunk: raw_rows.Chunk, scored: bool
  ) -> list[row_types.Row | None]:
    """Rows of any values, by a query; None as for `read`."""
    found = self._select(chunk, scored)
    columns = found.to_pydict()
    if self._impressions.intersection(columns.get('event', ())):
      raw.check_columns(
        pathlib.Path(chunk.path),
        chunk.table.column_names,
        list(self.schema.tastes.values()),
      )
    tastes = [f'v_{i}' for i in range(len(self.schema.tastes))]
    texts = []
    for name in ('session', 'user', 'item', *tastes):
      values = found[name].combine_chunks()
      if pa.types.is_nested(values.type):
        texts.append(_different(values.to_pylist()))
      else:
        texts.append(vocabulary_lookup.whole(values).to_pylist())
    read = _rows(texts, columns['timestamp'])
    if scored:
      return [*read]
    rows: list[row_types.Row | None] = [None] * chunk.table.num_rows
    for n, number in enumerate(columns['row_id']):
      labels = tuple(
        (columns[f'y_{i}'][n], columns[f't_{i}'][n])
        for i in range(len(self.schema.tasks))
      )
      rows[number] = read[n]._replace(labels=labels, event=columns['event'][n])
    return rows

  def _labelled(self, table: pa.Table) -> list[row_types.Row] | None:
    """As `_keys`, with plain labels."""
    of = self.schema
    if not self._has_plain_labels:
      return None
    given = [_plain_labels(table[name]) for name in of.labels]
    keys = None if None in given else self._keys(table)
    if keys is None:
      return None
    names = [task.name for task in of.tasks]
    parents = [names.index(t.after) if t.after else -1 for t in of.tasks]
    found = []
    for row, *labels in zip(keys, *given, strict=True):
      implied = zip(labels, parents, strict=True)
      if any(y and at >= 0 and labels[at] == 0 for y, at in implied):
        return None
      # A row has all labels or none.
      known = labels if None not in labels else [None] * len(labels)
      delays = [task.known_after_ms for task in of.tasks]
      when = [None if ms is None else row.time + ms for ms in delays]
      found.append(row._replace(labels=tuple(zip(known, when, strict=True))))
    return found

  def _keys(self, table: pa.Table) -> list[row_types.Row] | None:
    """Keys and times of plain values, without a query.

    Args:
      table: rows whose columns have passed `past_log.check`.

    Returns:
      As the query returns them; None if only the query can read them.
    """
    of = self.schema
    present = of.keys(table.schema)
    names = (present.get('session'), present.get('user'), of.item)
    fields = [None] * len(names) + [of.lists.get(name) for name in of.tastes]
    names = (*names, *of.tastes.values())
    texts: list[list[Any]] = []
    assert of.time is not None
    first, last = value_checks.time_range(of.any_dates)
    try:
      found = lookup.milliseconds(table[of.time].combine_chunks(), of.clock)
      times = [ms for ms in found if ms is not None and first <= ms <= last]
      if of.missing_in(of.time).values or len(times) < len(found):
        return None
      for name, field in zip(names, fields, strict=True):
        if name is None or name not in table.column_names:
          texts.append([None] * table.num_rows)
          continue
        column = table[name].combine_chunks()
        missing = of.missing_in(name)
        if field is not None:
          separator = str(field.details.get('separator', ','))
          values = lookup.list_texts(column, separator, missing)
          texts.append(_different(values))
          continue
        if pa.types.is_floating(column.type):
          return None
        values = [text or None for text in lookup.texts(column, missing)]
        texts.append(_whole(values))
    except lookup.Undecided:
      return None
    if any(s is None and u is None for s, u in zip(*texts[:2], strict=True)):
      return None
    return _rows(texts, times)

  def _select(self, chunk: raw_rows.Chunk, scored: bool) -> pa.Table:
    item = sql.quote(past_log.item_column(self.schema))
    columns = f'session, "user", {item} AS item, timestamp'
    for i, name in enumerate(past_log.taste_columns(self.schema).values()):
      columns += f', {sql.quote(name)} AS v_{i}'
    if not scored:
      event = 'NULL::TINYINT' if self.schema.events is None else 'r.event'
      columns = ', '.join(
        [columns, 'row_id', f'{event} AS event', *self._labels]
      )
    with self._lock:
      self._connection.begin()
      try:
        past_log.append_rows(
          self._connection, self.schema, self._of_log(chunk), 0, scored
        )
        return self._connection.sql(
          f'SELECT {columns} FROM {past_log.TABLE} r ORDER BY row_id'
        ).to_arrow_table()
      finally:
        self._connection.rollback()

  def _of_log(self, chunk: raw_rows.Chunk) -> raw_rows.Chunk:
    """The columns that are read; DuckDB may not support other types."""
    of, table = self.schema, chunk.table
    wanted = {of.time, of.session, of.user, of.item, *of.labels}
    wanted |= {*of.tastes.values()}
    wanted.add(of.event_column(table.schema))
    names = [name for name in table.column_names if name in wanted]
    return dataclasses.replace(chunk, table=table.select(names))

  def _identities(self, table: pa.Table) -> Iterator[int]:
    """Identities of rows, independent of their labels."""
    names = sorted({*table.column_names} - self._outcomes - {''})
    columns = [_comparable(table[name]) for name in names]
    for values in zip(*columns, strict=True):
      given: list[Any] = [[n, v] for n, v in zip(names, values, strict=True)]
      text = json.dumps(
        [one for one in given if one[1] is not None], default=str
      )
      yield row_types.hashed(text)


def _rows(
  texts: Sequence[Sequence[Any]], times: Sequence[int]
) -> list[row_types.Row]:
  """Rows of sessions, users, items and further values, and of times."""
  return [
    row_types.Row(session, user, item, time, values=tuple(values))
    for session, user, item, *values, time in zip(*texts, times, strict=True)
  ]


def _is_plain(task: source.SourceTask) -> bool:
  """Whether a task's labels are 0 and 1 in every row that has labels."""
  special = task.timed or task.is_ranked or task.is_told or task.may_lack_label
  return not special and task.clock is None


def _plain_labels(column: pa.ChunkedArray) -> list[int | None] | None:
  """Labels that are whole numbers; None if there are others."""
  if pa.types.is_boolean(column.type):
    column = column.cast(pa.int8())
  if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
    return None
  found = column.to_pylist()
  return found if {*found} <= {0, 1, None} else None


def _comparable(column: pa.ChunkedArray) -> list[Any]:
  """Values that are equal however a request wrote them: 3.0 is 3, NaN nothing.

  A column's type is that of all rows of its request, or of its file. Times are
  whole numbers of ns, whatever their unit.
  """
  kind = column.type
  is_time = pa.types.is_temporal(kind) and not pa.types.is_interval(kind)
  if is_time:  # Python has no ns
    whole = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    scale = _NANOSECONDS.get(getattr(kind, 'unit', ''), 1)
    return [None if n is None else n * scale for n in whole.to_pylist()]
  values = column.to_pylist()
  if parquet.is_text(kind):
    return [_of_text(text) for text in values]
  is_exact = pa.types.is_integer(kind)
  return values if is_exact else [_compared(value) for value in values]


def _of_text(text: str | None) -> Any:
  """The value of a text: all values of CSV are text, a history's too."""
  if not text or text.lower() == 'nan':
    return None
  if _WHOLE.fullmatch(text):
    return int(text)
  if _WRITTEN.fullmatch(text):
    return _compared(float(text))
  return _TRUTH.get(text.lower(), text)


def _compared(value: Any) -> Any:
  if isinstance(value, decimal.Decimal):
    is_whole = value == value.to_integral_value()
    return int(value) if is_whole else float(value)
  if isinstance(value, float):
    if math.isnan(value):
      return None
    return int(value) if value.is_integer() else value
  return list(map(_compared, value)) if isinstance(value, list) else value


def _whole(texts: list[str | None]) -> list[str | None]:
  """As `vocabulary.whole`."""
  if not any(text and '.' in text for text in texts):
    return texts
  return vocabulary_lookup.whole(pa.array(texts, pa.string())).to_pylist()


def _different(lists: list[list[str] | None]) -> list[row_types.Value]:
  """Lists as a state has them, whole numbers in one spelling."""
  return [row_types.different(_whole([*(values or ())])) for values in lists]
