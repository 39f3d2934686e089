"""How new rows differ from train, field by field.

Counts of train's values are in the vocabularies, so of its rows numbers alone
are read.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import numbers, sql
from rmtl_jax.preparation.description import drift
from rmtl_jax.preparation.extending import encoding, vocabularies
from rmtl_jax.preparation.schema import fields as fields_lib

_NEW = 'new'
# Groups of as-of features that grow with the log.
_GROWING = ('gap', 'position', 'views', 'counts', 'recency', 'history')
# Names in the line about fields that grow.
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Drift:
  """Drift of new rows.

  Attributes:
    psi: population stability index by field, of those that can be compared.
    warnings: lines for the report.
  """

  psi: dict[str, float]
  warnings: list[str]


def of_new_rows(
  connection: sql.Connection,
  encoded: encoding.Encoding,
  train: Sequence[pathlib.Path],
  manifest: manifest_lib.Manifest,
) -> Drift:
  """Compares every field but those that share a vocabulary."""
  found: dict[str, float] = {}
  warnings, growing = [], []
  ids = manifest.user_field, manifest.item_field
  for field in encoded.rows.fields:
    if field.name in encoded.grown:
      counts = _of_values(connection, encoded, field)
    elif field.kind == 'numeric':
      counts = _of_number(connection, encoded, field, train)
    else:
      continue
    index, chance = drift.psi(counts[drift.TRAIN], counts[_NEW])
    found[field.name] = round(index, 4)
    # A day has one weekday.
    if index - chance <= drift.DIFFERENT or fields_lib.is_of_time(field):
      continue
    # Ids come and go, and what is counted of the past grows with it.
    if field.name in ids or field.details.get('as_of') in _GROWING:
      growing.append(field.name)
    else:
      warnings.append(
        f'field {field.name!r}: the new rows differ much from train (PSI'
        f' {index:.2f}); bins, means and old ids stay as they are'
      )
  if growing:
    names = ', '.join(growing[:_SHOWN])
    if len(growing) > _SHOWN:
      names += f' and {len(growing) - _SHOWN} more'
    warnings.append(
      f'{len(growing)} of the ids, counts and gaps differ much from train, as'
      f' they do when a log grows ({names})'
    )
  return Drift(found, warnings)


def _of_values(
  connection: sql.Connection,
  encoded: encoding.Encoding,
  field: manifest_lib.Field,
) -> dict[str, np.ndarray]:
  """Rows of a field's grouped values, in train and among the new ones."""
  found = connection.execute(
    f'SELECT e.count AS train, coalesce(n.count, 0) AS new'
    f' FROM {encoded.grown[field.name].everything} e LEFT JOIN'
    f' ({vocabularies.count_ids(field, encoded.rows.table)}) n USING (id)'
    ' ORDER BY e.id'
  ).fetchnumpy()
  counts = {
    drift.TRAIN: np.asarray(found['train']),
    _NEW: np.asarray(found['new']),
  }
  if field.kind == 'multi_valued':
    # Encoded lists do not tell a rare value from none at all.
    for of_ids in counts.values():
      of_ids[0] = 0
  untrained = drift.untrained_ids(counts[drift.TRAIN], field)
  return drift.group_values(counts, untrained)[1]


def _of_number(
  connection: sql.Connection,
  encoded: encoding.Encoding,
  field: manifest_lib.Field,
  train: Sequence[pathlib.Path],
) -> dict[str, np.ndarray]:
  """Rows of a number's bins, in train and among the new ones."""
  details, column = field.details, sql.quote(field.column)
  # The one value of the first train rows, which is written as 0 but for the
  # rounding of its mean, or any other.
  rounding = sql.float_literal(1e-9 * abs(details['mean']))
  place, bins = f'CAST(abs({column}) > {rounding} AS INT)', 2
  if quantiles := details.get('quantiles'):
    edges = drift.bin_edges(quantiles, field)
    place, bins = drift.bin_sql(f'CAST({column} AS DOUBLE)', edges)
  scale = numbers.Normalisation.of(details)
  written = f'(SELECT {scale.apply(column)} AS {column} FROM'
  counts = {}
  with (
    sql.name_errors(train[0], 'not readable'),
    sql.scan_files(train, 'parquet') as scan,
  ):
    for name, rows in (
      (drift.TRAIN, scan),
      (_NEW, f'{written} {encoded.rows.table})'),
    ):
      counts[name] = np.zeros(bins)
      for at, count in connection.execute(
        f'SELECT {place} AS bin, count(*) FROM {rows} GROUP BY bin'
      ).fetchall():
        counts[name][at] = count
  return counts
