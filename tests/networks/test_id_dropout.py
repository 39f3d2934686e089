import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import id_dropout

SPEC = types.FeatureSpec(
  categorical=(50, 60),
  multi_valued=((40, 3),),
  numeric=1,
  num_tasks=2,
  names=('user', 'item', 'tags'),
)
LEAD = (16, 64)


def inputs():
  """No category is 0; the last slot of the multi-valued field is unused."""
  rng = np.random.default_rng(0)
  tags = rng.integers(1, 40, (*LEAD, 3))
  tags[..., 2] = -1
  return types.Inputs(
    jnp.asarray(rng.integers(1, 50, (*LEAD, 2)), jnp.int32),
    jnp.asarray(tags, jnp.int32),
    jnp.asarray(rng.normal(size=(*LEAD, 1)), jnp.float32),
  )


def test_categories_become_row_0_at_their_fields_rate():
  before = inputs()
  after = id_dropout.drop(jax.random.key(1), before, SPEC, (0.3, 0.0, 0.5))
  dropped = np.asarray(after.categorical != before.categorical)
  assert np.all(np.asarray(after.categorical)[dropped] == 0)
  rows = np.prod(LEAD)
  for rate, mean in zip((0.3, 0.0), dropped.mean((0, 1)), strict=True):
    assert abs(mean - rate) <= 4 * np.sqrt(rate * (1 - rate) / rows)
  tags = np.asarray(after.multi_valued != before.multi_valued)
  assert np.all(np.asarray(after.multi_valued)[tags] == 0)
  assert not tags[..., 2].any()
  means = tags[..., :2].mean((0, 1))
  assert np.all(abs(means - 0.5) <= 4 * 0.5 / np.sqrt(rows))
  # Slots and fields have masks of their own.
  both = (tags[..., 0] & tags[..., 1]).mean()
  assert abs(both - 0.25) <= 4 * np.sqrt(0.25 * 0.75 / rows)
  both = (dropped[..., 0] & tags[..., 0]).mean()
  assert abs(both - 0.15) <= 4 * np.sqrt(0.15 * 0.85 / rows)
  np.testing.assert_array_equal(after.numeric, before.numeric)
