"""Multi-task recommendation in JAX, its losses weighed by session critics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from rmtl_jax.serving import predictor

__version__ = '0.1.0'


def load(
  workdir: str | os.PathLike[str], stage: str = ''
) -> predictor.Predictor:
  """Restores a trained run; its `predict(table)` scores raw rows.

  Args:
    workdir: RUN, the run's directory.
    stage: whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.

  Returns:
    The predictor (rmtl_jax.serving.predictor has its methods).

  Raises:
    types.InputError: not a run, or one that can't predict.
  """
  # Imported here, so that `import rmtl_jax` does not start JAX.
  from rmtl_jax.serving import predictor

  return predictor.load(workdir, stage)
