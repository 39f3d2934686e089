"""The record of `rmtl describe`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

from rmtl_jax.data import manifest_file, reading
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import (
  described_splits,
  drift,
  look_ahead,
  row_counts,
)


def describe(
  data_dir: str | os.PathLike[str],
  progress: Callable[[str, float], None] = lambda label, fraction: None,
) -> dict[str, Any]:
  """Counts, rates, drift and lengths of sessions in prepared data.

  DuckDB reads the columns one by one from the files, so data may be larger than
  memory.

  Args:
    progress: called with a label and the fraction done.

  Returns:
    `name` and `source`; `tasks` (`name`, `kind`); `splits` {split: `rows`,
    `sessions`}; `fields` (see drift.of_fields); `times`, `label_means`,
    `together`, `lateness` and `session_lengths` (see row_counts.py);
    `look_ahead` (see look_ahead.py).

  Raises:
    types.InputError: no prepared data, or a damaged file.
  """
  directory = pathlib.Path(data_dir)
  with reading.shared_lock(directory), sql.connect() as connection:
    manifest = manifest_file.read(directory)
    with described_splits.scan(directory, manifest) as relations:
      progress('labels', 0.0)
      found = {
        'times': row_counts.times(connection, directory, relations),
        'label_means': row_counts.label_means(
          connection, relations, manifest.tasks
        ),
        'together': row_counts.together(
          connection, relations['train'], manifest.tasks
        ),
        'lateness': row_counts.lateness(
          connection, relations['train'], manifest.tasks
        ),
        'look_ahead': look_ahead.explained(connection, relations, manifest),
        'session_lengths': row_counts.session_lengths(connection, relations),
      }
    fields = drift.of_fields(connection, directory, manifest, progress)
  return {
    'name': directory.resolve().name,
    'source': manifest.source,
    'tasks': [{'name': t.name, 'kind': t.kind} for t in manifest.tasks],
    'splits': {
      name: {'rows': split.rows, 'sessions': split.sessions}
      for name, split in manifest.splits.items()
    },
    'fields': fields,
    **found,
  }
