"""The manifest of extended data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  counts,
  encode,
  source,
  time_window,
  warning_lines,
)
from rmtl_jax.preparation.extending import (
  files,
  settings,
  stitch,
  vocabularies,
)

# Options of the splits of the data.
_REPLACED = ('split', 'split_dates', 'until')


def manifest(
  new: settings.Extension,
  config: prepare_settings.PrepareConfig,
  stitched: stitch.Stitched,
  encoded: encode.Encoded,
  grown: dict[str, vocabularies.Grown],
  drifted: tuple[dict[str, float], list[str]],
  written: dict[str, tuple[str, ...]],
) -> manifest_lib.Manifest:
  """The manifest of extended data, its `source_files` those of the data before.

  Args:
    config: `since` and `until`.
    drifted: of drift.of_new_rows.
    written: files of every split.
  """
  base, old = new.base, new.base.manifest
  of_new = counts.of_splits(
    new.connection, encoded, new.rows, stitched.places, written
  )
  step = {
    'data': str(base.directory),
    'since': config.since or time_window.shown(new.seam),
    'until': config.until or None,
    'rows': stitched.places.rows[2],
    'first_row_id': new.past.first_row,
  }
  splits = files.merge(old, written, new.seam) | of_new
  options = {k: v for k, v in old.options.items() if k not in _REPLACED}
  if config.until:
    options['until'] = config.until
  return dataclasses.replace(
    old,
    fields=encoded.fields,
    splits=splits,
    options=options
    | {
      'split_by': 'rolling',
      'extended': [*old.options.get('extended', ()), step],
    },
    report=_report(new, stitched, encoded, grown, drifted, splits),
  )


def _report(
  new: settings.Extension,
  stitched: stitch.Stitched,
  encoded: encode.Encoded,
  grown: dict[str, vocabularies.Grown],
  drifted: tuple[dict[str, float], list[str]],
  of_splits: Mapping[str, manifest_lib.Split],
) -> dict[str, Any]:
  """Counts of the new rows; `raw_rows` are those of all logs so far."""
  connection, rows, base = new.connection, new.rows, new.base
  dropped, places = dict(rows.dropped), stitched.places
  if rows.identity:
    dropped['exact duplicate'] = stitched.duplicates
  if stitched.left_out:
    dropped['in a session that began before the new rows'] = stitched.left_out
  if places.immature[2]:
    dropped[source.LABEL_UNKNOWN.format('test')] = places.immature[2]
  left_out = base.manifest.report.get('as_of_left_out')
  return {
    'raw_rows': base.manifest.report['raw_rows'] + rows.table.rows,
    **rows.counts,
    'dropped': dropped,
    'cut_values': encoded.cut_values,
    'session_rows': counts.session_rows(
      connection, encoded.table, encoded.step
    ),
    'new_values': {n: one.added for n, one in grown.items()},
    'drift': drifted[0],
    **({'as_of_left_out': left_out} if left_out else {}),
    'warnings': [
      *rows.table.warnings,
      *rows.warnings,
      *warning_lines.duplicates(rows, stitched.duplicates),
      *warning_lines.immature(rows, places, warning_lines.ADD_MORE),
      *warning_lines.late(
        connection, encoded, rows, places, warning_lines.ADD_MORE
      ),
      *warning_lines.one_class(rows, of_splits, warning_lines.MORE_DAYS),
      *drifted[1],
    ],
  }
