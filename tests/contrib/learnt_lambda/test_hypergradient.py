"""Lambda's hypergradient against the derivative of a whole step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.contrib.learnt_lambda import hypergradient

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
VALIDATION_X, VALIDATION_Y = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 2))
Q = -RNG.random((12, 2))
PARAMS = {'w': jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32)}
RATE = 0.1


def row_losses(params):
  return jnp.square(jnp.asarray(X, jnp.float32) @ params['w'] - Y)


def validation_loss(params):
  x = jnp.asarray(VALIDATION_X, jnp.float32)
  return jnp.mean(jnp.square(x @ params['w'] - VALIDATION_Y))


def weigh(lambda_):
  return (1.0 - lambda_ * jnp.asarray(Q, jnp.float32)) / Q.size


def step(lambda_, scale):
  """Gradient descent with weights, each parameter with a rate of its own."""
  _, pullback = jax.vjp(row_losses, PARAMS)
  (gradient,) = pullback(weigh(lambda_))
  return jax.tree.map(lambda p, g, s: p - RATE * s * g, PARAMS, gradient, scale)


def test_the_hypergradient_is_the_derivative_of_the_validation_loss():
  scale = {'w': jnp.asarray(RNG.uniform(0.5, 2.0, (3, 2)), jnp.float32)}
  lambda_ = jnp.float32(0.7)
  expected = jax.grad(lambda v: validation_loss(step(v, scale)))(lambda_)
  found = hypergradient.hypergradient(
    row_losses,
    validation_loss,
    PARAMS,
    step(lambda_, scale),
    scale,
    weigh,
    lambda_,
  )
  assert abs(float(expected)) > 1e-3
  np.testing.assert_allclose(RATE * found, expected, rtol=1e-4)


def test_adams_scale_by_hand():
  optimizer = optax.chain(optax.identity(), optax.adam(1e-2, b2=0.75))
  _, opt_state = optimizer.update(
    {'w': jnp.array([2.0, -4.0])}, optimizer.init({'w': jnp.zeros(2)})
  )
  scale = hypergradient.adam_scale(opt_state, eps=0.0)  # nu = 0.25 g^2
  np.testing.assert_allclose(scale['w'], [1.0, 0.5], rtol=1e-6)


def test_lambda_falls_with_a_positive_gradient_and_keeps_its_bound():
  lambda_, meta_state = (
    jnp.float32(0.25),
    hypergradient.OPTIMIZER.init(jnp.float32(0)),
  )
  found = []
  for _ in range(3):
    lambda_, meta_state = hypergradient.new_lambda(
      jnp.float32(3.0), meta_state, lambda_, 0.1, 0.0
    )
    found.append(float(lambda_))
  # Adam's steps of a constant gradient have the size of the rate.
  np.testing.assert_allclose(found, [0.15, 0.05, 0.0], atol=1e-6)
