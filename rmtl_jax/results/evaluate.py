"""Evaluates a trained run on any split or other prepared data."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.networks import registry as networks
from rmtl_jax.results import (
  calibrations,
  ensemble,
  finetuned,
  row_values,
  served,
)
from rmtl_jax.results import record as run_record
from rmtl_jax.runtime import (
  checks,
  memory,
  mesh,
  processes,
  programs,
  workdir,
  writers,
)
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import splits as splits_lib


@programs.in_32_bits
def evaluate(
  path: str | os.PathLike[str],
  split: str = 'test',
  data_dir: str | os.PathLike[str] | None = None,
  layout: mesh.Layout | None = None,
) -> dict[str, Any]:
  """Restores a run's best checkpoints and writes evaluation/<split>.json.

  Args:
    path: RUN.
    split: 'train', 'validation' or 'test'.
    data_dir: prepared data with the run's fields; None: the run's own data.
    layout: the mesh to predict on; None: one device.

  Returns:
    The content of the file: metrics.json without the entries of training, and
    of other data than the run's own `data_dir`.

  Raises:
    types.InputError: not a run, no checkpoint, data with other fields, or the
      run's own data was replaced.
  """
  run = workdir.read_run(pathlib.Path(path)).on(layout)
  place = pathlib.Path(data_dir) if data_dir else run.data_dir
  with contextlib.ExitStack() as held:
    workdir.hold_data(held, place)
    is_own = place.resolve() == run.data_dir.resolve()
    if is_own:
      try:
        processes.on_first(
          lambda: workdir.check_own_data(run, tuple(run.manifest.splits)),
          types.InputError,
        )
      except types.InputError:
        if not data_dir:
          raise
        is_own = False  # named, they are data like any other
    return _evaluate(run, split, place, is_own, layout)


def _evaluate(
  run: workdir.Run,
  split: str,
  data_dir: pathlib.Path,
  is_own: bool,
  layout: mesh.Layout | None,
) -> dict[str, Any]:
  """As `evaluate`, with the data locked."""
  path, manifest = run.path, manifest_file.read(data_dir)
  checks.check_compatible(run.manifest, manifest, str(data_dir))
  if not is_own:
    checks.check_encoding(run.path, run.manifest, manifest, data_dir)
  models = models_lib.Models(run.manifest.feature_spec(), layout)
  check(layout, models, run.config, run, copies=1)
  trained = ensemble.restore(run, models)
  if not trained.actors:
    raise types.InputError(f'{path}: no finished stage to evaluate')
  # The rates are of the rows that the model has learnt from.
  is_refit = run.refit_of and is_own
  rows = manifest.with_validation() if is_refit else manifest
  data = run_record.Data(
    manifest,
    *(
      splits_lib.read(data_dir, rows, name, run.config.batch, None, layout)
      for name in ('train', 'validation', split)
    ),
  )
  maps, chosen = calibrations.saved(run), served.of_run(run)
  if is_own:
    # An interrupted run has not fitted them yet. Other data must not fit them:
    # its rows are those to evaluate.
    if not trained.weights:
      trained = ensemble.weighed(trained, data.validation, run)
    if not chosen:
      found = run_record.predict_validation(run, trained, data.validation)
      maps = run_record.fit_calibrations(run, found, data.validation)
      chosen = served.decide(
        found, data.validation.host, run.manifest.task_names, run.config
      )
  critic_values = row_values.critic_values(trained, data.validation)
  record = {
    'split': split,
    **({} if is_own else {'data_dir': str(data_dir.resolve())}),
    **run_record.build(run, trained, data, maps, critic_values, chosen),
  }
  record = finetuned.extend(record, run, trained, data, trained.history)
  if processes.is_first():
    (path / 'evaluation').mkdir(exist_ok=True)
    writers.write_json(path / 'evaluation' / f'{split}.json', record)
  return record


def check(
  layout: mesh.Layout | None,
  models: models_lib.Models,
  config: config_lib.Config,
  run: workdir.Run,
  copies: int,
) -> None:
  """Refuses settings that don't fit the data, the mesh or the memory."""
  if layout is None:
    own = run.path / 'manifest.json'  # not yet there in a new run
    memory.check_tables(
      str(own if own.exists() else run.data_dir / 'manifest.json'),
      run.manifest,
      config.network.embedding_dim * config.ensemble,
      copies,
    )
  models.check(config)
  if layout is not None and not networks.is_fitted(config):
    actor, _ = models.shapes(config)
    layout.check(config, actor['first']['table'].shape[-2])
