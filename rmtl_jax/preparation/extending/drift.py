"""How new rows differ from train, field by field."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import encode, sql
from rmtl_jax.preparation.description import drift
from rmtl_jax.preparation.schema import fields as fields_lib

_NEW = 'new'
# Groups of as-of features that grow with the log.
_GROWING = ('gap', 'position', 'views', 'counts', 'recency', 'history')
# Names in the line about fields that grow.
_SHOWN = 3


def of_new_rows(
  connection: sql.Connection,
  rows: encode.Encoded,
  train: Sequence[pathlib.Path],
  manifest: manifest_lib.Manifest,
) -> tuple[dict[str, float], list[str]]:
  """Compares every field but those that share a vocabulary.

  Args:
    rows: the new ones.
    train: files of the other rows.
    manifest: of the data before.

  Returns:
    Population stability index by field, and warnings for the report.
  """
  found: dict[str, float] = {}
  warnings, shifted, growing = [], [], []
  ids = manifest.user_field, manifest.item_field
  written = f'(SELECT {", ".join(rows.columns)} FROM {rows.table})'
  with (
    sql.name_errors(train[0], 'not readable'),
    sql.scan_files(train, 'parquet') as scan,
  ):
    relations = {drift.TRAIN: scan, _NEW: written}
    for field in rows.fields:
      if field.vocabulary_owner is not None:
        continue
      where = train[0].parent.parent
      groups = drift.grouped(connection, where, relations, field)
      index, chance = drift.psi(groups.counts[drift.TRAIN], groups.counts[_NEW])
      found[field.name] = round(index, 4)
      # A day has one weekday.
      if index - chance <= drift.DIFFERENT or fields_lib.is_of_time(field):
        continue
      # Ids come and go, and what is counted of the past grows with it.
      if field.name in ids or field.details.get('as_of') in _GROWING:
        growing.append(field.name)
      else:
        shifted.append(f'{field.name} {index:.2f}')
  if shifted:
    warnings.append(
      f'the new rows differ much from train in {", ".join(shifted)} (PSI);'
      ' bins, means and old ids stay as they are'
    )
  if growing:
    names = ', '.join(growing[:_SHOWN])
    if len(growing) > _SHOWN:
      names += f' and {len(growing) - _SHOWN} more'
    warnings.append(
      f'{len(growing)} of the ids, counts and gaps differ much from train, as'
      f' they do when a log grows ({names})'
    )
  return found, warnings
