"""Weights of rows outside of a step, against the equations."""

import types as python_types

import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.results import row_values

Q = np.array([[-1.0], [-2.0], [-4.0], [-1.0]], np.float32)
LABELS = np.array([[0.0], [1.0], [0.0], [1.0]], np.float32)
SPLIT = python_types.SimpleNamespace(
  host=python_types.SimpleNamespace(
    labels=LABELS, sample_weight=None, losses=()
  )
)


def _config(**weighting):
  return config_values.from_dict({'weighting': {'lambda_': 0.5, **weighting}})


def _weights(train=None, **weighting):
  config = _config(**weighting)
  judged = row_values.CriticValues(config, None, Q, Q)
  found = row_values.weights(config, [judged], SPLIT, lambda: [train])
  return found[0].ravel() if found else None


@pytest.mark.parametrize(
  ('weighting', 'expected'),
  [
    ({'name': 'critic'}, [1.5, 2.0, 3.0, 1.5]),
    ({'name': 'label_times_q'}, [1.0, 2.0, 1.0, 1.5]),
    ({'name': 'negative_q'}, [1.0, 2.0, 4.0, 1.0]),
  ],
)
def test_weights_by_hand(weighting, expected):
  np.testing.assert_allclose(_weights(**weighting), expected, rtol=1e-6)


def test_the_constant_is_the_mean_of_the_train_rows():
  train = row_values.CriticValues(
    _config(), None, Q, np.array([[-2.0], [-6.0]])
  )
  found = _weights(name='constant_mean', train=train)
  np.testing.assert_allclose(found, [3.0] * 4)
