"""The record of a report, read from a run's directory."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.results import (
  evaluate,
  summary,
)
from rmtl_jax.runtime import stages, workdir, writers

Record = dict[str, Any]

# Entries of results.json that the report of a comparison needs.
_OF_COMPARISON = (
  *('split', 'tasks', 'seeds', 'data', 'budget', 'methods', 'summary'),
  *('differences', 'verdicts', 'tuning', 'critics', 'baseline', 'oracle'),
  *('warnings', 'runs', 'config', 'versions', 'device', 'commit', 'seconds'),
)


def gather(path: pathlib.Path) -> Record:
  """Reads a run's figures.

  They come from metrics.json. If that is missing or lacks finished stages, the
  run is evaluated as by `rmtl evaluate`.

  Args:
    path: RUN.

  Returns:
    `name`; `config` and `defaults` (flat); `data` (`source`, `fields`,
    `splits`); `stages` that have finished; `ended`, whether training has, with
    these; `metrics` (as metrics.json); `history`.

  Raises:
    types.InputError: not a run, no finished stage, or a damaged file.
  """
  run = workdir.read(path)
  finished = [name for name in stages.LEAVES if run.has(name)]
  if run.kind == workdir.SEARCH:
    raise types.InputError(f'{path}: a search (rmtl tune) has no report')
  if run.kind == workdir.COMPARISON:
    raise types.InputError(
      f'{path}: no finished comparison to report on (rmtl compare goes on with'
      ' it)'
    )
  if not set(finished) & set(stages.ACTORS):
    raise types.InputError(
      f'{path}: no finished stage to report on (rmtl train goes on with it)'
    )
  metrics, ended = _metrics(run, finished)
  return {
    'name': path.resolve().name,
    'config': config_values.flatten(run.config),
    'defaults': config_values.flatten(config_lib.Config()),
    'data': _data(run.manifest),
    'stages': finished,
    'ended': ended,
    'metrics': metrics,
    'history': _history(path),
  }


def is_comparison(path: pathlib.Path) -> bool:
  """Whether a directory is that of a comparison that has finished."""
  return (path / 'results.json').exists()


def comparison(path: pathlib.Path) -> Record:
  """Reads COMPARISON/results.json, and adds `splits`, `settings`, `defaults`.

  Raises:
    types.InputError: a damaged file.
  """
  file = path / 'results.json'
  results = json_files.read(file)
  lacking = [
    name
    for name in _OF_COMPARISON
    if not isinstance(results, dict) or name not in results
  ]
  if lacking:
    raise types.InputError(f'{file}: lacks {lacking[0]!r}')
  return {
    **results,
    'name': path.resolve().name,
    'splits': _data(manifest_file.read_copy(path))['splits'],
    'defaults': config_values.flatten(config_lib.Config()),
    'settings': config_values.flatten(
      config_values.from_dict(results['config'], path=f'{file}: config')
    ),
  }


def _metrics(run: workdir.Run, finished: Sequence[str]) -> tuple[Record, bool]:
  """Reads metrics.json; evaluates the run if it is missing or outdated.

  Returns:
    The record, and whether it was there: training has ended with these stages.
  """
  file = run.path / 'metrics.json'
  record = json_files.read(file) if file.exists() else {}
  actors = {name for name in finished if name in stages.ACTORS}
  if (
    isinstance(record, dict)
    and isinstance(record.get('stages'), dict)
    and set(record['stages']) == actors
    and ('critic' in record) == ('critic' in finished)
  ):
    return record, True
  record = evaluate.evaluate(run.path)
  record['warnings'] += summary.history_warnings(
    _history(run.path), run.config.weighting.name
  )
  return record, False


def _history(path: pathlib.Path) -> list[Record]:
  file = path / 'metrics.jsonl'
  if not file.exists():
    return []
  try:
    return writers.read_history(path)
  # Truncated or edited JSON, or not UTF-8.
  except (ValueError, RecursionError) as error:
    raise types.InputError(f'{file}: not JSON lines: {error}') from None


def _data(manifest: manifest_lib.Manifest) -> Record:
  return {
    'source': manifest.source,
    'fields': [[f.name, f.kind, f.size] for f in manifest.fields],
    'splits': {
      name: {
        'rows': split.rows,
        'sessions': split.sessions,
        'positives': split.positives,
        **({'observed': split.observed} if split.observed else {}),
      }
      for name, split in manifest.splits.items()
    },
  }
