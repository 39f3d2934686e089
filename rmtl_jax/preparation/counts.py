"""Counts of encoded rows, for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import encode, label_sql, sessionize, source, sql

# Of the sessions' rows.
_QUANTILES = {
  f'p{percent}': percent / 100 for percent in (0, 25, 50, 75, 90, 99, 100)
}


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
    f'count(*) FILTER (WHERE {sql.quote(f"y_{task.name}")} <> 0)'
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


def session_rows(
  connection: sql.Connection,
  relation: str,
  quantiles: Mapping[str, float] = MappingProxyType(_QUANTILES),
) -> dict[str, float]:
  """Quantiles, by name, and the mean of the sessions' rows.

  Args:
    relation: rows with their `step`.
    quantiles: shares of the sessions.
  """
  # The number of rows with step n is the number of sessions longer than n, so
  # one small GROUP BY replaces a count per session.
  counts = connection.execute(
    f'SELECT count(*) FROM {relation} GROUP BY step ORDER BY step'
  ).fetchall()
  longer = np.array([count for (count,) in counts])
  found = np.quantile(
    1 + np.arange(len(longer)),
    [*quantiles.values()],
    weights=longer - np.append(longer[1:], 0),
    method='inverted_cdf',
  )
  return {
    **dict(zip(quantiles, map(int, found), strict=True)),
    'mean': round(float(longer.sum() / longer[0]), 4),
  }
