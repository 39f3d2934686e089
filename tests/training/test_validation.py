"""What validation says of an epoch."""

import numpy as np
import pytest

from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.training import validation

FOUND = validation.Validation(
  auc=np.array([0.7, 0.8]),
  logloss=np.array([0.3, 0.1]),
  relative=np.array([0.9, np.nan]),
  monitor=monitor_lib.AUC,
  score=1.5,
)


@pytest.mark.parametrize(
  ('monitor', 'words'),
  [
    ('auc', 'AUC 0.7500  rel. logloss 0.9000'),
    ('logloss', 'rel. logloss 0.9000  AUC 0.7500'),
    ('click.auc=1', 'score 1.5000  AUC 0.7500  rel. logloss 0.9000'),
  ],
)
def test_what_is_monitored_comes_first(monitor, words):
  found = FOUND._replace(monitor=monitor_lib.of(monitor))
  assert found.in_words() == words
