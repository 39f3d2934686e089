import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmtl_jax

rng = np.random.default_rng(0)
X = jnp.asarray(rng.normal(size=(2, 4, 3)), jnp.float32)
Q = jnp.asarray(-rng.random((2, 4, 2)), jnp.float32)
MASK = jnp.array([[True, True, True, False], [True, True, False, False]])
PARAMS = {'w': jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}
LINK = rmtl_jax.scale_by_critic(0.7)


def row_losses(params, x):
  return jnp.square(x @ params['w'])


def by_hand(mask):
  """The gradient of the mean over valid rows of weight times loss."""

  def mean(params):
    weighed = (1 - 0.7 * Q) * row_losses(params, X)
    total = jnp.sum(jnp.where(mask[..., None], weighed, 0.0))
    return total / (2 * mask.sum())

  return jax.grad(mean)(PARAMS)


@pytest.mark.parametrize('mask', [None, MASK], ids=['all', 'mask'])
def test_it_is_the_gradient_of_the_weighted_mean(mask):
  grad_fn = jax.jit(rmtl_jax.value_and_weighted_grad(row_losses, LINK))
  value, gradient, state = grad_fn(
    PARAMS, LINK.init(PARAMS), X, q_values=Q, mask=mask
  )
  valid = jnp.ones((2, 4), bool) if mask is None else mask
  np.testing.assert_allclose(
    value, row_losses(PARAMS, X)[valid].mean(), rtol=1e-6
  )
  np.testing.assert_allclose(gradient['w'], by_hand(valid)['w'], rtol=1e-5)
  assert state == LINK.init(PARAMS)


@pytest.mark.parametrize('has_aux', [False, True])
def test_an_extra_argument_may_depend_on_what_the_model_returned(has_aux):
  def loss_fn(params, x):
    losses = row_losses(params, x)
    return (losses, {'twice': 2 * losses}) if has_aux else losses

  grad_fn = rmtl_jax.value_and_weighted_grad(loss_fn, LINK, has_aux)
  value, gradient, _ = grad_fn(
    PARAMS,
    LINK.init(PARAMS),
    X,
    q_values=(
      (lambda losses, aux: losses - aux['twice'])
      if has_aux
      else (lambda losses: -losses)
    ),
  )
  losses = row_losses(PARAMS, X)
  expected = jax.grad(
    lambda p: jnp.mean((1 + 0.7 * losses) * row_losses(p, X))
  )(PARAMS)
  np.testing.assert_allclose(gradient['w'], expected['w'], rtol=1e-5)
  if has_aux:
    value, aux = value
    np.testing.assert_array_equal(aux['twice'], 2 * losses)
  np.testing.assert_allclose(value, losses.mean(), rtol=1e-6)


def test_scan_carries_the_state_of_the_chain():
  ramp = optax.linear_schedule(0.0, 1.4, 2)
  link = optax.inject_hyperparams(rmtl_jax.scale_by_critic)(lambda_=ramp)
  grad_fn = rmtl_jax.value_and_weighted_grad(row_losses, link)

  def step(state, _):
    _, gradient, state = grad_fn(PARAMS, state, X, q_values=Q)
    return state, gradient['w']

  _, found = jax.lax.scan(step, link.init(PARAMS), length=3)
  plain, full = found[0], found[2]
  np.testing.assert_allclose(found[1], 0.5 * (plain + full), rtol=1e-4)
  assert np.abs(full - plain).max() > 0.01


@pytest.mark.parametrize(
  ('loss_fn', 'extra', 'message'),
  [
    (lambda p, x: row_losses(p, x).mean(), {}, 'loss_fn: expected the losses'),
    (row_losses, {'mask': MASK[0]}, 'mask: expected the shape'),
    (row_losses, {'mask': MASK[..., None]}, 'mask: expected the shape'),
    (row_losses, {'q_values': Q[0]}, 'q_values: expected the shape'),
  ],
)
def test_what_does_not_belong_together_is_refused(loss_fn, extra, message):
  grad_fn = rmtl_jax.value_and_weighted_grad(loss_fn, LINK)
  with pytest.raises(ValueError, match=f'^{message}'):
    grad_fn(PARAMS, LINK.init(PARAMS), X, **{'q_values': Q, **extra})
