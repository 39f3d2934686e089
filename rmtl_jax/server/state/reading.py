"""Keys, times and labels of raw rows, read as `rmtl predict --history` does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import labels as labels_sql
from rmtl_jax.preparation import sql
from rmtl_jax.server.state import labels as labels_lib
from rmtl_jax.serving import log, log_columns, past, rows
from rmtl_jax.serving import vocabulary as vocabulary_lib

# Rows that DuckDB reads at a time.
_CHUNK = 4096


class Row(NamedTuple):
  """What the state knows of a raw row.

  Attributes:
    session: its id, or None.
    user: or None.
    item: or None.
    time: ms.
    labels: what came of it; of rows to predict for ().
    identity: equal for rows that are equal but for labels.
  """

  session: str | None
  user: str | None
  item: str | None
  time: int
  labels: labels_lib.Labels = ()
  identity: bytes = b''

  @property
  def owner(self) -> str:
    """Whose visits the row belongs to."""
    return f's{self.session}' if self.session is not None else f'u{self.user}'


class Reader:
  """Reads raw rows of one model's log; threads may share it."""

  def __init__(self, manifest: manifest_lib.Manifest):
    """Makes a database for rows that are being read."""
    self.schema = log_columns.make_log_schema(manifest)
    self._lock = threading.Lock()
    self._connection = sql.connect(threads=1)
    log.create_table(self._connection, self.schema)
    # Times of labels end with their row's split, which only the state knows.
    self._labels = labels_sql.label_and_time_columns(
      self.schema.tasks, (None, None), '2', 'r.labelled'
    )

  def read(
    self, table: rows.Rows, needs: past.Needs, scored: bool
  ) -> Iterator[Row]:
    """Reads rows.

    Args:
      table: raw rows.
      needs: what the model takes.
      scored: whether these are rows to predict for, without labels.

    Yields:
      The rows in their order.

    Raises:
      types.InputError: a column or a value that can't be used; names column
        and row.
    """
    log.check(
      self.schema,
      table.schema,
      table.path,
      needs_user=needs.users,
      needs_item=needs.user_history or needs.sessions,
      needs_labels=not scored,
    )
    for chunk in table.chunks(_CHUNK):
      found = self._select(chunk, scored)
      keys = zip(
        *(
          vocabulary_lib.whole(found[name].combine_chunks()).to_pylist()
          for name in ('session', 'user', 'item')
        ),
        found['timestamp'].to_pylist(),
        strict=True,
      )
      if scored:
        yield from (Row(*key) for key in keys)
        continue
      tasks = range(len(self.schema.tasks))
      told = zip(
        *(
          zip(
            found[f'y_{i}'].to_pylist(),
            found[f't_{i}'].to_pylist(),
            strict=True,
          )
          for i in tasks
        ),
        strict=True,
      )
      identities = self._identities(chunk.table)
      for key, labels, identity in zip(keys, told, identities, strict=True):
        yield Row(*key)._replace(labels=labels, identity=identity)

  def _select(self, chunk: rows.Chunk, scored: bool) -> pa.Table:
    item = sql.quote(log.item_column(self.schema))
    columns = f'session, "user", {item} AS item, timestamp'
    if not scored:
      columns = ', '.join([columns, *self._labels])
    with self._lock:
      self._connection.begin()
      try:
        log.append_rows(self._connection, self.schema, chunk, 0, scored)
        return self._connection.sql(
          f'SELECT {columns} FROM {log.TABLE} r ORDER BY row_id'
        ).to_arrow_table()
      finally:
        self._connection.rollback()

  def _identities(self, table: pa.Table) -> Iterator[bytes]:
    """What tells rows apart, whatever came of them."""
    names = sorted({*table.column_names} - {*self.schema.labels})
    columns = [table[name].to_pylist() for name in names]
    for values in zip(*columns, strict=True):
      given: list[Any] = [[n, v] for n, v in zip(names, values, strict=True)]
      text = json.dumps(
        [one for one in given if one[1] is not None], default=str
      )
      yield hashlib.blake2b(text.encode(), digest_size=16).digest()
