from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.networks import critic, functional
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
    critic.apply_head(z, head), expected, rtol=1e-6, atol=1e-7
  )


def test_the_default_head_is_alive_everywhere():
  z = jnp.array([-30.0, -5.0, 0.0, 5.0, 30.0])
  slope = jax.vmap(jax.grad(lambda z: critic.apply_head(z, 'neg_softplus')))(z)
  assert (np.asarray(slope) < 0).all()
  dead = jax.vmap(jax.grad(lambda z: critic.apply_head(z, 'neg_relu')))(z)
  np.testing.assert_array_equal(dead, [0, 0, 0, -1, -1])


@pytest.mark.parametrize('form', ['shared', 'separate'])
def test_a_fresh_critic_is_a_little_negative(form):
  spec = small.spec()
  config = config_lib.CriticConfig(form=form)
  network = functional.make_critic(spec, small.CONFIG, config)
  params = network.init(jax.random.key(0))
  bias = np.asarray(params['towers']['heads']['linear']['bias'])
  np.testing.assert_array_equal(bias, -1.0)
  rows = small.inputs(spec, lanes=2)
  values = small.run(network, params, rows, small.actions(2))
  assert (values < -0.05).all()
  assert (values > -1.5).all()


@pytest.mark.parametrize('head', ['linear', 'neg_relu'])
def test_other_heads_start_without_bias(head):
  config = config_lib.CriticConfig(head=head)
  network = functional.make_critic(small.spec(), small.CONFIG, config)
  bias = network.init(jax.random.key(0))['towers']['heads']['linear']['bias']
  np.testing.assert_array_equal(bias, np.zeros((2, 1)))
