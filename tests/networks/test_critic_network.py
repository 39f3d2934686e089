from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.networks import critic_network, from_settings
from tests import paper
from tests.networks import small


@pytest.mark.parametrize(
  ('head', 'expected'),
  [
    ('neg_softplus', [-np.log(1.5), -np.log(2.0), -np.log(3.0)]),
    ('linear', [-np.log(2.0), 0.0, np.log(2.0)]),
    ('neg_relu', [0.0, 0.0, -np.log(2.0)]),
  ],
)
def test_heads_by_hand(head, expected):
  z = jnp.log(jnp.array([0.5, 1.0, 2.0]))
  np.testing.assert_allclose(
    critic_network.apply_head(z, head), expected, rtol=1e-6, atol=1e-7
  )


def test_remaining_by_hand():
  segment = jnp.array([0, 0, 0, 3, 5, 5, -1, -1])
  np.testing.assert_allclose(
    critic_network.remaining(segment),
    np.log([3, 2, 1, 1, 2, 1, 1, 1]),
    rtol=1e-6,
  )
  with pytest.raises(ValueError, match='segments'):
    critic_network.remaining(None)


@pytest.mark.parametrize('head', config_values.choices('critic.head'))
@pytest.mark.parametrize('form', config_values.choices('critic.form'))
def test_initial_values_are_what_a_fresh_critic_says(head, form):
  config = paper.critic(head=head, form=form)
  spec = small.spec()
  network = from_settings.make_critic(spec, small.CONFIG, config)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  wanted = np.array([-2.5, -0.25], np.float32)
  params = critic_network.with_initial_values(zeros, wanted, head)
  values = small.run(network, params, small.inputs(spec), small.actions(2))
  assert values.shape == (small.LANES, small.SLOTS, 2)
  expected = np.broadcast_to(wanted, values.shape)
  np.testing.assert_allclose(values, expected, rtol=1e-5)
