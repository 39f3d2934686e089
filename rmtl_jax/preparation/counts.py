"""Counts of encoded rows, for the manifest."""

from __future__ import annotations

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import encode, label_sql, sessionize, source, sql

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def of_splits(
  connection: sql.Connection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  files: dict[str, tuple[str, ...]],
) -> dict[str, manifest_lib.Split]:
  """The manifest's record of every split that has rows.

  Args:
    places: counts of rows and sessions, and the splits' ends.
    files: of every split.
  """
  weighted = label_sql.weighted(rows.tasks)
  wanted = [
    f'count(*) FILTER ({sql.quote(f"y_{task.name}")} <> 0)'
    for task in rows.tasks
  ]
  wanted += [
    f'count(*) FILTER (WHERE {sql.quote(f"w_{name}")} > 0)' for name in weighted
  ]
  found = {
    split: figures
    for split, *figures in connection.execute(
      f'SELECT split, min(timestamp), {", ".join(wanted)} FROM {encoded.table}'
      ' GROUP BY split ORDER BY split'
    ).fetchall()
  }
  ends = (*places.boundaries, None)[:3]
  return {
    name: manifest_lib.Split(
      rows=places.rows[i],
      sessions=places.sessions[i],
      files=files[name],
      positives={
        task.name: count
        for task, count in zip(rows.tasks, found[i][1:], strict=False)
      },
      start_ms=found[i][0] if rows.has_time else None,
      end_ms=ends[i],
      observed=dict(
        zip(weighted, found[i][1 + len(rows.tasks) :], strict=True)
      ),
    )
    for i, name in enumerate(manifest_lib.SPLITS)
    if i in found
  }


def session_rows(connection: sql.Connection, table: str) -> dict[str, float]:
  """Quantiles and mean of the sessions' rows."""
  # The number of rows with step n is the number of sessions longer than n, so
  # one small GROUP BY replaces a count per session.
  counts = connection.execute(
    f'SELECT count(*) FROM {table} GROUP BY step ORDER BY step'
  ).fetchall()
  longer = np.array([count for (count,) in counts])
  sessions_of = longer - np.append(longer[1:], 0)
  quantiles = np.quantile(
    1 + np.arange(len(longer)),
    _QUANTILES,
    weights=sessions_of,
    method='inverted_cdf',
  )
  return {
    **{
      f'p{round(q * 100)}': int(rows)
      for q, rows in zip(_QUANTILES, quantiles, strict=True)
    },
    'mean': round(float(longer.sum() / longer[0]), 4),
  }
