"""Actions that critics learn from: noisy, uniform, smoothed."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def clipped_noise(
  key: jax.Array, actions: jax.Array, deviation: float, limit: float
) -> jax.Array:
  """Actions plus Gaussian noise clipped to +-limit, kept inside [0, 1].

  TD3's exploration and target smoothing (Fujimoto et al., ICML 2018).

  Args:
    key: a random key.
    actions: f32[...], probabilities.
    deviation: the noise's standard deviation before clipping.
    limit: largest absolute noise.

  Returns:
    f32[...].
  """
  noise = _noise(key, actions.shape, deviation, limit)
  return jnp.clip(actions + noise, 0.0, 1.0)


def common_noise(
  key: jax.Array, actions: jax.Array, deviation: float, limit: float
) -> jax.Array:
  """Actions plus one clipped draw per task (the authors' code).

  Args:
    key: a random key.
    actions: f32[..., K], probabilities.
    deviation: the noise's standard deviation before clipping.
    limit: largest absolute noise.

  Returns:
    f32[..., K], in [-limit, 1 + limit].
  """
  shape = (1,) * (actions.ndim - 1) + actions.shape[-1:]
  return actions + _noise(key, shape, deviation, limit)


def _noise(
  key: jax.Array, shape: tuple[int, ...], deviation: float, limit: float
) -> jax.Array:
  noise = deviation * jax.random.normal(key, shape, jnp.float32)
  return jnp.clip(noise, -limit, limit)


def uniform(key: jax.Array, actions: jax.Array) -> jax.Array:
  """a ~ U(0, 1), shaped like `actions`, as in the authors' code."""
  return jax.random.uniform(key, actions.shape, actions.dtype)
