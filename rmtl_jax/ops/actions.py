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
  noise = deviation * jax.random.normal(key, actions.shape, actions.dtype)
  return jnp.clip(actions + jnp.clip(noise, -limit, limit), 0.0, 1.0)


def uniform(key: jax.Array, actions: jax.Array) -> jax.Array:
  """a ~ U(0, 1), shaped like `actions`: what the authors' code stores."""
  return jax.random.uniform(key, actions.shape, actions.dtype)
