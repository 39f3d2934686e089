"""A trained run that predicts for raw rows, from Python."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import calibration
from rmtl_jax.networks import ignore
from rmtl_jax.results import calibrations, trained_ensemble, verdict
from rmtl_jax.runtime import memory, programs, stages, workdir
from rmtl_jax.serving import scorer
from rmtl_jax.training import models as models_lib
from rmtl_jax.updates import forward


class Predictor(scorer.Scorer):
  """A trained run that predicts.

  Attributes:
    run: the run's directory, settings and manifest.
    stage: the stage of the parameters, one of stages.ACTORS.
    ignored: fields that no member of it sees.
    maps: calibration by task; empty for none.
  """

  def __init__(
    self,
    run: workdir.Run,
    stage: str,
    params: Any,
    maps: Mapping[str, calibration.Platt] | None = None,
  ):
    """Reads the vocabularies.

    Args:
      run: a trained run.
      stage: the name of what was restored.
      params: the actor's parameters.
      maps: by task, to apply to the probabilities.

    Raises:
      types.InputError: the vocabularies are not the run's.
    """
    spec = run.manifest.feature_spec()
    self.ignored = ignored(run)
    super().__init__(run.path, run.manifest, self.ignored)
    self.run, self.stage = run, stage
    self.params = jax.device_put(params)
    self.maps = dict(maps or {})
    self._sampling = spec.sampling
    plain = run.config.with_network(first_layer='plain')
    actor = models_lib.Models(spec).predictor(plain)
    self._few = jax.jit(functools.partial(forward.predictions, actor))

  @programs.in_32_bits
  def network(self, *inputs: Any) -> np.ndarray:
    """See `Scorer.network`."""
    lane = types.Inputs(*(x[None] for x in inputs))
    # A caller may forbid implicit transfers (jax_transfer_guard). These are
    # meant, and `device_put` takes 20 times as long as the call.
    with (
      jax.transfer_guard_host_to_device('allow'),
      jax.transfer_guard_device_to_host('allow'),
    ):
      return np.asarray(self._few(self.params, lane))[0]

  def infer(self, inputs: types.Inputs) -> np.ndarray:
    """See `Scorer.infer`."""
    found = super().infer(inputs)
    if self._sampling is not None:
      found = self._sampling.correct(found)
    for k, task in enumerate(self.tasks):
      if task in self.maps:
        found[:, k] = self.maps[task].apply(found[:, k])
    return found


def ignored(run: workdir.Run) -> frozenset[str]:
  """Fields that no member of a run sees."""
  spec = run.manifest.feature_spec()
  return frozenset.intersection(
    *(ignore.unseen(m.config.network, spec) for m in run.members)
  )


@programs.in_32_bits
def load(
  workdir_path: str | os.PathLike[str],
  stage: str = '',
  warm_up: int = 0,
) -> Predictor:
  """Restores a run for prediction.

  Args:
    workdir_path: RUN.
    stage: whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.
    warm_up: compile the programs of requests of up to so many rows.

  Raises:
    types.InputError: not a run, or no such stage in it.
  """
  run = workdir.read_run(pathlib.Path(workdir_path))
  if stage and stage not in stages.ACTORS:
    raise types.InputError(
      f'stage: {stage!r} is not one of {", ".join(stages.ACTORS)}'
    )
  there = [s for s in stages.ACTORS if run.has(s)]
  if not there or (stage and stage not in there):
    what = f'stage {stage} has not been' if stage else 'no stage has been'
    raise types.InputError(f'{run.path}: {what} trained here')
  name = (
    stage or verdict.served_by(run).get('stage') or verdict.first_stage(there)
  )
  memory.check_tables(
    str(run.path / 'manifest.json'),
    run.manifest,
    run.config.network.embedding_dim * run.config.ensemble,
    copies=1,
  )
  params = trained_ensemble.restore(run, names=(name,), to_predict=True).actors[
    name
  ]
  loaded = Predictor(run, name, params, calibrations.saved(run).get(name))
  if warm_up:
    loaded.warm_up(warm_up)
  return loaded
