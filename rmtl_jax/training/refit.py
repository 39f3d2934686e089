"""Retrains a run's choice with its validation rows: `rmtl refit`.

Stage 1 of another run is retrained, on the rows of train and validation, for
as many epochs as that run has kept, and the last epoch is kept: validation has
had its say. The weights of an ensemble's members and the calibration stay those
that it has fitted: predictions of rows that a model has learnt from would fit
others.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rmtl_jax import json_files, types
from rmtl_jax.data import reading
from rmtl_jax.runtime import workdir

_STAGE = 'pretrain'


def find(
  run: workdir.Run, refit_of: str | os.PathLike[str] | None
) -> dict[str, Any]:
  """The record of a refit; {} for other runs.

  Args:
    run: new, or existing: then its own record counts.
    refit_of: the run that is asked for.

  Returns:
    `run`, `epochs`, one per model, `calibration` and `member_weights`, as the
    run's metrics.json has them.

  Raises:
    types.InputError: it can't be trained again, or a run that is there is no
      refit of it.
  """
  asked = pathlib.Path(refit_of).resolve() if refit_of else None
  if asked and run.started_from:
    raise types.InputError(
      f'{run.path}: started from another run, and is no refit of {asked}'
    )
  if not (run.path / 'config.json').exists():
    return describe(run, asked) if asked else {}
  began = run.refit_of.get('run')
  if asked and str(asked) != began:
    what = f'is the refit of {began}, not' if began else 'is no refit'
    raise types.InputError(
      f'{run.path}: this run {what} of {asked}; choose another --workdir'
    )
  return run.refit_of


def describe(run: workdir.Run, path: pathlib.Path) -> dict[str, Any]:
  """See `find`: of a new run that trains the one of a path again."""
  if path == run.path.resolve():
    raise types.InputError(f'--run: {path}: is this --workdir')
  source = workdir.read_run(path)
  what = f'--run: {path}'
  if source.started_from:
    raise types.InputError(
      f'{what}: started from another run; a refit trains from scratch'
    )
  if source.refit_of:
    raise types.InputError(
      f'{what}: is a refit itself; name {source.refit_of["run"]}'
    )
  file = path / 'metrics.json'
  if not (source.has(_STAGE) and file.exists()):
    raise types.InputError(
      f'{what}: stage 1 has not finished; start its rmtl train again first'
    )
  if run.manifest != source.manifest:
    raise types.InputError(
      f'{what}: was trained on other data than {run.data_dir}'
    )
  record = json_files.read(file)
  with json_files.parsing(str(file)):
    kept = record['best_epoch'][_STAGE]
    kept = kept if isinstance(kept, list) else [kept]
    found = {'run': str(path), 'epochs': [int(epoch) for epoch in kept]}
    for name in ('calibration', 'member_weights'):
      if _STAGE in record.get(name, {}):
        found[name] = {_STAGE: record[name][_STAGE]}
  return found


def of_member(
  run: workdir.Run, place: pathlib.Path, number: int
) -> dict[str, Any]:
  """The record of a member of an ensemble's refit."""
  if not run.refit_of:
    return {}
  source = pathlib.Path(run.refit_of['run']) / place.relative_to(run.path)
  where = f'{run.path}/config.json: refit_of.epochs'
  with json_files.parsing(where):
    return {'run': str(source), 'epochs': [run.refit_of['epochs'][number]]}


def ends_earlier(run: workdir.Run) -> tuple[int, float]:
  """How many train rows a refit has, and how long before validation they end.

  Returns:
    Rows, and seconds; 0 where splits don't follow each other in time.
  """
  train, validation = (run.manifest.splits[n] for n in ('train', 'validation'))
  if train.end_ms is None or validation.end_ms is None:
    return train.rows, 0.0
  return train.rows, (validation.end_ms - train.end_ms) / 1000


def check_data(run: workdir.Run, digests: Mapping[str, str]) -> None:
  """Refuses data that were replaced since the first run, of a new refit.

  Args:
    run: any run.
    digests: of its data's files, as they are.

  Raises:
    types.InputError: names the first file that differs.
  """
  if run.refit_of and not (run.path / 'config.json').exists():
    source = workdir.read(pathlib.Path(run.refit_of['run']))
    reading.compare_digests(
      run.data_dir, source.digests, digests, str(source.path)
    )


def epochs(run: workdir.Run) -> int | None:
  """Epochs of stage 1 in a refit of one model; None for other runs.

  Raises:
    types.InputError: config.json does not have them.
  """
  if not run.refit_of:
    return None
  where = f'{run.path}/config.json: refit_of.epochs'
  with json_files.parsing(where):
    return int(run.refit_of['epochs'][0])
