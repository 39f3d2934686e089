import jax
import numpy as np
import pytest

from rmtl_jax.ops import ensembles

logit_of_mean = jax.jit(ensembles.logit_of_mean)


@pytest.mark.parametrize(
  ('logits', 'expected'),
  [
    # Probabilities 1/2 and 3/4: their mean is 5/8.
    ([0.0, np.log(3.0)], np.log(5 / 3)),
    # 0.2, 0.5 and 0.5: 0.4.
    ([np.log(0.25), 0.0, 0.0], np.log(2 / 3)),
    ([1.7], 1.7),
    ([-100.0, 100.0], 0.0),
    # Both probabilities are 0, or 1, in float32.
    ([-200.0, -200.0], -200.0),
    ([200.0, 200.0], 200.0),
    # (e^-90 + e^-110) / 2.
    ([-90.0, -110.0], -90.0 - np.log(2.0)),
  ],
)
def test_hand_computed(logits, expected):
  found = logit_of_mean(np.array(logits, np.float32))
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
