"""How new rows differ from train, field by field.

Counts of train's values are in the vocabularies and the quantiles of its
numbers in the manifest, so no row of train is read.
"""

from __future__ import annotations

import dataclasses

import duckdb
import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import drift
from rmtl_jax.preparation.extending import encoding

_NEW = 'new'


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
  connection: duckdb.DuckDBPyConnection,
  encoded: encoding.Encoding,
  manifest: manifest_lib.Manifest,
) -> Drift:
  """Compares every field but those that share a vocabulary.

  Args:
    connection: holds the rows.
    encoded: the new rows.
    manifest: of the data before.
  """
  found: dict[str, float] = {}
  warnings = []
  for field in encoded.rows.fields:
    if field.name in encoded.grown:
      counts = _of_values(connection, encoded, field)
    elif field.details.get('quantiles'):
      # Bins of equally many train rows, as far as their quantiles tell.
      counts = _of_number(connection, encoded, field, manifest)
    else:
      continue
    index, chance = drift.psi(counts[drift.TRAIN], counts[_NEW])
    found[field.name] = round(index, 4)
    if index - chance > drift.DIFFERENT:
      warnings.append(
        f'field {field.name!r}: the new rows differ much from train (PSI'
        f' {index:.2f}); bins, means and old ids stay as they are'
      )
  return Drift(found, warnings)


def _of_values(
  connection: duckdb.DuckDBPyConnection,
  encoded: encoding.Encoding,
  field: manifest_lib.Field,
) -> dict[str, np.ndarray]:
  """Rows of a field's grouped values, in train and among the new ones."""
  column = sql.quote(field.column)
  value = f'unnest({column})' if field.kind == 'multi_valued' else column
  found = connection.execute(
    f'SELECT e.count AS train, coalesce(n.count, 0) AS new'
    f' FROM {encoded.grown[field.name].everything} e LEFT JOIN (SELECT id,'
    f'  count(*) AS count FROM (SELECT {value} AS id'
    f'   FROM {encoded.rows.table}) GROUP BY id) n USING (id) ORDER BY e.id'
  ).fetchnumpy()
  return drift.group_values({drift.TRAIN: found['train'], _NEW: found['new']})


def _of_number(
  connection: duckdb.DuckDBPyConnection,
  encoded: encoding.Encoding,
  field: manifest_lib.Field,
  manifest: manifest_lib.Manifest,
) -> dict[str, np.ndarray]:
  """Rows of a number's bins, in train and among the new ones."""
  details = field.details
  quantiles = np.array(details['quantiles'])
  scaled = f'({sql.quote(field.column)} - {details["mean"]!r})'
  scaled = f'coalesce({scaled} / {details["deviation"]!r}, 0)'
  place, bins = drift.bin_sql(scaled, quantiles)
  counts = np.zeros(bins)
  for at, count in connection.execute(
    f'SELECT {place} AS bin, count(*) FROM {encoded.rows.table} GROUP BY bin'
  ).fetchall():
    counts[at] = count
  # Each of the deciles has a tenth of train's rows; those that fall together
  # have as many tenths.
  inner = np.quantile(quantiles, np.arange(1, drift.BINS) / drift.BINS)
  _, tenths = np.unique(inner, return_counts=True)
  train = np.append(tenths, 1) * manifest.splits['train'].rows / drift.BINS
  return {drift.TRAIN: train, _NEW: counts}
