import jax.numpy as jnp
import pytest

from rmtl_jax.ops import schedules


@pytest.mark.parametrize(
  ('schedule', 'expected'),
  [
    ('constant', [1.0, 1.0, 1.0, 1.0, 1.0]),
    ('linear', [1.0, 1.0, 0.5, 0.0, 0.0]),
    ('cosine', [1.0, 1.0, 0.5, 0.0, 0.0]),
  ],
)
def test_what_is_left_after_the_warmup(schedule, expected):
  found = [
    float(schedules.decay_factor(schedule, *map(jnp.float32, (step, 6, 2))))
    for step in (0, 2, 4, 6, 9)
  ]
  assert found == pytest.approx(expected, abs=1e-6)


def test_an_unknown_schedule_is_named():
  with pytest.raises(ValueError, match="'cosin' is unknown"):
    schedules.decay_factor('cosin', *map(jnp.float32, (0, 6, 2)))
