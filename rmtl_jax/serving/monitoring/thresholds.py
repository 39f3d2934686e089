"""Thresholds of alarms."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
  """Differences above these are alarms; each is at least 0.

  Attributes:
    psi: drift (population stability index) of a field from the train rows,
      beyond chance and beyond the run's own test rows; of predictions from
      those of the test rows.
    unseen: rise of the share of values that are missing, not in the vocabulary
      or in no train row.
    missing: rise of the share of rows without a value.
    calibration: by which share predicted / actual is further from 1 than on
      the test rows.
    auc: fall of AUC below that of the test rows.
    error: rise of logloss (of tasks that are not binary, RMSE) over that of the
      test rows, as a share of it.
  """

  psi: float = 0.2
  unseen: float = 0.1
  missing: float = 0.1
  calibration: float = 0.2
  auc: float = 0.02
  error: float = 0.2
