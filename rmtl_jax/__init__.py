"""Multi-task recommendation in JAX, its losses weighed by session critics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from rmtl_jax.serving import scorer

__version__ = '0.1.0'


def load(
  workdir: str | os.PathLike[str], stage: str = '', calibrated: bool = False
) -> scorer.Scorer:
  """Restores a trained model; its `predict(table, history)` scores raw rows.

  Args:
    workdir: RUN, the run's directory, or what `rmtl export` wrote.
    stage: of a run, whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.
    calibrated: of a run, apply the calibration that was fitted on validation.

  Returns:
    What predicts (rmtl_jax.serving.scorer has its methods).

  Raises:
    types.InputError: neither of the two, or one that can't predict.
  """
  # Imported here, so that `import rmtl_jax` does not start JAX.
  if os.path.isfile(os.path.join(workdir, 'export.json')):
    from rmtl_jax import types
    from rmtl_jax.serving import exported

    if stage or calibrated:
      raise types.InputError(
        f'{workdir}: was exported with its stage and calibration; leave them'
        ' out'
      )
    return exported.load(workdir)
  from rmtl_jax.serving import predictor

  return predictor.load(workdir, stage, calibrated)
