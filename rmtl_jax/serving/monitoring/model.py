"""A run or an export, as `rmtl monitor` reads it."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from rmtl_jax import json_files, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.results import reference as reference_lib
from rmtl_jax.results import verdict
from rmtl_jax.runtime import workdir
from rmtl_jax.serving import exported, predictor


class Model(NamedTuple):
  """A trained model, without its parameters.

  Attributes:
    path: RUN or OUT.
    manifest: of the data that it was trained on.
    ignored: fields that it does not see.
    stage: of the parameters.
    reference: what live rows are compared with (results/reference.py).
  """

  path: pathlib.Path
  manifest: manifest_lib.Manifest
  ignored: frozenset[str]
  stage: str
  reference: dict[str, Any]


def read(path: pathlib.Path, stage: str = '') -> Model:
  """Reads a run or an export.

  Raises:
    types.InputError: neither of the two, no such stage, or one that was written
      without a reference.
  """
  if (path / exported.RECORD).exists():
    if stage:
      raise types.InputError(
        f'{path}: was exported with its stage; leave it out'
      )
    return _exported(path)
  run = workdir.read_run(path)
  metrics = json_files.read(path / 'metrics.json', 'rmtl train writes it')
  with json_files.parsing(str(path / 'metrics.json')):
    stages = list(metrics['stages'])
    name = stage or verdict.served_stage(metrics)
  if name not in stages:
    raise types.InputError(
      f'{path / "metrics.json"}: no metrics of stage {name}; it has'
      f' {", ".join(stages)}'
    )
  return Model(
    path,
    run.manifest,
    predictor.ignored(run),
    name,
    reference_lib.of_run(run, name),
  )


def _exported(path: pathlib.Path) -> Model:
  record, _, manifest = exported.read_checked(path)
  return Model(
    path,
    manifest,
    frozenset(record['ignored']),
    record['stage'],
    reference_lib.read(path / reference_lib.FILE, manifest),
  )
